/* SPDX-License-Identifier: MIT */
/* f:check and mil.rules: what the checker finds, and the rules themselves, as tables; mil.report makes text of them. */
#include <string.h>

#include "bind.h"

typedef struct luamil_report {
    mil_report *report;
} luamil_report;

static int report_free(lua_State *L) {
    luamil_report *self = lua_touserdata(L, 1);
    mil_report_free(self->report);
    self->report = NULL;
    return 0;
}

/* Holds the report while tables are made of it. */
static luamil_report *new_report(lua_State *L) {
    luamil_report *self = luamil_new_plain(L, sizeof *self);
    self->report = NULL;
    if (luaL_newmetatable(L, "mil.check report")) {
        lua_pushcfunction(L, report_free);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    return self;
}

static void set_int(lua_State *L, const char *key, lua_Integer number) {
    lua_pushinteger(L, number);
    lua_setfield(L, -2, key);
}

/* The object at index 1: its program, and the function's name (NULL: all of them). */
static luamil_program *owner_of(lua_State *L, const char **entry) {
    mil_block function;
    luamil_program *owner = luamil_owner(L, "check", &function);
    *entry = NULL;
    if (function && mil_program_n_functions(owner->program) > 1) *entry = mil_function_name(owner->program, function);
    return owner;
}

/* "ane", or a table of options; they are left on the stack. */
static mil_check_options read_options(lua_State *L) {
    static const char *const keys[] = {"engine", "route", "chip", "system", "entry", "strict", "all", NULL};
    if (lua_type(L, 2) == LUA_TSTRING) return (mil_check_options){.engine = lua_tostring(L, 2)};
    luamil_check_keys(L, 2, "check", keys);
    mil_check_options options = {.engine = luamil_option_text(L, 2, "check", "engine"), .route = luamil_option_text(L, 2, "check", "route"),
                                 .chip = luamil_option_text(L, 2, "check", "chip")};
    options.system = luamil_option_text(L, 2, "check", "system");
    options.entry = luamil_option_text(L, 2, "check", "entry");
    options.strict = luamil_option_bool(L, 2, "check", "strict");
    options.all = luamil_option_bool(L, 2, "check", "all");
    return options;
}

static void push_finding(lua_State *L, luamil_program *owner, const mil_finding *finding) {
    lua_createtable(L, 0, 12);
    luamil_set_text(L, "severity", mil_severity_name(finding->severity));
    luamil_set_text(L, "rule", finding->rule);
    luamil_set_text(L, "message", finding->message);
    luamil_set_text(L, "fails", finding->fails);
    luamil_set_text(L, "runs", finding->runs);
    luamil_set_text(L, "advice", finding->advice);
    luamil_set_text(L, "source", finding->source);
    luamil_set_text(L, "function", finding->function);
    luamil_set_text(L, "op", finding->op);
    luamil_set_text(L, "value", finding->value);
    if (finding->where.file) {
        luamil_push_where(L, finding->where);
        lua_setfield(L, -2, "where");
    }
    if (!finding->operation) return;
    luamil_push_operation(L, 1, owner, finding->operation);
    lua_setfield(L, -2, "operation");
}

/* Gives the table on top what mil.report says of reports. */
static void dress(lua_State *L) {
    lua_getglobal(L, "require");
    lua_pushliteral(L, "mil.report");
    lua_call(L, 1, 1);
    lua_setmetatable(L, -2);
}

/* p:check(engine or options), f:check(..) */
static int check(lua_State *L) {
    mil_error err;
    const char *entry;
    lua_settop(L, 2);
    luamil_program *owner = owner_of(L, &entry);
    mil_check_options options = read_options(L);
    if (!options.entry) options.entry = entry;
    luamil_report *self = new_report(L);
    if (mil_program_check(owner->program, &options, &self->report, &err) != MIL_OK) return luamil_raise(L, &err);
    size_t n = mil_report_count(self->report);
    lua_createtable(L, (int)n, 6);
    set_int(L, "errors", (lua_Integer)mil_report_n(self->report, MIL_ERROR));
    set_int(L, "warnings", (lua_Integer)mil_report_n(self->report, MIL_WARNING));
    set_int(L, "notes", (lua_Integer)mil_report_n(self->report, MIL_NOTE));
    set_int(L, "remarks", (lua_Integer)mil_report_n(self->report, MIL_REMARK));
    luamil_set_text(L, "engine", options.engine ? options.engine : "ane");
    luamil_set_text(L, "route", options.route ? options.route : "direct");
    for (size_t i = 0; i < n; i++) {
        push_finding(L, owner, mil_report_at(self->report, i));
        lua_rawseti(L, -2, (int)i + 1);
    }
    mil_report_free(self->report);
    self->report = NULL;
    dress(L);
    return 1;
}

const luaL_Reg luamil_checks[] = {{"check", check}, {NULL, NULL}};

/* ---- the rules ---- */

static void push_rule(lua_State *L, const mil_rule *rule) {
    lua_createtable(L, 0, 16);
    luamil_set_text(L, "id", rule->id);
    luamil_set_text(L, "place", rule->place);
    luamil_set_text(L, "ops", rule->ops);
    luamil_set_text(L, "severity", mil_severity_name(rule->severity));
    luamil_set_text(L, "routes", rule->routes);
    luamil_set_text(L, "chips", rule->chips);
    luamil_set_text(L, "message", rule->message);
    luamil_set_text(L, "fails", rule->fails);
    luamil_set_text(L, "runs", rule->runs);
    luamil_set_text(L, "advice", rule->advice);
    luamil_set_text(L, "source", rule->source);
    luamil_set_text(L, "kept", rule->kept);
    if (rule->since_system) set_int(L, "system", rule->since_system);
    lua_pushboolean(L, rule->is_certain);
    lua_setfield(L, -2, "certain");
    lua_pushboolean(L, rule->is_lowered);
    lua_setfield(L, -2, "lowered");
}

static bool is_engine(const char *name) {
    for (size_t i = 0; i < mil_engine_count(); i++)
        if (strcmp(mil_engine_name(i), name) == 0) return true;
    return false;
}

/* mil.rules([engine]): a list. */
static int rules(lua_State *L) {
    mil_rule rule;
    const char *engine = lua_isnoneornil(L, 1) ? "ane" : luamil_check_string(L, 1, "mil.rules", "engine", NULL);
    if (!is_engine(engine)) return luamil_fail(L, MIL_ENAME, "mil.rules: there is no engine \"%.80s\"", engine);
    lua_newtable(L);
    for (size_t i = 0; mil_rule_at(engine, i, &rule); i++) {
        push_rule(L, &rule);
        lua_rawseti(L, -2, (int)i + 1);
    }
    return 1;
}

/* mil.ran(op, route): who has seen it run there; nil: nobody is known to. */
static int ran(lua_State *L) {
    const char *name = luamil_check_string(L, 1, "mil.ran", "op", NULL), *route = luamil_check_string(L, 2, "mil.ran", "route", NULL);
    const mil_op *op = mil_op_find(name);
    if (!op) return luamil_fail(L, MIL_ENAME, "mil.ran: there is no op \"%.80s\"", name);
    const char *who = mil_op_ran(op, "ane", route);
    if (who) lua_pushstring(L, who);
    else lua_pushnil(L);
    return 1;
}

const luaL_Reg luamil_rule_functions[] = {{"rules", rules}, {"ran", ran}, {NULL, NULL}};
