--- Around every spec of a block: what it opened is closed, and no descriptor stays.
--
--    local opened = closing(setup, before_each, after_each, warm_up, settle)
--    local api = opened(client.new(path))
--
-- `warm_up` runs once: what it opens for the whole process does not count. `settle` runs when all is closed.

local fds = require "spec.support.fds"

return function (setup, before_each, after_each, warm_up, settle)
  local list
  setup(warm_up)
  before_each(function ()
    fds.remember()
    list = {}
  end)
  after_each(function ()
    for _, each in ipairs(list) do
      each:close()
    end
    settle()
    fds.compare()
  end)
  return function (each)
    list[#list + 1] = each
    return each
  end
end
