--- Which hierarchy of cgroups a jailed VMM goes into, and the directories that the jailer makes there.
-- @module firecracker.launch.cgroups

local core = require "firecracker.core"
local errors = require "firecracker.errors"
local jail = require "firecracker.launch.jail"

local files = core.files
local cgroups = {}

local NODES <const> = "/sys/devices/system/node/node"

-- Files of controllers that both versions have, which one of them alone has.
local ONLY <const> = {
  { "^cpu%.shares$", "^cpu%.cfs_", "^cpu%.rt_", "%.%l*_?limit_in_bytes$", "^memory%.swappiness$", "^memory%.oom_control$",
    "^memory%.use_hierarchy$", "^memory%.move_charge_", "^cpuset%.%l+_exclusive$", "^cpuset%.memory_", "^cpuset%.sched_" },
  { "^cpu%.weight", "^cpu%.max", "^cpu%.uclamp%.", "^memory%.min$", "^memory%.low$", "^memory%.high$", "^memory%.max$",
    "^memory%.swap%.", "^memory%.zswap%.", "^memory%.oom%.group$", "^cpuset%.cpus%.", "^hugetlb%.[^.]+%.max$" },
}

local function read (path)
  local file <close> = io.open(path)
  local text = file and file:read "a"
  return text and text:match "^%s*(.-)%s*$"
end

local function refuse (field, message, ...)
  return errors.config("jailer." .. field, message, ...)
end

-- The mounts: `v2` a path, `v1` a controller's path by its name.
local function hierarchies ()
  local found = { v1 = {} }
  for line in io.lines "/proc/self/mountinfo" do
    local point, kind, options = line:match "^%S+ %S+ %S+ %S+ (%S+) .- %- (%S+) %S+ (%S+)"
    if kind == "cgroup2" then
      found.v2 = found.v2 or point
    elseif kind == "cgroup" then
      for option in options:gmatch "[^,]+" do
        found.v1[option] = found.v1[option] or point
      end
    end
  end
  return found
end

