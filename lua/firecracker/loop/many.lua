--- Many at once: all of some functions, one function over a list.
-- @module firecracker.loop.many

local core = require "firecracker.core"
local errors = require "firecracker.errors"
local loop = require "firecracker.loop"

local many = {}

local now <const> = core.now
local LIMIT <const> = 16   -- calls of `map` at a time

local function close_of (value)
  return (type(value) == "table" or type(value) == "userdata") and value.close or nil
end

-- Results in the order of the items, with `n` and holes; `errors[i]` beside them. Closing closes what can be closed, all
-- of it, side by side; the first error that is raised meanwhile goes on.
local results_metatable = {
  __name = "firecracker.results",
  __close = function (results)
    local closable = {}
    for i = 1, results.n do
      if close_of(results[i]) then
        closable[#closable + 1] = results[i]
      end
    end
    local raised = {}
    loop.shielded(many.map, closable, function (value)
      local ok, err = errors.pcall(close_of(value), value)
      raised[#raised + 1] = not ok and err or nil
    end, { limit = math.max(#closable, 1) })
    if raised[1] then
      error(raised[1], 0)
    end
  end,
}

local function refuse (message, ...)
  errors.raise(3, { code = "usage", message = message:format(...) })
end

-- How many items there are, and the errors of those that are none: results of a call before have holes.
local function extent (verb, items)
  if type(items) ~= "table" then
    refuse("%s: table expected, got %s", verb, type(items))
  elseif (getmetatable(items) or {}).__name == results_metatable.__name then
    return items.n, items.errors
  end
  return #items, {}
end

local function check_function (what, fn)
  if not loop.callable(fn) then
    refuse("%s: function expected, got %s", what, type(fn))
  end
end

local OPTIONS <const> = { limit = true, on_error = true, timeout = "seconds" }

local function check_options (verb, options, most)
  options = loop.options(verb, options, OPTIONS)
  local limit, on_error = options.limit or most, options.on_error or "continue"
  if math.type(limit) ~= "integer" or limit < 1 then
    refuse("%s: limit: positive integer expected, got %s", verb, errors.shown(limit))
  elseif on_error ~= "continue" and on_error ~= "stop" then
    refuse("%s: on_error: 'continue' or 'stop' expected, got %s", verb, errors.shown(on_error))
  end
  return limit, on_error == "stop", options.timeout and loop.deadline(options.timeout) or math.huge
end

local function timed_out (i)
  return errors.new { code = "timeout", message = ("the call for item %d did not end in time"):format(i) }
end

-- The calls of `map`, its options checked.
local function call_each (items, count, failed, fn, limit, stop, deadline)
  local results = setmetatable({ n = count, errors = {} }, results_metatable)
  local workers, next_item, failure, late = {}, 0, nil, false
  local function cancel_all ()
    for _, worker in ipairs(workers) do
      worker:cancel()
    end
  end
  local function fail (i, err)
    results.errors[i] = err
    if stop and not failure then
      failure = err or errors.new { code = "failed", message = ("the call for item %d returned nothing"):format(i) }
      cancel_all()
    end
  end
  local function work (me)
    while next_item < results.n and not workers[me].cancelled and now() < deadline do
      next_item = next_item + 1
      local i = next_item
      local item = items[i]
      if item == nil then
        results.errors[i] = failed[i]
        goto continue
      end
      local ok, value, err = errors.pcall(fn, item)
      if not ok then
        err = value
      end
      if ok and value ~= nil then
        results[i] = value
      else
        fail(i, late and errors.is(err) and err.code == "cancelled" and timed_out(i) or err)
      end
      ::continue::
    end
  end
  loop.under(deadline, function ()
    for i = 1, math.min(limit, results.n) do
      workers[i] = loop.spawn(work, i)
    end
  end)
  local function settle (till)
    for _, worker in ipairs(workers) do
      repeat until worker.done or loop.park(till, worker) or now() >= till
    end
  end
  local ok, raised = pcall(loop.without_deadline, function ()
    settle(deadline)
    if now() >= deadline then
      loop.park(now())   -- who heeds the deadline says himself what it came in the way of
      late = true
      cancel_all()
      settle(math.huge)
    end
  end)
  for i = next_item + 1, ok and not failure and results.n or 0 do   -- the time was over
    if items[i] == nil then
      results.errors[i] = failed[i]
    else
      fail(i, timed_out(i))
    end
  end
  if ok and not failure then
    return results
  end
  cancel_all()
  loop.shielded(function ()
    settle(math.huge)
    local _ <close> = results
  end)
  if not ok then
    error(raised, 0)
  end
  return nil, failure
end

--- Call a function for each item, several at a time. It returns when all calls have ended; a deadline bounds the calls.
-- When it is cancelled itself, so are the calls, and what they returned is closed.
-- @tparam table items a list; or results of a call before, of which those that failed are passed over and keep their errors
-- @tparam function fn called as `fn(item)`; fails by raising or by `nil, err`
-- @tparam[opt] table options `limit`: how many at a time (default 16); `on_error`: "continue" (default), or "stop": the
-- first failure cancels the other calls, and what had come is closed; `timeout` in seconds for all of it: a call that is under way
-- then fails with code "timeout", one that goes on all the same is cancelled, and no more begin
-- @treturn[1] table results: `results[i]` is the first value of the i-th call, nil where it failed; `results.errors[i]`
-- says why; `results.n` is the number of items
-- @return[2] nil
-- @treturn[2] err the first failure, with `on_error = "stop"`
function many.map (items, fn, options)
  local count, failed = extent("map", items)
  check_function("map", fn)
  return call_each(items, count, failed, fn, check_options("map", options, LIMIT))
end

local function call (fn)
  return fn()
end

--- Call functions at the same time and wait for all.
-- @tparam {function,...} functions
-- @tparam[opt] table options as of `map`; no `limit`: all at a time
-- @return as `map`
function many.all (functions, options)
  local count, failed = extent("all", functions)
  for i = 1, count do
    if functions[i] ~= nil then
      check_function(("all: [%d]"):format(i), functions[i])
    end
  end
  return call_each(functions, count, failed, call, check_options("all", options, math.max(count, 1)))
end

return many
