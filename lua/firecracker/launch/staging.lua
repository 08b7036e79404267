--- Bringing files into a jail. A file has two views: the host's path and the jail's.
-- The ways, tried in their order: `link` (a hard link), `reflink` (a copy that shares its blocks), `bind` (a mount), `copy`
-- (holes stay holes), `node` (a device once more). What the VMM writes to is the host's own file, unless the configuration
-- asks for a copy: its writes go with the jail then.
-- @module firecracker.launch.staging

local core = require "firecracker.core"
local errors = require "firecracker.errors"
local intake = require "firecracker.intake"
local jail = require "firecracker.launch.jail"
local loans = require "firecracker.launch.loans"
local loop = require "firecracker.loop"
local paths = require "firecracker.machine.paths"

local files, tree = core.files, core.tree
local staging = {}

local ORDER <const> = {
  read = { "link", "reflink", "bind", "copy" },
  write = { "link", "bind" },
  device = { "node" },
}
ORDER.create = ORDER.write

local SECTIONS <const> = { "boot_source", "drives", "pmem", "logger", "metrics", "serial" }

-- Whether permission bits let a user do what he does with it. Access lists do not count: the worst is a copy.
local function allows (look, owner, use)
  local wanted = (use == "read") and 4 or 6
  local bits = look.uid == owner.uid and look.mode >> 6 or look.gid == owner.gid and look.mode >> 3 or look.mode
  return bits & wanted == wanted or owner.uid == 0
end

local ways = {}

-- Bring the file itself in by `enter`; what the user could not use then, or only as long as another machine has it, is not
-- brought in, or lent to him.
local function share (vm, root, item, enter)
  local owner = vm.config.jailer
  local usable = allows(item.look, owner, item.use)
  if not usable and item.use == "read" then
    return nil, ("uid %d cannot read it"):format(owner.uid)
  end
  local ok, err = enter()
  if ok and (not usable or item.use ~= "read" and owner.uid ~= 0 and loans.has(item.look)) then
    ok, err = loans.lend(vm, item)
    if not ok then
      tree.remove(root, item.name)
    end
  end
  return ok, err
end

function ways.link (vm, root, item)
  return share(vm, root, item, function ()
    return tree.link(root, item.name, item.source)
  end)
end

function ways.bind (vm, root, item)
  return share(vm, root, item, function ()
    local point, err = tree.create(root, item.name)
    if not point then
      return nil, err
    end
    point:close()
    local ok
    ok, err = tree.bind(root, item.name, item.source, item.use == "read", vm.pid)
    if not ok then
      tree.remove(root, item.name)
    end
    return ok, err
  end)
end

function ways.node (vm, root, item)
  local owner = vm.config.jailer
  return tree.mknod(root, item.name, item.source, owner.uid, owner.gid, item.use == "read" and 256 or 384)   -- 0400, 0600
end

-- In pieces: the other tasks go on between them.
local function fill (vm, copy, item)
  while true do
    local done, at, size = copy:step()
    if done ~= false then
      return done, at
    end
    vm:emit { event = "staging", level = "debug", path = item.path, way = "copy", done = at, size = size }
    loop.sleep(0)
    if core.now() >= loop.deadline() then
      return nil, errors.new { code = "timeout", path = item.path,
                               message = ("%s could not be copied into the jail in time"):format(item.path) }
    end
  end
end

-- A copy of the jail's user's own.
local function copied (vm, root, item, by_blocks)
  if item.look.type ~= "file" then
    return nil, "not a plain file"
  end
  local target, err = tree.create(root, item.name)
  if not target then
    return nil, err
  end
  local ok
  ok, err = tree.give(target, vm.config.jailer.uid, vm.config.jailer.gid, item.use == "read" and 256 or 384)
  if ok then
    local copy <close>, problem = tree.copy(item.source, target, by_blocks)
    ok, err = copy, problem
    if copy then
      local returned
      returned, ok, err = pcall(fill, vm, copy, item)
      if not returned then   -- cancelled
        tree.remove(root, item.name)
        error(ok, 0)
      end
    end
  end
  target:close()
  if not ok then
    tree.remove(root, item.name)
  end
  return ok, err
end

function ways.reflink (vm, root, item)
  return copied(vm, root, item, true)
end

function ways.copy (vm, root, item)
  return copied(vm, root, item, false)
end

