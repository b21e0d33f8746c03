/* SPDX-License-Identifier: MIT */
/* Models: compiled, run, bound; and cancelling all of them. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "bind.h"

/* ---- cancelling ----
 * Runs under way stand in a table of the process. A run that leaves waits while someone reads the table, so that a model
 * is never told to stop after it is gone; the reader may be a signal handler on the very thread that runs. */

enum { MAX_RUNS = 64 }; /* more at once can't be cancelled */

static _Atomic(mil_model *) running[MAX_RUNS];
static atomic_int readers;

int luamil_enter_run(mil_model *model) {
    for (int i = 0; i < MAX_RUNS; i++) {
        mil_model *none = NULL;
        if (atomic_compare_exchange_strong(&running[i], &none, model)) return i;
    }
    return -1;
}

void luamil_leave_run(int slot) {
    if (slot < 0) return;
    atomic_store(&running[slot], NULL);
    while (atomic_load(&readers)) {}
}

LUAMIL_API void mil_lua_cancel(void) {
    atomic_fetch_add(&readers, 1);
    for (int i = 0; i < MAX_RUNS; i++) {
        mil_model *model = atomic_load(&running[i]);
        if (model) mil_cancel(model);
    }
    atomic_fetch_sub(&readers, 1);
}

/* mil.cancel() */
static int cancel(lua_State *L) {
    mil_lua_cancel();
    lua_pushboolean(L, true);
    return 1;
}

/* ---- compiling ---- */

typedef struct luamil_model {
    mil_model *model;         /* stays after an unload: NULL once collected */
    bool is_unloaded;
} luamil_model;

static luamil_model *new_model(lua_State *L) {
    luamil_model *self = luamil_new_plain(L, sizeof *self);
    *self = (luamil_model){NULL, false};
    luamil_set_class(L, LUAMIL_MODEL);
    return self;
}

mil_model *luamil_check_model(lua_State *L, int index, const char *fn) {
    luamil_model *self = luamil_check(L, index, LUAMIL_MODEL, fn);
    if (!self->model || self->is_unloaded) luamil_fail(L, MIL_ESTATE, "%s: the model has been unloaded", fn);
    return self->model;
}

static const char *option_string(lua_State *L, int options, const char *fn, const char *key, const char *standard) {
    if (luamil_option(L, options, key) == LUA_TNIL) return standard;
    return luamil_check_string(L, -1, fn, key, NULL);
}

static int option_int(lua_State *L, int options, const char *fn, const char *key, int64_t standard, int64_t least, int64_t most) {
    if (luamil_option(L, options, key) == LUA_TNIL) return (int)standard;
    int64_t value = luamil_check_int(L, -1, fn, key);
    if (value < least || value > most)
        luamil_fail(L, MIL_EVALUE, "%s: %s is %lld to %lld, but was given %lld", fn, key, (long long)least, (long long)most,
                    (long long)value);
    return (int)value;
}

/* A list of names, or one string, as one with commas. */
static const char *option_names(lua_State *L, int options, const char *fn, const char *key) {
    if (luamil_option(L, options, key) != LUA_TTABLE) {
        lua_pop(L, 1);
        return option_string(L, options, fn, key, NULL);
    }
    luaL_Buffer b;
    int list = lua_gettop(L);
    for (size_t i = 1; i <= lua_rawlen(L, list); i++) {
        lua_rawgeti(L, list, (int)i);
        luamil_check_string(L, -1, fn, key, NULL);
        lua_pop(L, 1);
    }
    luaL_buffinit(L, &b);
    for (size_t i = 1; i <= lua_rawlen(L, list); i++) {
        if (i > 1) luaL_addstring(&b, ",");
        lua_rawgeti(L, list, (int)i);
        luaL_addvalue(&b);
    }
    luaL_pushresult(&b);
    return lua_tostring(L, -1);
}

