# mbxexport, mbximport, mbxverify.
#
#   make                 build/bin/mbxexport, mbximport, mbxverify
#   make demo            set up, build, make a sample Maildir, export | import, verify
#   make check           set up, build, every test; closing lines tell what ran
#   make unit            unit and property tests only
#   make check-dovecot24 what we write, opened by Dovecot 2.4 in a root of its own; needs root and debootstrap
#   make V=asan check    the same under AddressSanitizer and UBSan
#   make V=fuzz          libFuzzer binaries in build/fuzz/tests/fuzz/ (clang)
#   make lint            gcc and clang with -Werror, clang-tidy, cppcheck, mandoc
#   make bench           tests/bench/run
#   make install uninstall DESTDIR= PREFIX=/usr/local

V ?= release
B := build/$(V)
PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
MANDIR ?= $(PREFIX)/share/man

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wwrite-strings \
	-Wformat=2 -Wvla -Wundef -Wpointer-arith -Wcast-qual
FLAGS.release := -O2 -g
FLAGS.asan := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
FLAGS.cov := -O0 -g --coverage
FLAGS.fuzz := -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
FLAGS.werror := -O2 -g -Werror
ifeq ($(V),fuzz)
CC := clang
endif

PKG := libarchive libzstd libcrypto libsodium liblz4
PKG_CFLAGS = $(shell pkg-config --cflags $(PKG))
PKG_LIBS = $(shell pkg-config --libs $(PKG))
CHECK_LIBS = $(shell pkg-config --libs check)

ALL_CPPFLAGS = -I. -D_GNU_SOURCE $(PKG_CFLAGS) $(CPPFLAGS)
ALL_CFLAGS = -std=c17 -pthread $(WARN) -MMD -MP $(FLAGS.$(V)) $(CFLAGS)
ALL_LDFLAGS = -pthread $(FLAGS.$(V)) $(LDFLAGS)

PROGRAMS := mbxexport mbximport mbxverify
MAINS := export/mbxexport.c import/mbximport.c verify/mbxverify.c
MAN1 := export/mbxexport.1 import/mbximport.1 verify/mbxverify.1
MAN5 := format/mbxarchive.5
SOURCES := $(sort $(wildcard format/*.c format/*/*.c export/*.c import/*.c verify/*.c))
LIB_SOURCES := $(filter-out $(MAINS),$(SOURCES))
UNIT_SOURCES := $(sort $(wildcard tests/unit/*.c))
FUZZ_SOURCES := $(sort $(wildcard tests/fuzz/fuzz_*.c))
FUZZERS := $(patsubst %.c,%,$(FUZZ_SOURCES))
HELPERS := $(sort $(wildcard tests/tools/*.c))
ALL_C := $(SOURCES) $(UNIT_SOURCES) $(wildcard tests/fuzz/*.c tests/cli/*.c tests/servers/*.c) $(HELPERS)
ALL_H := $(wildcard format/*.h format/*/*.h export/*.h import/*.h verify/*.h tests/*/*.h)

lib := $(B)/libmbx.a
obj = $(patsubst %.c,$(B)/%.o,$(1))

ifeq ($(V),fuzz)
all: $(patsubst %,$(B)/%,$(FUZZERS))
else
all: $(patsubst %,$(B)/bin/%,$(PROGRAMS))
endif
ifeq ($(V),release)
all: $(patsubst %,build/bin/%,$(PROGRAMS))
build/bin/%: $(B)/bin/%
	@mkdir -p $(@D)
	@ln -f $< $@
endif

$(B)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -c -o $@ $<

$(lib): $(call obj,$(LIB_SOURCES))
	@rm -f $@
	@$(AR) rcs $@ $^

$(B)/bin/mbxexport: $(B)/export/mbxexport.o $(lib)
$(B)/bin/mbximport: $(B)/import/mbximport.o $(lib)
$(B)/bin/mbxverify: $(B)/verify/mbxverify.o $(lib)
$(patsubst %,$(B)/bin/%,$(PROGRAMS)):
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS)

