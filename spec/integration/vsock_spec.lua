-- The vsock of a real VMM, as far as guests without a driver show it.
local bed = require "spec.support.bed"
local core = require "firecracker.core"
local fc = require "firecracker"
local leaks = require "spec.support.leaks"

describe("#kvm a machine's vsock", function ()
  leaks.check(before_each, after_each, teardown)

  local function config (guest, more)
    more = more or {}
    more.vsock = { guest_cid = 3, uds_path = bed.scratch "vsock" }
    return bed.config(guest or "idle", more)
  end

  it("is silent while the guest has no driver", function ()
    local vm <close> = assert(fc.boot(config()))
    local s, err = vm:dial(52, { timeout = 0.05 })
    assert.is_nil(s)
    assert.same({ "timeout", 52, vm.vsock_path }, { err.code, err.port, err.path })
    assert.matches("vsock port 52: no answer %(the guest is not ready, paused, or without a vsock driver%)", tostring(err))
    assert.matches("vsock_spec.lua:%d+$", err.where)
  end)

  it("tells at once that the VMM is gone, and with which words", function ()
    local vm <close> = assert(fc.boot(config()))
    fc.run(function ()
      local dialled = fc.spawn(vm.dial, vm, 52, { timeout = 60 })
      fc.sleep(0.02)
      vm:kill()
      local s, err = dialled:wait { timeout = 30 }
      assert.is_nil(s)
      assert.same({ "exited", 9 }, { err.code, err.signal })
    end)
    vm:wait()
    assert.equal("exited", select(2, vm:dial(52)).code)
    assert.equal("state", select(2, vm:listen(52)).code)
  end)

  it("is dialled within timeouts.dial, and not at all without a device", function ()
    local vm <close> = assert(fc.boot(config("idle", { timeouts = { dial = 0.01, shutdown = 0 } })))
    assert.equal("timeout", select(2, vm:dial(52)).code)
    local none <close> = assert(fc.boot(bed.config "idle"))
    for _, verb in ipairs { "dial", "listen" } do
      local s, err = none[verb](none, 52)
      assert.is_nil(s)
      assert.same({ "state", "set config.vsock" }, { err.code, err.hint })
    end
    assert.equal("state", select(2, fc.new(config()):dial(52)).code)
    assert.error_matches(function () vm:dial "52" end, "dial: port from 0 to 4294967294 expected, got '52'")
  end)

  it("is listened at from before the start; the listener goes with the machine, however it ends", function ()
    for _, ending in ipairs { "stop", "close", "fail", "earlier" } do
      local flow = assert(fc.flow "boot")
      if ending == "fail" then
        flow:append("fcinit", fc.handler("spec.Fails", function () return nil, "on purpose" end))
      end
      local vm = assert(fc.new(config(), flow))
      local listener = assert(vm:listen(7000))
      assert.equal(vm.config.vsock.uds_path .. "_7000", listener.path)
      assert.is_true(core.files.listens(listener.path))
      if vm:start() then
        local second <close> = assert(vm:listen(7001))
        assert.equal(vm.vsock_path .. "_7001", second.path)
        if ending == "earlier" then
          assert.is_true(listener:close())
        end
        vm[ending == "close" and "close" or "stop"](vm)
      end
      vm:close()
      assert.is_nil((core.files.look(listener.path)))
      assert.equal("closed", select(2, listener:accept()).code)
    end
  end)

  it("is listened at by a step that is tried again: each listener goes with what was made beside it", function ()
    local vm = assert(fc.new(config()))
    local listeners = {}
    local step = fc.handler("spec.Listens", function ()
      listeners[#listeners + 1] = assert(vm:listen(7000))
      return #listeners > 1 or nil, "not yet"
    end)
    assert.is_nil((step(vm)))
    assert.equal("closed", select(2, listeners[1]:accept()).code)
    assert(step(vm))
    assert.is_true(core.files.listens(listeners[2].path))
    assert(vm:close())
    assert.is_nil((core.files.look(listeners[2].path)))
  end)

  it("whose place another VMM takes in the last moment leaves that one's socket alone", function ()
    local shared, other = config(), nil
    local socket = shared.vsock.uds_path
    local function take ()
      other = assert(fc.boot(shared))
    end
    local function take_before_put (machine)
      local put = machine.api.put_vsock
      function machine.api.put_vsock (...)
        take()
        return put(...)
      end
    end
    for via, step in pairs { api = { "fcinit.AddVsocks", take_before_put }, config_file = { "fcinit.StartInstance", take } } do
      local flow = assert(fc.flow "boot"):insert_before(step[1], step[2])
      local vm, err = fc.boot(shared, { flow = flow, via = via })
      local _ <close> = other
      assert.is_nil(vm)
      assert.matches("Address in use", err.message)
      assert.is_true(core.files.listens(socket))
      other:close()
      assert.is_nil(core.files.look(socket))
    end
  end)

  it("refuses a path that with the port behind it is too long for the VMM", function ()
    local at = bed.scratch "vsock"
    local vm = fc.new(bed.config("idle", { vsock = { guest_cid = 3, uds_path = at .. ("x"):rep(107 - #at) } }))
    local listener, err = vm:listen(7)
    assert.is_nil(listener)
    assert.same({ "config", "vsock.uds_path" }, { err.code, err.field })
    assert.matches("with _7 behind it 109 bytes, the VMM connects to at most 107", err.message)
  end)
end)
