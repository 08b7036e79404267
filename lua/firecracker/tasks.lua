--- Many at once: all of some functions, one function over a list.
-- @module firecracker.tasks

local errors = require "firecracker.errors"
local loop = require "firecracker.loop"

local tasks = {}

-- Results in the order of the items, with `n` and holes; `errors[i]` beside them. Closing closes what can be closed.
local results_metatable = {
  __name = "firecracker.results",
  __close = function (results)
    for i = 1, results.n do
      local value = results[i]
      local close = (type(value) == "table" or type(value) == "userdata") and value.close
      if close then
        close(value)
      end
    end
  end,
}

--- Call a function for each item, several at a time.
-- @tparam table items a list
-- @tparam function fn called as `fn(item)`; fails by raising or by `nil, err`
-- @tparam[opt] table options `limit`: how many at a time (default 16)
-- @treturn table results: `results[i]` is the first value of the i-th call, nil where it failed; `results.errors[i]` says
-- why; `results.n` is the number of items
function tasks.map (items, fn, options)
  local results = setmetatable({ n = #items, errors = {} }, results_metatable)
  local next_item = 0
  local function work ()
    while next_item < #items do
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
  local workers = {}
  for i = 1, math.min(options and options.limit or 16, #items) do
    workers[i] = loop.spawn(work)
  end
  for _, worker in ipairs(workers) do
    worker:wait()
  end
  return results
end

--- Call functions at the same time and wait for all.
-- @tparam {function,...} functions
-- @treturn table results as of `map`
function tasks.all (functions)
  return tasks.map(functions, function (fn)
    return fn()
  end, { limit = math.max(#functions, 1) })
end

return tasks
