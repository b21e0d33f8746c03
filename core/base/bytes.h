/* SPDX-License-Identifier: MIT */
/* Checked reading of little-endian bytes, and putting them together: every binary format stands on it. */
#ifndef MIL__BYTES_H
#define MIL__BYTES_H

#include "base/base.h"

/* What is being read. A read beyond the end gives zeros and is remembered, so that a record is read whole and asked about
 * once. */
typedef struct mil__bytes {
    const uint8_t *data;
    size_t n, at;  /* at <= n */
    bool failed;
} mil__bytes;

/* The part [from, from + n) of data, which has `size` bytes; what does not fit has failed already. */
mil__bytes mil__bytes_part(const void *data, size_t size, uint64_t from, uint64_t n);
const uint8_t *mil__bytes_take(mil__bytes *bytes, uint64_t n); /* NULL beyond the end */
uint8_t mil__bytes_u8(mil__bytes *bytes);
uint16_t mil__bytes_u16(mil__bytes *bytes);
uint32_t mil__bytes_u32(mil__bytes *bytes);
uint64_t mil__bytes_u64(mil__bytes *bytes);

/* Little-endian numbers into memory; gives what follows them. */
uint8_t *mil__put_u16(uint8_t *at, uint16_t value);
uint8_t *mil__put_u32(uint8_t *at, uint32_t value);
uint8_t *mil__put_u64(uint8_t *at, uint64_t value);

/* Bytes of the code point at `at`, where n > 0 are; 0: it is none. */
size_t mil__utf8_bytes(const void *at, size_t n);
/* Are they UTF-8: no overlong form, surrogate, or code point above 10FFFF? */
bool mil__is_utf8(const void *data, size_t n);
/* A name out of a file, fit for a message: control characters and bytes that are not UTF-8 become '?', what is long ends in
 * "..". Returns buf. */
char *mil__printable(const char *name, size_t length, char *buf, size_t n);
#define MIL__PRINTABLE(name) mil__printable((name), strlen(name), (char[96]){0}, 96)

#endif