static mil_precision option_precision(lua_State *L, int options, const char *fn) {
    const char *name = option_string(L, options, fn, "precision", "default");
    if (strcmp(name, "strict") == 0) return MIL_PRECISION_STRICT;
    if (strcmp(name, "default") != 0)
        luamil_fail(L, MIL_EVALUE, "%s: precision is \"default\" or \"strict\", but was given \"%.40s\"", fn, name);
    return MIL_PRECISION_DEFAULT;
}

/* What is compiled: a program, or a text with its weights files. */
typedef struct compiled {
    const mil_program *program;
    const char *text;
    size_t n;
    const mil_text_file *files;
    size_t n_files;
} compiled;

static mil_status compile_it(const compiled *what, const mil_compile_options *options, mil_model **out, mil_error *err) {
    return what->program ? mil_program_compile(what->program, options, out, err)
                         : mil_text_compile(what->text, what->n, what->files, what->n_files, options, out, err);
}

static int compile_with(lua_State *L, const compiled *what, const char *engine, const char *entry, int at, const char *fn) {
    static const char *const keys[] = {"engine", "entry", "optimize", "threads", "precision", "disable", "memory_limit",
                                       "max_turns", "progress", "units", "route", "qos", "fallback", "verify", "counters", NULL};
    mil_compile_options options = MIL_COMPILE_DEFAULTS;
    mil_error err;
    mil_model_memory memory;
    luamil_progress progress;
    luamil_check_keys(L, at, fn, keys);
    luaL_checkstack(L, 20, NULL);
    options.engine = option_string(L, at, fn, "engine", engine);
    options.entry = option_string(L, at, fn, "entry", entry);
    if (luamil_option(L, at, "optimize") == LUA_TBOOLEAN) options.optimize = lua_toboolean(L, -1);
    else options.optimize = option_int(L, at, fn, "optimize", options.optimize, 0, 1);
    options.threads = option_int(L, at, fn, "threads", options.threads, 0, 1024);
    options.precision = option_precision(L, at, fn);
    options.disable = option_names(L, at, fn, "disable");
    if (luamil_option(L, at, "memory_limit") != LUA_TNIL) {
        double limit = luamil_check_number(L, -1, fn, "memory_limit");
        if (!(limit >= 0 && limit < 9e18)) luamil_fail(L, MIL_EVALUE, "%s: memory_limit is a number of bytes", fn);
        options.memory_limit = (size_t)limit;
    }
    if (luamil_option(L, at, "max_turns") != LUA_TNIL) {
        options.max_turns = luamil_check_int(L, -1, fn, "max_turns");
        if (options.max_turns < 0) luamil_fail(L, MIL_EVALUE, "%s: max_turns is a number of turns", fn);
    }
    options.units = option_string(L, at, fn, "units", NULL);
    options.route = option_string(L, at, fn, "route", NULL);
    options.qos = (unsigned)option_int(L, at, fn, "qos", 0, 0, 63);
    options.fallback = luamil_option_bool(L, at, fn, "fallback");
    options.verify = luamil_option_bool(L, at, fn, "verify");
    options.counters = luamil_option_bool(L, at, fn, "counters");
    options.progress = luamil_begin_progress(L, at, fn, &progress);
    options.progress_ctx = &progress;
    luamil_model *self = new_model(L);
    mil_status status = compile_it(what, &options, &self->model, &err);
    luamil_end_progress(&progress);
    if (status != MIL_OK) return luamil_raise(L, &err);
    mil_model_memory_use(self->model, &memory);
    luamil_account(L, memory.weights + (what->program ? mil_program_bytes(what->program) : what->n)); /* what it holds else is about as much as that */
    return 1;
}

int luamil_compile(lua_State *L, const mil_program *program, const char *entry, int at, const char *fn) {
    return compile_with(L, &(compiled){.program = program}, NULL, entry, at, fn);
}

/* mil.compile_text(text, files, options): files by the names that the text has for them. Names and strings are held by a table of our
 * own, whatever becomes of the caller's meanwhile. */
