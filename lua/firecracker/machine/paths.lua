--- Paths as the VMM sees them: the host's own, or those inside its jail.
-- A configuration and the verbs name files as the host does. What goes into a request passes here.
-- @module firecracker.machine.paths

local core = require "firecracker.core"

local files, tree = core.files, core.tree
local paths = {}

-- Which files machines were told to use for a device; some of them they may have left. By file, so that a thousand machines
-- need not be asked: "device:inode" -> the machines. A file's set lives as long as one of them, which holds it.
local users = setmetatable({}, { __mode = "v" })
local sets = setmetatable({}, { __mode = "k" })    -- machine -> "device:inode" -> set
local SET <const> = { __mode = "k" }

--- Methods of a machine.
paths.methods = {}

--- Which fields of a request are paths, and what the VMM does with the file: "read", "write" (reads and writes),
-- "create" (makes it), "socket" (makes a socket). `id` names the item of a list.
paths.FIELDS = {
  boot_source = { kernel_image_path = "read", initrd_path = "read" },
  drives = { path_on_host = "write", socket = "write", id = "drive_id" },
  pmem = { path_on_host = "write", id = "id" },
  logger = { log_path = "write" },
  metrics = { metrics_path = "write" },
  serial = { serial_out_path = "write" },
  vsock = { uds_path = "socket" },
}

--- The path by which the VMM finds a file of the host's. In a jail the file is brought there when it is not.
-- @function vm:vmm_path
-- @tparam string path the host's
-- @tparam[opt="read"] string use what the VMM does with it: "read", "write", "create", "socket"
-- @tparam[opt] string name what it is called in the jail: a path relative to the jail's `/vm`, or an absolute one
-- @tparam[opt=name] string called by what name `jailer.staging_for` tells how it comes in
-- @treturn[1] string the VMM's
-- @treturn[1] string the host's, of what the VMM opens or makes there
-- @return[2] nil
-- @treturn[2] err
function paths.methods:vmm_path (path, use, name, called)
  if not self.config.jailer then
    return path, path
  end
  return require("firecracker.launch.staging").path(self, path, use or "read", name, called)
end

--- The VMM is through with what it has made, or read: nothing of it stays in the jail.
-- @tparam table vm
-- @tparam string path the host's
-- @tparam[opt] string use "read", if that was what it was brought in for
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function paths.forget (vm, path, use)
  if not vm.jail then
    return true
  end
  return require("firecracker.launch.staging").forget(vm, path, use)
end

--- What names a plain file.
-- @tparam ?string path
-- @treturn ?string
function paths.identity (path)
  local look = path and files.look(path, true)
  return look and look.type == "file" and ("%d:%d"):format(look.device, look.inode) or nil
end

--- Remember that a machine uses a file for a device.
-- @tparam table vm
-- @tparam ?string path
function paths.note (vm, path)
  local key = paths.identity(path)
  if key then
    local set = users[key] or setmetatable({}, SET)
    sets[vm] = sets[vm] or {}
    users[key], sets[vm][key], set[vm] = set, set, true
  end
end

--- The machines that were told to use a file for a device.
-- @tparam ?string path
-- @treturn ?table machine -> true
-- @treturn ?string its @{identity}
function paths.users (path)
  local key = paths.identity(path)
  return users[key], key
end

local function use_of (use, body)
  return use == "write" and (body.is_read_only or body.read_only) and "read" or use
end

--- What a field's file is called in the jail: by its section and the item's id, so that another jail has it at the same place.
-- @tparam string section
-- @tparam string field
-- @tparam table body
-- @treturn string
function paths.name (section, field, body)
  local id = paths.FIELDS[section].id
  return id and ("%s/%s"):format(section, body[id]) or field:gsub("_path$", ""):gsub("_image$", "")
end

--- A request's body with the VMM's paths.
-- @tparam table vm
-- @tparam string section
-- @tparam table body is not changed
-- @tparam[opt=body] table device which the body changes: it does not say again whether that is written to
-- @treturn[1] table body the same one where there is nothing to change
-- @return[2] nil
-- @treturn[2] err
function paths.body (vm, section, body, device)
  local fields = paths.FIELDS[section]
  if fields and fields.id and type(body.path_on_host) == "string" and use_of("write", device or body) == "write" then
    paths.note(vm, body.path_on_host)
  end
  if not fields or not vm.config.jailer then
    return body
  end
  local result = setmetatable({}, getmetatable(body))
  for key, value in pairs(body) do
    local seen, err = value, nil
    if fields[key] and key ~= "id" and type(value) == "string" then
      seen, err = vm:vmm_path(value, use_of(fields[key], device or body), paths.name(section, key, body))
    end
    if seen == nil then
      return nil, err
    end
    result[key] = seen
  end
  return result
end

--- The two parts of a path with a "//", behind which it is somebody else's, as in a jail: no link is followed there.
-- @tparam string path
-- @treturn[1] string the directory that is ours
-- @treturn[1] string the path in it
-- @treturn[2] nil where the whole path is ours
function paths.split (path)
  return path:match "^(.-[^/])//+([^/].*)$"
end

-- outside(path), or inside(tree, name) where a part of the path is somebody else's.
local function by_border (path, outside, inside)
  local root, name = paths.split(path)
  if not root then
    return outside(path)
  end
  local top <close>, err = tree.name(root)
  if not top then
    return nil, err
  end
  return inside(top, name)
end

local function look_inside (top, name)
  local fd <close>, err = tree.at(top, name)
  if not fd then
    return nil, err
  end
  return tree.look(fd)
end

local function unlink_inside (top, name)
  local gone, err = tree.remove(top, name, 1)
  return gone ~= nil or nil, err
end

--- As `files.look`, for a path that may have a "//".
-- @tparam string path the host's
-- @treturn[1] table
-- @return[2] nil
-- @treturn[2] err
function paths.look (path)
  return by_border(path, files.look, look_inside)
end

--- As `files.unlink`, for a path that may have a "//".
-- @tparam string path the host's
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function paths.unlink (path)
  return by_border(path, files.unlink, unlink_inside)
end

return paths
