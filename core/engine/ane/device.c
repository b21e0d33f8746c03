/* SPDX-License-Identifier: MIT */
/* Which machine this is, as _ANEDeviceInfo says, by whichever route the engine is reached; and forked processes. */
#include <pthread.h>
#include <stdio.h>

#include "engine/ane/ane.h"

/* ---- the machine ---- */

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
    if (mil__ane_is_forked() || mil__apple_open(MIL__APPLE_FOUNDATION | MIL__LIBRARY(ane), NULL) != MIL_OK) return;
    out->is_known = true;
    void *pool = mil__apple.objc_autoreleasePoolPush();
    ask(out);
    mil__apple.objc_autoreleasePoolPop(pool);
}

/* ---- the process ---- */

static atomic_bool forked;

static void after_fork(void) { atomic_store(&forked, true); }
static void watch_forks(void) { pthread_atfork(NULL, NULL, after_fork); }

bool mil__ane_is_forked(void) { return atomic_load_explicit(&forked, memory_order_relaxed); }

mil_status mil__ane_check_process(mil_error *err) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (mil__ane_is_forked()) return mil__fail(err, MIL_ESTATE, "the Neural Engine can't be used in a process that was forked off one that used it");
    pthread_once(&once, watch_forks);
    return MIL_OK;
}
