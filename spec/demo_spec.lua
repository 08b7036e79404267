-- scripts/demo where /dev/kvm is of no use, and what it runs where it is.

local sh = require "spec.support.sh"

-- Runs the demo, or `command`, under a /dev of its own: nothing but null and what `nodes` makes.
local function demo (nodes, command)
  if select(2, sh "unshare --mount true") ~= 0 then pending "a mount namespace needs root" end
  local prepare = "mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && " .. nodes
  return sh("unshare --mount sh -c " .. sh.quote(prepare .. " && " .. (command or "exec scripts/demo")))
end

-- Runs the demo of a tree of its own, which is `tree` below the directory it is called in. Everything below it only tells:
-- where it is and what it was given. Returns the lines, with . for the directory.
local function told (environment, arguments)
  return sh.tmpdir(function (dir)
    local out, status = sh(([[cd %s && mkdir -p tree/scripts bin other/tree && cp "$OLDPWD/scripts/demo" tree/scripts &&
      printf '#!/bin/sh\necho "setup in $PWD: $*"' >tree/scripts/setup && printf '#!/bin/sh\n' >bin/perl &&
      printf '#!/bin/sh\necho "fclua in $PWD: $*"' >tree/scripts/fclua && chmod +x bin/perl tree/scripts/* &&
      printf 'BUILD ?= build\nenv:\n$(BUILD)/guest/hello.elf:\n\t@echo "make $@"\n' >tree/Makefile]]):format(dir))
    assert(status == 0, out)
    out, status = demo("mknod /dev/kvm c 1 3", ("cd %s && PATH=%s/bin:$PATH %s tree/scripts/demo %s")
      :format(dir, dir, environment, arguments))
    assert(status == 0, out)
    return (out:gsub(dir:gsub("%p", "%%%0"), "."))
  end)
end

describe("scripts/demo #scripts #root", function ()
  it("says that /dev/kvm is missing, and what to do", function ()
    local out, status = demo "true"
    assert.equal(1, status)
    assert.matches("^demo: /dev/kvm is missing", out)
    assert.matches("modprobe kvm_intel", out)
  end)

  it("says that KVM creates no machine", function ()
    local out, status = demo "mknod /dev/kvm c 1 3"
    assert.equal(1, status)
    assert.matches("^demo: /dev/kvm is there but creates no virtual machine", out)
  end)

  it("boots its guest, whatever BUILD and CDPATH say", function ()
    local expected = [[
setup in .: demo
make build/guest/hello.elf
fclua in .: run ./tree/scripts/boot.lua --kernel ./tree/build/guest/hello.elf --memory 64
]]
    assert.equal(expected, told("", "--memory 64"))
    assert.equal(expected, told("BUILD=out CDPATH=other", "--memory 64"))
  end)

  it("boots the guest that it is given, by a path from where it is called", function ()
    for _, words in ipairs { "--kernel mine", "--kernel=mine", "-m 64 --kernel mine -- --kernel" } do
      assert.matches("\nfclua in %.: run %./tree/scripts/boot.lua " .. words:gsub("%p", "%%%0") .. "\n$", told("", words))
    end
    assert.matches(" %-%-kernel %./tree/build/guest/hello.elf %-%- %-%-kernel\n$", told("", "-- --kernel"))
  end)
end)
