/* SPDX-License-Identifier: MIT */
/* The Objective-C runtime's subset: classes, selectors, objc_msgSend, reference counts, pools; what is counted and what is noticed.
 *
 * objc_msgSend keeps every argument register, asks `find` for the method, and jumps there with the registers as they were, so a
 * caller's exact prototype reaches the method whatever it is. `find` checks the arguments by the method's signature first.
 * Released objects are kept: a message to one is a violation and not a crash. */
#include "block.h"

#include <pthread.h>
#include <stdarg.h>
#include <unistd.h>

enum { MAX_TEXT = 256, MAX_NAMES = 1024 };

#define AT_FIRST(name, at_first) at_first,
static const struct standin_switches at_first = { SWITCHES(AT_FIRST) 0 };
struct standin_switches standin = { SWITCHES(AT_FIRST) 0 };
char standin_chip[32] = "h15g", standin_build[32] = "25D125";

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char violations[MAX_TEXT][512];
static long n_violations;
static bool violations_read;
static struct { char name[160]; long calls; } names[MAX_NAMES];
static long n_names, n_calls, fail_at;
static bool is_failure_due; /* the call that fails by its name has to come */
static char failed[160], fail_named[160], hidden_class[80], hidden_selector[160];
static struct { const char *what; long last, sum; } seen[16];
static size_t n_seen;
static object *objects;
static class *classes[160];
static size_t n_classes;
static const method *tables[32];
static size_t table_sizes[32], n_tables;

void violation(const char *format, ...) {
    pthread_mutex_lock(&lock);
    va_list args;
    va_start(args, format);
    if (n_violations < MAX_TEXT) vsnprintf(violations[n_violations], sizeof violations[0], format, args);
    n_violations++;
    va_end(args);
    pthread_mutex_unlock(&lock);
    if (standin.abort) abort();
}

/* Counts; whether the call may go on. */
static bool counted(const char *name, bool may_fail) {
    pthread_mutex_lock(&lock);
    long i = 0;
    while (i < n_names && strcmp(names[i].name, name)) i++;
    if (i == n_names && n_names < MAX_NAMES) snprintf(names[n_names++].name, sizeof names[0].name, "%s", name);
    if (i < n_names) names[i].calls++;
    bool ok = true;
    if (may_fail) {
        n_calls++;
        if (fail_at && --fail_at == 0) ok = false;
        if (fail_named[0] && !strcmp(fail_named, name)) ok = is_failure_due = false;
        if (!ok) snprintf(failed, sizeof failed, "%s", name);
    }
    pthread_mutex_unlock(&lock);
    return ok;
}

bool enter(const char *function) { return counted(function, true); }
void passed(const char *function) { counted(function, false); }

/* ---- control ---- */

EXPORT void standin_reset(void) {
    standin = at_first;
    ane_reset();
    standin_set_chip("h15g", "25D125");
    standin_believe(NULL);
    n_violations = n_names = n_calls = fail_at = 0;
    n_seen = 0;
    violations_read = is_failure_due = false;
    memset(names, 0, sizeof names);
    failed[0] = fail_named[0] = hidden_class[0] = hidden_selector[0] = 0;
}

EXPORT int standin_set(const char *name, long value) {
#define SWITCH(field, at_first) if (!strcmp(name, #field)) return standin.field = value, 0;
    SWITCHES(SWITCH)
#undef SWITCH
    return -1;
}

EXPORT void standin_set_chip(const char *architecture, const char *build) {
    snprintf(standin_chip, sizeof standin_chip, "%s", architecture);
    snprintf(standin_build, sizeof standin_build, "%s", build);
}

EXPORT void standin_fail_at(long k) { fail_at = k; }
EXPORT void standin_fail_named(const char *name) { snprintf(fail_named, sizeof fail_named, "%s", name ? name : ""); }
void demand_failure(const char *name) {
    standin_fail_named(name);
    is_failure_due = true;
}
EXPORT void standin_hide_class(const char *name) { snprintf(hidden_class, sizeof hidden_class, "%s", name ? name : ""); }
EXPORT void standin_hide_selector(const char *name) {
    snprintf(hidden_selector, sizeof hidden_selector, "%s", name ? name : "");
}

