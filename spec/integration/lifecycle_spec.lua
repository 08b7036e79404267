-- Every way a machine ends: each has a defined outcome and says what happened.
local bed = require "spec.support.bed"
local core = require "firecracker.core"
local direct = require "firecracker.launch.direct"
local driver = require "spec.support.reactor"
local fc = require "firecracker"
local host = require "firecracker.host"
local leaks = require "spec.support.leaks"
local sh = require "spec.support.sh"

describe("#kvm the end of a machine", function ()
  leaks.check(before_each, after_each, teardown)

  -- An orphan that has ended stays a zombie until init looks.
  local function alive (pid)
    local file <close> = io.open("/proc/" .. pid .. "/stat")
    return file ~= nil and not file:read "a":find "%) Z "
  end

  local function freeze (vm)
    bed.freeze(vm.pid)
  end

  it("comes by SIGKILL while it is waited for", function ()
    fc.run(function ()
      local vm <close> = assert(fc.boot(bed.config "idle"))
      local waiting = fc.spawn(vm.wait, vm)
      fc.sleep(0.02)
      vm:kill()
      assert.same({ signal = 9 }, waiting:wait())
    end)
  end)

  it("comes by SIGKILL during a request", function ()
    fc.run(function ()
      local vm <close> = assert(fc.boot(bed.config "idle"))
      freeze(vm)   -- the request stays unanswered
      local asking = fc.spawn(vm.info, vm)
      fc.sleep(0.02)
      vm:kill()
      local began = fc.now()
      local info, err = asking:wait()
      assert.is_nil(info)
      assert.equal("exited", err.code)
      assert.equal(9, err.signal)
      assert.equal("GET /", err.operation)
      assert.matches("the VMM was ended by signal 9", err.message)
      assert.is_true(fc.now() - began < 2)
    end)
  end)

  it("comes by SIGKILL between requests", function ()
    local vm <close> = assert(fc.boot(bed.config "idle"))
    assert(vm:info())
    vm:kill()
    local info, err = vm:info()
    assert.is_nil(info)
    assert.equal("exited", err.code)
    assert.equal(9, err.signal)
    assert.same({ signal = 9 }, vm:wait())
    assert.same({ by = "itself", signal = 9 }, vm:stop())
  end)

  it("comes by the guest: a reset, a triple fault", function ()
    for _, name in ipairs { "exit", "fault" } do
      local vm <close> = assert(fc.boot(bed.config(name)))
      assert.is_number(vm:wait { timeout = 10 }.exited, name)   -- a triple fault: 0 before release 1.15, 1 since
    end
  end)

  it("has a reason where Firecracker has but a number for it", function ()
    local known = { BUS = { 149, "^SIGBUS: a file that it maps" }, XFSZ = { 151, "^SIGXFSZ: a file .* beyond its limit" } }
    for signal, expected in pairs(known) do
      local vm <close> = assert(fc.boot(bed.config "idle"))
      assert(vm:kill(signal))
      local ended = assert(vm:wait { timeout = 30 })
      assert.equal(expected[1], ended.exited)
      assert.matches(expected[2], ended.reason)
      assert.equal(ended.reason, vm:exited_error().hint)
    end
  end)

  it("comes to a guest that hangs", function ()
    local vm <close> = assert(fc.boot(bed.config("hang", { timeouts = { shutdown = 0.05 } })))
    assert.same({ by = "term", signal = 15 }, vm:stop())
  end)

  it("comes by SIGKILL to a VMM that does not hear SIGTERM", function ()
    local vm <close> = assert(fc.boot(bed.config("idle", { timeouts = { shutdown = 0, term = 0.1 } })))
    freeze(vm)
    assert.same({ by = "kill", signal = 9 }, vm:stop())
    local other <close> = assert(fc.boot(bed.config "idle"))
    freeze(other)
    assert.same({ by = "kill", signal = 9 }, other:stop { timeout = 0.1 })
  end)

  it("does not come to a program that waits for its VMM when that is slow", function ()
    local path = bed.write(bed.scratch "vmm", ('#!/bin/sh\n%s "$@"\nexit $?\n'):format(sh.quote(os.getenv "FIRECRACKER")))
    finally(function () os.remove(path) end)
    assert(os.execute("chmod 755 " .. path))
    fc.run(function ()
      local vm <close> = assert(fc.boot(bed.config("idle", { vmm = { binary = path } })))
      local pid = assert(sh(("cat /proc/%d/task/%d/children"):format(vm.pid, vm.pid)):match "^%d+")
      bed.freeze(pid)
      local asking = fc.spawn(vm.info, vm)
      fc.sleep(1.5)   -- the first look at it is after 0.25 s, and a guest that has ended gets 1 s
      sh("kill -CONT " .. pid)
      assert.is_table(asking:wait())
      sh("kill " .. pid)
      assert.is_table(vm:wait { timeout = 30 })
    end)
  end)

  it("comes after all where an interruption broke off the undoing", function ()
    local vm <close> = assert(fc.boot(bed.config "idle"))
    function vm.undo.unwind ()
      error "interrupted!"
    end
    assert.error_matches(function () vm:stop() end, "interrupted!")
    vm.undo.unwind = nil
    assert.same({ by = "itself", signal = 15 }, vm:stop { timeout = 10 })
  end)

  it("comes once, however often and from wherever it is asked for", function ()
    fc.run(function ()
      local vm <close> = assert(fc.boot(bed.config "idle"))
      local first, second, third = fc.spawn(vm.stop, vm), fc.spawn(vm.stop, vm), fc.spawn(vm.wait, vm)
      assert.same({ by = "term", signal = 15 }, first:wait())
      assert.equal(15, second:wait().signal)
      assert.same({ signal = 15 }, third:wait())
      assert.same({ by = "itself", signal = 15 }, vm:stop())
      assert.same({ by = "itself", signal = 15 }, vm:stop())
    end)
  end)

  for what, more in pairs {
    console = function (take) return { console = take } end,
    log = function (take) return { logger = { level = "Debug", to = take } } end,
    metrics = function (take) return { metrics = { to = take } } end,
  } do
    it("comes from the function that takes its " .. what .. ": in time, with nothing left undone", function ()
      for _, case in ipairs { "alone", "waiting", "starting" } do
        fc.run(function ()
          local vm, outcome
          local flow = fc.flow "boot"
          if case == "starting" then
            flow:append("fcinit", fc.handler("late", function () fc.sleep(0.2) return true end))
          end
          vm = assert(fc.new(bed.config("tick", more(function ()
            if vm and not outcome and (case == "starting" or vm.state == "running") then
              outcome = true
              outcome = vm:stop { shutdown = 0 }
            end
          end)), flow))
          local ok, err = vm:start()
          assert.equal(case ~= "starting", ok ~= nil, err)
          if ok then
            vm:flush_metrics()   -- of which its log tells, too
          end
          if case == "waiting" then
            assert.is_nil(vm:wait().undo_errors)
          end
          bed.eventually(function () return type(outcome) == "table" end, "the outcome")
          assert.same({ "term", 15 }, { outcome.by, outcome.signal })
          assert.is_nil(vm.undo_errors)
          for _, reader in pairs(vm.readers or {}) do
            assert.is_nil(reader.sinks.given_up)
          end
          assert(vm:close())
        end)
      end
    end)
  end

  it("is refused by a shutdown that cannot ask: its API client was closed", function ()
    local vm <close> = assert(fc.boot(bed.config "idle"))
    vm.api:close()
    local ok, err = vm:shutdown()
    assert.is_nil(ok)
    assert.same({ "closed", "the API client is closed" }, { err.code, err.message })
    assert.equal("term", assert(vm:shutdown { stop = true }).by)
    assert.equal("exited", vm.state)
  end)

  it("is nothing before the start", function ()
    local vm = assert(fc.new(bed.config "idle"))
    assert.same({ by = "nothing" }, vm:stop())
    for _, verb in ipairs { "wait", "kill", "shutdown", "pause", "resume", "info" } do
      local ok, err = vm[verb](vm)
      assert.is_nil(ok)
      assert.equal("state", err.code, verb)
    end
    assert.is_true(vm:close())
  end)

  it("is the same by close in every state, and closing twice", function ()
    local states = {
      new = function () return assert(fc.new(bed.config "idle")) end,
      vmm = function ()
        local vm = assert(fc.new(bed.config "idle"))
        assert(fc.handlers.fcinit.start_vmm(vm))
        return vm
      end,
      running = function () return assert(fc.boot(bed.config "idle")) end,
      paused = function ()
        local vm = assert(fc.boot(bed.config "idle"))
        assert(vm:pause())
        return vm
      end,
      exited = function ()
        local vm = assert(fc.boot(bed.config "exit"))
        bed.eventually(function () return vm.state == "exited" end, "the guest's end")
        return vm
      end,
      failed = function ()
        local flow = assert(fc.flow "boot"):append("fcinit", function () error "no" end)
        local vm = assert(fc.new(bed.config "idle", flow))
        assert.is_nil((vm:start()))
        return vm
      end,
    }
    for state, make in pairs(states) do
      local vm = make()
      assert.equal(state, vm.state)
      local pid = vm.pid
      assert.is_true(vm:close(), state)
      assert.is_true(vm:close(), state)
      assert.equal("closed", vm.state)
      assert.is_false(pid and alive(pid) or false)
      local again, err = vm:start()
      assert.is_nil(again)
      assert.equal("state", err.code)
    end
  end)

  it("is none of one whose start was asked for in a wrong way: it is new", function ()
    local vm <close> = assert(fc.new(bed.config "idle"))
    assert.has_error(function () vm:start { timeout = "soon" } end)
    assert.equal("new", vm.state)
    assert(vm:start())
  end)

  it("comes with the scope when its task is cancelled", function ()
    fc.run(function ()
      local pid
      local task = fc.spawn(function ()
        local vm <close> = assert(fc.boot(bed.config "idle"))
        pid = vm.pid
        vm:wait()
      end)
      bed.eventually(function () return pid end, "the start")
      task:cancel()
      local ok, err = task:wait()
      assert.is_nil(ok)
      assert.equal("cancelled", err.code)
      assert.is_false(alive(pid))
    end)
  end)

  it("comes to the machines of a run that is left by an error", function ()
    local pids = {}
    assert.has_error(function ()
      fc.run(function ()
        for _ = 1, 3 do
          fc.spawn(function ()
            local vm <close> = assert(fc.boot(bed.config "idle"))
            pids[#pids + 1] = vm.pid
            vm:wait()
          end)
        end
        bed.eventually(function () return #pids == 3 end, "three starts")
        error "enough"
      end)
    end)
    for _, pid in ipairs(pids) do
      assert.is_false(alive(pid))
    end
  end)

  it("comes to one that is dropped, with a warning", function ()
    local script = bed.write(bed.scratch "drop.lua", ([[
      warn "@on"
      local fc = require "firecracker"
      local config = { run_dir = %q, boot_source = { kernel_image_path = %q }, console = function () end,
                       when_dropped = arg[1] }
      local vm = assert(fc.boot(config))
      local pid = vm.pid
      if arg[2] then
        assert(fc.forward_signals(vm))
        fc.sleep(0)
      end
      vm = nil
      collectgarbage()
      collectgarbage()
      fc.sleep(0.2)
      local file = io.open("/proc/" .. pid .. "/stat")
      print(pid, file and not file:read "a":find "%%) Z " and "there" or "gone")
    ]]):format(leaks.run_dir, bed.guest "idle"))
    finally(function () os.remove(script) end)
    local out = sh("lua5.4 " .. script .. " kill")
    assert.matches("warning: firecracker: machine %x+ was dropped while it ran; it is killed", out)
    assert.matches("%d+\tgone\n", out)
    assert.matches("it is killed.*%d+\tgone\n", (sh("lua5.4 " .. script .. " kill forwarding")))
    out = sh("lua5.4 " .. script .. " leave")
    assert.matches("it goes on", out)
    local pid = out:match "(%d+)\tthere\n"
    assert.is_true(alive(pid))
    assert(os.execute("kill " .. pid))
    bed.eventually(function () return not alive(pid) end, "its end")
    assert(os.execute("rm -r " .. leaks.run_dir .. "/*"))
  end)

  it("leaves nothing when it is dropped, and the program ends before anything else moves #root", function ()
    local script = bed.write(bed.scratch "end.lua", ([[
      local fc, bed = require "firecracker", require "spec.support.bed"
      fc.boot(bed.config(arg[1], { run_dir = %q, network_interfaces = { { iface_id = "net1", tap = true } },
                                   console = "pty", metrics = {} }))
      if arg[1] == "hello" then
        os.execute "sleep 0.2"   -- it ends by itself
      end
      for _ = 1, tonumber(arg[2]) do
        collectgarbage()
      end
    ]]):format(leaks.run_dir))
    finally(function () os.remove(script) end)
    for _, guest in ipairs { "idle", "hello" } do
      for collections = 0, 3 do
        sh(("lua5.4 %s %s %d"):format(script, guest, collections))
        assert.same({}, core.files.list(leaks.run_dir))
        assert.equal("", sh "ls /sys/class/net | grep ^fc || :")
      end
    end
  end)

  it("is not waited for by the collector: tasks clean up after it, and no other moves before", function ()
    fc.run(function ()
      local moved, pids = 0, {}
      local ticking = fc.spawn(function ()
        while true do
          moved = moved + 1
          fc.sleep(0)
        end
      end)
      for i = 1, 2 do
        fc.spawn(function ()
          local vm = assert(fc.boot(bed.config "idle"))
          freeze(vm)
          pids[i] = vm.pid
        end):wait()
      end
      local before = moved
      assert.equal(0, driver.steps(function ()
        collectgarbage()
        collectgarbage()
      end))
      assert.equal(before, moved)
      bed.eventually(function () return not alive(pids[1]) and not alive(pids[2]) end, "both ends")
      bed.eventually(function () return #core.files.list(leaks.run_dir) == 0 end, "the cleaning up")
      ticking:cancel()
      ticking:wait()
    end)
  end)

  it("comes with the program's, whose script forgot it", function ()
    local script = bed.write(bed.scratch "forget.lua", ([[
      local fc = require "firecracker"
      vm = assert(fc.boot { run_dir = %q, boot_source = { kernel_image_path = %q } })
      print(vm.pid)
    ]]):format(leaks.run_dir, bed.guest "idle"))
    finally(function () os.remove(script) end)
    local pid = sh("lua5.4 " .. script):match "^(%d+)\n$"
    bed.eventually(function () return not alive(pid) end, "its end")
  end)
end)

describe("#kvm the end of a machine that starts", function ()
  leaks.check(before_each, after_each, teardown)

  -- A flow whose first step acquires something, waits until `gate.open`, and acquires something more.
  local function held (gate)
    return assert(fc.flow "boot"):prepend("fcinit", function (vm)
      assert(vm:own_directory())
      gate.reached = true
      bed.eventually(function () return gate.open end, "the opening")
      vm:defer("late", function () gate.undone = (gate.undone or 0) + 1 end)
    end)
  end

  -- A process whose API never comes.
  local function sleeping (spec, spawn)
    spec.path, spec.argv = "/bin/sleep", { "sleep", "60" }
    return spawn(spec)
  end

  it("fails the start, and comes when its step is over", function ()
    for verb, by in pairs { stop = "nothing", close = true } do
      fc.run(function ()
        local gate = {}
        local vm <close> = assert(fc.new(bed.config "idle", held(gate)))
        local starting = fc.spawn(vm.start, vm)
        bed.eventually(function () return gate.reached end, "the step")
        local ending = fc.spawn(vm[verb], vm)
        bed.eventually(function () return vm.given_up end, "the end")
        assert.equal("starting", vm.state)
        gate.open = true
        local ok, err = starting:wait()
        assert.is_nil(ok)
        assert.equal("state", err.code)
        assert.matches("machine " .. vm.id .. " was stopped", err.message)
        assert.same({ "late", "run directory" }, err.undone)
        local ended = assert(ending:wait())
        assert.equal(by, ended == true or ended.by)
        assert.equal(verb == "close" and "closed" or "failed", vm.state)
        assert.equal(1, gate.undone)
        assert.is_nil(vm.process)
      end)
    end
  end)

  it("ends its VMM", function ()
    for _, verb in ipairs { "stop", "close" } do
      fc.run(function ()
        local vm <close> = assert(fc.new(bed.config("idle", { vmm = { spawn = sleeping } })))
        local starting = fc.spawn(vm.start, vm)
        bed.eventually(function () return vm.pid end, "the VMM")
        local waiting = fc.spawn(vm.wait, vm)
        fc.sleep(0)
        assert(vm[verb](vm))
        assert.equal("exited", select(2, starting:wait()).code)
        local outcome, err = waiting:wait()
        assert.is_nil(outcome)
        assert.equal("state", err.code)
        assert.equal(0, #vm.undo)
      end)
    end
  end)

  it("ends a VMM that comes after", function ()
    fc.run(function ()
      local asked, open = false, false
      local vm <close> = assert(fc.new(bed.config("idle", { vmm = { spawn = function (spec, spawn)
        asked = true
        bed.eventually(function () return open end, "the opening")
        return sleeping(spec, spawn)
      end } })))
      local starting = fc.spawn(vm.start, vm)
      bed.eventually(function () return asked end, "the spawn")
      local closing = fc.spawn(vm.close, vm)
      bed.eventually(function () return vm.given_up end, "the end")
      open = true
      local ok, err = starting:wait()
      assert.is_nil(ok)
      assert.same({ "exited", 9 }, { err.code, err.signal })
      assert.is_true(closing:wait())
    end)
  end)

  it("can be a step's own doing, also the last one's", function ()
    for _, verb in ipairs { "stop", "close" } do
      for _, at in ipairs { "prepend", "append" } do
        local late = 0
        local flow = assert(fc.flow "boot")
        flow[at](flow, "fcinit", function (vm)
          assert(vm[verb](vm))
          assert.equal(0, #vm.undo)
          vm:defer("late", function () late = late + 1 end)
        end)
        local vm <close> = assert(fc.new(bed.config "idle", flow))
        local ok, err = vm:start()
        assert.is_nil(ok)
        assert.equal("state", err.code)
        assert.same({ "late" }, err.undone)
        assert.equal(1, late)
        assert.is_nil(vm.pid)
      end
    end
  end)

  it("is not waited for for ever", function ()
    local flow = assert(fc.flow "boot"):prepend("fcinit", function (vm)
      return fc.spawn(vm.close, vm):wait()   -- which waits for this step
    end)
    local vm <close> = assert(fc.new(bed.config("idle", { timeouts = { stop = 0.05, shutdown = 0 } }), flow))
    local ok, err = vm:start()
    assert.is_nil(ok)
    assert.equal("timeout", err.code)
    assert.matches("a step or an undo of machine " .. vm.id .. " does not end", err.message)
    assert.equal("failed", vm.state)
    assert.is_true(vm:close())
  end)

  it("comes to steps that are run by hand as well", function ()
    fc.run(function ()
      local gate = {}
      local vm = assert(fc.new(bed.config "idle"))
      local stepping = fc.spawn(held(gate).fcinit[1], vm)
      bed.eventually(function () return gate.reached end, "the step")
      assert.is_true(vm:close())
      gate.open = true
      local ok, err = stepping:wait()
      assert.is_nil(ok)
      assert.equal("state", err.code)
      assert.equal(0, #vm.undo)
      ok, err = fc.handlers.fcinit.start_vmm(vm)
      assert.is_nil(ok)
      assert.equal("fcinit.StartVMM: machine " .. vm.id .. " was closed", err.message)
      assert.is_nil(vm.process)
    end)
  end)

  it("does not come before it: one that was stopped when it was new can be started", function ()
    local vm <close> = assert(fc.new(bed.config "idle"))
    assert(vm:own_directory())
    assert.same({ by = "nothing" }, vm:stop())
    assert(vm:start())
    assert.same({ by = "term", signal = 15 }, vm:stop())
    assert.equal(0, #vm.undo)
  end)
end)

describe("#kvm a VMM that dies on its way", function ()
  leaks.check(before_each, after_each, teardown)

  -- A program in the VMM's place: it gets the VMM's arguments.
  local function impostor (body)
    local path = bed.write(bed.scratch "vmm", "#!/bin/sh\n" .. body)
    assert(os.execute("chmod 755 " .. path))
    finally(function () os.remove(path) end)
    return path
  end

  local function boot (body)
    local began = fc.now()
    local vm, err = fc.boot(bed.config("idle", { vmm = { binary = impostor(body) } }))
    return vm, err, fc.now() - began
  end

  it("before its socket is there", function ()
    local vm, err, elapsed = boot "echo 'no such thing' >&2; exit 7"
    assert.is_nil(vm)
    assert.equal("exited", err.code)
    assert.equal(7, err.exited)
    assert.equal("no such thing", err.stderr)
    assert.matches("the VMM exited with status 7: no such thing", err.message)
    assert.is_true(elapsed < 5)
  end)

  it("by a signal", function ()
    local vm, err = boot "kill -SEGV $$"
    assert.is_nil(vm)
    assert.equal(11, err.signal)
  end)

  it("with its socket there, and nobody listening", function ()
    local vm, err = boot ": > api.sock; sleep 0.05; echo gone >&2; exit 3"
    assert.is_nil(vm)
    assert.equal("fcinit.StartVMM", err.handler)
    assert.equal("exited", err.code)
    assert.equal(3, err.exited)
    assert.equal("gone", err.stderr)
  end)

  it("never listens: the deadline ends it", function ()
    local binary = impostor [[exec python3 -c 'import socket, time
socket.socket(socket.AF_UNIX).bind("api.sock")
time.sleep(60)']]
    local vm, ok, err
    bed.patiently(function (timeout)    -- until it has its socket
      vm = assert(fc.new(bed.config("idle", { vmm = { binary = binary } })))
      ok, err = vm:start { timeout = timeout }
      assert.is_nil(ok)
      assert.equal("timeout", err.code)
      return err.message:find "does not listen at its API socket"
    end)
    local path = bed.scratch "api"
    local other <close> = assert(core.listener.open(path .. ".other"))   -- of this process
    vm = assert(fc.new(bed.config("idle", { vmm = { socket_path = path,
      binary = impostor(("mv '%s.other' '%s'; exec sleep 60"):format(path, path)) } })))
    ok, err = vm:start { timeout = 0.2 }
    assert.is_nil(ok)
    assert.equal("timeout", err.code)
    assert.equal(("fcinit.StartVMM: the VMM runs, but does not listen at its API socket: %s; process %d does")
      :format(path, (host.process "self")), err.message)
    assert(core.files.unlink(path))
    other:close()
    vm = assert(fc.new(bed.config("idle", { vmm = { binary = impostor "exec sleep 60" } })))
    ok, err = vm:start { timeout = 0.2 }
    assert.is_nil(ok)
    assert.equal("timeout", err.code)
    assert.matches("its API socket did not appear", err.message)
  end)

  -- From its SIGKILL to the error, three times out of five: whoever looks now and then, and not at the death, is later.
  local SOON <const>, TRIES <const>, LATE <const> = 0.1, 5, 2

  it("is known to be dead at once, at every stage", function ()
    local silent = impostor "echo last words >&2; exec sleep 60"
    local deaf = impostor [[echo last words >&2; exec python3 -c 'import socket, time
socket.socket(socket.AF_UNIX).bind("api.sock")
time.sleep(60)']]
    for stage, case in pairs {
      ["before its socket"] = { silent, function (vm) return core.files.tail(vm.stderr_path or "", 99) == "last words\n" end },
      ["before it listens"] = { deaf, function (vm) return vm.socket_path and core.files.look(vm.socket_path) end },
      ["at a request"] = { nil, function (vm) return vm.frozen end },
      ["at no request"] = { nil, function (vm) return vm.state == "running" end },
    } do
      local binary, ready = table.unpack(case)
      local late = 0
      for _ = 1, TRIES do
        fc.run(function ()
          local flow = assert(fc.flow "boot")
          if stage == "at a request" then
            flow:insert_before("fcinit.CreateMachine", function (vm)
              vm.frozen = vm:kill "STOP"
            end)
          end
          local vm <close> = assert(fc.new(bed.config("idle", { vmm = { binary = binary } }), flow))
          local task = fc.spawn(function ()
            local ok, err = vm:start()
            if ok then
              assert.same({ signal = 9 }, vm:wait())
              err = vm:exited_error()
            end
            return err
          end)
          bed.eventually(function () return ready(vm) end, stage)
          fc.sleep(0.01)
          local killed = fc.now()
          assert(vm:kill())
          local err = task:wait()
          late = late + (fc.now() - killed > SOON and 1 or 0)
          assert.same({ "exited", 9 }, { err.code, err.signal }, stage)
          assert.equal("last words", binary and err.stderr or "last words", stage)
        end)
      end
      assert.is_true(late <= LATE, ("%s: %d of %d were late"):format(stage, late, TRIES))
    end
  end)

  it("over a socket that another left, or is not started for it", function ()
    local path, stale = bed.scratch "stale", bed.scratch "left"
    finally(function ()
      os.remove(path)
      os.remove(stale)
    end)
    sh(("'%s' --api-sock %s >/dev/null 2>&1 & while kill -0 $! && [ ! -S %s ]; do sleep 0.01; done; kill -9 $!; wait $!")
      :format(direct.find { vmm = {} }, stale, stale))
    local function fails (more)
      more.socket_path = path
      local vm, err = fc.boot(bed.config("idle", { vmm = more }))
      assert.is_nil(vm)
      assert.equal("fcinit.StartVMM", err.handler)
      return err
    end
    assert(os.rename(stale, path))
    local err = fails {}
    assert.same({ "config", "EEXIST", path }, { err.code, err.errno, err.path })
    assert.matches("remove it", err.hint)
    assert.equal("socket", core.files.look(path).type)   -- not ours to remove
    assert(os.rename(path, stale))
    err = fails { spawn = function (spec, spawn)
      assert(os.rename(stale, path))
      return spawn(spec)
    end }
    assert.same({ "exited", 1 }, { err.code, err.exited })
    assert.matches("the VMM exited with status 1: Failed to open the API socket at: " .. path:gsub("%p", "%%%0"), err.message)
    assert.matches("FailedToBindSocket", err.stderr)
  end)

  it("because it is told to", function ()
    for _, verb in ipairs { "stop", "close" } do
      fc.run(function ()
        local vm = assert(fc.new(bed.config("idle", { vmm = { binary = impostor "exec sleep 60" } })))
        local starting = fc.spawn(vm.start, vm)
        bed.eventually(function () return vm.pid end, "the VMM")
        assert(vm[verb](vm))
        assert.equal("exited", select(2, starting:wait()).code)
      end)
    end
  end)

  it("at each request of the flow", function ()
    for _, name in ipairs { "CreateMachine", "CreateBootSource", "StartInstance" } do
      local flow = assert(fc.flow "boot"):insert_before("fcinit." .. name, function (vm)
        assert(vm:kill())
        assert(vm.process)
      end)
      local vm, err = fc.boot(bed.config "idle", flow)
      assert.is_nil(vm)
      assert.equal("fcinit." .. name, err.handler)
      assert.equal("exited", err.code, tostring(err))
      assert.equal(9, err.signal)
    end
  end)

  it("is ready but slow to listen: it is asked again", function ()
    local binary = impostor([[
exec python3 - "$@" <<'PY'
import socket, sys, time
path = sys.argv[sys.argv.index("--api-sock") + 1]
s = socket.socket(socket.AF_UNIX)
s.bind(path)
time.sleep(0.1)
s.listen(8)
while True:
    c, _ = s.accept()
    while data := c.recv(65536):
        for _ in range(data.count(b"HTTP/1.1\r\n")):
            c.sendall(b"HTTP/1.1 204 \r\nServer: x\r\n\r\n")
PY]])
    local vm <close> = assert(fc.boot(bed.config("idle", { vmm = { binary = binary } })))
    assert.equal("running", vm.state)
  end)
end)

describe("#kvm #root without the right to /dev/kvm", function ()
  leaks.check(before_each, after_each, teardown)

  it("says so #scripts", function ()
    local dir = bed.scratch "user"
    finally(function () os.execute("rm -rf " .. dir) end)
    -- a user may not be able to read the tree
    assert(os.execute(("set -e; d=%s; install -d -m 755 -o 1234 $d; cp %s $d/kernel; cp -r lua $d/; " ..
      "cp -rL build/lua/firecracker/flows $d/lua/firecracker/; mkdir $d/lib; cp -r build/firecracker $d/lib/; " ..
      "chmod -R go+rX $d"):format(dir, bed.guest "exit")))
    local binary = os.getenv "FIRECRACKER"
    local script = bed.write(dir .. "/try.lua", ([[
      local _, err = require "firecracker".boot { run_dir = %q, boot_source = { kernel_image_path = %q } }
      print(err.code, err.handler, err.message)
      print(table.concat(err.undone, ", "), "children:", io.open "/proc/thread-self/children":read "a")
    ]]):format(dir .. "/run", dir .. "/kernel"))
    assert(os.execute("chmod 644 " .. script .. " && cp " .. binary .. " " .. dir .. "/firecracker"))
    -- in a mount namespace of its own, where only root may use /dev/kvm, whatever the machine's own mode is
    local out = sh(([[
      d=%s
      mknod -m 600 $d/kvm c 10 232
      export FIRECRACKER=$d/firecracker LUA_PATH="$d/lua/?.lua;$d/lua/?/init.lua" LUA_CPATH="$d/lib/?.so"
      unshare --mount sh -ec "mount --bind $d/kvm /dev/kvm
        exec setpriv --reuid=1234 --regid=1234 --clear-groups lua5.4 %s"]]):format(dir, script))
    assert.matches("^api\tfcinit.StartInstance\t.*Permission denied", out)
    assert.matches("/dev/kvm", out)
    assert.matches("\napi client, process, run directory\tchildren:\t\n$", out)
    assert.equal("", sh("ls -A " .. dir .. "/run"))
  end)
end)

describe("the directory of a machine", function ()
  leaks.check(before_each, after_each, teardown)

  it("is made once, by whoever needs it first, and goes with the machine", function ()
    local vm <close> = assert(fc.new { run_dir = leaks.run_dir })
    assert.is_true(vm:own_directory())
    local path = vm.directory
    assert.equal(leaks.run_dir .. "/" .. vm.id, path)
    assert.is_true(vm:own_directory())
    assert.equal(path, vm.directory)
    assert.equal(1, #vm.undo)
    assert(vm:stop())
    assert.is_nil((core.files.look(path)))
  end)

  it("is drawn anew when its id is taken, unless the id is given", function ()
    local one <close> = assert(fc.new { run_dir = leaks.run_dir })
    local two <close> = assert(fc.new { run_dir = leaks.run_dir })
    assert(one:own_directory())
    two.id = one.id
    assert(two:own_directory())
    assert.not_equal(one.id, two.id)
    local three <close> = assert(fc.new { run_dir = leaks.run_dir, id = one.id })
    local ok, err = three:own_directory()
    assert.is_nil(ok)
    assert.equal("EEXIST", err.errno)
  end)
end)
