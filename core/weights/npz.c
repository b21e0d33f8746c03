/* SPDX-License-Identifier: MIT */
/* npz: a zip archive whose members are npy files; member w.npy is tensor w, other members are left alone.
 *
 *     [ local header | name | extra | data ] ...  [ directory entry | name | extra | comment ] ...  [ end record ]
 *       ^-------------- offset of the local header ---'                                              ^- found from behind
 *
 * Sizes, offsets and checksums are taken from the directory, which the end record points to (through a zip64 end record where
 * numbers do not fit 32 bits). The local header only says where the data begins, and must bear the same name. When a file is
 * opened all this is checked, for all members: they lie in the file before the directory, and share no byte. A member's npy
 * header, its data and its CRC-32 are looked at when the tensor is asked for. */
#include <inttypes.h>
#include <stdio.h>

#include <zlib.h>

#include "weights/weights.h"

enum { LOCAL_BYTES = 30, ENTRY_BYTES = 46, END_BYTES = 22, LOCATOR_BYTES = 20, COMMENT_MAX = 65535, STORED = 0, DEFLATED = 8 };

static const uint32_t local_magic = 0x04034b50, entry_magic = 0x02014b50, end_magic = 0x06054b50, locator_magic = 0x07064b50,
                      end64_magic = 0x06064b50;

static mil_status bad(const mil_weights *weights, mil_error *err, const char *name, const char *what) {
    return mil__weights_fail(weights, err, MIL_EFORMAT, name, "%s", what);
}

/* ---- the end record ---- */

typedef struct directory {
    uint64_t n, bytes, offset;
} directory;

/* The last end record whose comment reaches to the end of the file. */
static bool find_end(const mil_weights *weights, size_t *out) {
    const uint8_t *data = weights->data;
    size_t size = weights->bytes, least = size > END_BYTES + COMMENT_MAX ? size - END_BYTES - COMMENT_MAX : 0;
    for (size_t at = size < END_BYTES ? 0 : size - END_BYTES + 1; at > least; at--) {
        mil__bytes end = mil__bytes_part(data, size, at - 1, END_BYTES);
        if (mil__bytes_u32(&end) != end_magic) continue;
        mil__bytes_take(&end, 16);
        if (at - 1 + END_BYTES + mil__bytes_u16(&end) != size) continue;
        *out = at - 1;
        return true;
    }
    return false;
}

static mil_status read_end64(const mil_weights *weights, size_t end_at, directory *out, mil_error *err) {
    if (end_at < LOCATOR_BYTES) return bad(weights, err, NULL, "the zip64 locator is missing");
    mil__bytes locator = mil__bytes_part(weights->data, weights->bytes, end_at - LOCATOR_BYTES, LOCATOR_BYTES);
    bool ok = mil__bytes_u32(&locator) == locator_magic && mil__bytes_u32(&locator) == 0;
    uint64_t at = mil__bytes_u64(&locator);
    if (!ok || mil__bytes_u32(&locator) > 1) return bad(weights, err, NULL, "the zip64 locator is missing");
    mil__bytes end = mil__bytes_part(weights->data, weights->bytes, at, 56);
    ok = mil__bytes_u32(&end) == end64_magic && mil__bytes_u64(&end) >= 44;
    mil__bytes_take(&end, 4);
    ok = ok && mil__bytes_u32(&end) == 0 && mil__bytes_u32(&end) == 0;
    uint64_t here = mil__bytes_u64(&end);
    *out = (directory){.n = mil__bytes_u64(&end)};
    out->bytes = mil__bytes_u64(&end);
    out->offset = mil__bytes_u64(&end);
    return ok && !end.failed && here == out->n ? MIL_OK : bad(weights, err, NULL, "the zip64 end record is broken");
}