static int compile_text(lua_State *L) {
    size_t n = 0, room = 0;
    const char *text = luamil_check_string(L, 1, "mil.compile_text", "text", &n);
    lua_settop(L, 3);
    if (!lua_isnil(L, 2) && !lua_istable(L, 2))
        return luamil_fail(L, MIL_EINVAL, "mil.compile_text: files is a table of strings by name, but was given %s", LUAMIL_WHAT(L, 2));
    for (lua_pushnil(L); lua_istable(L, 2) && lua_next(L, 2); lua_pop(L, 1)) room++;
    if (!lua_istable(L, 2)) lua_settop(L, 3);
    mil_text_file *files = luamil_new_plain(L, (room ? room : 1) * sizeof *files);
    compiled what = {.text = text, .n = n, .files = files};
    lua_createtable(L, 2 * (int)room, 0);
    for (lua_pushnil(L); room && what.n_files < room && lua_next(L, 2); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING)
            return luamil_fail(L, MIL_EINVAL, "mil.compile_text: files is a table of strings by name, but [%s] is %s", LUAMIL_WHAT(L, -2), LUAMIL_WHAT(L, -1));
        mil_text_file *file = &files[what.n_files++];
        file->name = lua_tostring(L, -2);
        file->data = lua_tolstring(L, -1, &file->n);
        for (int i = 1; i <= 2; i++) {
            lua_pushvalue(L, -i);
            lua_rawseti(L, 5, (int)(2 * what.n_files) - i + 1);
        }
    }
    lua_settop(L, 5);
    return compile_with(L, &what, "ane", NULL, 3, "mil.compile_text");
}

/* ---- ports ---- */

static void push_port(lua_State *L, const mil_port *port) {
    lua_createtable(L, 0, 3);
    lua_pushstring(L, port->name);
    lua_setfield(L, -2, "name");
    lua_pushstring(L, mil_dtype_name(port->dtype));
    lua_setfield(L, -2, "dtype");
    luamil_push_shape(L, port->rank, port->shape);
    lua_setfield(L, -2, "shape");
}

int luamil_push_ports(lua_State *L, const mil_model *model, size_t n, const mil_port *(*at)(const mil_model *, size_t)) {
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        push_port(L, at(model, i));
        lua_rawseti(L, -2, (int)i + 1);
    }
    return 1;
}

static int inputs(lua_State *L) {
    const mil_model *model = luamil_check_model(L, 1, "inputs");
    return luamil_push_ports(L, model, mil_model_n_inputs(model), mil_model_input);
}

static int outputs(lua_State *L) {
    const mil_model *model = luamil_check_model(L, 1, "outputs");
    return luamil_push_ports(L, model, mil_model_n_outputs(model), mil_model_output);
}

static int states(lua_State *L) {
    const mil_model *model = luamil_check_model(L, 1, "states");
    return luamil_push_ports(L, model, mil_model_n_states(model), mil_model_state);
}

/* A literal's shape for a port: a plain list fills any fixed shape of as many elements. */
static void fit_literal(luamil_literal *literal, const mil_port *port) {
    int64_t n = 1;
    if (literal->rank != 1 || port->rank == 1) return;
    for (int i = 0; i < port->rank; i++) {
        if (port->shape[i] < 0) return;
        n *= port->shape[i];
    }
    if (n != (int64_t)literal->n) return;
    literal->rank = port->rank;
    memcpy(literal->shape, port->shape, (size_t)port->rank * sizeof *port->shape);
}

