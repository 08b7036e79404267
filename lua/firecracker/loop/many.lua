--- Many at once: all of some functions, one function over a list.
-- @module firecracker.loop.many

local errors = require "firecracker.errors"
local loop = require "firecracker.loop"

local many = {}

-- Results in the order of the items, with `n` and holes; `errors[i]` beside them. Closing closes what can be closed, all
-- of it; the first error that is raised meanwhile goes on.
local results_metatable = {
  __name = "firecracker.results",
  __close = function (results)
    local problem
    for i = 1, results.n do
      local value = results[i]
      local close = (type(value) == "table" or type(value) == "userdata") and value.close
      if close then
        local ok, err = errors.pcall(close, value)
        problem = problem or not ok and err
      end
    end
    if problem then
      error(problem, 0)
    end
  end,
}

local function limit_of (options)
  local limit = options and options.limit or 16
  if math.type(limit) ~= "integer" or limit < 1 then
    errors.raise(3, { code = "usage", message = ("map: limit: positive integer expected, got %s"):format(tostring(limit)) })
  end
  return limit
end

--- Call a function for each item, several at a time. It returns when all calls have ended; a deadline bounds the calls.
-- When it is cancelled itself, so are the calls, and what they returned is closed.
-- @tparam table items a list
-- @tparam function fn called as `fn(item)`; fails by raising or by `nil, err`
-- @tparam[opt] table options `limit`: how many at a time (default 16)
-- @treturn table results: `results[i]` is the first value of the i-th call, nil where it failed; `results.errors[i]` says
-- why; `results.n` is the number of items
function many.map (items, fn, options)
  local limit = limit_of(options)
  local results = setmetatable({ n = #items, errors = {} }, results_metatable)
  local workers, next_item = {}, 0
  local function work (me)
    while next_item < results.n and not workers[me].cancelled do
      next_item = next_item + 1
      local i = next_item
      local ok, value, err = errors.pcall(fn, items[i])
      if ok then
        results[i] = value
      else
        err = value
      end
      if not ok or value == nil then
        results.errors[i] = err
      end
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
  if not ok then
    for _, worker in ipairs(workers) do
      worker:cancel()
    end
    loop.shielded(function ()
      settle()
      local _ <close> = results
    end)
    error(raised, 0)
  end
  return results
end

--- Call functions at the same time and wait for all.
-- @tparam {function,...} functions
-- @treturn table results as of `map`
function many.all (functions)
  return many.map(functions, function (fn)
    return fn()
  end, { limit = math.max(#functions, 1) })
end

return many
