# SPDX-License-Identifier: MIT
# Settings first (each can be given on the command line), then the lists, then the rules.
#   make            the library, the module for each Lua found, the luamil program
#   make demo       installs what is missing, builds, runs the digit classifier on real data
#   make test       installs what is missing, builds, runs all tests; last line: N passed, N failed
#   make bench asan fuzz lint docs install uninstall clean check-all: see their rules

CC      ?= cc
AR      ?= ar
OPT     ?= -O2 -g
WARN    ?= -Wall -Wextra
PREFIX  ?= /usr/local
DESTDIR ?=
BUILD   ?= build
SANITIZE ?=#           e.g. address,undefined
FUZZ_SECONDS ?= 60#    a fuzz target
PKG_CONFIG ?= pkg-config
V ?=#                  1: show the commands

SAY = $(if $(V)$(findstring s,$(firstword -$(MAKEFLAGS))),,@echo "  $@" &&)

# One job a core where -j is not given: a clean build takes minutes on one.
ifeq ($(filter -j% --jobserver%,$(MAKEFLAGS)),)
MAKEFLAGS += -j$(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
endif

VERSION := $(shell sed -n 's/^\#define MIL_VERSION  *"\(.*\)"/\1/p' core/include/mil.h)
SYSTEM  := $(shell uname -s)
comma   := ,

# What the system has: DEPS_CFLAGS, DEPS_LIBS, LUAS and LUA_{CFLAGS,LIBS,COMMAND}_<V>. Made by tools/config.sh, which
# installs what is missing where these goals are asked for by root.
INSTALLING := $(filter demo test spec asan bench fuzz check-all,$(MAKECMDGOALS))
WANTED     := $(if $(filter arm64-run,$(MAKECMDGOALS)),core,$(if $(filter test spec asan check-all,$(MAKECMDGOALS)),test,build))
ifneq ($(filter-out clean,$(or $(MAKECMDGOALS),all)),)
include $(BUILD)/config-$(WANTED).mk
endif

CFLAGS_  := -std=c11 $(OPT) $(WARN) -fPIC -D_GNU_SOURCE -Icore/include -Icore \
            $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=undefined -fno-omit-frame-pointer,) $(DEPS_CFLAGS) $(CFLAGS)
LIBS_    := $(DEPS_LIBS) -lm -lpthread $(if $(filter Linux,$(SYSTEM)),-ldl,) $(LIBS)
LDFLAGS_ := $(if $(SANITIZE),-fsanitize=$(SANITIZE),) $(LDFLAGS)
ifeq ($(SYSTEM),Darwin)
SHARED   := -dynamiclib -install_name $(PREFIX)/lib/libmil.0.dylib
MODULE   := -bundle -undefined dynamic_lookup
LIBMIL   := libmil.0.dylib
LIBMIL_LINK := libmil.dylib
else
SHARED   := -shared -Wl,-soname,libmil.so.0
MODULE   := -shared
LIBMIL   := libmil.so.0
LIBMIL_LINK := libmil.so
endif

