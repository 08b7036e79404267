local undo = require "firecracker.undo"
local errors = require "firecracker.errors"

describe("an undo stack", function ()
  local stack, calls

  before_each(function ()
    stack, calls = undo.new(), {}
  end)

  local function push (name, fn, record)
    stack:push(name, function (...)
      calls[#calls + 1] = name
      if fn then
        return fn(...)
      end
    end, record)
  end

  it("unwinds in reverse and empties", function ()
    push "a" push "b" push "c"
    assert.equal(3, #stack)
    local names, failures = stack:unwind(0)
    assert.same({ "c", "b", "a" }, names)
    assert.same({ "c", "b", "a" }, calls)
    assert.same({}, failures)
    assert.equal(0, #stack)
  end)

  it("unwinds to the bottom without a mark", function ()
    push "a" push "b"
    assert.same({ "b", "a" }, (stack:unwind()))
  end)

  it("stops at the mark", function ()
    push "a"
    local mark = stack:mark()
    push "b"
    assert.same({ "b" }, (stack:unwind(mark)))
    assert.same({ { name = "a" } }, stack:records())
  end)

  it("undoes one before its time: the others stay, and so do their marks", function ()
    push "a"
    local early = stack:push("b", function () calls[#calls + 1] = "b" end)
    local mark = stack:mark()
    push "c"
    assert.is_true((stack:undo(early)))
    assert.is_true((stack:undo(early)))
    assert.same({ "b" }, calls)
    assert.same({ "c" }, (stack:unwind(mark)))
    local failing = stack:push("d", function () return nil, "broken" end)
    local ok, err = stack:undo(failing)
    assert.is_nil(ok)
    assert.equal("broken", err.message)
    assert.same({ "a" }, (stack:unwind(0)))
  end)

  it("runs each entry once", function ()
    push "a"
    stack:unwind(0)
    assert.same({}, (stack:unwind(0)))
    assert.same({ "a" }, calls)
  end)

  it("hands the machine and the record over", function ()
    local vm, record, got = {}, { tap = "tap0" }, nil
    push("a", function (...) got = table.pack(...) end, record)
    stack:unwind(0, vm)
    assert.equal(vm, got[1])
    assert.equal(record, got[2])
  end)

  it("goes on past failures and collects them", function ()
    local gone = errors.new { code = "errno", message = "gone" }
    push "a"
    push("b", function () error("b is broken", 0) end)
    push("c", function () return nil, gone end)
    push("d", function () return nil end)
    local names, failures = stack:unwind(0)
    assert.same({ "d", "c", "b", "a" }, names)
    assert.same({ "d", "c", "b", "a" }, calls)
    assert.equal(2, #failures)
    assert.equal("c", failures[1].name)
    assert.equal(gone, failures[1].err)
    assert.equal("b", failures[2].name)
    assert.equal("b is broken", failures[2].err.message)
  end)

  it("has popped an entry before it runs", function ()
    push "a"
    push("b", function () stack:unwind(0) end)
    assert.same({ "b" }, (stack:unwind(0)))
    assert.same({ "b", "a" }, calls)
  end)

  it("is not run twice by two tasks", function ()
    push "a"
    push("b", function () coroutine.yield() end)
    local first = coroutine.wrap(function () return (stack:unwind(0)) end)
    first()
    assert.same({ "a" }, (stack:unwind(0)))
    assert.same({ "b" }, first())
    assert.same({ "b", "a" }, calls)
  end)

  it("lists names and records from the bottom up", function ()
    push("a", nil, { pid = 7 })
    push "b"
    assert.same({ { name = "a", record = { pid = 7 } }, { name = "b" } }, stack:records())
  end)

  for _, case in ipairs {
    { nil, print, "name: string expected, got nil" },
    { "tap", nil, "undo of 'tap': function expected, got nil" },
  } do
    it("refuses at the caller's line: " .. case[3], function ()
      local line = debug.getinfo(1, "l").currentline + 1
      local ok, err = pcall(function () stack:push(case[1], case[2]) end)
      assert.is_false(ok)
      assert.equal(("spec/undo_spec.lua:%d: %s"):format(line, case[3]), (tostring(err):gsub("^.*/spec/", "spec/")))
      assert.equal(0, #stack)
    end)
  end
end)