static mil_status read_end(const mil_weights *weights, directory *out, mil_error *err) {
    size_t at;
    if (!find_end(weights, &at)) return bad(weights, err, NULL, "the end record of the zip is missing");
    mil__bytes end = mil__bytes_part(weights->data, weights->bytes, at + 4, END_BYTES - 4);
    uint32_t disk = mil__bytes_u16(&end), directory_disk = mil__bytes_u16(&end), here = mil__bytes_u16(&end);
    *out = (directory){.n = mil__bytes_u16(&end)};
    out->bytes = mil__bytes_u32(&end);
    out->offset = mil__bytes_u32(&end);
    bool is_zip64 = disk == 0xffff || directory_disk == 0xffff || here == 0xffff || out->n == 0xffff ||
                    out->bytes == 0xffffffff || out->offset == 0xffffffff;
    if (is_zip64) MIL__TRY(read_end64(weights, at, out, err));
    else if (disk || directory_disk || here != out->n) return bad(weights, err, NULL, "is one of several disks");
    if (out->offset > at || out->bytes > at - out->offset) return bad(weights, err, NULL, "the directory lies outside of the file");
    if (out->n > out->bytes / ENTRY_BYTES) return bad(weights, err, NULL, "the directory is too small for its entries");
    return MIL_OK;
}

/* ---- members ---- */

typedef struct member {
    const char *name;
    size_t name_length;
    unsigned flags, method;
    uint32_t crc;
    uint64_t packed, plain, local; /* bytes, bytes, offset */
    uint64_t data_at;
} member;

/* The numbers that did not fit: in the extra field 1, in this order, each only where its 32-bit twin is full. */
static bool read_extra64(mil__bytes extra, member *m, bool plain, bool packed, bool local) {
    while (extra.n - extra.at >= 4) {
        unsigned id = mil__bytes_u16(&extra), n = mil__bytes_u16(&extra);
        const uint8_t *data = mil__bytes_take(&extra, n);
        if (!data) return false;
        if (id != 1) continue;
        mil__bytes field = mil__bytes_part(data, n, 0, n);
        if (plain) m->plain = mil__bytes_u64(&field);
        if (packed) m->packed = mil__bytes_u64(&field);
        if (local) m->local = mil__bytes_u64(&field);
        return !field.failed;
    }
    return false;
}

static mil_status read_entry(const mil_weights *weights, mil__bytes *list, member *m, mil_error *err) {
    if (mil__bytes_u32(list) != entry_magic) return bad(weights, err, NULL, "an entry of the directory is broken");
    mil__bytes_take(list, 4);
    m->flags = mil__bytes_u16(list);
    m->method = mil__bytes_u16(list);
    mil__bytes_take(list, 4);
    m->crc = mil__bytes_u32(list);
    m->packed = mil__bytes_u32(list);
    m->plain = mil__bytes_u32(list);
    m->name_length = mil__bytes_u16(list);
    size_t extra = mil__bytes_u16(list), comment = mil__bytes_u16(list);
    unsigned disk = mil__bytes_u16(list);
    mil__bytes_take(list, 6);
    m->local = mil__bytes_u32(list);
    m->name = (const char *)mil__bytes_take(list, m->name_length);
    const uint8_t *more = mil__bytes_take(list, extra);
    mil__bytes_take(list, comment);
    if (list->failed) return bad(weights, err, NULL, "the directory ends inside an entry");
    bool plain = m->plain == 0xffffffff, packed = m->packed == 0xffffffff, local = m->local == 0xffffffff;
    if ((plain || packed || local) && !read_extra64(mil__bytes_part(more, extra, 0, extra), m, plain, packed, local))
        return bad(weights, err, NULL, "the zip64 sizes of a member are missing");
    return disk == 0 || disk == 0xffff ? MIL_OK : bad(weights, err, NULL, "a member lies on another disk");
}

/* Where the data begins; the name must be the directory's. */
static mil_status read_local(const mil_weights *weights, const char *name, member *m, uint64_t limit, mil_error *err) {
    mil__bytes local = mil__bytes_part(weights->data, weights->bytes, m->local, LOCAL_BYTES);
    bool ok = mil__bytes_u32(&local) == local_magic;
    mil__bytes_take(&local, 22);
    size_t length = mil__bytes_u16(&local), extra = mil__bytes_u16(&local);
    if (!ok || local.failed) return bad(weights, err, name, "the local header is broken");
    mil__bytes rest = mil__bytes_part(weights->data, weights->bytes, m->local + LOCAL_BYTES, length);
    if (rest.failed || length != m->name_length || memcmp(rest.data, m->name, length) != 0)
        return bad(weights, err, name, "the local header has another name than the directory");
    m->data_at = m->local + LOCAL_BYTES + length + extra;
    if (m->data_at > limit || m->packed > limit - m->data_at)
        return bad(weights, err, name, "its data reaches beyond the beginning of the directory");
    return MIL_OK;
}

