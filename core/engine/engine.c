/* SPDX-License-Identifier: MIT */
/* The table of engines. */
#include <stdio.h>

#include "engine/engine.h"

static const mil__engine *const engines[] = {
#define ENGINE(name) &mil__engine_##name,
#include "engine/engines.def"
#undef ENGINE
};

size_t mil_engine_count(void) { return MIL__COUNT(engines); }

const char *mil_engine_name(size_t i) { return i < MIL__COUNT(engines) ? engines[i]->name : NULL; }

const mil__engine *mil__engine_find(const char *name) {
    for (size_t i = 0; i < MIL__COUNT(engines); i++)
        if (strcmp(engines[i]->name, name) == 0) return engines[i];
    return NULL;
}

const mil__engine *mil__engine_best(void) {
    for (size_t i = 0; i < MIL__COUNT(engines); i++)
        if (engines[i]->available(NULL)) return engines[i];
    return NULL;
}

bool mil_engine_available(const char *name, const char **reason) {
    const mil__engine *engine = mil__engine_find(name);
    const char *why = "no engine has that name";
    bool available = engine && engine->available(&why);
    if (!available && reason) *reason = why;
    return available;
}

int mil_engine_describe(const char *name, char *buf, size_t n) {
    const mil__engine *engine = mil__engine_find(name);
    return engine ? engine->describe(buf, n) : snprintf(buf, n, "%s: no such engine", name);
}
