#ifndef MBX_CODEC_DINDEX_LOG_H
#define MBX_CODEC_DINDEX_LOG_H

#include "format/codec/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * One dovecot.index.log: its header and where its records are, for dindex_read.c and dindex.c of
 * the writing side.
 *
 *     0 u8 1, u8 minor; u16 header size; u32 indexid, file_seq, prev_file_seq, prev_file_offset,
 *     time; u64 initial modseq; u8 1: little-endian
 *
 * A record is its size (see record_size()), a u32 type, and data that fills up to the size.
 */
#define DLOG_HEADER   40u
#define DLOG_MINIMUM  24u /* of older versions: what is missing is 0 */
#define DLOG_EXTERNAL 0x10000000u
#define DLOG_SYNC     0x20000000u
#define DLOG_KIND     0x0fffffffu

enum dlog_kind {
	DLOG_EXPUNGE = 0x1 | 0xcd90,
	DLOG_APPEND = 0x2,
	DLOG_FLAGS = 0x4,
	DLOG_HEADER_UPDATE = 0x20,
	DLOG_EXT_INTRO = 0x40,
	DLOG_EXT_RESET = 0x80,
	DLOG_EXT_HEADER = 0x100,
	DLOG_EXT_RECORD = 0x200,
	DLOG_KEYWORD = 0x400,
	DLOG_KEYWORD_RESET = 0x800,
	DLOG_EXT_INC = 0x1000,
	DLOG_EXPUNGE_GUID = 0x2000 | 0xcd90,
	DLOG_MODSEQ = 0x8000,
	DLOG_EXT_HEADER32 = 0x10000,
	DLOG_INDEX_DELETED = 0x20000,
	DLOG_INDEX_UNDELETED = 0x40000,
	DLOG_BOUNDARY = 0x80000,
	DLOG_ATTRIBUTE = 0x100000,
};

struct dlog {
	struct slice bytes;
	unsigned minor;
	uint32_t indexid, seq, prev_seq, prev_offset, header_size;
	uint64_t initial_modseq;
	/* Set by dlog_scan(). */
	size_t end;          /* of the last complete record */
	uint64_t end_modseq; /* the counter there */
};

struct dlog_record {
	size_t offset, next;
	uint32_t kind;
	bool external;
	const unsigned char *data;
	uint32_t size; /* of data */
};

/* Reads the header. False if a server takes it for no log; *why_r says why. */
bool dlog_open(struct dlog *log, struct slice bytes, const char **why_r);

/* Looks where the complete records end, counting modseqs, from a place where a record begins and
 * the counter is known. False if a size is nonsense: the server throws such a log away; everything
 * up to there was found. */
bool dlog_scan(struct dlog *log, size_t from, uint64_t modseq);

/* The record at a place before log->end. False if none begins there: places that the main index
 * names may be wrong. */
bool dlog_at(const struct dlog *log, size_t offset, struct dlog_record *rec_r);

/* NULL, or why a server gives up at this record. */
const char *dlog_check(const struct dlog_record *rec);

/* Counts one record: 0 stays 0 until modseqs are introduced. */
void dlog_count(const struct dlog *log, const struct dlog_record *rec, uint64_t *modseq);

#endif