/* A member's span of the file, for the check that no two overlap. */
typedef struct span {
    uint64_t begin, end;
} span;

static int by_begin(const void *a, const void *b) {
    const span *x = a, *y = b;
    return x->begin < y->begin ? -1 : x->begin > y->begin;
}

static mil_status add_member(mil_weights *weights, const directory *dir, member *m, span *out, mil_error *err) {
    bool is_npy = m->name_length >= 4 && memcmp(m->name + m->name_length - 4, ".npy", 4) == 0;
    if (memchr(m->name, 0, m->name_length) || !mil__is_utf8(m->name, m->name_length))
        return bad(weights, err, NULL, "a member's name is not UTF-8");
    char name[96];
    mil__printable(m->name, m->name_length, name, sizeof name);
    MIL__TRY(read_local(weights, name, m, dir->offset, err));
    *out = (span){m->local, m->data_at + m->packed};
    if (!is_npy) return MIL_OK;
    if (m->flags & 1) return mil__weights_fail(weights, err, MIL_EUNSUPPORTED, name, "is encrypted");
    if (m->method != STORED && m->method != DEFLATED)
        return mil__weights_fail(weights, err, MIL_EUNSUPPORTED, name, "compression method %u is not supported", m->method);
    if (m->method == STORED && m->plain != m->packed) return bad(weights, err, name, "is stored, but its two sizes differ");
    mil__weight *weight;
    MIL__TRY(mil__weights_add(weights, m->name, m->name_length - 4, &weight, err));
    weight->offset = m->data_at;
    weight->bytes = m->packed;
    weight->plain_bytes = m->plain;
    weight->crc = m->crc;
    weight->is_deflated = m->method == DEFLATED;
    return MIL_OK;
}

static mil_status read_members(mil_weights *weights, const directory *dir, span *spans, mil_error *err) {
    mil__bytes list = mil__bytes_part(weights->data, weights->bytes, dir->offset, dir->bytes);
    for (uint64_t i = 0; i < dir->n; i++) {
        member m = {0};
        MIL__TRY(read_entry(weights, &list, &m, err));
        MIL__TRY(add_member(weights, dir, &m, &spans[i], err));
    }
    qsort(spans, (size_t)dir->n, sizeof *spans, by_begin);
    for (uint64_t i = 1; i < dir->n; i++) {
        if (spans[i].begin < spans[i - 1].end) return bad(weights, err, NULL, "two members share bytes");
    }
    return MIL_OK;
}

static mil_status open_npz(mil_weights *weights, mil_error *err) {
    directory dir = {0};
    MIL__TRY(read_end(weights, &dir, err));
    span *spans = mil__calloc(dir.n ? (size_t)dir.n : 1, sizeof *spans);
    if (!spans) return mil__nomem(err);
    mil_status status = read_members(weights, &dir, spans, err);
    mil__free(spans);
    return status;
}

/* ---- unpacking ---- */

static void *zlib_alloc(void *ctx, uInt n, uInt bytes) {
    (void)ctx;
    return mil__calloc(n, bytes);
}

static void zlib_free(void *ctx, void *ptr) {
    (void)ctx;
    mil__free(ptr);
}

/* A member's plain bytes, from its beginning. */
typedef struct unpacking {
    z_stream z;
    const uint8_t *in;  /* what zlib has not been given yet */
    uint64_t in_left;
    uint32_t crc;
    uint64_t n;         /* given out so far */
    bool ended, no_memory;
} unpacking;

static mil_status begin(const mil_weights *weights, const mil__weight *weight, unpacking *u, mil_error *err) {
    memset(u, 0, sizeof *u);
    u->in = weights->data + weight->offset;
    u->in_left = weight->bytes;
    u->z.zalloc = zlib_alloc;
    u->z.zfree = zlib_free;
    return inflateInit2(&u->z, -15) == Z_OK ? MIL_OK : mil__nomem(err);
}

static void feed(unpacking *u) {
    if (u->z.avail_in || !u->in_left) return;
    u->z.next_in = (Bytef *)u->in;
    u->z.avail_in = u->in_left < (1u << 30) ? (uInt)u->in_left : 1u << 30;
    u->in += u->z.avail_in;
    u->in_left -= u->z.avail_in;
}