# One binary for all unit suites: tests/unit/test_<module>.c exports <module>_suite().
$(B)/tests/suites.c: $(UNIT_SOURCES) Makefile
	@mkdir -p $(@D)
	@{ echo '#include "tests/unit/suites.h"'; \
	   for f in $(filter tests/unit/test_%,$(UNIT_SOURCES)); do n=$${f##*/test_}; echo "Suite *$${n%.c}_suite(void);"; done; \
	   echo 'Suite *(*const unit_suites[])(void) = {'; \
	   for f in $(filter tests/unit/test_%,$(UNIT_SOURCES)); do n=$${f##*/test_}; echo "	$${n%.c}_suite,"; done; \
	   echo '	0 };'; } > $@
$(B)/tests/suites.o: $(B)/tests/suites.c
	$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -c -o $@ $<
$(B)/tests/unit/unit: $(call obj,$(UNIT_SOURCES)) $(B)/tests/suites.o $(lib)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(CHECK_LIBS) $(PKG_LIBS)

# Each fuzzer is built twice: with libFuzzer (V=fuzz), else with a main that replays its corpus.
ifeq ($(V),fuzz)
$(B)/tests/fuzz/fuzz_%: $(B)/tests/fuzz/fuzz_%.o $(lib)
	$(CC) $(ALL_LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(PKG_LIBS)
else
$(B)/tests/fuzz/fuzz_%: $(B)/tests/fuzz/fuzz_%.o $(B)/tests/fuzz/replay.o $(lib)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS)
endif

# Small programs that tests call: tests/tools/<name>.c
$(B)/tests/tools/%: $(B)/tests/tools/%.o $(lib)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS)
tools: $(patsubst %.c,$(B)/%,$(HELPERS))

setup:
	@scripts/setup

unit: $(B)/tests/unit/unit
	$(B)/tests/unit/unit

check-fuzz: $(patsubst %,$(B)/%,$(FUZZERS))
	@tests/fuzz/run $(B)

check-cli: all tools
	@tests/cli/run $(B)

check-servers: all tools
	@tests/servers/run $(B)

# Left out where it cannot be: no part of check.
check-dovecot24: all
	@if [ "$$(id -u)" != 0 ] || ! command -v debootstrap >/dev/null; then \
		echo "check-dovecot24: left out: it needs root and debootstrap"; \
	else \
		tests/servers/fetch && tests/servers/fetch24 && \
		MBX_BIN=$(abspath $(B))/bin TZ=UTC0 PYTHONDONTWRITEBYTECODE=1 python3 tests/servers/dovecot24.py; \
	fi

# make runs setup first, then itself again, so that pkg-config is asked after the packages are there.
check: setup
	@tests/run $(B) V=$(V)

demo: setup
	@$(MAKE) --no-print-directory all
	@scripts/demo

bench: all
	@tests/bench/run

lint:
	@scripts/lint

format:
	clang-format -i $(ALL_C) $(ALL_H)

compile_commands.json: Makefile
	bear -- $(MAKE) -B V=$(V) all $(B)/tests/unit/unit

install: all
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(MANDIR)/man1 $(DESTDIR)$(MANDIR)/man5
	install -m 755 $(patsubst %,build/bin/%,$(PROGRAMS)) $(DESTDIR)$(BINDIR)
	install -m 644 $(MAN1) $(DESTDIR)$(MANDIR)/man1
	install -m 644 $(MAN5) $(DESTDIR)$(MANDIR)/man5

# Directories that are empty then go, too, but neither DESTDIR itself nor those of the system.
UNINSTALL_DIRS = $(patsubst /%,%,$(abspath $(BINDIR) $(MANDIR)/man1 $(MANDIR)/man5))
uninstall:
	rm -f $(patsubst %,$(DESTDIR)$(BINDIR)/%,$(PROGRAMS))
	rm -f $(patsubst %,$(DESTDIR)$(MANDIR)/man1/%,$(notdir $(MAN1)))
	rm -f $(patsubst %,$(DESTDIR)$(MANDIR)/man5/%,$(notdir $(MAN5)))
	$(if $(DESTDIR)$(filter-out /usr /usr/local,$(PREFIX)),-cd $(or $(DESTDIR),/) && rmdir -p --ignore-fail-on-non-empty $(UNINSTALL_DIRS))

clean:
	rm -rf build/release build/asan build/cov build/fuzz build/werror build/werror-clang build/bin

print-sources:
	@printf '%s\n' $(ALL_C)

.PHONY: all setup tools unit check check-fuzz check-cli check-servers check-dovecot24 demo bench lint format install uninstall clean print-sources
.SECONDARY:
-include $(shell find $(B) -name '*.d' 2>/dev/null)
