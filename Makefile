# make            the C modules and the staged flows, into build/
# make env        prints what makes this tree loadable: eval "$(make -s env)"
# make guest      the small guests that the demo and the specs boot (x86-64)
# make test       the specs; TESTS="spec/flow_spec.lua --filter=undo" narrows them
# make asan       the specs that run no scripts, under AddressSanitizer and UBSan
# make lint       luacheck, cppcheck, clang-tidy, exported symbols
# make doc        the reference, into build/doc
# make install    DESTDIR, PREFIX, LUADIR, LIBDIR, BINDIR as usual
# Only scripts/setup (by way of `make test`) reaches for the network.

BUILD  ?= build
CC     ?= cc
CFLAGS ?= -O2 -g
LUA    ?= lua5.4
LUA_INCDIR ?= /usr/include/lua5.4

DESTDIR ?=
PREFIX  ?= /usr/local
LUADIR  ?= $(PREFIX)/share/lua/5.4
LIBDIR  ?= $(PREFIX)/lib/lua/5.4
BINDIR  ?= $(PREFIX)/bin

LUACHECK   ?= luacheck
CPPCHECK   ?= cppcheck
CLANG_TIDY ?= clang-tidy-14
LDOC       ?= ldoc

flags := -std=gnu11 -Wall -Wextra -Wshadow -Wstrict-prototypes -Wwrite-strings -Wvla -fvisibility=hidden -fPIC -Icsrc

# http.so carries libcurl and is loaded at the first request; it has its own copy of the plain objects it stands on.
core_c := $(filter-out csrc/lhttp.c,$(wildcard csrc/l*.c)) $(filter-out csrc/sys/http.c,$(wildcard csrc/sys/*.c))
http_c := $(wildcard csrc/lhttp.c csrc/lcommon.c $(patsubst %,csrc/sys/%.c,http error clock buffer reactor))

modules := $(BUILD)/firecracker/core.so $(BUILD)/firecracker/core/http.so
flows   := $(patsubst scripts/%,$(BUILD)/lua/firecracker/flows/%,$(wildcard scripts/*.lua))
builder := $(BUILD)/lua/firecracker/guest/build
guests  := $(BUILD)/guest/hello.elf \
           $(patsubst spec/support/guests/%.S,$(BUILD)/guest/test/%.elf,$(wildcard spec/support/guests/*.S))
objects := $(patsubst %.c,$(BUILD)/obj/%.o,$(sort $(core_c) $(http_c)))

.PHONY: all env guest test asan lint doc install clean
.DELETE_ON_ERROR:

all: $(modules) $(flows) $(builder)

$(BUILD)/firecracker/core.so:      $(patsubst %.c,$(BUILD)/obj/%.o,$(core_c))
$(BUILD)/firecracker/core/http.so: $(patsubst %.c,$(BUILD)/obj/%.o,$(http_c))
$(BUILD)/firecracker/core.so:      libs := -lcjson
$(BUILD)/firecracker/core/http.so: libs := -lcurl

# The interpreter brings liblua: linked in twice, two Lua cores would share one state.
$(modules):
	@mkdir -p $(@D)
	$(CC) -shared $(CFLAGS) $(LDFLAGS) -o $@ $^ $(libs)

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(flags) -I$(LUA_INCDIR) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

-include $(objects:.o=.d)

# A link, so that the flow in the tree is the one that runs.
$(BUILD)/lua/firecracker/flows/%.lua: scripts/%.lua
	@mkdir -p $(@D)
	ln -sfr $< $@

# The script finds init.c beside itself, where the link leads.
$(builder): scripts/guest/build
	@mkdir -p $(@D)
	ln -sfr $< $@

guest: $(guests)

$(BUILD)/guest/%.elf: scripts/guest/%.S scripts/guest/guest.ld
	$(assemble)
$(BUILD)/guest/test/%.elf: spec/support/guests/%.S scripts/guest/guest.ld
	$(assemble)
define assemble
	@mkdir -p $(@D)
	$(CC) -nostdlib -static -no-pie -Wl,-T,scripts/guest/guest.ld,--build-id=none,-z,noexecstack -o $@ $<
endef

env:
	@echo "export LUA_PATH='$(CURDIR)/lua/?.lua;$(CURDIR)/lua/?/init.lua;$(abspath $(BUILD))/lua/?.lua;;'"
	@echo "export LUA_CPATH='$(abspath $(BUILD))/?.so;;'"

test:
	scripts/test $(TESTS)

# LD_PRELOAD reaches every child, and shells leak by design: specs tagged #scripts stay out.
san := -fsanitize=address,undefined
asan: guest
	$(MAKE) BUILD=$(BUILD)/asan CFLAGS='-O1 -g -fno-omit-frame-pointer $(san)' LDFLAGS='$(san) -Wl,-z,nodelete' all
	eval "$$($(MAKE) -s BUILD=$(BUILD)/asan env)"; \
	PATH="$$PATH:$(abspath $(BUILD))/vmm" \
	LD_PRELOAD="$$($(CC) -print-file-name=libasan.so):$$($(CC) -print-file-name=libubsan.so)" \
	ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 \
	$(LUA) spec/run.lua --run=asan --exclude-tags=scripts $(TESTS)

lint: all
	$(LUACHECK) -q lua scripts scripts/fclua spec rockspec
	$(CPPCHECK) -q --std=c11 --library=lua --enable=warning,performance,portability --inline-suppr --error-exitcode=1 \
	  -D'__has_include(x)=1' -Icsrc csrc
	printf '%s\n' $(sort $(core_c) $(http_c)) | \
	  xargs -P "$$(nproc)" -n 1 sh -c '$(CLANG_TIDY) --quiet "$$0" -- $(flags) -I$(LUA_INCDIR) 2>/dev/null'
	@for so in $(modules); do \
	  nm -D --defined-only $$so | awk -v so=$$so '$$3 !~ /^luaopen_/ { print so " exports " $$3; bad = 1 } END { exit bad }' || exit 1; \
	done

doc:
	$(LDOC) --dir $(BUILD)/doc .

install: all
	install -d $(foreach d,$(LUADIR)/firecracker/flows $(LUADIR)/firecracker/guest $(LIBDIR)/firecracker/core $(BINDIR),'$(DESTDIR)$(d)')
	cd lua && find . -name '*.lua' -exec install -D -m 644 {} '$(DESTDIR)$(LUADIR)/{}' ';'
	install -m 644 scripts/*.lua '$(DESTDIR)$(LUADIR)/firecracker/flows'
	install -m 644 scripts/guest/build scripts/guest/init.c '$(DESTDIR)$(LUADIR)/firecracker/guest'
	install -m 755 $(BUILD)/firecracker/core.so '$(DESTDIR)$(LIBDIR)/firecracker'
	install -m 755 $(BUILD)/firecracker/core/http.so '$(DESTDIR)$(LIBDIR)/firecracker/core'
	install -m 755 scripts/fclua '$(DESTDIR)$(BINDIR)'

clean:
	rm -rf $(BUILD)