/* The tensor on top of the stack for the port; numbers become one, which takes their place. NULL: nothing was given. */
static mil_tensor *port_tensor(lua_State *L, const mil_port *port, bool is_input) {
    mil_error err;
    luamil_literal literal;
    int top = lua_gettop(L);
    if (luamil_kind_of(L, top) == LUAMIL_TENSOR) {
        luamil_tensor *given = lua_touserdata(L, top);
        if (!given->tensor)
            luamil_fail_at(L, MIL_ESTATE, NULL, port->name, "run: the tensor given for %s has been freed", port->name);
        return given->tensor;
    }
    int type = lua_type(L, top);
    if (type == LUA_TNIL) return NULL;
    if (!is_input || (type != LUA_TTABLE && type != LUA_TNUMBER && type != LUA_TBOOLEAN && type != LUA_TSTRING))
        luamil_fail_at(L, MIL_EINVAL, NULL, port->name, "run: %s takes a tensor%s, but was given %s", port->name,
                       is_input ? " or a table of numbers" : "", LUAMIL_WHAT(L, top));
    if (type == LUA_TSTRING && port->dtype != MIL_STRING)
        luamil_fail_at(L, MIL_ETYPE, NULL, port->name, "run: input %s takes %s, but was given %s", port->name,
                       mil_dtype_name(port->dtype), LUAMIL_WHAT(L, top));
    char what[160];
    snprintf(what, sizeof what, "run: input %.128s", port->name);
    luamil_read_literal(L, top, top + 1, what, &literal);
    fit_literal(&literal, port);
    luamil_tensor *made = luamil_new_tensor(L);
    if (luamil_literal_tensor(&literal, port->dtype, what, &made->tensor, &err) != MIL_OK) luamil_raise(L, &err);
    lua_replace(L, top);
    lua_settop(L, top);
    return made->tensor;
}

static const mil_port *port_at(const mil_model *model, size_t i) {
    size_t n = mil_model_n_inputs(model);
    return i < n ? mil_model_input(model, i) : mil_model_output(model, i - n);
}

/* Every key of the table at index names a port among the first n (inputs, then outputs). */
static void check_names(lua_State *L, int index, const mil_model *model, size_t n, const char *fn) {
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : NULL;
        size_t i = 0;
        while (key && i < n && strcmp(port_at(model, i)->name, key) != 0) i++;
        if (key && i < n) continue;
        const char **names = luamil_new_plain(L, (n + 1) * sizeof *names);
        for (i = 0; i < n; i++) names[i] = port_at(model, i)->name;
        const char *near = key ? mil_nearest(key, names, n) : NULL;
        const char *kind = n > mil_model_n_inputs(model) ? "input or output" : "input";
        if (near) luamil_fail_at(L, MIL_ENAME, NULL, key, "%s: no %s \"%.60s\"; did you mean %s?", fn, kind, key, near);
        if (!key) luamil_fail(L, MIL_ENAME, "%s: tensors are given by name, but [%s] has none", fn, LUAMIL_WHAT(L, -3));
        char taken[300] = "";
        for (size_t used = i = 0; i < n && used < sizeof taken; i++)
            used += (size_t)snprintf(taken + used, sizeof taken - used, "%s%s", i ? ", " : "", names[i]);
        luamil_fail_at(L, MIL_ENAME, NULL, key, "%s: no %s \"%.60s\"; the model has %s", fn, kind, key, taken);
    }
}

/* ---- one run ---- */

enum { FEW = 16 }; /* ports whose tables live on the C stack */

/* Leaves the inputs that the table at index gives on the stack, a tensor object or nil for each port. */
void luamil_read_inputs(lua_State *L, mil_model *model, int index, const char *fn) {
    size_t n = mil_model_n_inputs(model), given = 0, keys = 0;
    if (!lua_istable(L, index))
        luamil_fail(L, MIL_EINVAL, "%s: takes a table of inputs by name, but was given %s", fn, LUAMIL_WHAT(L, index));
    luaL_checkstack(L, (int)n + 20, "too many inputs");
    for (size_t i = 0; i < n; i++) {
        const mil_port *port = mil_model_input(model, i);
        lua_pushstring(L, port->name);
        lua_rawget(L, index);
        if (port_tensor(L, port, true)) given++;
    }
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) keys++;
    if (keys != given) check_names(L, index, model, n, fn);
}