/* Up to n more bytes to dst; fewer at the end of the data. False when it is broken. */
static bool unpack(unpacking *u, uint8_t *dst, size_t n, size_t *got) {
    *got = 0;
    while (*got < n && !u->ended) {
        feed(u);
        size_t left = n - *got;
        uInt room = left < (1u << 30) ? (uInt)left : 1u << 30;
        u->z.next_out = dst + *got;
        u->z.avail_out = room;
        int result = inflate(&u->z, Z_NO_FLUSH);
        u->crc = (uint32_t)crc32(u->crc, dst + *got, room - u->z.avail_out);
        *got += room - u->z.avail_out;
        if (result == Z_STREAM_END) u->ended = true;
        else if (result != Z_OK) return u->no_memory = result == Z_MEM_ERROR, false;
    }
    u->n += *got;
    return true;
}

/* Reads on to the end, then compares size and checksum with the directory. */
static bool finish(unpacking *u, const mil__weight *weight) {
    uint8_t rest[4096];
    size_t got = 1;
    while (got && u->n <= weight->plain_bytes) {
        if (!unpack(u, rest, sizeof rest, &got)) return false;
    }
    return u->ended && u->n == weight->plain_bytes && u->crc == weight->crc && !u->in_left && !u->z.avail_in;
}

static mil_status broken(const mil_weights *weights, const mil__weight *weight, const unpacking *u, mil_error *err) {
    if (u && u->no_memory) return mil__nomem(err);
    return bad(weights, err, weight->name, "its data is broken, or not what the directory says (size, CRC-32)");
}

static mil_status check_header(const mil_weights *weights, const mil__weight *weight, const mil__npy_header *header,
                               mil_error *err) {
    if (header->unsupported)
        return mil__weights_fail(weights, err, MIL_EUNSUPPORTED, weight->name, "%s is not supported", header->unsupported);
    if (header->bytes <= weight->plain_bytes - header->data_at) return MIL_OK;
    return mil__weights_fail(weights, err, MIL_EFORMAT, weight->name, "the elements take %zu bytes, but %" PRIu64 " are there",
                             header->bytes, weight->plain_bytes - header->data_at);
}

/* ---- tensors ---- */

static mil_status get_stored(const mil_weights *weights, const mil__weight *weight, mil_tensor **out, mil_error *err) {
    mil__npy_header header;
    char message[128];
    const uint8_t *data = weights->data + weight->offset;
    if ((uint32_t)crc32_z(0, data, (size_t)weight->bytes) != weight->crc) return broken(weights, weight, NULL, err);
    if (!mil__npy_read_header(data, (size_t)weight->bytes, &header, message))
        return bad(weights, err, weight->name, message);
    MIL__TRY(check_header(weights, weight, &header, err));
    return mil__npy_tensor(&header, weights->file, weight->offset + header.data_at, out, err);
}

/* A small file can claim, and deflate can deliver, a thousand times its size: before memory that is out of proportion is
 * asked for, the member is unpacked once into nothing, to see that it is whole. */
static mil_status check_large(const mil_weights *weights, const mil__weight *weight, size_t bytes, mil_error *err) {
    if (bytes / 32 <= weights->bytes + ((8u << 20) / 32)) return MIL_OK;
    unpacking u;
    MIL__TRY(begin(weights, weight, &u, err));
    bool ok = finish(&u, weight);
    inflateEnd(&u.z);
    return ok ? MIL_OK : broken(weights, weight, &u, err);
}

/* The elements go straight into a buffer of their own: those that came with the header's first bytes, then the others. */
static mil_status unpack_tensor(const mil_weights *weights, const mil__weight *weight, unpacking *u, const uint8_t *head,
                                size_t n_head, mil_tensor **out, mil_error *err) {
    mil__npy_header header;
    char message[128];
    if (!mil__npy_read_header(head, n_head, &header, message)) return bad(weights, err, weight->name, message);
    MIL__TRY(check_header(weights, weight, &header, err));
    MIL__TRY(check_large(weights, weight, header.bytes, err));
    mil_buffer *buffer;
    MIL__TRY(mil__buffer_raw(header.bytes, &buffer, err));
    size_t early = n_head - header.data_at < header.bytes ? n_head - header.data_at : header.bytes, got = 0;
    uint8_t *data = mil_buffer_data(buffer);
    if (early) memcpy(data, head + header.data_at, early);
    bool ok = unpack(u, data + early, header.bytes - early, &got) && got == header.bytes - early && finish(u, weight);
    mil_status status = ok ? mil__npy_tensor(&header, buffer, 0, out, err) : broken(weights, weight, u, err);
    mil_buffer_free(buffer);
    return status;
}

