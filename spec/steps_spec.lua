local handler = require "firecracker.handler"
local machine_stub = require "spec.support.machine_stub"
local steps = require "firecracker.steps"

local function step (name)
  return handler.new(name, function (vm) vm.ran[#vm.ran + 1] = name end)
end

local function names (list)
  local result = {}
  for i = 1, #list do
    result[i] = list[i].name
  end
  return table.concat(result, " ")
end

describe("a list of steps", function ()
  local list

  before_each(function ()
    list = steps.new("fcinit", { step "a", step "b", step "c" })
  end)

  local cases = {
    { "append", { step "x" }, "a b c x" },
    { "append", { step "x", step "y" }, "a b c x y" },
    { "prepend", { step "x", step "y" }, "x y a b c" },
    { "append_after", { "b", step "x", step "y" }, "a b x y c" },
    { "append_after", { "c", step "x" }, "a b c x" },
    { "append_after", { step "a", step "x" }, "a x b c" },
    { "insert_before", { "b", step "x", step "y" }, "a x y b c" },
    { "insert_before", { "a", step "x" }, "x a b c" },
    { "swap", { step "b" }, "a b c" },
    { "swap", { "b", step "x" }, "a x c" },
    { "swap", { "b", step "x", step "y" }, "a x y c" },
    { "swappend", { step "b" }, "a b c" },
    { "swappend", { step "x" }, "a b c x" },
    { "remove", { "a" }, "b c" },
    { "remove", { step "c" }, "a b" },
    { "clear", {}, "" },
  }
  for i, case in ipairs(cases) do
    it(("is edited in place by %s (%d) and returned"):format(case[1], i), function ()
      assert.equal(list, list[case[1]](list, table.unpack(case[2])))
      assert.equal(case[3], names(list))
    end)
  end

  for _, verb in ipairs { "swap", "swappend" } do
    it("really holds the new step after " .. verb, function ()
      local new = step "b"
      list[verb](list, new)
      assert.equal(new, list[2])
    end)
  end

  it("is edited at each step of a name that stands twice", function ()
    list:append(step "a")
    assert.equal("a x b c a x", names(list:append_after("a", step "x")))
    assert.equal("x b c x", names(list:remove "a"))
  end)

  it("has what it has", function ()
    assert.is_true(list:has "b")
    assert.is_true(list:has(step "b"))
    assert.is_false(list:has "x")
    assert.equal(3, #list)
    assert.equal("fcinit", list.name)
  end)

  it("takes a bare function", function ()
    local fn = function () end
    list:append(fn)
    assert.equal(fn, list[4].run)
    assert.is_true(list:has(fn))
    assert.equal(3, #list:remove(fn))
  end)

  it("is copied by new", function ()
    local copy = steps.new("fcinit", list)
    copy:remove "a"
    assert.equal("a b c", names(list))
    assert.equal(list[2], copy[1])
  end)

  local refused = {
    { "append", {}, "step 1: handler or function expected, got nil" },
    { "append", { print, nil, n = 2 }, "step 2: handler or function expected, got nil" },
    { "append", { "x" }, "step 1: handler or function expected, got string" },
    { "append_after", { "aa", print }, "no step 'aa' (did you mean 'a'?)" },
    { "insert_before", { "nothing", print }, "no step 'nothing'" },
    { "insert_before", { "a" }, "step 1: handler or function expected, got nil" },
    { "swap", { step "x" }, "no step 'x' (did you mean 'a'?)" },
    { "swap", { "b" }, "step 1: handler or function expected, got string" },
    { "swap", { "long name", print }, "no step 'long name'" },
    { "swappend", { 7 }, "name of a step expected, got number" },
    { "remove", { "long name" }, "no step 'long name'" },
    { "remove", {}, "name of a step expected, got nil" },
    { "has", { false }, "name of a step expected, got boolean" },
  }
  for _, case in ipairs(refused) do
    it(("refuses %s at the caller's line: %s"):format(case[1], case[3]), function ()
      local line = debug.getinfo(1, "l").currentline + 1
      local ok, err = pcall(function () list[case[1]](list, table.unpack(case[2], 1, case[2].n)) end)
      assert.is_false(ok)
      assert.equal(case[3], err.message)
      assert.equal("flow", err.code)
      assert.matches("steps_spec.lua:" .. line .. "$", err.where)
      assert.equal("a b c", names(list))
    end)
  end

  local built = {
    { { step "a", nil, step "c" }, "fcinit[2]: handler or function expected, got nil" },
    { { step "a", {} }, "fcinit[2]: handler or function expected, got table" },
    { { start = step "a" }, "fcinit: list expected, got key 'start'" },
    { { name = "fcinit" }, "fcinit: list expected, got key 'name'" },
    { { [0] = step "a" }, "fcinit: list expected, got key '0'" },
    { "boot", "fcinit: list expected, got string" },
  }
  for _, case in ipairs(built) do
    it("is not built of anything else: " .. case[2], function ()
      local ok, err = pcall(steps.new, "fcinit", case[1])
      assert.is_false(ok)
      assert.equal(case[2], err.message)
    end)
  end

  it("runs alone, taking back on failure", function ()
    local vm = machine_stub()
    vm.ran, vm.emit = {}, nil
    assert.is_true(list:run(vm))
    assert.same({ "a", "b", "c" }, vm.ran)
    list:append(function (m) m:acquire "tap" return false end)
    local ok, err = list:run(vm)
    assert.is_nil(ok)
    assert.same({ "a", "b", "c" }, err.done)
    assert.same({ "tap" }, vm.undone)
  end)

  it("prints as numbered steps with their places", function ()
    local fn = function () end
    local named = handler.new("mine.LongName", fn)
    local site = handler.site(fn)
    list:clear():append(named, handler.new("b", fn), fn)
    local width = #site
    assert.equal(table.concat({
      "fcinit",
      ("   1  %-" .. width .. "s  %s"):format("mine.LongName", site),
      ("   2  %-" .. width .. "s  %s"):format("b", site),
      "   3  " .. site,
    }, "\n"), tostring(list))
  end)
end)
