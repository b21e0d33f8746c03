/* SPDX-License-Identifier: MIT */
/* Checked bytes, UTF-8, names fit for messages. */
#include "test.h"

#include "base/bytes.h"

static void numbers(void) {
    static const uint8_t data[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    mil__bytes b = mil__bytes_part(data, sizeof data, 0, sizeof data);
    CHECK_EQ(mil__bytes_u8(&b), 1);
    CHECK_EQ(mil__bytes_u16(&b), 0x0302);
    CHECK_EQ((long long)mil__bytes_u32(&b), 0x07060504);
    CHECK_EQ((long long)mil__bytes_u64(&b), 0x0f0e0d0c0b0a0908);
    CHECK(!b.failed && b.at == b.n);
    CHECK_EQ(mil__bytes_u8(&b), 0);
    CHECK(b.failed);
    CHECK(mil__bytes_take(&b, 0) == NULL); /* once failed, always */
    uint8_t out[14];
    CHECK(mil__put_u64(mil__put_u32(mil__put_u16(out, 0x0201), 0x06050403), 0x0e0d0c0b0a090807) == out + 14);
    CHECK(memcmp(out, data, 14) == 0);
}

static void parts(void) {
    static const struct {
        uint64_t from, n;
        bool fits;
    } rows[] = {{0, 8, true}, {8, 0, true}, {9, 0, false}, {4, 5, false}, {UINT64_MAX, 2, false}, {2, UINT64_MAX, false}};
    static const uint8_t data[8] = {0};
    for (size_t i = 0; i < MIL__COUNT(rows); i++)
        CHECK(mil__bytes_part(data, 8, rows[i].from, rows[i].n).failed == !rows[i].fits);
    mil__bytes part = mil__bytes_part(data, 8, 2, 4);
    CHECK(mil__bytes_take(&part, UINT64_MAX) == NULL);
    CHECK_EQ(mil__bytes_u32(&part), 0);
}

static void utf8(void) {
    static const struct {
        const char *text;
        bool ok;
    } rows[] = {
        {"", true}, {"abc", true}, {"\xc3\xa9", true}, {"\xe2\x82\xac", true}, {"\xf0\x9f\x98\x80", true},
        {"\xf4\x8f\xbf\xbf", true}, {"\xed\x9f\xbf", true}, {"\xee\x80\x80", true}, {"\x80", false}, {"\xc3", false},
        {"\xc0\xaf", false}, {"\xc1\xbf", false}, {"\xe0\x9f\xbf", false}, {"\xf0\x8f\xbf\xbf", false}, {"\xed\xa0\x80", false},
        {"\xf4\x90\x80\x80", false}, {"\xf5\x80\x80\x80", false}, {"\xff", false}, {"\xe2\x82", false}, {"\xe2\x28\xa1", false},
        {"\xf0\x9f\x98\x28", false},
    };
    for (size_t i = 0; i < MIL__COUNT(rows); i++) {
        test_row = rows[i].text;
        CHECK(mil__is_utf8(rows[i].text, strlen(rows[i].text)) == rows[i].ok);
    }
}

static void printable(void) {
    char small[12];
    CHECK_EQ(MIL__PRINTABLE("layer.0"), "layer.0");
    CHECK_EQ(MIL__PRINTABLE("a\nb\x1b[31m\x7f"), "a?b?[31m?");
    CHECK_EQ(MIL__PRINTABLE("\xff\xc3\xa9\xc2\x9b"), "?\xc3\xa9?");
    CHECK_EQ(mil__printable("a long name", 11, small, sizeof small), "a long..");
    CHECK_EQ(mil__printable("", 0, small, sizeof small), "");
}

TEST_MAIN(CASE(numbers), CASE(parts), CASE(utf8), CASE(printable))
