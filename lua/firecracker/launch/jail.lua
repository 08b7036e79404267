--- A jail's directory: BASE/PROGRAM/ID, in it `root`, which becomes the VMM's root. It is made before the jailer is started
-- and removed after the VMM, whatever the VMM has made of it: from outside nobody but root comes in, what is below `root`
-- is the jail's user's and is touched through @{firecracker.core} `tree` alone.
-- @module firecracker.launch.jail

local core = require "firecracker.core"
local direct = require "firecracker.launch.direct"
local errors = require "firecracker.errors"
local loop = require "firecracker.loop"

local files, tree = core.files, core.tree
local jail = {}

--- Where it is made when the configuration names no place.
jail.DEFAULT_BASE = "/srv/jailer"

--- The directory in a jail for what we bring there.
jail.OWN = "vm"

local LOG <const> = "vmm.log"
local PAUSE_FIRST <const>, PAUSE_LAST <const> = 1e-3, 0.05

-- Directories that this process has made and that go when they are empty.
local made = {}

--- Note a directory above a jail or a cgroup, if it is not there: whoever finds it empty in the end removes it.
-- @tparam string path
function jail.note_missing (path)
  if not files.look(path) then
    made[path] = true
  end
end

--- Remove such a directory when it is empty.
-- @tparam string path
function jail.remove_empty (path)
  if made[path] and (os.remove(path) or not files.look(path)) then
    made[path] = nil
  end
end

--- Where a machine's jail is.
-- @tparam table vm
-- @treturn[1] table `program` (the VMM's, canonical), `name` (its file's), `base`, `above`, `directory`, `root`
-- @return[2] nil
-- @treturn[2] err
function jail.place (vm)
  local binary, err = direct.find(vm.config)
  local program
  if binary then
    program, err = files.canonical(binary)
  end
  if not program then
    return nil, err
  end
  local base = vm.config.jailer.chroot_base_dir
  base = files.canonical(base) or base
  local name = program:match "[^/]+$"
  local above = base .. "/" .. name
  local directory = above .. "/" .. vm.id
  return { program = program, name = name, base = base, above = above, directory = directory, root = directory .. "/root",
           staged = {}, taken = {}, sockets = {} }
end

