/* SPDX-License-Identifier: MIT */
/* Images as Core ML takes them: pixel buffers, filled from tensors [1, channels, height, width].
 *
 *     gray         8 bits                      kCVPixelFormatType_OneComponent8
 *     gray fp16    an fp16 number              kCVPixelFormatType_OneComponent16Half
 *     rgb, bgr     blue green red 255, 8 bits  kCVPixelFormatType_32BGRA; a tensor's channels are in the order of the port's color
 *
 * Elements are what a pixel's numbers are; of 8 bits they are rounded to the nearest and kept from 0 to 255. */
#include <math.h>

#include "engine/coreml/coreml.h"

enum { GRAY = 0x4C303038, GRAY_FP16 = 0x4C303068, BGRA = 0x42475241 };

static uint32_t format_of(const char *color) {
    return strcmp(color, "gray") == 0 ? GRAY : strcmp(color, "gray fp16") == 0 ? GRAY_FP16 : BGRA;
}

void mil__coreml_image_free(mil__coreml_image *image) {
    if (image->pixels && !mil__apple_is_forked()) mil__apple.CFRelease(image->pixels);
    mil_tensor_free(image->planes);
    *image = (mil__coreml_image){0};
}

static mil_status resize(mil__coreml_image *image, uint32_t format, const mil_tensor *from, mil_error *err) {
    mil__id pixels = NULL;
    mil__coreml_image_free(image);
    MIL__TRY(mil__tensor_raw(format == GRAY_FP16 ? MIL_FP16 : MIL_FP32, 4, from->shape, &image->planes, err));
    int code = mil__apple.CVPixelBufferCreate(NULL, (size_t)from->shape[3], (size_t)from->shape[2], format, NULL, &pixels);
    if (code != 0 || !pixels)
        return mil__fail(err, MIL_EIO, "run: the system makes no pixel buffer of %lld by %lld (CVReturn %d)", (long long)from->shape[3],
                         (long long)from->shape[2], code);
    image->pixels = pixels;
    image->width = from->shape[3];
    image->height = from->shape[2];
    return MIL_OK;
}

static uint8_t pixel_of(float value) { return value > 0 ? value < 255 ? (uint8_t)lrintf(value) : 255 : 0; }

static void fill_row(uint8_t *row, uint32_t format, bool is_bgr, int64_t width, const float *plane, int64_t plane_size) {
    for (int64_t x = 0; format == GRAY && x < width; x++) row[x] = pixel_of(plane[x]);
    for (int64_t x = 0; format == BGRA && x < width; x++) {
        row[4 * x] = pixel_of(plane[x + (is_bgr ? 0 : 2) * plane_size]);
        row[4 * x + 1] = pixel_of(plane[x + plane_size]);
        row[4 * x + 2] = pixel_of(plane[x + (is_bgr ? 2 : 0) * plane_size]);
        row[4 * x + 3] = 255;
    }
}

static void fill(uint8_t *base, size_t row_bytes, const mil__coreml_image *image, const char *color) {
    uint32_t format = format_of(color);
    const mil_tensor *planes = image->planes;
    for (int64_t y = 0; y < image->height; y++) {
        uint8_t *row = base + (size_t)y * row_bytes;
        if (format == GRAY_FP16) memcpy(row, (const uint16_t *)planes->data + y * image->width, (size_t)image->width * 2);
        else fill_row(row, format, strcmp(color, "bgr") == 0, image->width, (const float *)planes->data + y * image->width,
                      image->width * image->height);
    }
}

mil_status mil__coreml_image_fill(mil__coreml_image *image, const mil__coreml_port *port, const mil_tensor *from, mil_error *err) {
    bool fits = image->pixels && image->width == from->shape[3] && image->height == from->shape[2];
    if (!fits) MIL__TRY(resize(image, format_of(port->color), from, err));
    MIL__TRY(mil_tensor_copy(image->planes, from, err));
    int code = mil__apple.CVPixelBufferLockBaseAddress(image->pixels, 0);
    if (code != 0) return mil__fail(err, MIL_EIO, "run: the pixels of %s can't be locked (CVReturn %d)", port->name, code);
    void *base = mil__apple.CVPixelBufferGetBaseAddress(image->pixels);
    if (base) fill(base, mil__apple.CVPixelBufferGetBytesPerRow(image->pixels), image, port->color);
    code = mil__apple.CVPixelBufferUnlockBaseAddress(image->pixels, 0);
    if (!base) return mil__fail_nothing(err, "run", MIL__FUNCTION(CVPixelBufferGetBaseAddress));
    return code == 0 ? MIL_OK : mil__fail(err, MIL_EIO, "run: the pixels of %s can't be unlocked (CVReturn %d)", port->name, code);
}
