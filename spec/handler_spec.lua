local errors = require "firecracker.errors"
local handler = require "firecracker.handler"
local machine_stub = require "spec.support.machine_stub"

describe("a handler", function ()
  local vm, clock, core

  before_each(function ()
    vm, clock = machine_stub(), 100
    core = package.loaded["firecracker.core"]
    package.loaded["firecracker.core"] = { now = function () return clock end }
  end)

  after_each(function ()
    package.loaded["firecracker.core"] = core
  end)

  it("shows its parts, prints its name and place", function ()
    local run, undo = function () end, function () end
    local line = debug.getinfo(run, "S").linedefined
    local step = handler.new("mine.Step", run, undo)
    assert.equal("mine.Step", step.name)
    assert.equal(run, step.run)
    assert.equal(undo, step.undo)
    assert.matches(("^<handler mine.Step, .*spec/handler_spec.lua:%d>$"):format(line), tostring(step))
    assert.is_true(handler.is(step))
    assert.is_false(handler.is {})
  end)

  for _, case in ipairs {
    { "handler: name expected, got nil", nil, print },
    { "handler 'a': function expected, got nil", "a", nil },
    { "handler 'a': undo function expected, got string", "a", print, "b" },
  } do
    it("is refused at the caller's line: " .. case[1], function ()
      local line = debug.getinfo(1, "l").currentline + 1
      local ok, err = pcall(function () handler.new(case[2], case[3], case[4]) end)
      assert.is_false(ok)
      assert.equal(case[1], err.message)
      assert.matches("handler_spec.lua:" .. line .. "$", err.where)
    end)
  end

  describe("run on its own", function ()
    it("hands the machine over and returns true", function ()
      local got
      local step = handler.new("a", function (...) got = table.pack(...) return "x", 2 end)
      assert.same({ true, n = 1 }, table.pack(step(vm)))
      assert.equal(1, got.n)
      assert.equal(vm, got[1])
    end)

    it("pushes its undo on success only", function ()
      local undo = function () end
      handler.new("good", function () end, undo)(vm)
      handler.new("bad", function () return false end, undo)(vm)
      assert.same({ { name = "good" } }, vm.undo:records())
    end)

    for name, fail in pairs {
      ["nil, err"] = function () return nil, errors.new { code = "api", message = "refused" } end,
      ["false, err"] = function () return false, errors.new { code = "api", message = "refused" } end,
      ["a raised error object"] = function () error(errors.new { code = "api", message = "refused" }) end,
    } do
      it("fails by " .. name .. " and takes back what it pushed", function ()
        vm:acquire "before"
        local ok, err = handler.new("fcinit.X", function (m)
          m:acquire "tap"
          m:acquire "fifo"
          return fail()
        end)(vm)
        assert.is_nil(ok)
        assert.equal("api", err.code)
        assert.equal("fcinit.X: refused", err.message)
        assert.equal("fcinit.X", err.handler)
        assert.same({ "fifo", "tap" }, err.undone)
        assert.same({ "fifo", "tap" }, vm.undone)
        assert.is_nil(err.undo_errors)
        assert.equal(1, #vm.undo)
      end)
    end

    it("takes false for failure", function ()
      local ok, err = handler.new("a", function () return false end)(vm)
      assert.is_nil(ok)
      assert.equal("failed", err.code)
      assert.equal("a: returned false", err.message)
    end)

    it("has a traceback when raised, none when returned", function ()
      local _, raised = handler.new("a", function () error "bad" end)(vm)
      assert.matches("^stack traceback:", raised.traceback)
      local _, returned = handler.new("a", function () return nil, "bad" end)(vm)
      assert.is_nil(returned.traceback)
    end)

    it("collects what its undo could not do", function ()
      local _, err = handler.new("a", function (m)
        m:defer("tap", function () error("busy", 0) end)
        m:acquire "fifo"
        return false
      end)(vm)
      assert.same({ "fifo", "tap" }, err.undone)
      assert.equal(1, #err.undo_errors)
      assert.equal("tap", err.undo_errors[1].name)
      assert.equal("busy", err.undo_errors[1].err.message)
    end)

    it("raises a cancel again once all is taken back", function ()
      local cancel = errors.new { code = "cancelled", message = "cancelled" }
      local ok, err = pcall(handler.new("a", function (m)
        m:acquire "tap"
        error(cancel)
      end), vm)
      assert.is_false(ok)
      assert.equal(cancel, err)
      assert.same({ "tap" }, vm.undone)
    end)

    it("returns an error that only says cancelled", function ()
      local ok, err = handler.new("a", function () return nil, errors.new { code = "cancelled", message = "m" } end)(vm)
      assert.is_nil(ok)
      assert.equal("cancelled", err.code)
    end)

    it("may yield", function ()
      local resume = coroutine.wrap(function () return handler.new("a", function () coroutine.yield() end)(vm) end)
      resume()
      assert.is_true(resume())
    end)

    for _, case in ipairs { { nil, "nil" }, { "vm", "string" }, { {}, "table" } } do
      it("refuses a machine that is a " .. case[2], function ()
        local ok, err = pcall(handler.new("a", print), case[1])
        assert.is_false(ok)
        assert.equal("machine expected, got " .. case[2], err.message)
      end)
    end
  end)

  describe("inside another", function ()
    it("keeps its own name in the error and both lists in order", function ()
      local inner = handler.new("inner", function (m)
        m:acquire "fifo"
        m:defer("pid", function () error("gone", 0) end)
        return nil, "refused"
      end)
      local _, err = handler.new("outer", function (m)
        m:defer("tap", function () error("busy", 0) end)
        return inner(m)
      end)(vm)
      assert.equal("inner", err.handler)
      assert.equal("inner: refused", err.message)
      assert.same({ "pid", "fifo", "tap" }, err.undone)
      assert.equal("pid", err.undo_errors[1].name)
      assert.equal("tap", err.undo_errors[2].name)
    end)
  end)

  describe("tells the machine", function ()
    it("that it begins and ends", function ()
      handler.new("a", function () clock = clock + 2 end)(vm)
      assert.same({
        { event = "step", phase = "begin", name = "a", elapsed = 0 },
        { event = "step", phase = "end", name = "a", elapsed = 2 },
      }, vm.events)
    end)

    it("that it failed, and why", function ()
      local _, err = handler.new("a", function () clock = clock + 1 return false end)(vm)
      assert.equal(2, #vm.events)
      assert.equal("fail", vm.events[2].phase)
      assert.equal(1, vm.events[2].elapsed)
      assert.equal(err, vm.events[2].err)
    end)

    it("the list it is run from", function ()
      handler.run({ { name = "fcinit", handler.new("a", function () end) } }, vm)
      assert.equal("fcinit", vm.events[1].list)
    end)

    it("nothing where the machine does not listen", function ()
      vm.emit = nil
      package.loaded["firecracker.core"] = nil
      assert.is_true(handler.new("a", function () end)(vm))
    end)

    for _, phase in ipairs { "begin", "end", "fail" } do
      it("and takes back when the listener raises at " .. phase, function ()
        function vm.emit (_, event)
          if event.phase == phase then error("listener", 0) end
        end
        vm:acquire "before"
        local ok, err = handler.new("a", function (m) m:acquire "tap" return phase ~= "fail", "refused" end)(vm)
        assert.is_nil(ok)
        assert.equal(phase == "fail" and "a: refused" or "a: listener", err.message)
        assert.equal(1, #vm.undo)
      end)
    end
  end)
end)

describe("handler.step", function ()
  it("leaves a handler itself", function ()
    local step = handler.new("a", print)
    assert.equal(step, handler.step(step))
  end)

  it("names a bare function by where it is defined", function ()
    local fn = function () end
    local step = handler.step(fn)
    assert.matches("spec/handler_spec.lua:" .. debug.getinfo(fn, "S").linedefined .. "$", step.name)
    assert.equal(fn, step.run)
  end)

  it("names one from a string by its chunk", function ()
    assert.equal("stdin:1", handler.step(load("return function () end", "=stdin")()).name)
  end)

  it("takes nothing else", function ()
    assert.is_nil(handler.step "fcinit.StartVMM")
    assert.is_nil(handler.step {})
    assert.is_nil(handler.step(nil))
  end)
end)
