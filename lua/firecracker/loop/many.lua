--- Many at once: all of some functions, one function over a list.
-- @module firecracker.loop.many

local errors = require "firecracker.errors"
local loop = require "firecracker.loop"

local many = {}

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

local function check_options (options)
  options = loop.options("map", options, OPTIONS)
  local limit, on_error = options.limit or 16, options.on_error or "continue"
  if math.type(limit) ~= "integer" or limit < 1 then
    refuse("map: limit: positive integer expected, got %s", errors.shown(limit))
  elseif on_error ~= "continue" and on_error ~= "stop" then
    refuse("map: on_error: 'continue' or 'stop' expected, got %s", errors.shown(on_error))
  end
  return limit, on_error == "stop"
end

--- Call a function for each item, several at a time. It returns when all calls have ended; a deadline bounds the calls.
-- When it is cancelled itself, so are the calls, and what they returned is closed.
-- @tparam table items a list; or results of a call before, of which those that failed are passed over and keep their errors
-- @tparam function fn called as `fn(item)`; fails by raising or by `nil, err`
-- @tparam[opt] table options `limit`: how many at a time (default 16); `on_error`: "continue" (default), or "stop": the
-- first failure cancels the other calls, and what had come is closed
-- @treturn[1] table results: `results[i]` is the first value of the i-th call, nil where it failed; `results.errors[i]`
-- says why; `results.n` is the number of items
-- @return[2] nil
-- @treturn[2] err the first failure, with `on_error = "stop"`
function many.map (items, fn, options)
  local count, failed = extent("map", items)
  check_function("map", fn)
  local limit, stop = check_options(options)
  local results = setmetatable({ n = count, errors = {} }, results_metatable)
  local workers, next_item, failure = {}, 0, nil
  local function cancel_all ()
    for _, worker in ipairs(workers) do
      worker:cancel()
    end
  end
  local function work (me)
    while next_item < results.n and not workers[me].cancelled do
      next_item = next_item + 1
      local i = next_item
      local item = items[i]
      if item == nil then
        results.errors[i] = failed[i]
        goto continue
      end
      local ok, value, err = errors.pcall(fn, item)
      if ok then
        results[i] = value
      else
        err = value
      end
      if not ok or value == nil then
        results.errors[i] = err
        if stop and not failure then
          failure = err or errors.new { code = "failed", message = ("the call for item %d returned nothing"):format(i) }
          cancel_all()
        end
      end
      ::continue::
    end
  end
  for i = 1, math.min(limit, results.n) do
    workers[i] = loop.spawn(work, i)
  end
  local function settle ()
    for _, worker in ipairs(workers) do
      repeat until worker.done or loop.park(math.huge, worker)
    end
  end
  local ok, raised = pcall(loop.without_deadline, settle)
  if ok and not failure then
    return results
  end
  cancel_all()
  loop.shielded(function ()
    settle()
    local _ <close> = results
  end)
  if not ok then
    error(raised, 0)
  end
  return nil, failure
end

--- Call functions at the same time and wait for all.
-- @tparam {function,...} functions
-- @treturn table results as of `map`
function many.all (functions)
  local count = extent("all", functions)
  for i = 1, count do
    check_function(("all: [%d]"):format(i), functions[i])
  end
  return many.map(functions, function (fn)
    return fn()
  end, { limit = math.max(count, 1) })
end

return many