/* The tensors of the n objects from stack index `first` on; nothing that could free them may come in between. */
void luamil_settle_inputs(lua_State *L, int first, size_t n, mil_tensor **out) {
    for (size_t i = 0; i < n; i++) {
        const luamil_tensor *object = lua_touserdata(L, first + (int)i);
        out[i] = object ? object->tensor : NULL;
    }
}

/* A table of empty tensors by the outputs' names; `into` are they. */
void luamil_new_outputs(lua_State *L, const mil_model *model, luamil_tensor **into) {
    size_t n = mil_model_n_outputs(model);
    lua_createtable(L, 0, (int)n);
    for (size_t i = 0; i < n; i++) {
        into[i] = luamil_new_tensor(L);
        lua_setfield(L, -2, mil_model_output(model, i)->name);
    }
}

int luamil_run(lua_State *L, int at, int index, mil_state *state) {
    mil_error err;
    luamil_tensor *few_outputs[FEW];
    mil_tensor *few[2 * FEW];
    mil_model *model = luamil_check_model(L, at, "run");
    size_t n_in = mil_model_n_inputs(model), n_out = mil_model_n_outputs(model), bytes = 0;
    bool is_few = n_in <= FEW && n_out <= FEW;
    mil_tensor **in = is_few ? few : luamil_new_plain(L, (n_in + n_out + 1) * sizeof *in), **out = in + n_in;
    luamil_tensor **made = is_few ? few_outputs : luamil_new_plain(L, (n_out + 1) * sizeof *made);
    int first = lua_gettop(L) + 1;
    luamil_read_inputs(L, model, index, "run");
    luamil_new_outputs(L, model, made);
    luamil_settle_inputs(L, first, n_in, in);
    for (size_t i = 0; i < n_out; i++) out[i] = NULL;
    int slot = luamil_enter_run(model);
    mil_status status = mil_model_run_state(model, in, out, state, &err);
    luamil_leave_run(slot);
    for (size_t i = 0; i < n_out; i++) {
        made[i]->tensor = out[i];
        if (out[i]) bytes += mil_tensor_bytes(out[i]);
    }
    if (status != MIL_OK) return luamil_raise(L, &err);
    luamil_dress_outputs(L, model);
    luamil_account(L, bytes);
    return 1;
}

/* model:run({ input = tensor or numbers, ... } [, { state = }]): a table of tensors */
static int run(lua_State *L) {
    luamil_check_model(L, 1, "run");
    lua_settop(L, 3);
    mil_state *state = luamil_option_state(L, 3, "run");
    if (lua_isnil(L, 2)) {
        lua_newtable(L);
        lua_replace(L, 2);
    }
    return luamil_run(L, 1, 2, state);
}

/* model:shared(): tensors for bind in shared memory, by name, as the engine likes them best */
static int shared(lua_State *L) {
    mil_error err;
    mil_model *model = luamil_check_model(L, 1, "shared");
    size_t n_in = mil_model_n_inputs(model), n = n_in + mil_model_n_outputs(model), bytes = 0;
    mil_tensor **tensors = luamil_new_plain(L, (n + 1) * sizeof *tensors);
    luamil_tensor **made = luamil_new_plain(L, (n + 1) * sizeof *made);
    lua_createtable(L, 0, (int)n);
    for (size_t i = 0; i < n; i++) {
        made[i] = luamil_new_tensor(L);
        lua_setfield(L, -2, port_at(model, i)->name);
    }
    luamil_check_status(L, mil_model_shared(model, tensors, tensors + n_in, &err), &err);
    for (size_t i = 0; i < n; i++) {
        made[i]->tensor = tensors[i];
        if (tensors[i]) bytes += mil_tensor_bytes(tensors[i]);
    }
    for (size_t i = 0; i < n; i++) {
        if (tensors[i]) continue;
        lua_pushnil(L);
        lua_setfield(L, -2, port_at(model, i)->name);
    }
    luamil_account(L, bytes);
    return 1;
}

/* ---- bound runs ---- */