EXPORT long standin_calls(const char *name) {
    if (!name) return n_calls;
    for (long i = 0; i < n_names; i++)
        if (!strcmp(names[i].name, name)) return names[i].calls;
    return 0;
}

void saw(const char *what, long n) {
    pthread_mutex_lock(&lock);
    size_t i = 0;
    while (i < n_seen && strcmp(seen[i].what, what)) i++;
    if (i == n_seen && n_seen < sizeof seen / sizeof *seen) seen[n_seen].last = seen[n_seen].sum = 0, seen[n_seen++].what = what;
    if (i < n_seen) seen[i].last = n, seen[i].sum += n;
    pthread_mutex_unlock(&lock);
}

EXPORT long standin_seen(const char *what) {
    for (size_t i = 0; i < n_seen; i++)
        if (!strcmp(seen[i].what, what)) return strcmp(what, "units") ? seen[i].sum : seen[i].last;
    return 0;
}

EXPORT const char *standin_failed(void) { return failed[0] ? failed : NULL; }

bool was_failed(const char *name) { return !strcmp(failed, name); }

EXPORT const char *standin_call_named(const char *text) {
    for (long i = 0; i < n_names; i++) {
        const char *selector = strchr(names[i].name, ' ');
        if (strstr(text, selector ? selector + 1 : names[i].name)) return names[i].name;
    }
    return NULL;
}

EXPORT const char *standin_alive_class(long i) {
    for (object *o = objects; o; o = o->next)
        if (o->refs > 0 && i-- == 0) return o->isa->name;
    return NULL;
}

EXPORT long standin_alive(void) {
    threads_wait();
    long n = 0;
    for (object *o = objects; o; o = o->next) n += o->refs > 0;
    return n;
}

EXPORT long standin_violations(void) { return violations_read = true, n_violations; }
EXPORT const char *standin_violation(long i) { return i >= 0 && i < n_violations && i < MAX_TEXT ? violations[i] : NULL; }

/* The end of a process whose client does not ask: what is alive, and what was wrong and nobody has read, is told, and a call that was to
 * fail and never came; and the process's status is 9. Before every other destructor of this library. */
__attribute__((destructor(200))) static void at_exit(void) {
    long alive = standin_alive();
    if (!standin.at_exit || (!alive && !is_failure_due && (!n_violations || violations_read))) return;
    fflush(NULL);
    if (is_failure_due) fprintf(stderr, "stand-in: STANDIN_FAIL: there was no call \"%s\"\n", fail_named);
    for (long i = 0; !violations_read && standin_violation(i); i++) fprintf(stderr, "stand-in: %s\n", standin_violation(i));
    for (long i = 0; standin_alive_class(i); i++) fprintf(stderr, "stand-in: alive at exit: %s\n", standin_alive_class(i));
    _exit(9);
}

/* ---- objects ---- */

class *class_named(const char *name) {
    for (size_t i = 0; i < n_classes; i++)
        if (!strcmp(classes[i]->name, name)) return classes[i];
    return NULL;
}

class *class_at(size_t i) { return i < n_classes ? classes[i] : NULL; }

class *class_make(const char *name, void (*dealloc)(object *self)) {
    class *c = calloc(1, sizeof *c);
    c->o.isa = c, c->o.refs = 1, c->name = name, c->dealloc = dealloc;
    return classes[n_classes++] = c;
}

void methods_add(const method *rows, size_t n) { tables[n_tables] = rows, table_sizes[n_tables++] = n; }

object *object_new(const char *class, void *data, size_t n) {
    object *o = calloc(1, sizeof *o);
    o->isa = class_named(class), o->refs = 1, o->data = data, o->n = n;
    pthread_mutex_lock(&lock);
    o->next = objects, objects = o;
    pthread_mutex_unlock(&lock);
    return o;
}

bool is_a(const object *o, const char *class) {
    if (!o) return false;
    const char *name = o->isa->name;
    return !strcmp(name, class) || (!strcmp(class, "NSDictionary") && !strcmp(name, "NSMutableDictionary"));
}

static bool is_class(const object *o) { return o && (const object *)o->isa == o; }