CORE_SRC := $(sort $(wildcard core/*/*.c core/engine/*/*.c))
CORE_OBJ := $(CORE_SRC:%.c=$(BUILD)/%.o)
LUA_SRC  := $(filter-out lua/host.c,$(sort $(wildcard lua/*.c)))
LUA_MOD  := $(sort $(wildcard lua/mil/*.lua))
SCRIPTS  := $(sort $(wildcard scripts/*.lua))

all: lib lua program

LUA_INSTALL ?= $(firstword $(LUAS))#   5.1 to 5.4 or jit: whose module is installed
LIBLUAMIL := $(BUILD)/lua$(LUA_INSTALL)/libluamil.a

lib: $(BUILD)/libmil.a $(BUILD)/$(LIBMIL) $(LIBLUAMIL)

$(BUILD)/config-%.mk: tools/config.sh
	@mkdir -p $(@D)
	@PKG_CONFIG="$(PKG_CONFIG)" CC="$(CC)" sh tools/config.sh $(if $(INSTALLING),install,look) $* > $@.new
	@mv $@.new $@

$(BUILD)/libmil.a: $(CORE_OBJ)
	@rm -f $@
	$(SAY) $(AR) rcs $@ $^

$(BUILD)/$(LIBMIL): $(CORE_OBJ)
	$(SAY) $(CC) $(SHARED) $(LDFLAGS_) $^ $(LIBS_) -o $@

$(BUILD)/core/%.o: core/%.c
	@mkdir -p $(@D)
	$(SAY) $(CC) $(CFLAGS_) -MMD -MP -c $< -o $@

# ---- the Lua module: build/lua<V>/mil.so for each Lua; its Lua files under build/share ----

lua: $(LUAS:%=$(BUILD)/lua%/mil.so) $(BUILD)/share/.made

define lua_rules
$(BUILD)/lua$(1)/%.o: lua/%.c
	@mkdir -p $$(@D)
	$$(SAY) $$(CC) $$(CFLAGS_) $$(LUA_CFLAGS_$(1)) -Ilua -MMD -MP -c $$< -o $$@
$(BUILD)/lua$(1)/mil.so: $(LUA_SRC:lua/%.c=$(BUILD)/lua$(1)/%.o) $(CORE_OBJ)
	$$(SAY) $$(CC) $$(MODULE) $$(LDFLAGS_) $$^ $$(LIBS_) -o $$@
$(BUILD)/lua$(1)/failing.so: tests/failing.c
	@mkdir -p $$(@D)
	$$(SAY) $$(CC) $$(CFLAGS_) $$(LUA_CFLAGS_$(1)) $$(MODULE) $$(LDFLAGS_) $$< -o $$@
$(BUILD)/lua$(1)/ane_calls.so: bench/ane_calls.c
	@mkdir -p $$(@D)
	$$(SAY) $$(CC) $$(CFLAGS_) $$(LUA_CFLAGS_$(1)) $$(MODULE) $$(LDFLAGS_) $$< -o $$@
-include $(LUA_SRC:lua/%.c=$(BUILD)/lua$(1)/%.d) $(BUILD)/lua$(1)/host.d
endef
$(foreach v,$(LUAS),$(eval $(call lua_rules,$(v))))

$(BUILD)/share/.made: $(LUA_MOD) $(SCRIPTS)
	@rm -rf $(BUILD)/share && mkdir -p $(BUILD)/share/mil
	@for f in $(LUA_MOD); do ln -s $(CURDIR)/$$f $(BUILD)/share/mil/; done
	@ln -s $(CURDIR)/scripts $(BUILD)/share/mil/cmd
	@touch $@

# ---- the luamil program: lua/host.c, the module for LUA_HOST, the Lua files, and that Lua's library ----

LUA_HOST ?= $(firstword $(LUAS))

ifeq ($(LUA_LIBS_$(LUA_HOST)),)
program:
else
program: $(BUILD)/luamil

HOST_OBJ := $(patsubst lua/%.c,$(BUILD)/lua$(LUA_HOST)/%.o,lua/host.c $(LUA_SRC)) $(BUILD)/lua_files.o

$(BUILD)/luamil: $(HOST_OBJ) $(BUILD)/libmil.a
	$(SAY) $(CC) $(LDFLAGS_) $(if $(filter Linux,$(SYSTEM)),-Wl$(comma)-E,) $^ $(LUA_LIBS_$(LUA_HOST)) $(LIBS_) -o $@

EMBEDDED := $(filter-out lua/mil/meta.lua,$(LUA_MOD)) $(SCRIPTS)
$(BUILD)/lua_files.c: tools/embed.sh $(EMBEDDED)
	@mkdir -p $(@D)
	@sh tools/embed.sh $(EMBEDDED) > $@.new && mv $@.new $@

$(BUILD)/lua_files.o: $(BUILD)/lua_files.c
	$(SAY) $(CC) $(CFLAGS_) -c $< -o $@
endif

# What is generated of the documents: docs/reference, lua/mil/meta.lua; committed, and a spec says whether it is current.
docs: lua
	@LUA_PATH="$(BUILD)/share/?.lua;;" LUA_CPATH="$(BUILD)/lua$(LUA_HOST)/?.so;;" $(LUA_COMMAND_$(LUA_HOST)) tools/gendocs.lua

# The terminal that the REPL's specs type into.
$(BUILD)/pty: tests/pty.c
	@mkdir -p $(@D)
	$(SAY) $(CC) $(CFLAGS_) $< $(LDFLAGS_) -o $@

# ---- tests: C (build/tests/<name>_test from tests/c), specs on every Lua; each part ends with its sum ----

# The stand-in that some need takes the place of a Mac's frameworks elsewhere.
C_TESTS := $(patsubst tests/c/%.c,$(BUILD)/tests/%,$(filter-out $(if $(filter Darwin,$(SYSTEM)),$(wildcard tests/c/ane_*.c tests/c/e5rt_*.c tests/c/standin_*.c)),$(sort $(wildcard tests/c/*_test.c))))

$(BUILD)/tests/%: tests/c/%.c $(BUILD)/libmil.a
	@mkdir -p $(@D)
	$(SAY) $(CC) $(CFLAGS_) -Itests/c -MMD -MP $< $(BUILD)/libmil.a $(LDFLAGS_) $(LIBS_) -o $@

# The stand-in for Apple's frameworks, strict, written from the facts alone and apart from the engines (tests/standin/README.md):
# one library under several names, with a copy of the core that is its own.
STANDIN := $(patsubst %,$(BUILD)/standin/%.so,libobjc.A Foundation CoreFoundation IOSurface AppleNeuralEngine Espresso \
             ANECompiler ANEServices IOKit libSystem.B CoreML CoreVideo)
STANDIN_SRC := $(wildcard tests/standin/*.c)
standin: $(STANDIN)
STANDIN_TESTS := $(filter $(BUILD)/tests/standin% $(BUILD)/tests/ane_% $(BUILD)/tests/e5rt_%,$(C_TESTS))
$(STANDIN_TESTS): CFLAGS_ += -Itests
$(STANDIN_TESTS): | $(STANDIN)
$(BUILD)/standin/libobjc.A.so: $(STANDIN_SRC) $(wildcard tests/standin/*.h) $(BUILD)/libmil.a
	@mkdir -p $(@D)
	$(SAY) $(CC) $(CFLAGS_) -fvisibility=hidden -Itests/standin -shared -Wl,-Bsymbolic,--exclude-libs,ALL $(STANDIN_SRC) $(BUILD)/libmil.a $(LDFLAGS_) $(LIBS_) -o $@
$(filter-out %/libobjc.A.so,$(STANDIN)): $(BUILD)/standin/libobjc.A.so
	@ln -sf libobjc.A.so $@

# What libmil keeps of its own (CACHE in the documents) is not the user's in tests.
ctest spec test test-asan: export MIL_CACHE := $(abspath $(BUILD))/cache

ctest: $(C_TESTS)
	@tools/sum.sh $(C_TESTS)

# make spec SPEC=tests/spec/tensor_spec.lua LUAS=5.4: some of them, on one Lua
SPEC ?=
SPEC_NEEDS := lua program $(BUILD)/pty $(if $(filter Darwin,$(SYSTEM)),,$(STANDIN)) $(LUAS:%=$(BUILD)/lua%/failing.so)
SPECS := $(foreach v,$(LUAS),"tools/spec.sh $(BUILD) $(v) $(LUA_COMMAND_$(v)) $(SPEC)")

spec: $(SPEC_NEEDS)
	@tools/sum.sh $(SPECS)

test: all $(SPEC_NEEDS) $(C_TESTS)
	@tools/sum.sh $(C_TESTS) $(SPECS) tests/install_test.sh

# The C tests and one Lua's specs with the sanitizers, in a build of their own.
ASAN := BUILD=$(BUILD)/asan SANITIZE=address,undefined OPT="-O1 -g"
asan:
	@$(MAKE) -s $(ASAN) LUAS=5.4 test-asan
# Lua itself has no sanitizer in it: the runtime comes first, and what Lua keeps at its end is no leak of ours.
test-asan: export LD_PRELOAD_ASAN := $(shell $(CC) -print-file-name=libasan.so)
test-asan: export ASAN_OPTIONS := detect_leaks=1
test-asan: $(SPEC_NEEDS) $(C_TESTS)
	@tools/sum.sh $(C_TESTS) "LD_PRELOAD=$$LD_PRELOAD_ASAN ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 tools/spec.sh $(BUILD) 5.4 $(LUA_COMMAND_5.4) $(SPEC)"

# ---- the main job on real input ----

demo: program
	@echo "luamil graphs/digits.lua"
	@$(BUILD)/luamil graphs/digits.lua

# ---- benchmarks: ratios to something measured in the same run ----
# MINILM=DIR adds MiniLM beside onnxruntime, with PYTHON's packages (bench/minilm.py says which).

PYTHON ?= python3
MINILM ?=
BENCHES := $(patsubst bench/%.c,$(BUILD)/bench/%,$(sort $(wildcard bench/*_bench.c)))
BLAS    := $(shell $(PKG_CONFIG) --exists openblas 2>/dev/null && echo openblas)

$(BUILD)/bench/%: bench/%.c $(BUILD)/libmil.a
	@mkdir -p $(@D)
	$(SAY) $(CC) $(CFLAGS_) -Ibench $(if $(BLAS),-DHAVE_OPENBLAS $$($(PKG_CONFIG) --cflags openblas)) -MMD -MP $< $(BUILD)/libmil.a \
	    $(LDFLAGS_) $(LIBS_) $(if $(BLAS),$$($(PKG_CONFIG) --libs openblas)) -o $@

# Each op beside PyTorch (and torchvision) on one thread: make bench-ops PYTHON=venv/bin/python OPS="softmax conv"
OPS ?=
bench-ops: program
	@$(PYTHON) bench/ops.py $(BUILD)/luamil $(OPS)

ANE_BENCH := $(if $(filter Darwin,$(SYSTEM)),,$(LUAS))#   on the stand-in for the frameworks
bench: $(BENCHES) lua program $(if $(ANE_BENCH),standin $(ANE_BENCH:%=$(BUILD)/lua%/ane_calls.so))
	@for bench in $(BENCHES); do echo "== $$bench"; $$bench || exit 1; done
	@$(foreach v,$(LUAS),echo "== bench/build.lua on $(LUA_COMMAND_$(v))"; LUA_PATH="$(BUILD)/share/?.lua" \
	    LUA_CPATH="$(BUILD)/lua$(v)/?.so" $(LUA_COMMAND_$(v)) bench/build.lua || exit 1;)
	@$(foreach v,$(ANE_BENCH),echo "== bench/ane.lua on $(LUA_COMMAND_$(v))"; MIL_FRAMEWORKS=$(BUILD)/standin MIL_CACHE=$(BUILD)/bench/cache \
	    LUA_PATH="$(BUILD)/share/?.lua" LUA_CPATH="$(BUILD)/lua$(v)/?.so" $(LUA_COMMAND_$(v)) bench/ane.lua || exit 1;)
	@echo "== bench/compressed.lua" && $(BUILD)/luamil bench/compressed.lua
	@if [ -n "$(MINILM)" ]; then $(PYTHON) bench/minilm.py $(BUILD)/luamil $(MINILM) 1; fi

# ---- fuzzing: each target on its corpus, under the sanitizers, FUZZ_SECONDS each ----

FUZZERS := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(sort $(wildcard tests/fuzz/*_fuzz.c)))

$(BUILD)/fuzz/%: tests/fuzz/%.c $(BUILD)/libmil.a
	@mkdir -p $(@D)
	$(SAY) $(CC) $(CFLAGS_) -Itests/fuzz -MMD -MP $< $(BUILD)/libmil.a $(LDFLAGS_) $(LIBS_) -o $@

fuzz:
	@$(MAKE) -s $(ASAN) fuzz-run
fuzz-run: $(FUZZERS)
	@for f in $(FUZZERS); do name=$$(basename $$f _fuzz); echo "== $$name"; $$f tests/fuzz/corpus/$$name $(FUZZ_SECONDS) || exit 1; done

# ---- what is too long for CI ----

# The kernels' .inc files are looked at through the scalar build.
TIDY := $(filter-out core/engine/cpu/kernels_avx2.c core/engine/cpu/kernels_avx512.c core/engine/cpu/kernels_neon.c,$(CORE_SRC))
lint: lint-objc
	cppcheck --quiet -j 2 --error-exitcode=1 --enable=warning,performance,portability --inline-suppr \
	    --suppressions-list=tools/cppcheck.txt -Icore/include -Icore core lua
	clang-tidy --quiet $(TIDY) $(LUA_SRC) -- $(CFLAGS_) $(LUA_CFLAGS_5.4) -Ilua

# Objective-C is called through casts to exact prototypes alone (core/apple/apple.h): a variadic call passes arguments elsewhere.
lint-objc:
	@! grep -rnE 'objc_msgSend' core lua --include=*.c --include=*.h | grep -vE 'core/apple/apple\.h'

# arm64: built by a cross compiler, the C tests run under emulation. Debian's names; the libraries of that architecture come
# from `dpkg --add-architecture arm64`.
ARM64_TRIPLE ?= aarch64-linux-gnu
arm64:
	@command -v $(ARM64_TRIPLE)-gcc > /dev/null && command -v qemu-aarch64 > /dev/null && \
	    [ -e /usr/lib/$(ARM64_TRIPLE)/libprotobuf-c.so ] || { echo "arm64: needs gcc-$(ARM64_TRIPLE), qemu-user, libjansson-dev:arm64, \
	    libprotobuf-c-dev:arm64, zlib1g-dev:arm64 (dpkg --add-architecture arm64)" >&2; exit 1; }
	@$(MAKE) -s BUILD=$(BUILD)/arm64 CC=$(ARM64_TRIPLE)-gcc AR=$(ARM64_TRIPLE)-ar \
	    PKG_CONFIG_LIBDIR=/usr/lib/$(ARM64_TRIPLE)/pkgconfig arm64-run
arm64-run: $(C_TESTS)
	@tools/sum.sh $(C_TESTS:%="qemu-aarch64 -L /usr/$(ARM64_TRIPLE) -E LD_LIBRARY_PATH=/usr/lib/$(ARM64_TRIPLE) %")

# macOS, arm64 and x86-64, by zig's C compiler; and what the files that come out are linked with (tools/cross_darwin.sh).
# DARWIN_OPT="-O1 -g0" is quicker.
DARWIN     ?= arm64 x86_64
DARWIN_OPT ?= -O2
cross-darwin: lint-objc
	@PYTHON="$(PYTHON)" OPT="$(DARWIN_OPT)" sh tools/cross_darwin.sh $(BUILD)/darwin $(DARWIN)

# Another compiler, without warnings; C tests under valgrind; threads; arm64 under emulation (gcc-aarch64-linux-gnu, qemu-user).
check-all: test
	@$(MAKE) -s BUILD=$(BUILD)/clang CC=clang WARN="-Wall -Wextra -Werror" ctest
	@$(MAKE) -s BUILD=$(BUILD)/tsan SANITIZE=thread OPT="-O1 -g" ctest
	@tools/sum.sh $(C_TESTS:%="valgrind -q --error-exitcode=9 --leak-check=full %")
	@$(MAKE) -s arm64
	@$(MAKE) -s cross-darwin
	@$(MAKE) -s fuzz

# ---- installing: the program, libmil, mil.h, luamil.h, pkg-config files, the Lua module for LUA_INSTALL ----

lua_dir = $(if $(filter jit,$(LUA_INSTALL)),5.1,$(LUA_INSTALL))

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/include $(DESTDIR)$(PREFIX)/lib/pkgconfig
	install -d $(DESTDIR)$(PREFIX)/lib/lua/$(lua_dir) $(DESTDIR)$(PREFIX)/share/lua/$(lua_dir)/mil/cmd
	install -m 755 $(BUILD)/luamil $(DESTDIR)$(PREFIX)/bin/luamil
	install -m 644 core/include/mil.h lua/luamil.h $(DESTDIR)$(PREFIX)/include
	install -m 644 $(BUILD)/libmil.a $(LIBLUAMIL) $(DESTDIR)$(PREFIX)/lib
	install -m 755 $(BUILD)/$(LIBMIL) $(DESTDIR)$(PREFIX)/lib
	ln -sf $(LIBMIL) $(DESTDIR)$(PREFIX)/lib/$(LIBMIL_LINK)
	install -m 755 $(BUILD)/lua$(LUA_INSTALL)/mil.so $(DESTDIR)$(PREFIX)/lib/lua/$(lua_dir)
	install -m 644 $(LUA_MOD) $(DESTDIR)$(PREFIX)/share/lua/$(lua_dir)/mil
	install -m 644 $(SCRIPTS) $(DESTDIR)$(PREFIX)/share/lua/$(lua_dir)/mil/cmd
	for name in libmil luamil; do \
	    sed 's|@PREFIX@|$(PREFIX)|; s|@VERSION@|$(VERSION)|; s|@LUA@|$(LUA_INSTALL)|' tools/$$name.pc.in \
	        > $(DESTDIR)$(PREFIX)/lib/pkgconfig/$$name.pc; \
	done

# What install put there; folders that it made stay where anything else is in them.
uninstall: installed := $(DESTDIR)$(PREFIX)
uninstall:
	rm -f $(installed)/bin/luamil $(installed)/include/mil.h $(installed)/include/luamil.h $(installed)/lib/libmil.a \
	    $(installed)/lib/libluamil.a $(installed)/lib/$(LIBMIL) $(installed)/lib/$(LIBMIL_LINK) \
	    $(installed)/lib/pkgconfig/libmil.pc $(installed)/lib/pkgconfig/luamil.pc $(installed)/lib/lua/$(lua_dir)/mil.so
	rm -rf $(installed)/share/lua/$(lua_dir)/mil

# luamil.h's part for C programs with a Lua of their own, for LUA_INSTALL; it needs libmil.
$(LIBLUAMIL): $(LUA_SRC:lua/%.c=$(BUILD)/lua$(LUA_INSTALL)/%.o)
	@rm -f $@
	$(SAY) $(AR) rcs $@ $^

clean:
	rm -rf $(BUILD)

.PHONY: demo bench bench-ops fuzz fuzz-run lint lint-objc arm64 arm64-run cross-darwin check-all all install uninstall lib lua program ctest standin spec test asan test-asan clean
-include $(CORE_OBJ:.o=.d) $(C_TESTS:=.d)