typedef struct luamil_step {
    mil_context *context;     /* NULL once collected */
    mil_model *model;         /* retained */
    bool is_running;
} luamil_step;

static int step_free(lua_State *L) {
    luamil_step *self = lua_touserdata(L, 1);
    mil_context *context = self->context;
    mil_model *model = self->model;
    self->context = NULL;
    self->model = NULL;
    mil_context_free(context);
    mil_model_free(model);
    return 0;
}

/* model:bind({ input = tensor, output = tensor, ... } [, { state = }]): a function (a callable object) that runs with just
 * these. */
static int bind(lua_State *L) {
    mil_error err;
    mil_model *model = luamil_check_model(L, 1, "bind");
    lua_settop(L, 3);
    mil_state *state = luamil_option_state(L, 3, "bind");
    if (!lua_istable(L, 2))
        return luamil_fail(L, MIL_EINVAL, "bind: takes a table of inputs and outputs by name, but was given %s", LUAMIL_WHAT(L, 2));
    size_t n_in = mil_model_n_inputs(model), n = n_in + mil_model_n_outputs(model);
    check_names(L, 2, model, n, "bind");
    luamil_step *self = luamil_new_plain(L, sizeof *self);
    *self = (luamil_step){NULL, NULL, false};
    luamil_set_class(L, LUAMIL_STEP);
    self->model = mil_model_retain(model);
    if (mil_context_new(model, &self->context, &err) != MIL_OK) return luamil_raise(L, &err);
    if (mil_context_set_state(self->context, state, &err) != MIL_OK) return luamil_raise(L, &err);
    for (size_t i = 0; i < n; i++) {
        const mil_port *port = port_at(model, i);
        lua_pushstring(L, port->name);
        lua_rawget(L, 2);
        mil_tensor *tensor = port_tensor(L, port, i < n_in);
        if (!tensor && i < n_in && !port->is_optional)
            return luamil_fail_at(L, MIL_EINVAL, NULL, port->name, "bind: input %s is missing", port->name);
        mil_status status = i < n_in ? mil_context_set_input(self->context, i, tensor, &err)
                                     : mil_context_set_output(self->context, i - n_in, tensor, &err);
        if (status != MIL_OK) return luamil_raise(L, &err);
        lua_pop(L, 1);
    }
    mil_model_memory memory;
    mil_model_memory_use(model, &memory);
    luamil_account(L, memory.context);
    return 1;
}

/* step(): true */
static int step_call(lua_State *L) {
    mil_error err;
    luamil_step *self = lua_touserdata(L, 1);
    if (!self->context) return luamil_fail(L, MIL_ESTATE, "run: the bound run has been freed");
    if (self->is_running) return luamil_fail(L, MIL_ESTATE, "run: the bound run is under way already");
    self->is_running = true;
    int slot = luamil_enter_run(self->model);
    mil_status status = mil_context_run(self->context, &err);
    luamil_leave_run(slot);
    self->is_running = false;
    if (status != MIL_OK) return luamil_raise(L, &err);
    lua_pushboolean(L, true);
    return 1;
}

/* step.outputs: the last run's, by name; while they are held the next run makes others where none was bound. */
static bool step_field(lua_State *L, const char *name) {
    luamil_step *self = lua_touserdata(L, 1);
    if (strcmp(name, "outputs") != 0) return false;
    lua_newtable(L);
    for (size_t i = 0; self->context && i < mil_model_n_outputs(self->model); i++) {
        luamil_tensor *made = luamil_new_tensor(L);
        mil_tensor *tensor = self->context ? mil_context_output(self->context, i) : NULL;
        if (!tensor) {
            lua_pop(L, 1);
            continue;
        }
        made->tensor = mil_tensor_retain(tensor);
        luamil_dress_output(L, mil_model_output(self->model, i));
        lua_setfield(L, -2, mil_model_output(self->model, i)->name);
    }
    return true;
}

static int step_text(lua_State *L) {
    lua_pushliteral(L, "a bound run");
    return 1;
}

