-- What a machine tells of itself.
local bed = require "spec.support.bed"
local fc = require "firecracker"
local leaks = require "spec.support.leaks"

describe("#kvm config.log", function ()
  leaks.check(before_each, after_each, teardown)

  local function run (level)
    local told = {}
    local vm <close> = assert(fc.boot(bed.config("exit", {
      log = function (event) told[#told + 1] = event end, log_level = level,
      mmds = { secret = "s3cret" },
    })))
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

  it("gets every step, the spawn, each request, the exit and the undoing, in order and with times", function ()
    local told, vm = run()
    local last = 0
    for _, event in ipairs(told) do
      assert.equal(vm.id, event.id)
      assert.is_true(event.time >= last)
      last = event.time
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
    assert.same({ "PUT /machine-config 204", "PUT /boot-source 204", "PUT /mmds 204", "PUT /actions 204" }, operations)
    assert.equal(0, of_kind(told, "exit")[1].exited)
    assert.same({ "api client", "process", "run directory" }, of_kind(told, "undo")[1].undone)
  end)

  it("gets bodies at level trace only", function ()
    local told = run "trace"
    local found
    for _, event in ipairs(of_kind(told, "request")) do
      found = found or event.operation == "PUT /mmds" and event.body
    end
    assert.equal('{"secret":"s3cret"}', found)
  end)

  it("gets no more than asked for", function ()
    for _, event in ipairs((run "info")) do
      assert.is_true(event.event == "step" or event.event == "exit", event.event)
    end
    assert.same({}, (run "warn"))
  end)

  it("is told of what fails, where it fails", function ()
    local told = {}
    local flow = assert(fc.flow "boot"):append_after("fcinit.StartVMM", function () error "no" end)
    assert.is_nil((fc.boot(bed.config("exit", { log = function (event) told[#told + 1] = event end }), flow)))
    local steps = of_kind(told, "step")
    assert.equal("fail", steps[#steps].phase)
    assert.matches("no$", steps[#steps].err.message)
  end)
end)
