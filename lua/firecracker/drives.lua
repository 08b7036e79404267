--- Lists of drives for a configuration. Plain tables do as well; what is wrong in one is found by `fc.new`.
-- @module firecracker.drives

local errors = require "firecracker.errors"

local drives = {}

local function drive (verb, path, options, defaults)
  if type(path) ~= "string" then
    errors.raise(3, { code = "usage", message = ("drives.%s: path expected, got %s"):format(verb, type(path)) })
  elseif options ~= nil and type(options) ~= "table" then
    errors.raise(3, { code = "usage", message = ("drives.%s: options: table expected, got %s"):format(verb, type(options)) })
  end
  defaults.path_on_host = path
  for key, value in pairs(options or {}) do
    defaults[key] = value
  end
  return defaults
end

-- The first of drive1, drive2, … that no drive has.
local function free_id (list)
  local taken, number = {}, 1
  for _, each in ipairs(list) do
    taken[type(each) == "table" and each.drive_id or false] = true     -- what is none, and one without, `fc.new` finds
  end
  while taken["drive" .. number] do
    number = number + 1
  end
  return "drive" .. number
end

--- A list that begins with the drive the guest boots from.
-- @tparam string path file or block device
-- @tparam[opt] table options fields of the drive: `drive_id` (default "rootfs"), `is_read_only`, `partuuid`, `rate_limiter`,
-- `cache_type`, `io_engine`
-- @treturn {table,...} drives for `config.drives`
function drives.root (path, options)
  return { drive("root", path, options, { drive_id = "rootfs", is_root_device = true, is_read_only = false }) }
end

--- Add a drive to a list.
-- @tparam {table,...} list
-- @tparam string path file or block device
-- @tparam[opt] table options as of `drives.root`; `drive_id` is "drive1", "drive2", … when absent
-- @treturn {table,...} the same list
function drives.add (list, path, options)
  if type(list) ~= "table" then
    errors.raise(2, { code = "usage", message = ("drives.add: list expected, got %s"):format(type(list)) })
  end
  list[#list + 1] = drive("add", path, options, { drive_id = free_id(list), is_root_device = false, is_read_only = false })
  return list
end

return drives
