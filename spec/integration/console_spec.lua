-- The guest's serial console on a pseudo-terminal, with guests that echo and that flood.
local bed = require "spec.support.bed"
local fc = require "firecracker"
local leaks = require "spec.support.leaks"

describe("#kvm a console", function ()
  leaks.check(before_each, after_each, teardown)

  local function boot (guest, more)
    more = more or {}
    more.console = more.console or "pty"
    local vm = assert(fc.boot(bed.config(guest, more)))
    return vm, assert(vm:console())
  end

  it("is read, written and waited for", function ()
    local vm <close>, console = boot "echo"
    assert.equal(("<console of machine %s>"):format(vm.id), tostring(console))
    assert.equal(console, vm:console())
    assert(console:write("login: ", 7, "\n", "$ "))
    assert.equal("login: 7\n", console:read("L", { timeout = 10 }))
    console:write "abc 123\nrest\n"
    assert.same({ "123", "abc" }, { console:expect("(%d+)\n", { timeout = 10 }), "abc" })
    assert.equal("rest", console:read { timeout = 10 })
    local got, err = console:expect("never", { timeout = 0.02 })
    assert.is_nil(got)
    assert.same({ "timeout", "" }, { err.code, err.seen })
    console:write "(a.b)\n"
    assert.equal("(a.b)", console:expect("(a.b)", { timeout = 10, plain = true }))
    console:write "last words\n"
    assert.equal("last", console:expect("(%l+) ", { timeout = 10 }))
    console:write "q"
    assert.same({ exited = 0 }, vm:wait { timeout = 10 })
    assert.equal("words\n", console:read "a")
    got, err = console:expect "more"
    assert.is_nil(got)
    assert.equal("closed", err.code)
    assert.is_nil(console:read())
    assert.equal("EPIPE", select(2, console:write "x").errno)
  end)

  it("is iterated to the VMM's end, in a task beside others", function ()
    local vm <close>, console = boot "hello"
    fc.run(function ()
      local lines = fc.spawn(function ()
        local list = {}
        for line in console:lines() do
          list[#list + 1] = line
        end
        return list
      end)
      assert.same({ exited = 0 }, vm:wait { timeout = 10 })
      assert.same({ "hello from the guest" }, lines:wait { timeout = 10 })
    end)
  end)

  it("keeps the last bytes of a guest that floods it, in bounded memory, and holds nobody up", function ()
    local vm <close>, console = boot("flood", { console_size = 8192 })
    bed.eventually(function () return console:dropped() > 1 << 13 end, "a flood", 60)
    collectgarbage()
    local before, ticks, ends = collectgarbage "count", 0, fc.now() + 1
    while fc.now() < ends do
      local asked = fc.now()
      assert(vm:info())
      fc.sleep(0.001)
      assert.is_true(fc.now() - asked < 5)
      ticks = ticks + 1
    end
    assert.is_true(ticks > 10)
    collectgarbage()
    assert.is_true(collectgarbage "count" - before < 1024)
    assert.is_true(#console:read(-(1 << 20)) <= 8192)
    assert.equal(("x"):rep(63), console:expect("\n(x+)\n", { timeout = 60 }))
    -- nobody moves the loop: the VMM goes on all the same, and drops what finds no room
    local busy = fc.now() + 0.5
    while fc.now() < busy do end
    assert.equal("Running", vm:info().state)
    console:write "q"
    assert.same({ exited = 0 }, vm:wait { timeout = 10 })
    assert.is_true(#console:read "a" <= 8192)
  end)

  it("is written to where its output goes to a function, and nowhere else is one", function ()
    local sink, text = bed.collector()
    local vm <close>, console = boot("echo", { console = sink })
    console:write "to the guest\n"
    bed.eventually(function () return text() == "to the guest\n" end, "the echo")
    assert.error_matches(function () console:read() end, "its output goes to the function config.console")
    assert.error_matches(function () console:expect "x" end, "its output goes to the function config.console")
    console:write "q"
    assert.same({ exited = 0 }, vm:wait { timeout = 10 })
    local other <close> = assert(fc.boot(bed.config "idle"))
    local none, err = other:console()
    assert.is_nil(none)
    assert.same({ "state", 'set config.console = "pty"' }, { err.code, err.hint })
    none, err = fc.new(bed.config("idle", { console = "pty" })):console()
    assert.is_nil(none)
    assert.equal("it comes with the VMM", err.hint)
  end)

  it("is attached to a terminal and detached by a task", function ()
    local vm <close>, console = boot "tick"
    fc.run(function ()
      local got = {}
      local attached = fc.spawn(console.attach, console, { output = function (bytes) got[#got + 1] = bytes end })
      bed.eventually(function () return table.concat(got):find "1\n2\n" end, "what the guest prints")
      assert.error_matches(function () console:read() end, "attached to a terminal")
      assert.is_true(console:detach())
      assert.equal("detached", (attached:wait { timeout = 10 }))
      assert.is_false(console:detach())
      assert.equal("5", console:expect("5", { timeout = 10 }))
      attached = fc.spawn(console.attach, console, { output = function () end })
      fc.sleep(0.01)
      vm:kill()
      vm:wait()
      assert.equal("ended", (attached:wait { timeout = 10 }))
    end)
  end)

  it("is closed for whoever used it, not for the machine, and comes anew", function ()
    local vm, console = boot "echo"
    fc.run(function ()
      local reading = fc.spawn(console.read, console)
      local expecting = fc.spawn(console.expect, console, "never")
      fc.sleep(0.01)
      assert.is_true(console:close())
      for _, task in ipairs { reading, expecting } do
        local got, err = task:wait { timeout = 10 }
        assert.is_nil(got)
        assert.equal("closed", err.code)
      end
    end)
    assert.is_true(console:close())
    assert.equal("closed", select(2, console:write "x").code)
    assert.equal("closed", select(2, console:expect "x").code)
    do
      local again <close> = vm:console()
      again:write "still there\n"
      assert.equal("still there", again:read { timeout = 10 })
      fc.run(function ()
        local attached = fc.spawn(again.attach, again, { output = function () end })
        fc.sleep(0.01)
        again:close()
        assert.equal("detached", (attached:wait { timeout = 10 }))
      end)
    end
    local last = vm:console()
    last:write "last\n"
    bed.eventually(function () return last.raw:peek() == "last\n" end, "the guest's answer")
    last:close()
    assert.is_nil(assert(vm:stop()).undo_errors)
    assert.equal("last\n", vm:console():read "a")
  end)

  it("leaves no descriptor when the VMM never came up", function ()
    local vm, err = fc.boot(bed.config("hello", { console = "pty", vmm = { binary = "/bin/false" } }))
    assert.is_nil(vm)
    assert.equal("exited", err.code)
  end)

  it("refuses what never can be", function ()
    local vm <close>, console = boot "echo"
    for message, call in pairs {
      ["read: 262145 bytes never are there at once"] = function () console:read((1 << 18) + 1) end,
      ["expect: pattern expected, got nil"] = function () console:expect() end,
      ["expect: pattern expected, got '%[x'"] = function () console:expect "[x" end,
      ["expect: table of options expected, got number"] = function () console:expect("x", 1) end,
      ["expect: timeout: seconds expected, got '1'"] = function () console:expect("x", { timeout = "1" }) end,
      ["expect: plian: unknown key %(did you mean 'plain'%?%)"] = function () console:expect("x", { plian = true }) end,
      ["attach: table of options expected, got number"] = function () console:attach(5) end,
      ["attach: escap: unknown key %(did you mean 'escape'%?%)"] = function () console:attach { escap = "x" } end,
      ["attach: timeout: unknown key"] = function () console:attach { timeout = 1 } end,
    } do
      local ok, err = pcall(call)
      assert.is_false(ok)
      assert.matches(message, err.message)
      assert.matches("console_spec.lua:%d+$", err.where)
    end
    console:write "hello\n"
    assert.error_matches(function () console:expect("hel[", { timeout = 10 }) end,
      "expect: pattern expected, got 'hel%[': malformed pattern")
    assert.error_matches(function () fc.new { console = "tty" } end, "'null', 'inherit', 'pty', a path with a slash or a function expected")
    assert.is_truthy(vm.pid)
  end)
end)
