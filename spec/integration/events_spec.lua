-- What a machine tells of itself.
local bed = require "spec.support.bed"
local fc = require "firecracker"
local host = require "spec.support.host"
local leaks = require "spec.support.leaks"

describe("#kvm config.log", function ()
  leaks.check(before_each, after_each, teardown)

  local function run (level)
    local told = {}
    local vm <close> = assert(fc.boot(bed.config("exit", {
      log = function (event) told[#told + 1] = event end, log_level = level,
      mmds = { secret = "s3cret" },
    }), assert(fc.flow "boot"):append_after("fcinit.ConfigMmds", fc.handler("mine.Reads", function (vm)
      return vm.api:get_mmds()
    end))))
    vm:wait { timeout = 10 }
    return told, vm
  end

  local function of_kind (told, kind)
    local result = {}
    for _, event in ipairs(told) do
      if event.event == kind then
        result[#result + 1] = event
      end
    end
    return result
  end

  it("gets every step, the spawn, each request, the exit and the undoing, in order, with times and levels", function ()
    local told, vm = run()
    local levels = { step = "info", spawn = "debug", request = "debug", exit = "info", undo = "debug" }
    local last = 0
    for _, event in ipairs(told) do
      assert.equal(vm.id, event.id)
      assert.is_true(event.time >= last)
      last = event.time
      assert.equal(levels[event.event], event.level)
      assert.is_nil(event.body)
      assert.is_nil(event.reply)
    end
    local steps = of_kind(told, "step")
    assert.equal(2 * (#vm.flow.validation + #vm.flow.fcinit), #steps)
    assert.equal("begin", steps[1].phase)
    assert.equal("validate.NetworkCfg", steps[1].name)
    assert.equal("fcinit.StartInstance", steps[#steps].name)
    assert.equal("end", steps[#steps].phase)
    local spawn = of_kind(told, "spawn")[1]
    assert.equal("--id", spawn.argv[2])
    assert.equal(vm.id, spawn.argv[3])
    local operations = {}
    for i, event in ipairs(of_kind(told, "request")) do
      operations[i] = event.operation .. " " .. event.status
      assert.is_number(event.elapsed)
    end
    assert.same({ "PUT /machine-config 204", "PUT /boot-source 204", "PUT /mmds 204", "GET /mmds 200",
                  "PUT /actions 204" }, operations)
    assert.equal(0, of_kind(told, "exit")[1].exited)
    assert.same({ "api client", "process", "run directory" }, of_kind(told, "undo")[1].undone)
  end)

  it("gets bodies at level trace only", function ()
    local bodies = {}
    for _, event in ipairs(of_kind(run "trace", "request")) do
      bodies[event.operation] = { event.body, event.reply }
    end
    assert.same({ '{"secret":"s3cret"}', "" }, bodies["PUT /mmds"])
    assert.same({ nil, '{"secret":"s3cret"}' }, bodies["GET /mmds"])
  end)

  it("gets no more than asked for", function ()
    for _, event in ipairs((run "info")) do
      assert.is_true(event.event == "step" or event.event == "exit", event.event)
    end
    assert.same({}, (run "warn"))
  end)

  it("is where everything is told: the library prints nothing", function ()
    local out, status = host("", ([[
      local fc = require "firecracker"
      local told = {}
      local config = { run_dir = %q, boot_source = { kernel_image_path = %q }, timeouts = { shutdown = 0 }, log_level = "trace",
                       logger = { level = "Debug" }, log = function (event) told[event.event .. " " .. event.level] = true end }
      local vm <close> = assert(fc.boot(config))
      vm:info()
      vm:pause()
      vm.api:put_drive("none", { drive_id = "none", path_on_host = "/none", is_root_device = false })
      vm:kill()
      vm:info()
      vm:wait()
      config.boot_source.kernel_image_path = "/dev/null"
      fc.boot(config)
      config.vmm = { arguments = { "--bogus" } }
      fc.boot(config)
      pcall(fc.boot, {})
      for _, kind in ipairs { "step info", "request debug", "spawn debug", "exit info", "undo debug", "log info" } do
        assert(told[kind], kind)
      end
    ]]):format(leaks.run_dir, bed.guest "idle"))
    assert.equal("", out)
    assert.equal(0, status)
  end)

  it("is told of what fails, where it fails", function ()
    local told = {}
    local flow = assert(fc.flow "boot"):append_after("fcinit.StartVMM", function () error "no" end)
    assert.is_nil((fc.boot(bed.config("exit", { log = function (event) told[#told + 1] = event end }), flow)))
    local steps = of_kind(told, "step")
    assert.equal("fail", steps[#steps].phase)
    assert.matches("no$", steps[#steps].err.message)
  end)

  it("that raises fails the start that it is told of, and nothing else: the machine goes on, and ends as it should", function ()
    local out, status = host("", ([[
      warn "@on"
      local fc, bed = require "firecracker", require "spec.support.bed"
      local broken, fallen = true, {}
      local function fall (what)
        return function ()
          fallen[what] = broken
          assert(not broken, "no more")
        end
      end
      local function boot (guest)
        return fc.boot(bed.config(guest, { run_dir = %q, log_level = "trace",
          log = function (event) if broken then error("disk full at " .. event.event) end end,
          console = fall "console", logger = { level = "Debug", to = fall "logger" } }))
      end
      local vm, err = boot "tick"
      assert(vm == nil and err.message:find "disk full at step", err)
      broken = false
      vm = assert(boot "tick")
      broken = true
      for _ = 1, 10 do
        assert(vm:info())
      end
      assert(vm:pause() and vm:resume())
      bed.eventually(function () return fallen.console and fallen.logger end, "both")
      local outcome = assert(vm:stop { shutdown = 0 })
      assert(outcome.by == "term" and not outcome.undo_errors)
      assert(tostring(vm.readers.logger.worker) == "<task done>")
      assert(vm:close())
      broken = false
      vm = assert(boot "hello")
      broken = true
      assert(not vm:wait().undo_errors)
      broken = false
      vm = assert(boot "idle")
      broken = true
      do
        local closing <close> = vm
      end
      assert(vm.state == "closed")
    ]]):format(leaks.run_dir))
    assert.equal(0, status, out)
    for line in out:gmatch "[^\n]+" do
      assert.matches("^Lua warning: firecracker: config%.log failed: .*disk full at %l+", line)
    end
    for _, kind in ipairs { "request", "exit", "undo", "log", "console", "logger" } do
      assert.matches("disk full at " .. kind, out)
    end
  end)
end)
