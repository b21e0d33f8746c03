/* SPDX-License-Identifier: MIT */
/* Which machine this is, as _ANEDeviceInfo says, by whichever route the engine is reached. */
#include <stdio.h>

#include "engine/ane/ane.h"

static void read_name(mil__id string, char *out, size_t n) {
    const char *text = mil__read_text(string);
    snprintf(out, n, "%s", text ? text : "");
}

static void ask(mil__ane_device *out) {
    if (mil__responds(ANEDeviceInfo, hasANE)) out->has_engine = mil__send_class(ANEDeviceInfo, hasANE);
    if (mil__responds(ANEDeviceInfo, isVirtualMachine)) out->is_virtual = mil__send_class(ANEDeviceInfo, isVirtualMachine);
    if (mil__responds(ANEDeviceInfo, numANECores)) out->cores = mil__send_class(ANEDeviceInfo, numANECores);
    if (mil__responds(ANEDeviceInfo, architecture)) read_name(mil__send_class(ANEDeviceInfo, architecture), out->chip, sizeof out->chip);
    if (mil__responds(ANEDeviceInfo, buildVersion)) read_name(mil__send_class(ANEDeviceInfo, buildVersion), out->build, sizeof out->build);
}

void mil__ane_device_get(mil__ane_device *out) {
    *out = (mil__ane_device){.has_engine = true};
    if (mil__apple_is_forked() || mil__apple_open(MIL__APPLE_FOUNDATION | MIL__LIBRARY(ane), NULL) != MIL_OK) return;
    out->is_known = true;
    void *pool = mil__apple.objc_autoreleasePoolPush();
    ask(out);
    mil__apple.objc_autoreleasePoolPop(pool);
}