static mil_status get_deflated(const mil_weights *weights, const mil__weight *weight, mil_tensor **out, mil_error *err) {
    size_t most = weight->plain_bytes < MIL__NPY_HEADER_MAX ? (size_t)weight->plain_bytes : MIL__NPY_HEADER_MAX, got;
    uint8_t *head = mil__alloc(most);
    if (!head) return mil__nomem(err);
    unpacking u;
    mil_status status = begin(weights, weight, &u, err);
    if (status == MIL_OK) {
        if (unpack(&u, head, most, &got)) status = unpack_tensor(weights, weight, &u, head, got, out, err);
        else status = broken(weights, weight, &u, err);
        inflateEnd(&u.z);
    }
    mil__free(head);
    return status;
}

static mil_status get_npz(const mil_weights *weights, const mil__weight *weight, mil_tensor **out, mil_error *err) {
    return (weight->is_deflated ? get_deflated : get_stored)(weights, weight, out, err);
}

const mil__weights_format mil__npz = {"npz", open_npz, get_npz, NULL, NULL, NULL};

/* ---- writing ----
 * Members are stored. A private extra field pads each local header so that the elements begin at a multiple of 64 and can be
 * used where they are mapped. Numbers that do not fit 32 bits go to zip64's fields. */

enum { NPY_EXTRA_ID = 0x4c4d /* "ML": unknown to others, who skip it */, ZIP64_EXTRA = 20, LOCAL_CRC = 14 /* offset */ };

typedef struct entry {
    mil__str header; /* of the npy */
    uint64_t local, bytes;
    uint32_t crc;
} entry;

static bool is_large(uint64_t n) { return n >= 0xffffffff; }
static uint32_t as_u32(uint64_t n) { return is_large(n) ? 0xffffffff : (uint32_t)n; }

static bool is_ascii(const char *s) {
    while (*s && (unsigned char)*s < 0x80) s++;
    return *s == 0;
}

/* What local header and entry share: from "version needed" to the two sizes. */
static uint8_t *put_common(uint8_t *p, const char *name, const entry *e, bool zip64) {
    p = mil__put_u16(p, zip64 ? 45 : 20);
    p = mil__put_u16(p, is_ascii(name) ? 0 : 0x800);
    p = mil__put_u16(p, STORED);
    p = mil__put_u16(p, 0);      /* 0:00 */
    p = mil__put_u16(p, 0x0021); /* 1980-01-01 */
    p = mil__put_u32(p, e->crc);
    p = mil__put_u32(p, as_u32(e->bytes));
    return mil__put_u32(p, as_u32(e->bytes));
}

static void write_local(mil__writer *writer, const char *name, entry *e) {
    uint8_t head[LOCAL_BYTES], extra[ZIP64_EXTRA + 4 + 64] = {0}, *p = extra;
    size_t length = strlen(name) + 4;
    e->local = writer->written;
    if (is_large(e->bytes)) {
        p = mil__put_u16(p, 1);
        p = mil__put_u16(p, 16);
        p = mil__put_u64(p, e->bytes);
        p = mil__put_u64(p, e->bytes);
    }
    uint64_t data_at = e->local + LOCAL_BYTES + length + (uint64_t)(p - extra) + 4;
    size_t pad = (size_t)(-data_at & 63);
    p = mil__put_u16(p, NPY_EXTRA_ID);
    p = mil__put_u16(p, (uint16_t)pad) + pad;
    uint8_t *h = put_common(mil__put_u32(head, local_magic), name, e, is_large(e->bytes));
    h = mil__put_u16(h, (uint16_t)length);
    mil__put_u16(h, (uint16_t)(p - extra));
    mil__writer_add(writer, head, sizeof head);
    mil__writer_add(writer, name, length - 4);
    mil__writer_add(writer, ".npy", 4);
    mil__writer_add(writer, extra, (size_t)(p - extra));
}

