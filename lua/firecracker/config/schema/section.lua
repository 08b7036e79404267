--- A section of the schema that is a model of Firecracker's, or a module's: read when the section is.
-- @module firecracker.config.schema.section

local models = require "firecracker.api.models"

-- The fields of a model. `changes` by name go on top of a field's record; what `ours` lists, or the module of that name, comes
-- after.
local function fields_of (model, changes, ours)
  local fields = {}
  for _, field in ipairs(model and models[model].fields or {}) do
    if not field.removed then
      local copy = {}
      for key, value in pairs(field) do
        copy[key] = value
      end
      for key, value in pairs(changes and changes[field.name] or {}) do
        copy[key] = value
      end
      fields[#fields + 1] = copy
    end
  end
  ours = type(ours) == "string" and require(ours) or ours or {}
  return table.move(ours, 1, #ours, #fields + 1, fields)
end

--- Make the record of a section.
-- @function section
-- @tparam ?string name
-- @tparam ?string model
-- @tparam ?string doc
-- @tparam ?table changes by a field's name what goes on top of its record
-- @tparam ?table|string ours more fields, or the module of that name
-- @tparam ?table words more of the record itself
-- @treturn table record
return function (name, model, doc, changes, ours, words)
  local record = { name = name, type = "table", model = model, doc = doc }
  for key, value in pairs(words or {}) do
    record[key] = value
  end
  return setmetatable(record, { __index = function (self, key)
    if key == "fields" or key == "rules" then
      local fields = fields_of(model, changes, ours)
      local rules = rawget(self, "rules") or model and models[model].rules or {}
      setmetatable(self, nil)   -- last: what could not be opened is read the next time
      self.fields, self.rules = fields, rules
      return self[key]
    end
  end })
end
