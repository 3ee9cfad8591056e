#ifndef MBX_BASE_LE_H
#define MBX_BASE_LE_H

#include <stdint.h>

/* Little-endian numbers in files, byte by byte. */

static inline void le_put(unsigned char *out, uint64_t number, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		out[i] = (unsigned char)(number >> 8 * i);
}

static inline uint64_t le_get(const unsigned char *in, unsigned bytes)
{
	uint64_t number = 0;

	for (unsigned i = 0; i < bytes; i++)
		number |= (uint64_t)in[i] << 8 * i;
	return number;
}

static inline uint32_t le_get32(const unsigned char *in)
{
	return (uint32_t)le_get(in, 4);
}

static inline uint16_t le_get16(const unsigned char *in)
{
	return (uint16_t)le_get(in, 2);
}

#endif
