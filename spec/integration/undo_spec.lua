-- Each step of the flow fails in turn, in each way: all before it is undone in reverse, and the error says so.
local bed = require "spec.support.bed"
local core = require "firecracker.core"
local errors = require "firecracker.errors"
local fc = require "firecracker"
local leaks = require "spec.support.leaks"
local sh = require "spec.support.sh"

local files = core.files

-- What a step acquires; the rest acquires nothing.
local ACQUIRED <const> = {
  ["fcinit.StartVMM"] = { "run directory", "console", "process", "api client" },
  ["fcinit.CreateLogFilesHandler"] = { "logger FIFO", "logger reader", "metrics FIFO", "metrics reader" },
  ["fcinit.AddVsocks"] = { "vsock socket" },
}

local WAYS <const> = {
  returns = function () return nil, errors.new { code = "mine", message = "returned" } end,
  raises = function () error "raised" end,
  is_cancelled = function () fc.sleep(60) end,
  is_late = function () return fc.sleep(60) end,
}
local LATE <const> = 0.25   -- seconds, and more where the step is not reached by then
local CODES <const> = { returns = "mine", raises = "raised", is_cancelled = "cancelled", is_late = "timeout" }

local function nothing () end

local function config ()
  return bed.config("idle", {
    console = nothing, logger = { to = nothing }, metrics = { to = nothing },
    vsock = { guest_cid = 3, uds_path = bed.scratch "vsock" },
  })
end

-- Start a machine whose flow has this way to fail in place of the named step.
local function start (name, way, late)
  local reached = false
  local flow = assert(fc.flow "boot"):swap(name, fc.handler(name, function ()
    reached = true
    return WAYS[way]()
  end))
  local vm = assert(fc.new(config(), flow))
  if way == "is_late" then
    late = late or LATE
    local ok, err = vm:start { timeout = late }
    if not reached and late < 60 then
      return start(name, way, 4 * late)
    end
    return ok, err
  elseif way ~= "is_cancelled" then
    return vm:start()
  end
  return fc.run(function ()
    local task = fc.spawn(vm.start, vm)
    bed.eventually(function () return reached end, "the step")
    assert.is_true(task:cancel())
    return task:wait()
  end)
end

local function reversed (list)
  local result = {}
  for i = #list, 1, -1 do
    result[#result + 1] = list[i]
  end
  return result
end

describe("#kvm a flow whose step", function ()
  leaks.check(before_each, after_each, teardown)

  local flow = assert(fc.flow "boot")
  local before, acquired = {}, {}
  for _, list in ipairs { flow.validation, flow.fcinit } do
    for _, step in ipairs(list) do
      local done, undone = table.move(before, 1, #before, 1, {}), reversed(acquired)
      for way, code in pairs(CODES) do
        it(("%s %s"):format(step.name, way), function ()
          local vm, err = start(step.name, way)
          assert.is_nil(vm)
          assert.equal(code, err.code, tostring(err))
          assert.equal(step.name, err.handler)
          assert.same(done, err.done)
          assert.same(undone, err.undone)
          assert.is_nil(err.undo_errors)
        end)
      end
      before[#before + 1] = step.name
      table.move(ACQUIRED[step.name] or {}, 1, #(ACQUIRED[step.name] or {}), #acquired + 1, acquired)
    end
  end

  it("fails after undo entries that fail themselves: all are run, all are reported", function ()
    local ran = {}
    local function entry (name, fn)
      return fc.handler(name, function (vm)
        vm:defer(name, function ()
          ran[#ran + 1] = name
          return fn()
        end)
      end)
    end
    local edited = assert(fc.flow "boot"):append_after("fcinit.CreateMachine",
      entry("first", nothing), entry("second", function () error "cannot" end),
      entry("third", function () return nil, "will not" end), fc.handler("mine.Breaks", WAYS.returns))
    local vm, err = fc.boot(config(), edited)
    assert.is_nil(vm)
    assert.same({ "third", "second", "first" }, ran)
    assert.equal(2, #err.undo_errors)
    assert.equal("third", err.undo_errors[1].name)
    assert.matches("will not", err.undo_errors[1].err.message)
    assert.equal("second", err.undo_errors[2].name)
    assert.matches("cannot", err.undo_errors[2].err.message)
    assert.equal("run directory", err.undone[#err.undone])
  end)

  it("succeeded is undone by its own undo at the end, and what fails there is told", function ()
    local ran = {}
    local edited = assert(fc.flow "boot"):append("fcinit", fc.handler("mine.Pair", nothing, function (vm)
      ran[#ran + 1] = vm.id
    end), fc.handler("mine.Bad", nothing, function () error "cannot" end))
    local vm = assert(fc.boot(config(), edited))
    local outcome = vm:stop()
    assert.same({ vm.id }, ran)
    assert.equal("mine.Bad", outcome.undo_errors[1].name)
    local ok, err = vm:close()
    assert.is_nil(ok)
    assert.matches("cannot", err.message)
  end)

  it("that made what cannot be removed tells of it at the end", function ()
    local dir = bed.scratch "undo"
    assert(files.mkdir(dir))
    finally(function () sh("rm -rf " .. dir) end)
    local sockets = { ["api socket"] = dir .. "/api", ["vsock socket"] = dir .. "/vsock" }
    local vm = assert(fc.boot(bed.config("idle", { vmm = { socket_path = sockets["api socket"] },
      vsock = { guest_cid = 3, uds_path = sockets["vsock socket"] } })))
    for _, path in pairs(sockets) do
      sh(("rm %s; mkdir %s"):format(path, path))
    end
    local told = {}
    for _, failure in ipairs(assert(vm:stop()).undo_errors or {}) do
      told[failure.name] = failure.err.path or failure.err.message:match "(%S+): Is a directory"
    end
    assert.same(sockets, told)
  end)
end)