bool usable(const object *o, const char *by) {
    if (!o) return violation("%s: nil", by), false;
    if (__atomic_load_n(&o->refs, __ATOMIC_ACQUIRE) > 0) return true;
    return violation("%s: a released %s is used", by, o->isa->name), false;
}

object *retained(object *o) {
    if (o && !is_class(o)) __atomic_add_fetch(&o->refs, 1, __ATOMIC_ACQ_REL);
    return o;
}

void released(object *o) {
    if (!o || is_class(o)) return;
    if (__atomic_load_n(&o->refs, __ATOMIC_ACQUIRE) <= 0) {
        violation("release: a released %s is released again", o->isa->name);
        return;
    }
    if (__atomic_sub_fetch(&o->refs, 1, __ATOMIC_ACQ_REL) == 0 && o->isa->dealloc) o->isa->dealloc(o);
}

/* ---- pools: a stack a thread; a mark is the place in it ---- */

static _Thread_local object **pool;
static _Thread_local size_t pool_n, pool_size, pool_depth;

EXPORT void *objc_autoreleasePoolPush(void) {
    counted("objc_autoreleasePoolPush", false);
    pool_depth++;
    return (void *)(pool_n + 1);
}

EXPORT void objc_autoreleasePoolPop(void *mark) {
    counted("objc_autoreleasePoolPop", false);
    size_t n = (size_t)mark;
    if (!n || n - 1 > pool_n || !pool_depth) {
        violation("objc_autoreleasePoolPop: no such pool");
        return;
    }
    pool_depth--;
    while (pool_n > n - 1) released(pool[--pool_n]);
    if (!pool_n && !pool_depth) free(pool), pool = NULL, pool_size = 0;
}

object *autoreleased(object *o) {
    if (!o) return NULL;
    if (!pool_depth) {
        violation("autorelease: a %s with no pool in place leaks", o->isa->name);
        return o;
    }
    if (pool_n == pool_size) pool = realloc(pool, (pool_size = pool_size ? pool_size * 2 : 64) * sizeof *pool);
    return pool[pool_n++] = o;
}

EXPORT object *objc_retain(object *o) {
    counted("objc_retain", false);
    return o && usable(o, "objc_retain") ? retained(o) : o;
}

EXPORT void objc_release(object *o) {
    counted("objc_release", false);
    released(o);
}

EXPORT object *objc_autorelease(object *o) { return autoreleased(o); }

/* ---- classes, selectors, methods ---- */

EXPORT class *objc_getClass(const char *name) {
    return enter("objc_getClass") && strcmp(name, hidden_class) ? class_named(name) : NULL;
}

EXPORT SEL sel_registerName(const char *name) {
    static char *selectors[MAX_NAMES];
    static size_t n;
    pthread_mutex_lock(&lock);
    size_t i = 0;
    while (i < n && strcmp(selectors[i], name)) i++;
    if (i == n && n < MAX_NAMES) selectors[n++] = strdup(name);
    SEL out = i < n ? selectors[i] : NULL;
    pthread_mutex_unlock(&lock);
    return out;
}

EXPORT const char *sel_getName(SEL selector) { return selector; }
EXPORT class *object_getClass(object *o) { return o ? o->isa : NULL; }
EXPORT const char *class_getName(class *c) { return c ? c->name : "nil"; }

static const method *method_of(const class *c, SEL selector, bool of_class) {
    if (!c || !selector || !strcmp(selector, hidden_selector)) return NULL;
    for (size_t t = n_tables; t-- > 0;)
        for (size_t i = 0; i < table_sizes[t]; i++) {
            const method *m = &tables[t][i];
            bool any = !strcmp(m->class, "NSObject");
            bool here = any || !strcmp(m->class, c->name) ||
                        (!strcmp(m->class, "NSDictionary") && !strcmp(c->name, "NSMutableDictionary"));
            if (here && !strcmp(m->selector, selector) && (any || (m->signature[0] == '=') == of_class)) return m;
        }
    return NULL;
}

