/* SPDX-License-Identifier: MIT */
/* Checked reading of bytes. See bytes.h. */
#include "base/bytes.h"

mil__bytes mil__bytes_part(const void *data, size_t size, uint64_t from, uint64_t n) {
    if (from > size || n > size - from) return (mil__bytes){.failed = true};
    return (mil__bytes){.data = (const uint8_t *)data + from, .n = (size_t)n};
}

const uint8_t *mil__bytes_take(mil__bytes *bytes, uint64_t n) {
    if (bytes->failed || n > bytes->n - bytes->at) {
        bytes->failed = true;
        return NULL;
    }
    const uint8_t *taken = bytes->data + bytes->at;
    bytes->at += (size_t)n;
    return taken;
}

static uint64_t number(mil__bytes *bytes, int size) {
    const uint8_t *p = mil__bytes_take(bytes, (uint64_t)size);
    uint64_t value = 0;
    for (int i = 0; p && i < size; i++) value |= (uint64_t)p[i] << 8 * i;
    return value;
}

uint8_t mil__bytes_u8(mil__bytes *bytes) { return (uint8_t)number(bytes, 1); }
uint16_t mil__bytes_u16(mil__bytes *bytes) { return (uint16_t)number(bytes, 2); }
uint32_t mil__bytes_u32(mil__bytes *bytes) { return (uint32_t)number(bytes, 4); }
uint64_t mil__bytes_u64(mil__bytes *bytes) { return number(bytes, 8); }

static uint8_t *put(uint8_t *at, uint64_t value, int size) {
    for (int i = 0; i < size; i++) at[i] = (uint8_t)(value >> 8 * i);
    return at + size;
}

uint8_t *mil__put_u16(uint8_t *at, uint16_t value) { return put(at, value, 2); }
uint8_t *mil__put_u32(uint8_t *at, uint32_t value) { return put(at, value, 4); }
uint8_t *mil__put_u64(uint8_t *at, uint64_t value) { return put(at, value, 8); }

/* The second byte has a narrower range after E0, ED, F0 and F4: that is what rules out overlong forms, surrogates and
 * what lies above 10FFFF. */
size_t mil__utf8_bytes(const void *at, size_t n) {
    const uint8_t *p = at;
    uint8_t first = p[0];
    if (first < 0x80) return 1;
    size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || n < length) return 0;
    uint8_t low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80, high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (p[1] < low || p[1] > high) return 0;
    for (size_t i = 2; i < length; i++) {
        if ((p[i] & 0xc0) != 0x80) return 0;
    }
    return length;
}

bool mil__is_utf8(const void *data, size_t n) {
    const uint8_t *p = data;
    while (n) {
        size_t length = mil__utf8_bytes(p, n);
        if (length == 0) return false;
        p += length, n -= length;
    }
    return true;
}

char *mil__printable(const char *name, size_t length, char *buf, size_t n) {
    size_t used = 0;
    for (size_t i = 0; i < length;) {
        size_t one = mil__utf8_bytes(name + i, length - i);
        bool control = one == 1 && ((unsigned char)name[i] < 0x20 || name[i] == 0x7f);
        bool c1 = one == 2 && (unsigned char)name[i] == 0xc2 && (unsigned char)name[i + 1] < 0xa0;
        if (used + 4 + 2 >= n) {
            memcpy(buf + used, "..", 2);
            used += 2;
            break;
        }
        if (one == 0 || control || c1) buf[used++] = '?';
        else memcpy(buf + used, name + i, one), used += one;
        i += one ? one : 1;
    }
    buf[used] = 0;
    return buf;
}
