local core = require "firecracker.core"
local driver = require "spec.support.reactor"
local errors = require "firecracker.errors"
local fds = require "spec.support.fds"
local loop = require "firecracker.loop"
local many = require "firecracker.loop.many"

local now = core.now

describe("many.map", function ()
  setup(driver.settle)
  setup(function () loop:pollfd() end)
  before_each(fds.remember)
  after_each(function ()
    local state = core.reactor():state()
    assert.is_nil(next(state.waits))
    assert.is_nil(next(state.tasks))
    fds.compare()
  end)

  it("gives the results in the order of the items, whatever the order they come in", function ()
    for _, call in ipairs { function (fn, ...) return fn(...) end, loop.run } do
      local results = call(many.map, { 3, 1, 2 }, function (n)
        loop.sleep(n * 0.005)
        return n * 10, "second values are not kept"
      end)
      assert.same({ n = 3, errors = {}, 30, 10, 20 }, results)
    end
  end)

  it("leaves a hole where a call failed, and says why beside it", function ()
    local results = many.map({ "value", "returned", "raised", "nothing", "false" }, function (what)
      if what == "raised" then
        error "broken"
      elseif what == "returned" then
        return nil, "why"
      elseif what == "false" then
        return false
      elseif what == "value" then
        return 1
      end
    end)
    assert.equal(5, results.n)
    assert.same({ 1, nil, nil, nil, false }, { results[1], results[2], results[3], results[4], results[5] })
    assert.equal("why", results.errors[2])
    assert.is_true(errors.is(results.errors[3]))
    assert.equal("broken", results.errors[3].message)
    assert.is_nil(results.errors[1] or results.errors[4] or results.errors[5])
  end)

  it("calls with the item alone", function ()
    local got
    many.map({ "x" }, function (...) got = table.pack(...) end)
    assert.same({ n = 1, "x" }, got)
  end)

  it("calls so many at a time and no more, and each item once", function ()
    for _, case in ipairs { { 3, 3 }, { 1, 1 }, { 100, 40 }, { nil, 16 } } do
      local running, most, calls = 0, 0, 0
      local items = {}
      for i = 1, 40 do items[i] = i end
      local results = many.map(items, function (i)
        running, calls = running + 1, calls + 1
        most = math.max(most, running)
        loop.sleep(i % 3 * 0.001)
        running = running - 1
        return i
      end, { limit = case[1] })
      assert.same({ case[2], 40, 40 }, { most, calls, #results })
    end
  end)

  it("stops at the first failure when told: cancels the rest, begins no more, closes what had come", function ()
    local closed, began, cancelled = {}, 0, 0
    local results, err = loop.run(function ()
      return many.map({ 1, 2, 3, 4, 5, 6 }, function (i)
        began = began + 1
        if i == 1 then
          return { close = function () closed[#closed + 1] = i end }
        elseif i == 2 then
          loop.sleep(0.005)
          return nil, errors.new { code = "mine", message = "no" }
        end
        local ok, problem = pcall(loop.sleep, 60)
        cancelled = cancelled + (not ok and problem.code == "cancelled" and 1 or 0)
        error(problem, 0)
      end, { limit = 3, on_error = "stop" })
    end)
    assert.is_nil(results)
    assert.equal("mine", err.code)
    assert.same({ 1 }, closed)
    assert.equal(4, began)
    assert.equal(2, cancelled)
    assert.has_error(function () many.map({}, print, { on_error = "explode" }) end)
  end)

  it("closes its results side by side", function ()
    local took = loop.run(function ()
      local results = many.map({ 1, 2, 3, 4, 5, 6, 7, 8 }, function ()
        return { close = function () loop.sleep(0.05) end }
      end)
      local began = now()
      do
        local _ <close> = results
      end
      return now() - began
    end)
    assert.is_true(took < 0.3)
  end)

  it("of nothing is nothing", function ()
    assert.same({ n = 0, errors = {} }, many.map({}, error))
  end)

  it("refuses a limit that lets nothing begin", function ()
    for _, limit in ipairs { 0, -1, 1.5, "2" } do
      local ok, err = pcall(many.map, { 1 }, error, { limit = limit })
      assert.is_false(ok)
      assert.equal("map: limit: positive integer expected, got " .. errors.shown(limit), err.message)
    end
  end)

  it("refuses what is no list, no function and no option, at the caller's line", function ()
    for message, call in pairs {
      ["map: table expected, got number"] = function () many.map(5, print) end,
      ["map: function expected, got nil"] = function () many.map({}) end,
      ["map: table of options expected, got number"] = function () many.map({}, print, 5) end,
      ["map: on_error: 'continue' or 'stop' expected, got 'halt'"] = function () many.map({}, print, { on_error = "halt" }) end,
      ["all: table expected, got nil"] = function () many.all() end,
      ["all: [2]: function expected, got string"] = function () many.all { error, "print" } end,
      ["all: table of options expected, got function"] = function () many.all({ error }, print) end,
      ["all: limit: positive integer expected, got 0"] = function () many.all({ error }, { limit = 0 }) end,
      ["all: timeot: unknown key (did you mean 'timeout'?)"] = function () many.all({ error }, { timeot = 1 }) end,
    } do
      local ok, err = pcall(call)
      assert.is_false(ok)
      assert.same({ "usage", message }, { err.code, err.message })
      assert.matches("many_spec.lua:%d+$", err.where)
    end
    assert.same({ n = 1, errors = {}, 2 }, many.map({ 1 }, setmetatable({}, { __call = function (_, n) return 2 * n end })))
  end)

  it("takes results for items: what failed is passed over and keeps its error", function ()
    for _, on_error in ipairs { "continue", "stop" } do
      local first = many.map({ 1, 2, 3, 4, 5, 6, 7, 8 }, function (n)
        if n == 2 or n == 5 or n == 6 or n == 8 then
          return nil, "no " .. n
        end
        return n
      end)
      local seen = {}
      local second = many.map(first, function (n)
        seen[#seen + 1] = n
        return 10 * n
      end, { limit = 2, on_error = on_error })
      assert.same({ 1, 3, 4, 7 }, seen)
      assert.same({ n = 8, errors = { [2] = "no 2", [5] = "no 5", [6] = "no 6", [8] = "no 8" }, 10, [3] = 30, [4] = 40, [7] = 70 },
        second)
    end
  end)

  it("returns after all calls have ended when its deadline comes first", function ()
    for _, call in ipairs { function (fn, ...) return fn(...) end, loop.run } do
      call(function ()
        local cleaned, results = 0, nil
        local steps = driver.steps(function ()
          results = loop.under(now() + 0.02, many.map, { 60, 0, 60 }, function (seconds)
            local ok, err = loop.sleep(seconds)
            loop.shielded(loop.sleep, 0.01)
            cleaned = cleaned + 1
            return ok, err
          end)
        end)
        assert.is_true(steps < 40)    -- it waits for the cleaning up without spinning
        assert.equal(3, cleaned)
        assert.is_true(results[2])
        assert.same({ "timeout", "timeout" }, { results.errors[1].code, results.errors[3].code })
      end)
    end
  end)

  describe("with a time limit", function ()
    local function sleep (seconds)
      return loop.sleep(seconds)
    end

    it("fails what did not end in time, begins no more, and keeps what came", function ()
      for _, call in ipairs { function (fn, ...) return fn(...) end, loop.run } do
        local begun, began = 0, now()
        local results = call(many.map, { 0, 60, 60, 0, 60 }, function (seconds)
          begun = begun + 1
          return loop.sleep(seconds)
        end, { limit = 2, timeout = 0.03 })
        assert.is_true(now() - began < 5)
        assert.same({ 5, 3, true }, { results.n, begun, results[1] })
        for i = 2, 5 do
          assert.same({ nil, "timeout" }, { results[i], results.errors[i].code })
        end
        assert.equal("the deadline came during a sleep", results.errors[3].message)   -- the call's own error
        assert.equal("the call for item 4 did not end in time", results.errors[4].message)
      end
    end)

    it("cancels what goes on all the same, and waits for its cleaning up", function ()
      local cleaned = false
      local results = many.map({ 1 }, function ()
        local _ <close> = setmetatable({}, { __close = function ()
          loop.shielded(loop.sleep, 0.01)
          cleaned = true
        end })
        while true do
          loop.sleep(0.005)
        end
      end, { timeout = 0.02 })
      assert.is_true(cleaned)
      assert.same({ "timeout", "the call for item 1 did not end in time" }, { results.errors[1].code, results.errors[1].message })
    end)

    it("closes what had come where the first failure stops all", function ()
      local closed = 0
      local function fn (seconds)
        local ok, err = loop.sleep(seconds)
        return ok and { close = function () closed = closed + 1 end }, err
      end
      local results, err = many.map({ 0, 60 }, fn, { on_error = "stop", timeout = 0.02 })
      assert.same({ nil, "timeout", 1 }, { results, err.code, closed })
      results, err = many.map({ 0, 0 }, function (seconds)    -- the second is not begun
        local value = fn(seconds)
        loop.sleep(60)
        return value
      end, { limit = 1, on_error = "stop", timeout = 0.02 })
      assert.same({ nil, "timeout", 2 }, { results, err.code, closed })
    end)

    it("that is over calls nothing, and passes over what failed before", function ()
      local first = many.map({ 0, "x" }, function (value) return value == 0 or nil, "no" end)
      local results = many.map(first, error, { timeout = 0 })
      assert.same({ "timeout", "no" }, { results.errors[1].code, results.errors[2] })
    end)

    it("that does not come changes nothing", function ()
      assert.same({ n = 2, errors = {}, true, true }, many.map({ 0, 0.001 }, sleep, { timeout = 60, on_error = "stop" }))
    end)

    it("gives way to a deadline of the caller's that comes first", function ()
      local results = loop.under(now() + 0.02, many.map, { 60 }, sleep, { timeout = 60 })
      assert.equal("timeout", results.errors[1].code)
    end)
  end)

  describe("when it is cancelled", function ()
    it("cancels its calls, begins no more, and closes what came", function ()
      loop.run(function ()
        local closed, begun, ended = 0, 0, 0
        local task = loop.spawn(many.map, { 0, 0, 60, 60, 60, 60 }, function (seconds)
          begun = begun + 1
          local _ <close> = setmetatable({}, { __close = function ()
            loop.shielded(loop.sleep, 0.005)
            ended = ended + 1
          end })
          loop.sleep(seconds)
          return { close = function () closed = closed + 1 end }
        end, { limit = 2 })
        repeat
          loop.sleep(0.001)
        until begun == 4    -- the first two have ended
        task:cancel()
        assert.equal("cancelled", select(2, task:wait()).code)
        assert.same({ 2, 4, 4 }, { closed, begun, ended })
      end)
    end)
  end)

  describe("closed", function ()
    local function closable (log, name, fails)
      return { close = function (self)
        assert(self.name == name)
        log[#log + 1] = name
        if fails then error(name .. " fails") end
      end, name = name }
    end

    it("closes all results that can be closed, by <close>", function ()
      local log = {}
      do
        local results <close> = many.map({ "a", "b", "c", "d" }, function (name)
          if name == "b" then return nil, "failed" end
          if name == "c" then return "a string" end
          return closable(log, name)
        end)
        assert.equal(4, results.n)
      end
      assert.same({ "a", "d" }, log)
    end)

    it("goes on past one that fails, and raises then", function ()
      local log = {}
      local ok, err = pcall(function ()
        local _ <close> = many.map({ "a", "b", "c" }, function (name) return closable(log, name, name ~= "c") end)
      end)
      assert.is_false(ok)
      assert.equal("a fails", err.message)
      assert.same({ "a", "b", "c" }, log)
    end)
  end)
end)

describe("many.all", function ()
  it("calls all functions at the same time, however many", function ()
    local functions, arrived = {}, 0
    for i = 1, 30 do
      functions[i] = function ()
        arrived = arrived + 1
        while arrived < 30 do    -- all are here before the first goes on
          loop.sleep(0)
        end
        return i
      end
    end
    local results = many.all(functions)
    for i = 1, 30 do
      assert.equal(i, results[i])
    end
    assert.same({ n = 0, errors = {} }, many.all {})
  end)

  it("takes the options of map", function ()
    local function never () return loop.sleep(60) end
    local results = many.all({ function () return 1 end, never }, { timeout = 0.02 })
    assert.same({ 1, "timeout" }, { results[1], results.errors[2].code })
    local none, err = many.all({ never, function () return nil, "broken" end }, { on_error = "stop" })
    assert.same({ false, "broken" }, { none or false, err })
    local at_once, most = 0, 0
    local function count ()
      at_once = at_once + 1
      most = math.max(most, at_once)
      loop.sleep(0.001)
      at_once = at_once - 1
      return true
    end
    many.all({ count, count, count }, { limit = 2 })
    assert.equal(2, most)
  end)

  it("takes results for its functions, as map does", function ()
    local functions = many.map({ 1, 2 }, function (n)
      if n == 1 then return nil, "broken" end
      return function () return n end
    end)
    local results = many.all(functions)
    assert.same({ n = 2, errors = { "broken" }, [2] = 2 }, results)
  end)
end)
