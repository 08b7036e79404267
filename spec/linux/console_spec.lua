-- The serial console of a real guest: its login driven by what it says, and a flood of it and of the VMM's log.
local fc = require "firecracker"
local linux = require "spec.support.linux"

local PATIENCE <const> = { timeout = linux.patience }
local COMMAND <const> = 52
local FLOOD <const> = 10    -- seconds

describe("#linux a guest's console", function ()
  linux.check(before_each, after_each, teardown, pending)

  local function boot (logger)
    local config = linux.config { console = "pty", logger = logger }
    config.boot_source.boot_args = config.boot_source.boot_args .. " login"
    local flow = assert(fc.flow "boot"):insert_before("fcinit.StartInstance", function (vm)
      vm.vsock_path = vm.directory .. "/vsock"
      return vm.api:request("PUT", "/vsock", { guest_cid = 3, uds_path = "vsock" })
    end)
    local vm = assert(fc.boot(config, flow))
    return vm, assert(vm:console())
  end

  it("logs in, runs commands and logs out, by what it says", function ()
    local lines = 0
    local vm <close>, console = boot { level = "Debug", to = function () lines = lines + 1 end }
    assert.matches("^%d+%.%d+$", assert(console:expect("guest ready (%S+)\r", PATIENCE)))
    assert(console:expect("login: ", PATIENCE))
    assert(console:write "root\r")
    assert(console:expect("[#$] ", PATIENCE))
    assert(console:write "echo $((6*7)) >/tmp/answer; cat /tmp/answer\r")
    assert.equal("42", console:expect("\n(%d+)\r\n", PATIENCE))
    assert(console:expect("# ", PATIENCE))
    assert(console:write "echo begun; sleep 10000\r")
    assert(console:expect("\nbegun\r\n", PATIENCE))
    local deadline = fc.now() + linux.patience
    repeat    -- the guest's own Ctrl-C; one that comes while the shell changes the terminal's mode is lost
      assert(console:write "\3")
    until console:expect("# ", { timeout = 2 }) or fc.now() > deadline
    assert(console:write "exit\r")
    assert(console:expect("login: ", PATIENCE))
    assert.equal("42\n", linux.run(vm, "cat /tmp/answer"))

    -- a flood, of the log by a stream whose packets are told of there: memory is bounded, the loop goes on, VMM and guest answer
    local stream <close> = assert(vm:dial(COMMAND, PATIENCE))
    assert(stream:write(("timeout %d yes 0123456789abcdef\n"):format(FLOOD)))
    local reader = fc.spawn(function () while stream:read(-(1 << 16)) do end end)
    assert.same({ "", 0 }, { linux.run(vm, ("timeout %d yes 0123456789abcdef >/dev/ttyS0 2>&1 &"):format(FLOOD)) })
    collectgarbage()
    local before, had, turns, ends = collectgarbage "count", lines, 0, fc.now() + FLOOD
    while fc.now() < ends do
      fc.sleep(0.01)
      turns = turns + 1
    end
    assert.is_true(turns > FLOOD * 5)
    assert.is_true(lines - had > FLOOD * 20, lines - had)
    assert(vm:info())
    collectgarbage()
    assert.is_true(collectgarbage "count" - before < 2048)
    assert.equal("alive\n", linux.run(vm, "echo alive"))
    reader:wait()
    assert(console:expect("0123456789abcdef\r\n0123456789abcdef\r\n", PATIENCE))
    linux.run(vm, "reboot -f")
    assert.same({ exited = 0 }, vm:wait(PATIENCE))
    assert.is_true(#console:read "a" <= 1 << 18)
  end)
end)
