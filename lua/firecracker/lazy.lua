--- Modules that only some programs need: each is loaded when a field of it is first asked for.
-- @module firecracker.lazy

--- Stand in for a module.
-- @function lazy
-- @tparam string name
-- @treturn table whose fields are the module's
return function (name)
  return setmetatable({}, { __index = function (self, key)
    local module = require(name)
    setmetatable(self, { __index = module })
    return module[key]
  end })
end
