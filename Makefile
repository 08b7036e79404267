# make            the C modules and the staged flows, into build/
# make env        prints what makes this tree loadable, and its Firecracker found: eval "$(make -s env)"
# make guest      the small guests that the demo and the specs boot (x86-64)
# make support    those, and the C helpers of the specs
# make test       the specs; TESTS="spec/flow_spec.lua --filter=undo" narrows them
# make asan       the specs but those tagged #scripts under AddressSanitizer and UBSan; TESTS narrows them
# make valgrind   the specs of the C core that start no process, under valgrind
# make fuzz       libFuzzer on what the world sends: FUZZ_SECONDS=… each
# make mutate     breaks lines of the code one at a time: the specs must notice each
# make api-check SWAGGER=file   the table of the API against a swagger file of Firecracker's, at its release
# make lint       luacheck, cppcheck, clang-tidy, exported symbols
# make bench      the figures, against the smallest supervisor; PAIRS=60 or more
# make doc        the reference, into build/doc; Firecracker's API as the table has it, in api.md
# make install    DESTDIR, PREFIX, LUADIR, LIBDIR, BINDIR as usual; COMPILED=1: bytecode for this very interpreter, no source
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

# http.so carries libcurl and is loaded at the first request, net.so libmnl, at the first use of fc.net; they have their own
# copies of the plain objects they stand on.
net_own  := $(wildcard csrc/lnet*.c csrc/sys/net*.c csrc/sys/tap.c)
core_c   := $(filter-out csrc/lhttp.c csrc/sys/http.c $(net_own),$(wildcard csrc/l*.c) $(wildcard csrc/sys/*.c))
http_c   := $(wildcard csrc/lhttp.c csrc/lcommon.c $(patsubst %,csrc/sys/%.c,http error clock buffer reactor unix))
net_c    := $(net_own) $(wildcard csrc/lcommon.c csrc/lfd.c $(patsubst %,csrc/sys/%.c,error buffer child))
module_c := $(sort $(core_c) $(http_c) $(net_c))

modules := $(BUILD)/firecracker/core.so $(BUILD)/firecracker/core/http.so $(BUILD)/firecracker/core/net.so
flows   := $(patsubst scripts/%,$(BUILD)/lua/firecracker/flows/%,$(wildcard scripts/*.lua))
builder := $(BUILD)/lua/firecracker/guest/build
guests  := $(BUILD)/guest/hello.elf \
           $(patsubst spec/support/guests/%.S,$(BUILD)/guest/test/%.elf,$(wildcard spec/support/guests/*.S))
helpers := $(patsubst %.c,$(BUILD)/%.so,$(wildcard spec/support/*.c))
objects := $(patsubst %.c,$(BUILD)/obj/%.o,$(module_c))

.PHONY: all env guest support test asan valgrind fuzz mutate bench api-check lint doc install clean
.DELETE_ON_ERROR:
unexport CDPATH                 # else cd goes elsewhere, and prints it

all: $(modules) $(flows) $(builder)

$(BUILD)/firecracker/core.so:      $(patsubst %.c,$(BUILD)/obj/%.o,$(core_c))
$(BUILD)/firecracker/core/http.so: $(patsubst %.c,$(BUILD)/obj/%.o,$(http_c))
$(BUILD)/firecracker/core/net.so:  $(patsubst %.c,$(BUILD)/obj/%.o,$(net_c))
$(BUILD)/firecracker/core.so:      libs := -lcjson
$(BUILD)/firecracker/core/http.so: libs := -lcurl
$(BUILD)/firecracker/core/net.so:  libs := -lmnl

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
support: $(guests) $(helpers)

$(BUILD)/spec/support/%.so: spec/support/%.c
	@mkdir -p $(@D)
	$(CC) -shared $(filter-out -fvisibility=hidden,$(flags)) -I$(LUA_INCDIR) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $<

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
	@if [ -x $(BUILD)/vmm/firecracker ]; then echo 'export PATH="$$PATH:$(abspath $(BUILD))/vmm"'; fi

test:
	scripts/test $(TESTS)

# The specs under AddressSanitizer and UBSan: an interpreter that preloads them stands first on PATH, so that Lua programs
# which specs start have them too, and no other child. What tests packaging and scripts says nothing more under them; of
# the random configurations a tenth is enough. The leak checker must not look at __tls_get_addr: it takes what lies before a
# block of thread-local storage for its size, and crashes over what it reads there (gcc 12 with glibc 2.36).
san := -fsanitize=address,undefined
asan_options := detect_stack_use_after_return=1:intercept_tls_get_addr=0
asan:
	$(MAKE) -s BUILD=$(BUILD)/asan CFLAGS='-O1 -g -fno-omit-frame-pointer $(san)' LDFLAGS='$(san) -Wl,-z,nodelete' all support
	@mkdir -p $(BUILD)/asan/bin
	$(CC) -shared -fPIC -o $(BUILD)/asan/unload.so spec/support/asan/unload.c
	$(CC) -DINTERPRETER="\"$$(command -v $(LUA))\"" -DPRELOAD="\"$$($(CC) -print-file-name=libasan.so):$$($(CC) \
	  -print-file-name=libubsan.so):$(abspath $(BUILD))/asan/unload.so\"" -o $(BUILD)/asan/bin/lua5.4 spec/support/asan/lua.c
	eval "$$($(MAKE) -s BUILD=$(BUILD)/asan env)"; \
	PATH="$(abspath $(BUILD))/asan/bin:$$PATH:$(abspath $(BUILD))/vmm" \
	ASAN_OPTIONS=detect_leaks=1:$(asan_options) UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 \
	CASES=$(or $(CASES),200) lua5.4 spec/run.lua --run=asan --exclude-tags=scripts $(TESTS)

# valgrind 3.19 knows neither pidfd_send_signal nor a child that shares memory: what starts processes stays out.
memchecked := $(patsubst %,spec/core/%_spec.lua,documentation fd files json reactor signals stream watch)
valgrind: all support
	eval "$$($(MAKE) -s env)"; valgrind -q --error-exitcode=9 --leak-check=full --show-leak-kinds=definite \
	  --errors-for-leak-kinds=definite --keep-debuginfo=yes $(LUA) spec/run.lua $(or $(TESTS),$(memchecked))

# libFuzzer: each csrc/fuzz/NAME.c for FUZZ_SECONDS, from the seeds in spec/fuzz/NAME; what it learns stays in
# build/fuzz/NAME, an input that fails is kept as build/fuzz/NAME-crash-….
FUZZ_CC      ?= clang-14
FUZZ_SECONDS ?= 60
fuzz_targets := $(basename $(notdir $(wildcard csrc/fuzz/*.c)))
fuzz_flags   := $(filter-out -fvisibility=hidden,$(flags)) -I$(LUA_INCDIR) -g -O1 -fno-omit-frame-pointer \
                -fno-sanitize-recover=undefined
fuzz_objects := $(patsubst %.c,$(BUILD)/fuzz/obj/%.o,$(module_c))
fuzz: $(addprefix fuzz-,$(fuzz_targets))
# A function that is new has no name: for that libFuzzer starts a process, whose pipes count as left open.
fuzz-%: $(BUILD)/fuzz/%.run
	@mkdir -p $(BUILD)/fuzz/$*
	@echo "fuzz $*: $(FUZZ_SECONDS) s"
	@ASAN_OPTIONS=$(asan_options) $< -max_total_time=$(FUZZ_SECONDS) -timeout=10 -verbosity=0 -print_funcs=0 \
	  -print_final_stats=1 -close_fd_mask=1 \
	  -artifact_prefix=$(BUILD)/fuzz/$*- $(BUILD)/fuzz/$* spec/fuzz/$* 2>$(BUILD)/fuzz/$*.log || \
	  { cat $(BUILD)/fuzz/$*.log; echo "FAIL fuzz $*"; exit 1; }
	@sed -n 's/^stat::number_of_executed_units: */fuzz $*: executions /p' $(BUILD)/fuzz/$*.log
.PRECIOUS: $(BUILD)/fuzz/%.run $(BUILD)/fuzz/obj/%.o
$(BUILD)/fuzz/%.run: csrc/fuzz/%.c csrc/fuzz/fuzz.h $(fuzz_objects)
	@mkdir -p $(@D)
	$(FUZZ_CC) $(fuzz_flags) -fsanitize=fuzzer,address,undefined -o $@ $< $(fuzz_objects) -llua5.4 -lcurl -lcjson -lmnl
$(BUILD)/fuzz/obj/%.o: %.c
	@mkdir -p $(@D)
	$(FUZZ_CC) $(fuzz_flags) -fsanitize=fuzzer-no-link,address,undefined -MMD -MP -c -o $@ $<
-include $(fuzz_objects:.o=.d)

# In a copy, so that the tree stays as it is.
mutate:
	rm -rf $(BUILD)/mutate && mkdir -p $(BUILD)/mutate
	cp -a Makefile README.md .busted csrc lua rockspec scripts spec $(BUILD)/mutate
	cd $(BUILD)/mutate && eval "$$($(MAKE) -s BUILD=build env)" && PATH="$$PATH:$(abspath $(BUILD))/vmm" \
	  $(LUA) spec/support/mutate.lua spec/mutations.lua

api-check:
	$(LUA) scripts/api-check '$(SWAGGER)'

# What is measured is the optimised tree; the stub is static, as Firecracker is.
bench := $(abspath $(BUILD))/bench
bench: all guest $(addprefix $(bench)/,floor easy stubvmm usage network nat vsock)
	rm -rf '$(bench)/root' '$(bench)/compiled'
	$(MAKE) -s install DESTDIR= PREFIX='$(bench)/root'
	$(MAKE) -s install DESTDIR= PREFIX='$(bench)/compiled' COMPILED=1
	eval "$$($(MAKE) -s env)"; \
	PATH="$$PATH:$(abspath $(BUILD))/vmm" FIRECRACKER="$${FIRECRACKER:-$$(command -v firecracker)}" JAILER="$${JAILER:-$$(command -v jailer)}" \
	LUA_PATH="./?.lua;$$LUA_PATH" BENCH='$(bench)' GUESTS='$(abspath $(BUILD))/guest' INSTALLED='$(bench)/root' COMPILED='$(bench)/compiled' \
	$(LUA) spec/bench/run.lua

$(bench)/floor $(bench)/easy: spec/bench/floor.c
$(bench)/easy: CPPFLAGS += -DWITH_CURL
$(bench)/easy: libs := -lcurl
$(bench)/stubvmm: spec/bench/stubvmm.c
$(bench)/stubvmm: LDFLAGS += -static
$(bench)/usage: spec/bench/usage.c
$(bench)/vsock: spec/bench/vsock.c
$(bench)/network: spec/bench/network.c
$(bench)/nat: spec/bench/nat.c
$(bench)/%:
	@mkdir -p $(@D)
	$(CC) -Wall -Wextra $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $< $(libs)

lint: all
	$(LUACHECK) -q lua scripts scripts/fclua scripts/api-check scripts/precompile spec rockspec
	$(CPPCHECK) -q --std=c11 --library=lua --enable=warning,performance,portability --inline-suppr --error-exitcode=1 \
	  -D'__has_include(x)=1' -Icsrc csrc scripts/guest/init.c
	printf '%s\n' $(module_c) $(wildcard csrc/fuzz/*.c spec/support/*.c) scripts/guest/init.c | \
	  xargs -P "$$(nproc)" -n 1 sh -c '$(CLANG_TIDY) --quiet "$$0" -- $(flags) -I$(LUA_INCDIR) 2>/dev/null'
	@for so in $(modules); do \
	  nm -D --defined-only $$so | awk -v so=$$so '$$3 !~ /^luaopen_/ { print so " exports " $$3; bad = 1 } END { exit bad }' || exit 1; \
	done

doc:
	$(LDOC) --dir $(BUILD)/doc .
	$(LUA) scripts/fclua api --markdown > $(BUILD)/doc/api.md

# Paths reach the shell in its variables: they may hold blanks. Those that stay in files are absolute.
install: export to_lua = $(DESTDIR)$(LUADIR)
install: export to_lib = $(DESTDIR)$(LIBDIR)
install: export to_bin = $(DESTDIR)$(BINDIR)
install: export luadir = $(LUADIR)
install: export libdir = $(LIBDIR)
lua_files := find lua -name '*.lua' -printf '%P\0'
install: all
	install -d "$$to_lua/firecracker/flows" "$$to_lua/firecracker/guest" "$$to_lib/firecracker/core" "$$to_bin"
	$(lua_files) | xargs -0 -I '{}' install -D -m 644 'lua/{}' "$$to_lua/{}"
	$(if $(COMPILED),$(lua_files) | xargs -0 $(LUA) scripts/precompile "$$(realpath -ms -- "$$luadir")" "$$to_lua")
	install -m 644 scripts/*.lua "$$to_lua/firecracker/flows"
	install -m 644 scripts/guest/build scripts/guest/init.c "$$to_lua/firecracker/guest"
	install -s -m 755 $(BUILD)/firecracker/core.so "$$to_lib/firecracker"
	install -s -m 755 $(BUILD)/firecracker/core/*.so "$$to_lib/firecracker/core"
	sed "/^local LUADIR/c local LUADIR, LIBDIR = [==[$$(realpath -ms -- "$$luadir")]==], [==[$$(realpath -ms -- "$$libdir")]==]" \
	  scripts/fclua | install -m 755 /dev/stdin "$$to_bin/fclua"

clean:
	rm -rf $(BUILD)