-- Which ways, for what a file was to be called in the jail. What the VMM makes would not come out of a copy.
local function order (vm, name, use, look)
  local config = vm.config.jailer
  local short = name:match("^" .. jail.OWN .. "/(.*)$") or name
  local chosen = use ~= "create" and (config.staging_for and config.staging_for[short] or config.staging)
  if look and (look.type == "block" or look.type == "character") and not chosen then
    return ORDER.device
  end
  return chosen or ORDER[use]
end

local function refuse (item, message, fields)
  local err = fields or {}
  err.code, err.path = "jailer", item.path
  err.message = ("cannot bring %s into the jail: %s"):format(item.path, message)
  return nil, errors.new(err)
end

local function stage (vm, place, item)
  local root <close>, err = tree.name(place.root)
  local source <close>, problem = tree.name(item.path)
  if not root or not source then
    return nil, err or problem
  end
  item.source, item.look = source, assert(tree.look(source))
  if item.look.type == "directory" then
    return refuse(item, "a directory", { errno = "EISDIR" })
  end
  local above, ok = item.name:match "^(.*)/", true
  if above then
    ok, err = tree.mkdir(root, above)
  end
  if not ok then
    return nil, err
  end
  local reasons, errno = {}, nil
  for _, way in ipairs(order(vm, item.called, item.use, item.look)) do
    ok, err = ways[way](vm, root, item)
    if ok then
      vm:emit { event = "staging", level = "debug", path = item.path, way = way, jail = "/" .. item.name }
      return true
    elseif errors.is(err) and err.code == "timeout" then
      return nil, err
    end
    reasons[#reasons + 1] = ("%s: %s"):format(way, errors.is(err) and err.message or err)
    errno = errors.is(err) and err.errno or errno
    if errno == "EEXIST" then   -- the name is taken, whichever way
      break
    end
  end
  return refuse(item, table.concat(reasons, "; "), { errno = errno, hint = item.use == "write" and
    "jailer.staging_for can ask for a copy; what the VMM writes goes with the jail then" or nil })
end

-- Under which a file that was brought in is found again.
local function key_of (path, use)
  return (use == "read" and "" or "+") .. path
end

-- Two files of one name do not meet.
local function free_name (place, name)
  local result, n = name, 1
  while place.taken[result] do
    n = n + 1
    result = ("%s.%d"):format(name, n)
  end
  place.taken[result] = true
  return result
end

-- What a resource is called, relative to the jail's root.
local function name_of (place, path, name)
  if path:sub(1, #place.root + 1) == place.root .. "/" then
    return path:sub(#place.root + 2), true
  elseif name and name:sub(1, 1) == "/" then
    return name:sub(2)
  end
  return ("%s/%s"):format(jail.OWN, name or path:match "[^/]*$")
end

-- A place for a socket that the VMM makes.
local function socket_place (vm, place, path, name, inside)
  local above = name:match "^(.*)/"
  local root <close>, err = tree.name(place.root)
  local ok = root
  if root and above and above ~= "run" then   -- that one is the jailer's
    ok, err = tree.mkdir(root, above, 448, vm.config.jailer.uid, vm.config.jailer.gid)   -- 0700
  end
  if ok and not inside and not place.sockets[path] then   -- for whoever looks for it where the configuration says
    ok, err = files.symlink(("%s/%s"):format(place.root, name), path)
  end
  if not ok then
    return nil, err
  elseif not inside and not place.sockets[path] then
    place.sockets[path] = true
    vm:defer("link to a socket", function ()
      place.sockets[path] = nil
      return files.unlink(path)
    end, { path = path })
  end
  return "/" .. name, ("%s//%s"):format(place.root, name)
end

-- Whether what was brought in is still what the path names, and where it is wanted.
local function serves (staged, path, name)
  local look = files.look(path, true)
  return look and look.device == staged.device and look.inode == staged.inode
    and (not name or name:sub(1, 1) ~= "/" or name == "/" .. staged.name)
end

--- `vm:vmm_path` of a jailed machine.
-- @tparam table vm
-- @tparam string path the host's
-- @tparam string use "read", "write", "create", "socket"
-- @tparam[opt] string name
-- @tparam[opt=name] string called its name in `jailer.staging_for`
-- @treturn[1] string the VMM's
-- @treturn[1] string the host's; what stands behind its "//" is the jail's user's
-- @return[2] nil
-- @treturn[2] err
function staging.path (vm, path, use, name, called)
  local place, err = jail.open(vm)
  if not place then
    return nil, err
  end
  local key = key_of(path, use)
  local staged = place.staged[key]
  if staged and serves(staged, path, name) then
    return "/" .. staged.name, path
  end
  local inside
  name, inside = name_of(place, path, name)
  if use == "socket" then
    return socket_place(vm, place, path, name, inside)
  elseif inside then
    return "/" .. name, path
  end
  if use == "create" and not files.look(path) then
    local ok
    ok, err = files.create(path)
    if not ok then
      return nil, err
    end
  end
  called = called or name
  name = free_name(place, name)
  local item = { path = path, use = use, name = name, called = called }
  local ok
  ok, err = stage(vm, place, item)
  if not ok then   -- it has left nothing to undo
    place.taken[name] = nil
    return nil, err
  end
  if staged then   -- another file by now, which the VMM may have still
    place.staged[("%s\0%s"):format(key, staged.name)] = staged
  end
  place.staged[key] = { name = name, lent = item.lent, device = item.look.device, inode = item.look.inode }
  return "/" .. name, path
end

--- Where the host has a file of the VMM's.
-- @tparam table vm
-- @tparam string seen the VMM's path
-- @treturn string
function staging.origin (vm, seen)
  for key, staged in pairs(vm.jail.staged) do
    if "/" .. staged.name == seen then
      return (key:gsub("^%+", ""):gsub("\0.*", ""))
    end
  end
  return vm.jail.root .. seen
end

local function take_out (vm, key)
  local place = vm.jail
  local staged = place.staged[key]
  place.staged[key] = nil
  local ok, err = true, nil
  if staged.lent then
    ok, err = vm.undo:undo(staged.lent, vm)
  end
  local root <close>, problem = tree.name(place.root)
  local gone
  if root then
    gone, problem = jail.remove(root, staged.name, core.now() + vm.config.timeouts.stop)
  end
  place.taken[staged.name] = not gone or nil
  return ok and gone, err or problem
end

--- Take out of the jail what the VMM has made, or read, and give it its owner back.
-- @tparam table vm
-- @tparam string path the host's; what was not brought in is no error
-- @tparam[opt] string use "read", if that was what it was brought in for
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function staging.forget (vm, path, use)
  local place, key = vm.jail, key_of(path, use)
  if not place or not place.staged[key] then
    return true
  end
  return take_out(vm, key)
end

--- As @{forget}, of what the VMM has at a path.
-- @tparam table vm
-- @tparam string seen the VMM's path; what was not brought in is no error
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function staging.let_go (vm, seen)
  for key, staged in pairs(vm.jail and vm.jail.staged or {}) do
    if "/" .. staged.name == seen then
      return take_out(vm, key)
    end
  end
  return true
end

-- The bodies of a section, with the paths of logs and metrics.
local function bodies (vm, section)
  local config = vm.config[section]
  if section == "logger" or section == "metrics" then
    return { intake.body(vm, section) }
  end
  return config and (paths.FIELDS[section].id and config or { config }) or {}
end

--- Bring in all that the configuration names.
-- @tparam table vm
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function staging.link_files (vm)
  for _, section in ipairs(SECTIONS) do
    for _, body in ipairs(bodies(vm, section)) do
      local ok, err = paths.body(vm, section, body)
      if not ok then
        return nil, err
      end
    end
  end
  local filter, ok, err = vm.config.vmm.seccomp_filter, true, nil
  if filter then
    ok, err = vm:vmm_path(filter, "read", "seccomp")
  end
  return ok, err
end

--- What would be brought in, and how.
-- @tparam table vm
-- @treturn {table,...} `path`, `jail`, `use`, `ways`
function staging.plan (vm)
  local list, place = {}, assert(jail.place(vm))
  local function add (path, use, name)
    local inside
    name, inside = name_of(place, path, name)
    local way = inside and {} or order(vm, name, use, files.look(path, true))
    if not inside then
      name = free_name(place, name)
    end
    list[#list + 1] = { path = path, jail = "/" .. name, use = use, ways = way }
    return "/" .. name
  end
  local seen = setmetatable({ vmm_path = function (_, ...) return add(...) end }, { __index = vm })
  vm.directory = vm.directory or ("%s/%s"):format(vm.config.run_dir, vm.id)
  assert(staging.link_files(seen))
  return list
end

return staging
