/* SPDX-License-Identifier: MIT */
/* For tests of a command, which can't call: STANDIN="has_ane=0 e5_row=64" are switches, STANDIN_FAIL is the name of a call that
 * fails, STANDIN_BELIEVE the sources whose refusals hold, STANDIN_HIDE_CLASS, STANDIN_HIDE_SELECTOR what is not there. */
#include "objc.h"

__attribute__((constructor)) static void read_environment(void) {
    const char *switches = getenv("STANDIN"), *fail = getenv("STANDIN_FAIL");
    char copy[256], *rest = copy, *word;
    snprintf(copy, sizeof copy, "%s", switches ? switches : "");
    while ((word = strsep(&rest, " "))) {
        char *value = strchr(word, '=');
        if (!value) continue;
        *value = '\0';
        if (standin_set(word, atol(value + 1)) != 0) fprintf(stderr, "STANDIN: there is no switch %s\n", word), abort();
    }
    if (getenv("STANDIN_BELIEVE")) standin_believe(getenv("STANDIN_BELIEVE"));
    if (fail && *fail) demand_failure(fail);
    if (getenv("STANDIN_HIDE_CLASS")) standin_hide_class(getenv("STANDIN_HIDE_CLASS"));
    if (getenv("STANDIN_HIDE_SELECTOR")) standin_hide_selector(getenv("STANDIN_HIDE_SELECTOR"));
}