/* A method that a client gives a class; it stays. */
EXPORT bool class_addMethod(class *c, SEL selector, void *imp, const char *types) {
    passed("class_addMethod");
    if (!c || !selector || !imp || !types) return violation("class_addMethod: NULL"), false;
    if (method_of(c, selector, false)) return false;
    method *row = malloc(sizeof *row);
    *row = (method){ c->name, selector, "", imp };
    pthread_mutex_lock(&lock);
    bool fits = n_tables < sizeof tables / sizeof *tables;
    if (fits) methods_add(row, 1);
    pthread_mutex_unlock(&lock);
    if (!fits) free(row);
    return fits;
}

EXPORT const method *class_getInstanceMethod(class *c, SEL selector) { return method_of(c, selector, false); }
EXPORT const method *class_getClassMethod(class *c, SEL selector) { return method_of(c, selector, true); }

static bool responds(object *self, SEL _cmd, SEL selector) {
    (void)_cmd;
    return method_of(self->isa, selector, is_class(self)) != NULL;
}
static bool kind_of(object *self, SEL _cmd, class *c) {
    (void)_cmd;
    return c && is_a(self, c->name);
}
static object *retain_message(object *self, SEL _cmd) { (void)_cmd; return retained(self); }
static void release_message(object *self, SEL _cmd) { (void)_cmd; released(self); }
static object *autorelease_message(object *self, SEL _cmd) { (void)_cmd; return autoreleased(self); }
static object *class_message(object *self, SEL _cmd) { (void)_cmd; return &self->isa->o; }

static const method any_methods[] = {
    { "NSObject", "respondsToSelector:", "p", (void *)responds }, { "NSObject", "isKindOfClass:", "p", (void *)kind_of },
    { "NSObject", "retain", "", (void *)retain_message },         { "NSObject", "release", "", (void *)release_message },
    { "NSObject", "autorelease", "", (void *)autorelease_message }, { "NSObject", "class", "", (void *)class_message },
};

__attribute__((constructor(101))) static void begin(void) {
    class_make("NSObject", NULL);
    methods_add(any_methods, sizeof any_methods / sizeof *any_methods);
}

/* ---- objc_msgSend ---- */

static uintptr_t nothing(void) { return 0; }

static const char *wanted_class(char letter) {
    switch (letter) {
    case 'S': return "NSString";
    case 'B': return "NSData";
    case 'N': return "NSNumber";
    case 'A': return "NSArray";
    case 'D': return "NSDictionary";
    case 'U': return "NSURL";
    case 'I': return "IOSurface";
    }
    return NULL;
}

typedef struct told { object **error; block *handler; } told;

/* The arguments by their signature; where an error is told, in *to. */
static bool arguments_hold(const char *name, const char *signature, const uintptr_t *regs, const uintptr_t *stack, told *to) {
#if defined __aarch64__
    enum { REGS = 8 };
#else
    enum { REGS = 6 };
#endif
    bool ok = true;
    size_t k = 2;
    for (const char *s = signature + (signature[0] == '='); *s; s++) {
        if (*s == '?') continue;
        uintptr_t value = k < REGS ? regs[k] : stack[k - REGS];
        k++;
        if (*s == 'e') to->error = (object **)value;
        if (*s == 'h') to->handler = (block *)value;
        if (*s == 'h' && !value) violation("%s: argument %zu: NULL for a handler", name, k - 2), ok = false;
        if (strchr("ipeh", *s)) continue;
        const object *o = (const object *)value;
        if (!o && s[1] == '?') continue;
        char by[288];
        snprintf(by, sizeof by, "%s: argument %zu", name, k - 2);
        if (!usable(o, by)) ok = false;
        else if (wanted_class(*s) && !is_a(o, wanted_class(*s))) {
            violation("%s is a %s, not a %s", by, o->isa->name, wanted_class(*s));
            ok = false;
        }
    }
    return ok;
}

/* A message that fails tells so in the way that its kind does: an error's place, a handler, an object that is not made. */
static void tell(const method *m, object *self, const told *to, const char *why) {
    const char *domain = !strncmp(m->class, "ML", 2) ? "com.apple.CoreML" : "com.apple.appleneuralengine";
    if (to->error) *to->error = autoreleased(error_new(domain, 4, why, NULL));
    if (!strncmp(m->selector, "init", 4)) released(self);
    if (!to->handler) return;
    object *error = error_new(domain, 4, why, NULL);
    block_complete(to->handler, NULL, error);
    released(error);
}