static void write_entry(mil__writer *writer, const char *name, const entry *e) {
    uint8_t head[ENTRY_BYTES] = {0}, extra[4 + 24], *x = extra + 4;
    bool large = is_large(e->bytes), far = is_large(e->local);
    if (large) x = mil__put_u64(mil__put_u64(x, e->bytes), e->bytes);
    if (far) x = mil__put_u64(x, e->local);
    size_t n_extra = large || far ? (size_t)(x - extra) : 0;
    mil__put_u16(mil__put_u16(extra, 1), (uint16_t)(x - extra - 4));
    uint8_t *p = mil__put_u16(mil__put_u32(head, entry_magic), 45);
    p = put_common(p, name, e, large || far);
    p = mil__put_u16(p, (uint16_t)(strlen(name) + 4));
    mil__put_u16(p, (uint16_t)n_extra); /* then 12 bytes of 0: comment, disk, attributes */
    mil__put_u32(head + ENTRY_BYTES - 4, as_u32(e->local));
    mil__writer_add(writer, head, sizeof head);
    mil__writer_add(writer, name, strlen(name));
    mil__writer_add(writer, ".npy", 4);
    mil__writer_add(writer, extra, n_extra);
}

static void write_end64(mil__writer *writer, uint64_t n, uint64_t begin, uint64_t end) {
    uint8_t record[56 + LOCATOR_BYTES] = {0}, *p = mil__put_u64(mil__put_u32(record, end64_magic), 44);
    p = mil__put_u16(mil__put_u16(p, 45), 45) + 8; /* made by, needed; disks 0 */
    p = mil__put_u64(mil__put_u64(p, n), n);
    p = mil__put_u64(mil__put_u64(p, end - begin), begin);
    p = mil__put_u32(p, locator_magic) + 4;
    mil__put_u32(mil__put_u64(p, end), 1);
    mil__writer_add(writer, record, sizeof record);
}

static void write_end(mil__writer *writer, uint64_t n, uint64_t begin) {
    uint64_t end = writer->written;
    uint8_t record[END_BYTES] = {0}, *p = mil__put_u32(record, end_magic) + 4;
    if (n >= 0xffff || is_large(begin) || is_large(end - begin)) write_end64(writer, n, begin, end);
    uint16_t short_n = n >= 0xffff ? 0xffff : (uint16_t)n;
    p = mil__put_u16(mil__put_u16(p, short_n), short_n);
    mil__put_u32(mil__put_u32(p, as_u32(end - begin)), as_u32(begin));
    mil__writer_add(writer, record, sizeof record);
}

static mil_status prepare(const mil__weights_saving *saving, entry *entries, mil_error *err) {
    for (size_t i = 0; i < saving->n; i++) {
        const mil__outgoing *item = &saving->items[i];
        if (strlen(item->name) > 65535 - 4) return mil__fail(err, MIL_EVALUE, "save: a name is longer than npz permits");
        MIL__TRY(mil__npy_make_header(&item->type, &entries[i].header, err));
        entries[i].bytes = entries[i].header.n + mil_tensor_bytes(&item->type);
    }
    return MIL_OK;
}

/* The CRC is known when the elements have gone by, and then put into the header before them. */
static mil_status write_member(mil__weights_saving *saving, const mil__outgoing *item, entry *e, mil_error *err) {
    uint8_t crc[4];
    write_local(&saving->writer, item->name, e);
    mil__writer_add(&saving->writer, e->header.s, e->header.n);
    e->crc = (uint32_t)crc32_z(0, (const Bytef *)e->header.s, e->header.n);
    MIL__TRY(mil__weights_put(saving, item, &e->crc, err));
    mil__put_u32(crc, e->crc);
    mil__writer_patch(&saving->writer, e->local + LOCAL_CRC, crc, sizeof crc);
    return MIL_OK;
}

mil_status mil__npz_write(mil__weights_saving *saving, mil_error *err) {
    size_t n = saving->n;
    entry *entries = mil__calloc(n ? n : 1, sizeof *entries);
    if (!entries) return mil__nomem(err);
    mil_status status = prepare(saving, entries, err);
    for (size_t i = 0; status == MIL_OK && i < n; i++) status = write_member(saving, &saving->items[i], &entries[i], err);
    uint64_t directory_at = saving->writer.written;
    for (size_t i = 0; status == MIL_OK && i < n; i++) write_entry(&saving->writer, saving->items[i].name, &entries[i]);
    if (status == MIL_OK) write_end(&saving->writer, n, directory_at);
    for (size_t i = 0; i < n; i++) mil__str_free(&entries[i].header);
    mil__free(entries);
    return status;
}
