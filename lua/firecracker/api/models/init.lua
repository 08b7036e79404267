--- The models of Firecracker's API, as data: what is sent and what comes back, every 1.x release.
--
-- A model: `doc`, `fields` in the VMM's own order, `lax` where the VMM ignores unknown keys, `rules` that concern several
-- fields (@{firecracker.config.rules}). One record for each field, in the words of @{firecracker.config.schema}:
--
-- - `name`, `doc`, `type`: `string`, `path`, `boolean`, `integer`, `table`, `list` (of `item`), `map` (of `item`)
-- - `model`: of a table; its fields stand in `fields` then
-- - `required`; `absent`: what the VMM takes where it is left out; `nullable`: null is taken for that
-- - `width` of the VMM's integer ("u8" … "u64", "usize"); `min`, `max` what is accepted
-- - `enum`, with `ignore_case`; `pattern` in words in `expected`; `max_bytes`; `arch` it is for
-- - `since`, `unless` (releases after it that lack it, each with the one that has it again), `removed`; `enum_since`: the
--   same for single values
-- - `deprecated`: `{ since, use }`, with `value` where one value is meant
--
-- @module firecracker.api.models

local PARTS <const> = { "instance", "boot", "block", "network", "devices", "balloon", "memory", "output", "snapshot" }

local models = {}

for _, part in ipairs(PARTS) do
  for name, model in pairs(require("firecracker.api.models." .. part)) do
    assert(not models[name], name)
    models[name] = model
  end
end

local MAX <const> = { u8 = 0xff, u16 = 0xffff, u32 = 0xffffffff }

local function complete (field)
  if field.model then
    field.fields = assert(models[field.model], field.model).fields
    field.rules = models[field.model].rules
  elseif field.width then
    field.min = field.min or 0
    field.max = field.max or MAX[field.width]
  end
  if field.item then
    complete(field.item)
  end
end

for _, model in pairs(models) do
  for _, field in ipairs(model.fields) do
    complete(field)
  end
end

return models