--- Processes whose root a jail is.
-- @tparam string root
-- @treturn {integer,...} pids
function jail.inhabitants (root)
  local here, found = files.look(root), {}
  local proc <close> = tree.name "/proc"
  for _, name in ipairs(here and proc and tree.list(proc) or {}) do
    local pid = math.tointeger(tonumber(name))
    local look = pid and files.look(("/proc/%d/root/."):format(pid))
    if look and look.inode == here.inode and look.device == here.device then
      found[#found + 1] = pid
    end
  end
  return found
end

--- Nothing lives on in a jail that is to go: a VMM that was never found, or one that was killed with its parent alone.
-- @tparam string root
-- @tparam number deadline a time of core.now()
function jail.evict (root, deadline)
  repeat   -- one of them may have made another meanwhile
    local pids = jail.inhabitants(root)
    for _, pid in ipairs(pids) do
      local process <close> = core.process.adopt(pid)
      local look = process and files.look(("/proc/%d/root/."):format(pid))   -- still the same process
      local here = files.look(root)
      if look and here and look.inode == here.inode and look.device == here.device then
        process:signal "KILL"
        while not process:poll() and loop.park(deadline, process:key()) do end
      end
    end
  until not pids[1] or core.now() > deadline
end

--- Remove something of a jail, piece by piece: its user can have left millions of files.
-- @tparam fd parent
-- @tparam string name
-- @tparam number deadline a time of core.now()
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function jail.remove (parent, name, deadline)
  while true do
    local done, err = tree.remove(parent, name)
    if done == nil or done then
      return done, err
    elseif core.now() > deadline then
      return nil, errors.new { code = "timeout",
        message = ("%s in the jail cannot be removed in time: it holds much, or its content changes"):format(name) }
    end
    loop.sleep(0)
  end
end

local remove = jail.remove

-- What the jailer or an earlier machine made, and we will.
local function sweep (root, place, deadline)
  local name = place.name
  for _, each in ipairs { "dev", "run", jail.OWN, LOG, name, name .. ".pid" } do
    local ok, err = remove(root, each, deadline)
    if not ok then
      return nil, err
    end
  end
  return true
end

-- Of a jail that was there before: what came since goes; all of it stays where taking it over failed.
local function leave (place, deadline)
  local root <close> = tree.name(place.root)
  local names, err = {}, nil
  if place.kept then
    names, err = tree.list(root)
  end
  for _, name in ipairs(names or {}) do
    local ok, problem = true, nil
    if not place.kept[name] then
      ok, problem = remove(root, name, deadline)
    end
    err = err or not ok and problem or nil
  end
  local before = place.before
  local ok, problem = tree.give(root, before.uid, before.gid, before.mode)
  return not err and ok, err or problem
end

local function remove_all (vm)
  local place = vm.jail
  vm.jail = nil
  local deadline = core.now() + vm.config.timeouts.stop
  if place.before then
    return leave(place, deadline)
  end
  local ok, err = true, nil
  if place.owned then
    local above <close>, problem = tree.name(place.above)
    ok, err = nil, problem
    if above then
      ok, err = remove(above, vm.id, deadline)
    end
  end
  jail.remove_empty(place.above)
  jail.remove_empty(place.base)
  return ok, err
end

-- A directory of ours that others cannot write to, made when it may be.
local function private_directory (path, field)
  local is_new = not files.look(path)
  local ok, err = files.mkdir_private(path)
  if not ok then
    err.code, err.field = "config", field
    return nil, errors.context(err, "config." .. field)
  end
  made[path] = made[path] or is_new or nil
  return true
end

--- The error of a jail that is there already.
-- @tparam table place
-- @return nil
-- @treturn table err
function jail.refuse_existing (place)
  return nil, errors.new {
    code = "config", field = "id", path = place.directory, errno = "EEXIST",
    message = ("config.id: there is a jail of this id already: %s"):format(place.directory),
    hint = "another machine has it, or one that is gone left it: jailer.adopt = true takes it over",
  }
end

-- One that is there already.
local function adopt (vm, place)
  local directory <close>, err = tree.name(place.directory)
  local look = directory and tree.look(directory)
  local inside = look and jail.inhabitants(place.root)[1]
  if not look then
    return nil, err
  elseif not vm.config.jailer.adopt then
    return jail.refuse_existing(place)
  elseif look.uid ~= files.euid() or look.mode & 18 ~= 0 then   -- 022
    return nil, errors.new { code = "config", field = "jailer.adopt", path = place.directory, errno = "EPERM",
      message = ("config.jailer.adopt: %s is not ours alone to write to"):format(place.directory) }
  elseif inside then
    return nil, errors.new { code = "config", field = "jailer.adopt", path = place.directory, errno = "EBUSY",
      message = ("config.jailer.adopt: process %d lives in %s"):format(inside, place.root) }
  end
  local ok
  ok, err = tree.mkdir(directory, "root", 448)   -- 0700; another mode of one that is there stays
  if not ok then
    return nil, err
  end
  local root <close> = assert(tree.at(directory, "root"))
  place.before = assert(tree.look(root))
  ok, err = tree.give(root, 0, 0, 448)
  place.owned = true
  if ok then
    ok, err = sweep(root, place, core.now() + vm.config.timeouts.stop)
  end
  local names
  if ok then
    names, err = tree.list(root)
  end
  if not names then
    return nil, err
  end
  place.kept = {}
  for _, name in ipairs(names) do
    place.kept[name] = true
    place.taken[name] = true
  end
  return true
end

local function make (vm, place)
  local base = vm.config.jailer.chroot_base_dir
  if base ~= jail.DEFAULT_BASE and not files.look(place.base) then
    return nil, errors.new { code = "config", field = "jailer.chroot_base_dir", path = base, errno = "ENOENT",
                             message = ("config.jailer.chroot_base_dir: no directory %s"):format(base) }
  end
  local ok, err
  repeat   -- whoever ends a machine just now may remove the directory above it
    ok, err = private_directory(place.base, "jailer.chroot_base_dir")
    if ok then
      ok, err = private_directory(place.above, "jailer.chroot_base_dir")
    end
    if ok then
      ok, err = files.mkdir(place.directory)
    end
  until ok or err.errno ~= "ENOENT"
  if not ok and err.errno == "EEXIST" then
    ok, err = adopt(vm, place)
  elseif ok then
    place.owned = true
    ok, err = files.mkdir(place.root)
  end
  return ok, err
end

--- Make the jail's directory; a second call finds it made.
-- @tparam table vm
-- @treturn[1] table as @{place}, and `staged`, `taken`
-- @return[2] nil
-- @treturn[2] err
function jail.open (vm)
  if vm.jail then
    return vm.jail
  end
  local ok, err = vm:own_directory()
  local place
  if ok then
    place, err = jail.place(vm)
  end
  if not place then
    return nil, err
  end
  vm.jail = place
  local entry = vm:defer("jail", remove_all, { path = place.directory })
  ok, err = make(vm, place)
  if not ok then
    vm.undo:undo(entry, vm)
    return nil, err
  end
  return place
end

--- Take away what a jailer that failed has made: before it is started once more.
-- @tparam table vm
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function jail.reset (vm)
  local place = vm.jail
  local root <close>, err = tree.name(place.root)
  local ok
  if root then
    ok, err = tree.give(root, 0, 0, 448)
  end
  for _, name in ipairs { "dev", "run", LOG, place.name, place.name .. ".pid" } do
    if ok then
      ok, err = remove(root, name, core.now() + vm.config.timeouts.stop)
    end
  end
  return ok, err
end

--- Retry a function that fails while the kernel is still at work on a process's end.
-- @tparam function fn
-- @tparam number deadline
-- @return what it returned last
function jail.retry (fn, deadline)
  local pause = PAUSE_FIRST
  while true do
    local ok, err = fn()
    if ok or core.now() > deadline then
      return ok, err
    end
    loop.sleep(pause)
    pause = math.min(2 * pause, PAUSE_LAST)
  end
end

return jail
