-- Signals handed on to VMMs, with real signals.
local bed = require "spec.support.bed"
local fc = require "firecracker"
local leaks = require "spec.support.leaks"
local sh = require "spec.support.sh"

describe("#kvm signals of this process", function ()
  setup(function ()
    fc.loop:pollfd()          -- makes the timer for other loops, which stays
    require("spec.support.luv").run()       -- so does its loop
  end)
  leaks.check(before_each, after_each, teardown)

  local pid = io.open "/proc/self/stat":read "n"

  local function kill (signal)
    sh(("kill -%s %d"):format(signal, pid))
  end

  local function dispositions ()
    local status <close> = assert(io.open "/proc/self/status")
    local text = status:read "a"
    return { text:match "SigBlk:%s*(%x+)", text:match "SigIgn:%s*(%x+)", text:match "SigCgt:%s*(%x+)" }
  end

  local before
  before_each(function () before = dispositions() end)
  after_each(function () assert.same(before, dispositions()) end)

  it("reach a VMM until it ends, and then have their old way again", function ()
    for signal, outcome in pairs { INT = { signal = 2 }, TERM = { signal = 15 }, QUIT = { signal = 3 }, HUP = { exited = 156 } } do
      local vm <close> = assert(fc.boot(bed.config "idle"))
      local forwarding = assert(fc.forward_signals(vm))
      assert.equal("<forwarding INT QUIT TERM HUP ABRT>", tostring(forwarding))
      assert.not_same(before, dispositions())
      assert.same({ before[2], before[3] }, { dispositions()[2], dispositions()[3] })
      kill(signal)
      assert.same(outcome, vm:wait { timeout = 10 }, signal)
      assert.same(before, dispositions())
      assert.equal("<forwarding INT QUIT TERM HUP ABRT, closed>", tostring(forwarding))
    end
  end)

  it("leave nothing with the machine when they are forwarded no more", function ()
    local vm <close> = assert(fc.boot(bed.config "idle"))
    local entries = #vm.undo
    for _ = 1, 3 do
      local _ <close> = assert(fc.forward_signals(vm, { "USR1" }))
      assert.equal(entries + 1, #vm.undo)
      assert.not_same(before, dispositions())
    end
    assert.equal(entries, #vm.undo)
  end)

  it("let go of what they hold back when the VMM ends and nobody waits for it", function ()
    fc.run(function ()
      local vm <close> = assert(fc.boot(bed.config "idle"))
      assert(fc.forward_signals(vm, { "USR1" }))
      vm:kill()
      bed.eventually(function () return dispositions()[1] == before[1] end, "the old mask")
      assert.equal("exited", vm.state)
    end)
  end)

  it("are told of, reach several VMMs, and only those of the list", function ()
    fc.run(function ()
      local told, vms = {}, {}
      for i = 1, 3 do
        vms[i] = assert(fc.boot(bed.config("idle", {
          log = function (event) told[#told + 1] = event.event == "signal" and event.id .. event.signal or nil end,
        })))
        if i < 3 then
          assert(fc.forward_signals(vms[i], { "SIGusr1", "USR1" }))
        end
      end
      kill "USR1"
      assert.same({ signal = 10 }, vms[1]:wait { timeout = 10 })
      assert.same({ signal = 10 }, vms[2]:wait { timeout = 10 })
      assert.equal("running", vms[3].state)
      table.sort(told)
      local expected = { vms[1].id .. "USR1", vms[2].id .. "USR1" }
      table.sort(expected)
      assert.same(expected, told)
      for _, vm in ipairs(vms) do
        vm:close()
      end
    end)
  end)

  it("are this process's again once closed; what came before is handed on", function ()
    local vm <close> = assert(fc.boot(bed.config "idle"))
    do
      local first <close> = assert(fc.forward_signals(vm, { "USR1", "USR2" }))
      local second = assert(fc.forward_signals(vm, { "USR1" }))
      second:close()
      second:close()
      assert.not_same(before, dispositions())   -- the first is there
      kill "USR2"
      assert.truthy(first)
    end
    assert.same(before, dispositions())
    assert.same({ signal = 12 }, vm:wait { timeout = 10 })
  end)

  it("reach each VMM, whether one asked by name and another by number", function ()
    local first <close> = assert(fc.boot(bed.config "idle"))
    local second <close> = assert(fc.boot(bed.config "idle"))
    assert.equal("<forwarding TERM>", tostring(assert(fc.forward_signals(first, { "TERM", 15, "sigterm" }))))
    assert.equal("<forwarding TERM 40>", tostring(assert(fc.forward_signals(second, { 15, 40 }))))
    kill "TERM"
    assert.same({ signal = 15 }, first:wait { timeout = 10 })
    assert.same({ signal = 15 }, second:wait { timeout = 10 })
  end)

  it("need a machine with a VMM and names that are signals", function ()
    local vm <close> = assert(fc.new(bed.config "idle"))
    local handle, err = fc.forward_signals(vm)
    assert.is_nil(handle)
    assert.equal("state", err.code)
    assert(vm:start())
    for message, list in pairs {
      ["forward_signals: no such signal: 'INTERRUPT'"] = { "TERM", "INTERRUPT" },
      ["forward_signals: no such signal: 'TURM'"] = { "turm" },
      ["forward_signals: no such signal: 99.0"] = { 99 },
      ["forward_signals: signal expected, got boolean"] = { "TERM", true },
      ["forward_signals: [2]: KILL cannot be caught"] = { "TERM", "SIGKILL" },
      ["forward_signals: [1]: STOP cannot be caught"] = { 19 },
      ["forward_signals: list of signals expected, got 'TERM'"] = "TERM",
      ["forward_signals: list of signals expected, got table"] = { TERM = true },
    } do
      for _, call in ipairs { fc.forward_signals, vm.forward_signals } do
        local ok, problem = pcall(call, vm, list)
        assert.is_false(ok)
        assert.equal(message, problem.message)
        assert.matches("signals_spec.lua", problem.where)
        assert.same(before, dispositions())
      end
    end
    assert.error_matches(function () fc.forward_signals { "TERM" } end, "forward_signals: machine expected, got table")
  end)

  it("are handed on inside cqueues and luv", function ()
    local controller, ended = require "cqueues".new(), nil
    controller:wrap(function ()
      local vm <close> = assert(fc.boot(bed.config "idle"))
      assert(fc.forward_signals(vm))
      kill "TERM"
      ended = vm:wait { timeout = 10 }
    end)
    assert(controller:loop(15))
    assert.same({ signal = 15 }, ended)

    local uv = require "spec.support.luv"
    local vm <close> = assert(fc.boot(bed.config "idle"))
    assert(fc.forward_signals(vm))
    uv.update_time()    -- the loop stood since another spec
    local poll, limit = uv.new_poll(fc.loop:pollfd()), uv.new_timer()
    poll:start("r", function ()
      fc.loop:step()
      if vm.state == "exited" then
        uv.stop()
      end
    end)
    limit:start(30000, 0, uv.stop)
    kill "INT"
    uv.run()
    poll:close()
    limit:close()
    uv.run()
    assert.same({ signal = 2 }, vm:wait { timeout = 1 })
  end)

  -- In a program of its own: the signals would end it.
  local function program (body)
    local path = bed.write(bed.scratch "script.lua", ([[
      local fc = require "firecracker"
      local vm <close> = assert(fc.boot { run_dir = %q, boot_source = { kernel_image_path = %q }, timeouts = { shutdown = 0 } })
      local pid = io.open "/proc/self/stat":read "n"
    ]]):format(leaks.run_dir, bed.guest "idle") .. body)
    finally(function () os.remove(path) end)
    return sh("timeout 30 lua5.4 " .. path)
  end

  it("end the VMM and not the program, which goes on and is ended by the next", function ()
    local out, status = program [[
      assert(fc.forward_signals(vm))
      os.execute("kill -TERM " .. pid)
      print(vm:wait())
      io.stdout:flush()
      os.execute("kill -TERM " .. pid)
      print "not here"
    ]]
    assert.equal("<signal 15>\n", (out:gsub("Terminated\n", "")))
    assert.equal(128 + 15, status)
  end)

  it("that nobody asked for are the program's", function ()
    local out, status = program [[
      print(vm.pid)
      io.stdout:flush()
      os.execute("kill -HUP " .. pid)
      print "not here"
    ]]
    assert.equal(128 + 1, status)
    local vmm = out:match "^(%d+)\n"
    assert.is_nil(out:find "not here")
    sh(("kill -9 %s; while kill -0 %s; do sleep 0.01; done"):format(vmm, vmm))   -- what nobody could clean up after
    sh(("rm -r '%s'/*"):format(leaks.run_dir))
  end)
end)
