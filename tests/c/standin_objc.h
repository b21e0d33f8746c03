/* SPDX-License-Identifier: MIT */
/* A client's calls of Objective-C, Foundation, IOSurface and the Neural Engine's classes (facts/ane.md 2 to 4), for the stand-in's tests. */
#ifndef STANDIN_OBJC_CLIENT_H
#define STANDIN_OBJC_CLIENT_H

#include "standin_client.h"

static inline id string(const char *text) { return SEND(id, const char *)(CLASS("NSString"), SEL("stringWithUTF8String:"), text); }
static inline id number(int value) { return SEND(id, int)(CLASS("NSNumber"), SEL("numberWithInt:"), value); }
static inline id data(const void *bytes, size_t n) {
    return SEND(id, const void *, unsigned long)(CLASS("NSData"), SEL("dataWithBytes:length:"), bytes, n);
}
static inline id empty(void) { return SEND(id)(CLASS("NSDictionary"), SEL("dictionary")); }
static inline id array(const id *items, unsigned long n) {
    return SEND(id, const id *, unsigned long)(CLASS("NSArray"), SEL("arrayWithObjects:count:"), items, n);
}
static inline id dictionary(const id *values, const id *keys, unsigned long n) {
    return SEND(id, const id *, const id *, unsigned long)(CLASS("NSDictionary"), SEL("dictionaryWithObjects:forKeys:count:"), values, keys, n);
}
static inline id get(id dictionary_, const char *key) { return SEND(id, id)(dictionary_, SEL("objectForKey:"), string(key)); }
static inline void *push(void) { return SYM(void *, objc_autoreleasePoolPush, void)(); }
static inline void pop(void *p) { SYM(void, objc_autoreleasePoolPop, void *)(p); }

static inline id surface(int bytes) {
    static const char *const names[] = { "IOSurfaceWidth", "IOSurfaceHeight", "IOSurfaceBytesPerElement", "IOSurfaceBytesPerRow",
                                         "IOSurfaceAllocSize", "IOSurfacePixelFormat" };
    id keys[6], values[6] = { number(bytes), number(1), number(1), number(bytes), number(bytes), number(0) };
    for (int i = 0; i < 6; i++) keys[i] = string(names[i]);
    return SYM(id, IOSurfaceCreate, id)(dictionary(values, keys, 6));
}
static inline uint16_t *locked(id s, uint32_t options) {
    SYM(int, IOSurfaceLock, id, uint32_t, uint32_t *)(s, options, NULL);
    return SYM(void *, IOSurfaceGetBaseAddress, id)(s);
}
static inline void unlocked(id s, uint32_t options) { SYM(int, IOSurfaceUnlock, id, uint32_t, uint32_t *)(s, options, NULL); }
static inline void release(id o) { SYM(void, CFRelease, id)(o); }

/* A model of the text and one weights file (NULL: none), whose files are written; all autoreleased. */
static inline id model_with(const char *text, bool files, const char *name, const void *bytes, size_t n) {
    char key[256], path[1200];
    snprintf(key, sizeof key, "@model_path/%s", name ? name : "");
    id names[2] = { string("offset"), string("data") }, values[2] = { number(0), data(bytes, n) }, weights = empty();
    if (name) {
        id entry = dictionary(values, names, 2), file = string(key);
        weights = dictionary(&entry, &file, 1);
    }
    id descriptor = SEND(id, id, id, id)(CLASS("_ANEInMemoryModelDescriptor"), SEL("modelWithMILText:weights:optionsPlist:"),
                                         data(text, strlen(text)), weights, NULL);
    id model = SEND(id, id)(CLASS("_ANEInMemoryModel"), SEL("inMemoryModelWithDescriptor:"), descriptor);
    id at = SEND(id)(model, SEL("localModelPath"));
    if (!at || !files) return model;
    const char *folder = SEND(const char *)(at, SEL("UTF8String"));
    mkdir(folder, 0700);
    snprintf(path, sizeof path, "%s/model.mil", folder);
    write_bytes(path, text, strlen(text));
    snprintf(path, sizeof path, "%s/weights", folder);
    if (name) mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/%s", folder, name ? name : "");
    if (name) write_bytes(path, bytes, n);
    return model;
}
static inline id model_of(const char *text, bool files) { return model_with(text, files, NULL, "", 0); }
static inline void clean(id model) {
    remove_all(SEND(const char *)(SEND(id)(model, SEL("localModelPath")), SEL("UTF8String")));
}
static inline bool compile(id model, id *error) {
    return SEND(bool, unsigned, id, id *)(model, SEL("compileWithQoS:options:error:"), 21, empty(), error);
}
static inline bool load(id model, id *error) {
    return SEND(bool, unsigned, id, id *)(model, SEL("loadWithQoS:options:error:"), 21, empty(), error);
}
static inline bool unload(id model, id *error) { return SEND(bool, unsigned, id *)(model, SEL("unloadWithQoS:error:"), 21, error); }
static inline bool evaluate(id model, id request, id *error) {
    return SEND(bool, unsigned, id, id, id *)(model, SEL("evaluateWithQoS:options:request:error:"), 21, empty(), request, error);
}
static inline id request_of(const id *in, const int *at, unsigned long n, id out) {
    id objects[4], places[4], zero = number(0);
    for (unsigned long i = 0; i < n; i++) {
        objects[i] = SEND(id, id)(CLASS("_ANEIOSurfaceObject"), SEL("objectWithIOSurface:"), in[i]);
        places[i] = number(at[i]);
    }
    id result = SEND(id, id)(CLASS("_ANEIOSurfaceObject"), SEL("objectWithIOSurface:"), out);
    return SEND(id, id, id, id, id, id, id, id)(
        CLASS("_ANERequest"), SEL("requestWithInputs:inputIndices:outputs:outputIndices:weightsBuffer:perfStats:procedureIndex:"),
        array(objects, n), array(places, n), array(&result, 1), array(&zero, 1), NULL, NULL, zero);
}

/* The place of a symbol, as the loaded model reports it. */
static inline int place_of(id model, const char *symbol) {
    id about = get(SEND(id)(model, SEL("modelAttributes")), "ANEFModelDescription");
    id names = get(about, "kANEFModelInputSymbolsArrayKey");
    unsigned long n = SEND(unsigned long)(names, SEL("count"));
    for (unsigned long i = 0; i < n; i++) {
        id name = SEND(id, unsigned long)(names, SEL("objectAtIndex:"), i);
        if (!strcmp(SEND(const char *)(name, SEL("UTF8String")), symbol)) return (int)i;
    }
    return -1;
}
#endif