-- What is asked for as a sorted list of { file =, value =, at = its field }.
local function wanted (config)
  local list = {}
  for key, value in pairs(config.cgroups or {}) do
    local file, text, at = key, value, ("[%q]"):format(key)
    if math.type(key) == "integer" then
      file, text = value:match "^([^=]*)=(.*)$"
      at = ("[%d]"):format(key)
    end
    list[#list + 1] = { file = file, value = tostring(text), at = "cgroups" .. at, key = key }
  end
  table.sort(list, function (a, b)
    return math.type(a.key) == "integer" and a.key < b.key or a.file < b.file and math.type(a.key) ~= "integer"
  end)
  return list
end

-- The node's processors and memory, where a node is asked for.
local function add_node (config, list)
  if not config.numa_node then
    return true
  end
  for _, each in ipairs(list) do
    if each.file:find "^cpuset%." then
      return refuse(each.at, "not allowed beside numa_node")
    end
  end
  local cpus = read(NODES .. config.numa_node .. "/cpulist")
  if not cpus then
    return refuse("numa_node", "no node %d on this host", config.numa_node)
  end
  list[#list + 1] = { file = "cpuset.cpus", value = cpus, at = "numa_node" }
  list[#list + 1] = { file = "cpuset.mems", value = tostring(config.numa_node), at = "numa_node" }
  return true
end

local function controllers_of (list)
  local names, seen = {}, {}
  for _, each in ipairs(list) do
    local name = each.file:match "^[^.]+"
    if name ~= "cgroup" and not seen[name] then
      seen[name] = each
      names[#names + 1] = name
    end
  end
  return names, seen
end

local function missing (names, has)
  local list = {}
  for _, name in ipairs(names) do
    if not has[name] then
      list[#list + 1] = name
    end
  end
  return list
end

local function choose (config, list)
  local found = hierarchies()
  local names, asked = controllers_of(list)
  local v2, v1 = {}, found.v1
  for name in (found.v2 and read(found.v2 .. "/cgroup.controllers") or ""):gmatch "%S+" do
    v2[name] = true
  end
  local lacks2, lacks1 = missing(names, v2), missing(names, v1)
  local version = config.cgroup_version
  if version ~= 1 and found.v2 and #lacks2 == 0 then
    return 2, { found.v2 }
  elseif version ~= 2 and #lacks1 == 0 then
    local points = {}
    for _, name in ipairs(names) do
      points[#points + 1] = v1[name]
    end
    return 1, points, v1
  end
  local reasons = {}
  if version ~= 1 then
    reasons[1] = found.v2 and ("version 2 (%s) has no %s"):format(found.v2, table.concat(lacks2, ", ")) or "version 2 is not mounted"
  end
  if version ~= 2 then
    reasons[#reasons + 1] = ("version 1 has no %s"):format(table.concat(lacks1, ", "))
  end
  local both = {}
  for _, name in ipairs(version and {} or lacks2) do
    both[#both + 1] = not v1[name] and name or nil
  end
  local first = asked[both[1] or (version ~= 1 and lacks2 or lacks1)[1]]
  return refuse(first and first.at or "cgroup_version", "no hierarchy of cgroups for it: %s", table.concat(reasons, "; "))
end

-- The jailer would find out by writing to it.
local function check_files (list, version, points, v1)
  for _, each in ipairs(list) do
    for _, pattern in ipairs(ONLY[3 - version]) do
      if each.file:find(pattern) then
        local controller = each.file:match "^[^.]+"
        return refuse(each.at, "'%s=%s' is of version %d of cgroups, here %s is in version %d (%s)", each.file, each.value,
          3 - version, controller, version, v1 and v1[controller] or points[1])
      end
    end
  end
  return true
end

-- Version 1 takes no process into a cpuset without memory.
local function complete (list, v1)
  local cpus, mems
  for _, each in ipairs(list) do
    cpus, mems = cpus or each.file == "cpuset.cpus" and each, mems or each.file == "cpuset.mems"
  end
  if cpus and not mems then
    local value = read(v1.cpuset .. "/cpuset.mems") or ""
    if value == "" then
      return refuse(cpus.at, "cpuset.mems is needed beside it, and %s/cpuset.mems is empty", v1.cpuset)
    end
    list[#list + 1] = { file = "cpuset.mems", value = value }
  end
  return true
end

--- What the jailer is told, and what it makes.
-- @tparam table vm
-- @tparam table place of @{firecracker.launch.jail}
-- @treturn[1] {string,...} arguments; none where no cgroup is asked for
-- @treturn[1] {string,...} the directories of the machine
-- @return[2] nil
-- @treturn[2] err
function cgroups.plan (vm, place)
  local config = vm.config.jailer
  local list = wanted(config)
  local ok, err = add_node(config, list)
  if not ok then
    return nil, err
  end
  local arguments, directories = {}, {}
  local function add (...)
    table.move({ ... }, 1, select("#", ...), #arguments + 1, arguments)
  end
  if #list > 0 then
    local version, points, v1 = choose(config, list)
    if not version then
      return nil, points
    end
    ok, err = check_files(list, version, points, v1)
    if ok and v1 then
      ok, err = complete(list, v1)
    end
    if not ok then
      return nil, err
    end
    add("--cgroup-version", tostring(version))
    for _, each in ipairs(list) do
      add("--cgroup", each.file .. "=" .. each.value)
    end
    for _, point in ipairs(points) do
      directories[#directories + 1] = ("%s/%s/%s"):format(point, config.parent_cgroup or place.name, vm.id)
    end
  elseif config.cgroup_version then
    add("--cgroup-version", tostring(config.cgroup_version))
  end
  if config.parent_cgroup then
    add("--parent-cgroup", config.parent_cgroup)
  end
  return arguments, directories
end

-- A cgroup's own directory and those above it, up to a directory that is there.
local function above (path)
  local list = {}
  repeat
    list[#list + 1] = path
    path = path:match "^(.*)/"
  until files.look(path)
  return list
end

--- Remember the directories that the jailer will make, for their removal.
-- @tparam table vm
-- @tparam {string,...} directories
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err one exists
function cgroups.own (vm, directories)
  for _, path in ipairs(directories) do
    if files.look(path) and not vm.config.jailer.adopt then
      return nil, errors.new {
        code = "config", field = "id", path = path, errno = "EEXIST",
        message = ("config.id: there is a cgroup of this id already: %s"):format(path),
        hint = "another machine has it, or one that is gone left it",
      }
    end
  end
  vm.jail.cgroups = directories
  for _, path in ipairs(directories) do
    local list = files.look(path) and { path } or above(path)
    for i = 2, #list do
      jail.note_missing(list[i])
    end
    vm:defer("cgroup", function ()
      return cgroups.remove(list, core.now() + vm.config.timeouts.stop)
    end, { path = path })
  end
  return true
end

--- Whether the kernel killed for want of memory in a machine's cgroup.
-- @tparam table vm
-- @treturn ?string that it did
function cgroups.oom (vm)
  for _, path in ipairs(vm.jail.cgroups or {}) do
    local counts = read(path .. "/memory.events") or read(path .. "/memory.oom_control") or ""
    if (tonumber(counts:match "oom_kill (%d+)") or 0) > 0 then
      return "out of memory: the kernel killed it at the limit of its cgroup " .. path
    end
  end
end

--- Remove a machine's cgroup, and those above it that are empty and ours.
-- @tparam {string,...} list
-- @tparam number deadline
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function cgroups.remove (list, deadline)
  local ok, err = jail.retry(function ()
    return os.remove(list[1]) or not files.look(list[1])
  end, deadline)
  for i = 2, #list do
    jail.remove_empty(list[i])
  end
  if not ok then
    err = errors.new { code = "system", path = list[1], errno = "EBUSY", message = ("cgroup %s cannot be removed"):format(list[1]) }
  end
  return ok, err
end

return cgroups