/* ---- looking ---- */

/* model:describe(): the plan, a line a step */
static int describe(lua_State *L) {
    mil_error err;
    char *text = NULL;
    mil_model *model = luamil_check_model(L, 1, "describe");
    luamil_begin_text(L);
    if (mil_model_describe(model, &text, &err) != MIL_OK) return luamil_raise(L, &err);
    return luamil_end_text(L, text, strlen(text));
}

/* Strings one after another at the top, each with its NUL, the kernel first: in their place {kernel = , ops = {...}}. */
static void split_step(lua_State *L) {
    size_t n;
    const char *at = lua_tolstring(L, -1, &n), *end = at + n;
    lua_createtable(L, 0, 2);
    lua_pushstring(L, at);
    lua_setfield(L, -2, "kernel");
    lua_createtable(L, 1, 0);
    at += strlen(at) + 1;
    for (int i = 1; at < end; at += strlen(at) + 1, i++) {
        lua_pushstring(L, at);
        lua_rawseti(L, -2, i);
    }
    lua_setfield(L, -2, "ops");
    lua_remove(L, -2);
}

/* model:steps(): a list of {kernel = , ops = names of the operations it stands for, in the order in which they are computed} */
static int steps(lua_State *L) {
    mil_error err;
    const mil_model *model = luamil_check_model(L, 1, "steps");
    lua_createtable(L, 0, 0);
    for (size_t i = 0;; i++) {
        char *text = NULL;
        size_t n;
        luamil_begin_text(L);
        if (mil_model_step(model, i, &text, &n, &err) != MIL_OK) return luamil_raise(L, &err);
        if (!text) break;
        luamil_end_text(L, text, n);
        split_step(L);
        lua_rawseti(L, -2, (int)i + 1);
    }
    lua_pop(L, 1);
    return 1;
}

/* model:memory(): {weights = , context = } in bytes */
static int memory(lua_State *L) {
    mil_model_memory use;
    mil_model_memory_use(luamil_check_model(L, 1, "memory"), &use);
    lua_createtable(L, 0, 2);
    luamil_push_int(L, (int64_t)use.weights);
    lua_setfield(L, -2, "weights");
    luamil_push_int(L, (int64_t)use.context);
    lua_setfield(L, -2, "context");
    return 1;
}

/* model:unload(): memory is given back at once. */
static int unload(lua_State *L) {
    luamil_model *self = luamil_check(L, 1, LUAMIL_MODEL, "unload");
    if (self->model) mil_model_unload(self->model);
    self->is_unloaded = true;
    lua_pushboolean(L, true);
    return 1;
}

static int model_gc(lua_State *L) {
    luamil_model *self = lua_touserdata(L, 1);
    mil_model *model = self->model;
    self->model = NULL;
    mil_model_free(model);
    return 0;
}

/* Adds "x fp16[1, ?], ..." to the buffer, a port after the other. */
static void add_ports(luaL_Buffer *b, const mil_model *model, size_t n,
                      const mil_port *(*at)(const mil_model *, size_t)) {
    char size[24];
    for (size_t i = 0; i < n; i++) {
        const mil_port *port = at(model, i);
        if (i) luaL_addstring(b, ", ");
        luaL_addstring(b, port->name);
        luaL_addstring(b, " ");
        luaL_addstring(b, mil_dtype_name(port->dtype));
        if (port->rank < 0) luaL_addstring(b, "[...]");
        for (int k = 0; k < port->rank; k++) {
            snprintf(size, sizeof size, port->shape[k] < 0 ? "%s?" : "%s%lld", k ? ", " : "[", (long long)port->shape[k]);
            luaL_addstring(b, size);
        }
        if (port->rank > 0) luaL_addstring(b, "]");
    }
}

