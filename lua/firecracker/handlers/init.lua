--- The handlers by group: `handlers.validate.cfg`, `handlers.fcinit.start_vmm`, …; a name that does not exist raises.
-- @module firecracker.handlers

local errors = require "firecracker.errors"
local lazy = require "firecracker.lazy"

local text = lazy "firecracker.text"

local function strict (group, table)
  local names = {}
  for name in pairs(table) do
    names[#names + 1] = name
  end
  return setmetatable(table, { __index = function (_, name)
    errors.raise(2, { code = "usage", message = ("no handler '%s%s'%s"):format(group, tostring(name),
      text.suggest(tostring(name), names)) })
  end })
end

return strict("", {
  validate = strict("validate.", require "firecracker.handlers.validate"),
  fcinit = strict("fcinit.", require "firecracker.handlers.fcinit"),
})
