/* SPDX-License-Identifier: MIT */
/* SHA-256 against the standard's examples, and against itself in pieces of every length. */
#include "test.h"

#include "base/sha256.h"

static const char *hash(const void *data, size_t n, size_t piece) {
    static char text[MIL__SHA256_TEXT];
    mil__sha256 sha;
    mil__sha256_begin(&sha);
    for (size_t at = 0; at < n; at += piece) mil__sha256_add(&sha, (const char *)data + at, n - at < piece ? n - at : piece);
    mil__sha256_end(&sha, text);
    return text;
}

static void examples(void) {
    static const struct {
        const char *text, *hash;
    } rows[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    for (size_t i = 0; i < MIL__COUNT(rows); i++) CHECK_EQ(hash(rows[i].text, strlen(rows[i].text), 64), rows[i].hash);
    char *many = malloc(1000000);
    memset(many, 'a', 1000000);
    CHECK_EQ(hash(many, 1000000, 1000000), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    free(many);
}

static void pieces(void) {
    char data[200], whole[MIL__SHA256_TEXT];
    for (size_t i = 0; i < sizeof data; i++) data[i] = (char)(i * 7);
    for (size_t n = 0; n <= sizeof data; n++) {
        snprintf(whole, sizeof whole, "%s", hash(data, n, sizeof data));
        for (size_t piece = 1; piece < 70; piece += 9) CHECK_EQ(hash(data, n, piece), whole);
    }
}

TEST_MAIN(CASE(examples), CASE(pieces))