/* "model: x fp16[1, 4], state memory fp16[2] -> y fp16[1, 4]" */
static int model_text(lua_State *L) {
    luamil_model *self = lua_touserdata(L, 1);
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    if (self->model && !self->is_unloaded) {
        luaL_addstring(&b, "model: ");
        add_ports(&b, self->model, mil_model_n_inputs(self->model), mil_model_input);
        if (mil_model_n_states(self->model)) luaL_addstring(&b, mil_model_n_inputs(self->model) ? ", state " : "state ");
        add_ports(&b, self->model, mil_model_n_states(self->model), mil_model_state);
        luaL_addstring(&b, " -> ");
        add_ports(&b, self->model, mil_model_n_outputs(self->model), mil_model_output);
    } else {
        luaL_addstring(&b, "(an unloaded model)");
    }
    luaL_pushresult(&b);
    return 1;
}

/* ---- engines ---- */

static const char *check_engine(lua_State *L, const char *fn) {
    const char *name = luamil_check_string(L, 1, fn, "the name of an engine", NULL);
    for (size_t i = 0; i < mil_engine_count(); i++)
        if (strcmp(mil_engine_name(i), name) == 0) return name;
    luamil_fail(L, MIL_ENAME, "%s: there is no engine \"%.60s\"", fn, name);
    return NULL;
}

/* mil.engines(): names */
static int engines(lua_State *L) {
    lua_newtable(L);
    for (size_t i = 0; i < mil_engine_count(); i++) {
        lua_pushstring(L, mil_engine_name(i));
        lua_rawseti(L, -2, (int)i + 1);
    }
    return 1;
}

/* mil.available(name): true, or nil and what is missing */
static int available(lua_State *L) {
    const char *reason = "there is no such engine", *name = luamil_check_string(L, 1, "mil.available", "the name of an engine", NULL);
    if (mil_engine_available(name, &reason)) {
        lua_pushboolean(L, true);
        return 1;
    }
    lua_pushnil(L);
    lua_pushstring(L, reason);
    return 2;
}

/* mil.clear_cache() */
static int clear_cache(lua_State *L) {
    mil_error err;
    luamil_check_status(L, mil_cache_clear(&err), &err);
    lua_pushboolean(L, true);
    return 1;
}

/* mil.engine(name): "cpu (avx512, 2 threads)" */
static int engine(lua_State *L) {
    char text[256];
    mil_engine_describe(check_engine(L, "mil.engine"), text, sizeof text);
    lua_pushstring(L, text);
    return 1;
}

/* ---- classes ---- */

static const luaL_Reg model_meta[] = {
    {"__tostring", model_text}, {"__gc", model_gc}, {"__close", unload}, {NULL, NULL}};
static const luaL_Reg model_methods[] = {
    {"run", run}, {"bind", bind}, {"shared", shared}, {"run_batch", luamil_run_batch}, {"start", luamil_start}, {"inputs", inputs}, {"outputs", outputs},
    {"states", states}, {"state", luamil_make_state}, {"describe", describe}, {"steps", steps},
    {"memory", memory}, {"unload", unload}, {NULL, NULL}};
static const luaL_Reg step_meta[] = {
    {"__call", step_call}, {"__tostring", step_text}, {"__gc", step_free}, {"__close", step_free}, {NULL, NULL}};
static const char *const step_fields[] = {"outputs", NULL};
void luamil_open_models(lua_State *L) {
    static const luamil_class models = {LUAMIL_MODEL, "mil.model", "model", model_meta, model_methods, NULL, NULL};
    static const luamil_class steps = {LUAMIL_STEP, "mil.step", "bound run", step_meta, NULL, step_fields, step_field};
    luamil_new_class(L, &models);
    luamil_new_class(L, &steps);
    lua_pop(L, 2);
    luamil_open_runs(L);
    luamil_open_states(L);
    luamil_open_dictionaries(L);
}

const luaL_Reg luamil_model_functions[] = {
    {"engines", engines}, {"available", available}, {"engine", engine}, {"cancel", cancel}, {"clear_cache", clear_cache}, {"compile_text", compile_text}, {NULL, NULL},
};
