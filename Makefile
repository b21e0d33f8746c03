# SPDX-License-Identifier: MIT
# Settings first (each can be given on the command line), then the lists, then the rules.

CC      ?= cc
AR      ?= ar
OPT     ?= -O2 -g
WARN    ?= -Wall -Wextra
PREFIX  ?= /usr/local
DESTDIR ?=
BUILD   ?= build
SANITIZE ?=#           e.g. address,undefined
PKG_CONFIG ?= pkg-config

VERSION := $(shell sed -n 's/^\#define MIL_VERSION  *"\(.*\)"/\1/p' core/include/mil.h)

DEPS     := jansson zlib
CFLAGS_  := -std=c11 $(OPT) $(WARN) -fPIC -D_GNU_SOURCE -Icore/include -Icore \
            $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer,) \
            $(shell $(PKG_CONFIG) --cflags $(DEPS)) $(CFLAGS)
LIBS_    := $(shell $(PKG_CONFIG) --libs $(DEPS)) -lm -lpthread -ldl $(LIBS)

CORE_SRC := $(sort $(wildcard core/*/*.c core/engine/*/*.c))
ifeq ($(wildcard core/engine/cpu/kernel.h),) # until the kernels are here, the cpu engine is left out
CORE_SRC := $(filter-out core/engine/cpu/%,$(CORE_SRC))
endif
CORE_OBJ := $(CORE_SRC:%.c=$(BUILD)/%.o)

all: $(BUILD)/libmil.a

$(BUILD)/libmil.a: $(CORE_OBJ)
	@rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_) -MMD -MP -c $< -o $@

# ---- C tests: build/tests/<name>_test from tests/c/<name>_test.c; the last line is the sum ----

C_TESTS := $(patsubst tests/c/%.c,$(BUILD)/tests/%,$(sort $(wildcard tests/c/*_test.c)))

$(BUILD)/tests/%: tests/c/%.c $(BUILD)/libmil.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_) -Itests/c -MMD -MP $< $(BUILD)/libmil.a $(LIBS_) -o $@

ctest: $(C_TESTS)
	@passed=0; failed=0; for test in $(C_TESTS); do \
	    line=$$($$test | tail -n 1); \
	    case "$$line" in *": "*" passed, "*" failed") ;; *) line="$$test: 0 passed, 1 failed";; esac; \
	    echo "$$line"; counts=$${line##*: }; \
	    passed=$$((passed + $${counts%% passed*})); more=$${counts##*, }; failed=$$((failed + $${more%% failed})); \
	done; echo "$$passed passed, $$failed failed"; test $$failed = 0

clean:
	rm -rf $(BUILD)

.PHONY: all clean ctest
-include $(CORE_OBJ:.o=.d) $(C_TESTS:=.d)
