--- What the operations of the fake VMM share.
-- @module firecracker.testing.vmm.common

local models = require "firecracker.api.models"

local common = {}

--- Refuse the request that is being answered: leaves by error(), as { status, message }.
-- @tparam string message a format where there are arguments
function common.refuse (message, ...)
  error({ 400, select("#", ...) > 0 and message:format(...) or message }, 0)
end

--- Where the item with an id is.
-- @tparam table list
-- @tparam string key
-- @tparam string id
-- @treturn ?int
function common.position (list, key, id)
  for i, item in ipairs(list) do
    if item[key] == id then
      return i
    end
  end
end

--- Whether a list holds a value.
-- @tparam table list
-- @param value
-- @treturn boolean
function common.has_value (list, value)
  for _, item in ipairs(list) do
    if item == value then
      return true
    end
  end
  return false
end

--- Put an item in the place of the one with its id, or at the end.
-- @tparam table list
-- @tparam string key
-- @tparam table item
function common.place (list, key, item)
  list[common.position(list, key, item[key]) or #list + 1] = item
end

--- Fill in absent fields as the VMM takes them.
-- @tparam string model
-- @tparam table body
-- @treturn table
function common.complete (model, body)
  local result = {}
  for _, field in ipairs(models[model].fields) do
    local value = body[field.name]
    if value == nil and field.absent ~= "None" then
      value = field.absent
    end
    result[field.name] = value
  end
  return result
end

-- In nanoseconds it has to fit into 64 bits.
local function is_limit (milliseconds)
  return math.type(milliseconds) == "integer" and milliseconds <= 18446744073709
end

--- A rate limiter after a request. Buckets that limit nothing read back as null.
-- @tparam ?table given
-- @tparam ?table old
-- @treturn ?table
function common.limiter (given, old)
  if not given then
    return old
  end
  local result = {}
  for _, name in ipairs { "bandwidth", "ops" } do
    local bucket = given[name] or old and old[name]
    if bucket and bucket.size ~= 0 and bucket.refill_time ~= 0 and is_limit(bucket.refill_time) then
      result[name] = { size = bucket.size, refill_time = bucket.refill_time,
                       one_time_burst = bucket.one_time_burst ~= 0 and bucket.one_time_burst or nil }
    end
  end
  return next(result) and result or nil
end

--- The root device.
-- @tparam table self
-- @treturn ?string its id
-- @treturn ?string "drive" or "pmem"
function common.root_of (self)
  for _, drive in ipairs(self.drives) do
    if drive.is_root_device then
      return drive.drive_id, "drive"
    end
  end
  for _, pmem in ipairs(self.pmem) do
    if pmem.root_device then
      return pmem.id, "pmem"
    end
  end
end

--- Unplug a device.
-- @tparam table self
-- @tparam table list
-- @tparam string key
-- @tparam string id
-- @tparam[opt] string root the field that says it is the root device
function common.unplug (self, list, key, id, root)
  local at = common.position(list, key, id)
  if not self.pci then
    common.refuse "PCI is not enabled"
  elseif not at then
    common.refuse "Device not found"
  elseif list[at][root] then
    common.refuse "Cannot unplug root device"
  end
  table.remove(list, at)
end

return common