__attribute__((used, visibility("hidden"))) void *standin_find(const uintptr_t *regs, const uintptr_t *stack) {
    object *self = (object *)regs[0];
    SEL selector = (SEL)regs[1];
    if (!self) return (void *)nothing;
    char name[224];
    snprintf(name, sizeof name, "%s %s", self->isa->name, selector ? selector : "(no selector)");
    if (!usable(self, name)) return (void *)nothing;
    const method *m = method_of(self->isa, selector, is_class(self));
    if (!m) {
        violation("%c[%s]: unrecognized selector", is_class(self) ? '+' : '-', name);
        return (void *)nothing;
    }
    told to = { NULL, NULL };
    bool is_getter = !strncmp(m->class, "NS", 2) && m->signature[0] != '=', is_setter = !strncmp(m->selector, "set", 3);
    bool goes = counted(name, !is_getter && !is_setter);
    bool holds = arguments_hold(name, m->signature, regs, stack, &to);
    if (holds && goes) return m->imp;
    tell(m, self, &to, holds ? "made to fail" : "an argument is wrong");
    return (void *)nothing;
}

#if defined __x86_64__
__asm__(".text\n.globl objc_msgSend\n.type objc_msgSend,@function\nobjc_msgSend:\n"
        "push %rbp\nmov %rsp,%rbp\nsub $176,%rsp\n"
        "mov %rdi,(%rsp)\nmov %rsi,8(%rsp)\nmov %rdx,16(%rsp)\nmov %rcx,24(%rsp)\nmov %r8,32(%rsp)\nmov %r9,40(%rsp)\n"
        "movups %xmm0,48(%rsp)\nmovups %xmm1,64(%rsp)\nmovups %xmm2,80(%rsp)\nmovups %xmm3,96(%rsp)\n"
        "movups %xmm4,112(%rsp)\nmovups %xmm5,128(%rsp)\nmovups %xmm6,144(%rsp)\nmovups %xmm7,160(%rsp)\n"
        "mov %rsp,%rdi\nlea 16(%rbp),%rsi\ncall standin_find\nmov %rax,%r11\n"
        "mov (%rsp),%rdi\nmov 8(%rsp),%rsi\nmov 16(%rsp),%rdx\nmov 24(%rsp),%rcx\nmov 32(%rsp),%r8\nmov 40(%rsp),%r9\n"
        "movups 48(%rsp),%xmm0\nmovups 64(%rsp),%xmm1\nmovups 80(%rsp),%xmm2\nmovups 96(%rsp),%xmm3\n"
        "movups 112(%rsp),%xmm4\nmovups 128(%rsp),%xmm5\nmovups 144(%rsp),%xmm6\nmovups 160(%rsp),%xmm7\n"
        "leave\njmp *%r11\n.size objc_msgSend,.-objc_msgSend\n");
#elif defined __aarch64__
__asm__(".text\n.globl objc_msgSend\n.type objc_msgSend,%function\nobjc_msgSend:\n"
        "stp x29,x30,[sp,#-208]!\nmov x29,sp\n"
        "stp x0,x1,[sp,#16]\nstp x2,x3,[sp,#32]\nstp x4,x5,[sp,#48]\nstp x6,x7,[sp,#64]\n"
        "stp q0,q1,[sp,#80]\nstp q2,q3,[sp,#112]\nstp q4,q5,[sp,#144]\nstp q6,q7,[sp,#176]\n"
        "add x0,sp,#16\nadd x1,sp,#208\nbl standin_find\nmov x16,x0\n"
        "ldp q6,q7,[sp,#176]\nldp q4,q5,[sp,#144]\nldp q2,q3,[sp,#112]\nldp q0,q1,[sp,#80]\n"
        "ldp x6,x7,[sp,#64]\nldp x4,x5,[sp,#48]\nldp x2,x3,[sp,#32]\nldp x0,x1,[sp,#16]\n"
        "ldp x29,x30,[sp],#208\nbr x16\n.size objc_msgSend,.-objc_msgSend\n");
#endif
