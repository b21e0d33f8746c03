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
CORE_OBJ := $(CORE_SRC:%.c=$(BUILD)/%.o)

all: $(BUILD)/libmil.a

$(BUILD)/libmil.a: $(CORE_OBJ)
	@rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_) -MMD -MP -c $< -o $@

clean:
	rm -rf $(BUILD)

.PHONY: all clean
-include $(CORE_OBJ:.o=.d)
