#ifndef MBX_LIMITS_H
#define MBX_LIMITS_H

/*
 * Every cap on what comes from outside, with its reason. A parser checks the limit before it
 * allocates. mbxarchive(5) states the ones that belong to the archive.
 */

/* Names. */
#define LIMIT_LEVEL_BYTES   1000u  /* one level of a mailbox name, decoded */
#define LIMIT_LEVELS        64u    /* hierarchy depth */
#define LIMIT_PATH_BYTES    65536u /* encoded path, with separators */
#define LIMIT_USER_BYTES    255u   /* one path component on every store (settled by templates) */
#define LIMIT_KEYWORD_BYTES 1000u  /* one keyword; IMAP servers stop far below */
#define LIMIT_KEYWORDS      8192u  /* different keywords of one mailbox */
#define LIMIT_GUID_BYTES    512u   /* Dovecot's may be any string, so a Maildir base name */
#define LIMIT_UIDL_BYTES    512u   /* RFC 1939 allows 70; servers have sent more */
#define LIMIT_NAME_BYTES    255u   /* a Maildir file name: one directory entry */

/* Memory: this, and so much for each job, each message of the mailbox in hand, each mailbox and
 * each shared body of the user in hand. The map of an mdbox tells where the messages of all
 * mailboxes of the user lie, and any of them may be asked for, again when a server has moved it: so
 * it is the one thing that is kept of each message of the user, in 16 bytes. While it is read it
 * takes three times as much. */
#define MEMORY_BASE        (32u * 1024 * 1024)
#define MEMORY_JOB         (18u * 1024 * 1024)
#define MEMORY_MESSAGE     100u
#define MEMORY_BOX         256u
#define MEMORY_SHARED_BODY 32u
#define MEMORY_MAP         48u

/* Account data. */
#define LIMIT_SUBSCRIPTIONS 1000000u
#define LIMIT_VALUE_BYTES   (256u * 1024) /* one METADATA value, one ACL rights list: in a row */
#define LIMIT_SCRIPT_BYTES  (4u * 1024 * 1024) /* one Sieve script: a tar entry in one segment */
#define LIMIT_SCRIPTS       10000u
#define LIMIT_ACL_ENTRIES   10000u
#define LIMIT_ACCOUNT_BYTES (16u * 1024 * 1024) /* names and values of all items of one user */
/* Names and METADATA of all mailboxes of one user: an importer keeps them until that user ends. A
 * million mailboxes with names of 250 bytes. */
#define LIMIT_BOXES_BYTES (256u * 1024 * 1024)

/* Side files of a store that have a line a message and are read whole (uidlist, keywords...), so
 * that a damaged store cannot ask for all memory: 10,000,000 messages with names of 100 bytes.
 * Positions in them take 31 bits. */
#define LIMIT_SIDE_FILE (1024u * 1024 * 1024)

/* The metadata of one message of a dbox file. What grows in it is the list of external attachments:
 * 150 bytes each, so 7,000 of them. */
#define LIMIT_DBOX_META (1024u * 1024)

/* Dovecot's index files. A log is rotated at 1 MB, but one transaction may be of any size. */
#define LIMIT_INDEX_LOG        (1024u * 1024 * 1024)
#define LIMIT_INDEX_RECORDS    (4ull * 1024 * 1024 * 1024) /* of the main index: 200 bytes each */
#define LIMIT_INDEX_MESSAGES   20000000u           /* with what is kept of each: about 1 GB */
#define LIMIT_INDEX_HEADER     (64u * 1024 * 1024) /* of all extensions; the server: 16 MB each */
#define LIMIT_INDEX_EXTENSIONS 1024u
#define LIMIT_INDEX_RECORD     65535u /* the server's own: positions in a record are 16 bits */
/* Mailboxes and levels above them in a dovecot.list.index: 80 bytes each in memory. */
#define LIMIT_LIST_NODES 1000000u
/* Messages that the changes of a log touch, all together: a log of a megabyte could ask for
 * 80,000 changes of each of a million messages. */
#define LIMIT_INDEX_TOUCHED (1ull << 34)
/* Different sets of keywords in one mailbox, in bytes: a million with 50 each. */
#define LIMIT_KEYWORD_SETS (128u * 1024 * 1024)

/* One message of a store that compresses: small files can be made that grow for ever. */
#define LIMIT_INFLATED_BYTES (64ull * 1024 * 1024 * 1024)

/* The archive. */
#define SEG_RAW_CLOSE      (4u * 1024 * 1024) /* a segment closes at this many raw bytes */
#define SEG_RAW_MAX        (8u * 1024 * 1024) /* no frame is larger when decompressed */
#define SEG_ROWS_CLOSE     4096u
#define SEG_TABLE_CLOSE    (1024u * 1024)
#define SEG_CONT_BYTES     (4u * 1024 * 1024) /* body bytes in each kind-2 frame but the last */
#define F0_MAX             (64u * 1024)       /* raw and compressed */
#define ROW_MAX            (1024u * 1024)     /* one row with its LF */
#define ARCHIVE_FRAMES_MAX (1u << 27)         /* the seek table's own limit: 512 TiB */

#endif
