/* SPDX-License-Identifier: MIT */
/* SHA-256 (FIPS 180-4): the name of something by all its bytes. */
#ifndef MIL__SHA256_H
#define MIL__SHA256_H

#include "base/base.h"

typedef struct mil__sha256 {
    uint32_t state[8];
    uint64_t n;          /* bytes so far */
    uint8_t block[64];   /* what is not a whole block yet */
} mil__sha256;

enum { MIL__SHA256_TEXT = 65 };

void mil__sha256_begin(mil__sha256 *sha);
void mil__sha256_add(mil__sha256 *sha, const void *data, size_t bytes);
/* As 64 hexadecimal digits. */
void mil__sha256_end(mil__sha256 *sha, char text[MIL__SHA256_TEXT]);

#endif
