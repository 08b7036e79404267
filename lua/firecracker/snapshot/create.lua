--- Writing a snapshot: under temporary names beside the final ones, given these when all of it is there and on the disk.
-- However it ends, the machine is as it was before, and where it fails so is the snapshot that had these names.
-- @module firecracker.snapshot.create

local config_file = require "firecracker.config.file"
local core = require "firecracker.core"
local errors = require "firecracker.errors"
local hash = require "firecracker.snapshot.hash"
local host = require "firecracker.host"
local loop = require "firecracker.loop"
local manifest = require "firecracker.snapshot.manifest"
local paths = require "firecracker.machine.paths"
local process = require "firecracker.machine.process"
local turn = require "firecracker.machine.turn"

local files = core.files

local TIMEOUT <const> = 600   -- seconds; the VMM writes the whole memory in one request

local OPTIONS <const> = { snapshot_path = "string", mem_file_path = "string", snapshot_type = "string", pause = "boolean",
                          hashes = "boolean", manifest = "boolean", timeout = "seconds" }
local REQUIRED <const> = { "snapshot_path", "mem_file_path" }
local TYPES <const> = { Full = true, Diff = true }

local function misuse (message, ...)
  errors.raise(3, { code = "usage", message = "snapshot: " .. message:format(...) })
end

-- A copy, its paths absolute.
local function check (options)
  local checked = {}
  for name, value in pairs(loop.options("snapshot", options, OPTIONS)) do
    checked[name] = value
  end
  for _, name in ipairs(REQUIRED) do
    local path = checked[name]
    if not path or path == "" or path:find "\0" or path:find "/$" then
      misuse("%s: path expected, got %s", name, path and ("'%s'"):format(path) or "nil")
    end
    checked[name] = assert(files.absolute(path))
  end
  checked.snapshot_type = checked.snapshot_type or "Full"
  if not TYPES[checked.snapshot_type] then
    misuse("snapshot_type: one of 'Full', 'Diff' expected, got '%s'", checked.snapshot_type)
  elseif checked.snapshot_path == checked.mem_file_path then
    misuse("mem_file_path: the same as snapshot_path")
  elseif checked.mem_file_path == manifest.path_of(checked.snapshot_path) then
    misuse("mem_file_path: the manifest has this name")
  elseif checked.manifest ~= false and checked.snapshot_path == manifest.path_of(checked.snapshot_path) then
    misuse("snapshot_path: the manifest has this name")
  end
  return checked
end

local function directory_of (path)
  return path:match "^(.*)/[^/]*$" .. "/."
end

-- A file that would grow beyond the VMM's limit does not fail, it kills the VMM (SIGXFSZ).
local function check_limit (self)
  local limits <close> = io.open(("/proc/%d/limits"):format(self.pid or 0))
  local most = tonumber(limits and limits:read "a":match "Max file size%s+(%d+)")
  local size = self.config.machine_config.mem_size_mib << 20
  if not most or most >= size then
    return true
  end
  return nil, errors.new {
    code = "snapshot", errno = "EFBIG", hint = "jailer.resource_limits.fsize, else ulimit -f",
    message = ("the memory of machine %s has %d bytes, its VMM may write files of %d"):format(self.id, size, most),
  }
end

-- Where nothing logs what the guest writes (1.13 and later do without) a page that is not in memory counts as unchanged, also one
-- that was swapped out.
local function check_swap (self, options)
  local config, given = self.config.machine_config, self.config.snapshot or {}
  if options.snapshot_type ~= "Diff" or config.track_dirty_pages or given.track_dirty_pages or given.enable_diff_snapshots then
    return true
  end
  local swaps <close> = io.open "/proc/swaps"
  local area = swaps and swaps:read "l" and swaps:read "l"
  if not area then
    return true
  end
  return nil, errors.new {
    code = "snapshot", hint = "machine_config.track_dirty_pages = true, of a restored one snapshot.track_dirty_pages",
    message = ("a diff of machine %s would lack what was swapped out: this host swaps to %s"):format(self.id, area:match "^%S+"),
  }
end

-- What has a name that a part is to have, if anything, is a file.
local function check_place (part)
  local look = files.look(part.to)
  if look and look.type ~= "file" then
    return nil, errors.new { code = "system", path = part.to, errno = "EEXIST", message = ("%s is a %s"):format(part.to, look.type) }
  end
  return true, look
end

-- What is written, each `to` its final name and `from` a temporary one beside it; `former` is that of what has the final one now.
local function parts_of (options)
  local mark = assert(files.random_hex(4))
  local parts = {
    state = { to = options.snapshot_path }, memory = { to = options.mem_file_path },
    manifest = { to = manifest.path_of(options.snapshot_path) },
  }
  for _, part in pairs(parts) do
    part.from, part.former = ("%s.%s.partial"):format(part.to, mark), ("%s.%s.former"):format(part.to, mark)
    local ok, err = check_place(part)
    if ok then
      ok, err = files.access(directory_of(part.to), "w")
    end
    if not ok then
      return nil, err
    end
  end
  return parts
end

-- What the VMM says of its guest. It answers one request at a time: it is through with what came before.
local function state_of (self)
  if process.exit(self) or not self.api or self.api.closed then
    return nil
  end
  local info = self.api:get_instance_info { timeout = TIMEOUT }
  return info and info.state
end

local function sync_directories (parts)
  for _, part in ipairs { parts.state, parts.memory } do
    local ok, err = files.sync(directory_of(part.to))
    if not ok then
      return nil, err
    end
  end
  return true
end

-- Names go back in reverse: a former state comes last. Where one cannot, the rest stays as it is.
local function take_back (guard)
  local moves = guard.moves
  for i = #moves, 1, -1 do
    local from, to = moves[i].from, moves[i].to
    if i == 1 then
      sync_directories(guard.parts)
    end
    if files.look(to) and not os.rename(to, from) then
      return
    end
  end
end

-- A request that was given up may have been done.
local function undo (guard)
  take_back(guard)
  local state = guard.asked and state_of(guard.vm)
  for _, part in pairs(guard.parts) do
    paths.forget(guard.vm, part.from)
    files.unlink(part.from)
  end
  if guard.paused and state == "Paused" then
    guard.vm.api:patch_vm { state = "Resumed" }
  end
end

local function remove_former (guard)
  for _, part in pairs(guard.parts) do
    local ok, err = files.unlink(part.former)
    if not ok then
      guard.vm:emit { event = "warning", level = "warn", path = part.former, message = err.message }
    end
  end
end

local guard_metatable = {
  __close = function (guard)
    loop.shielded(guard.done and remove_former or undo, guard)
  end,
}

-- Where the host finds the vsock's socket; a restored one's is where it was, unless the restore named another place.
local function vsock_path (self)
  if not self.config.snapshot then
    return self.config.vsock and self.config.vsock.uds_path
  end
  local override = require("firecracker.snapshot.source").request(self).vsock_override
  return override and override.uds_path or self.manifest and self.manifest.host and self.manifest.host.vsock or nil
end

-- What the guest was told of its addresses, by interface; of one that this machine told nothing, what it remembers.
local function addresses (self)
  local known = self.manifest and self.manifest.host and self.manifest.host.addresses or {}
  local told = {}
  for id, list in pairs(known) do
    told[id] = list
  end
  for _, element in ipairs(self.addresses or {}) do
    told[element.iface_id] = element.addresses
  end
  return next(told) and told or nil
end

-- What the host knows and the VMM does not: addresses, and where it has what the VMM sees elsewhere, a jail's devices.
local function host_side (self, config)
  local told = addresses(self)
  if not self.jail then
    return told and { addresses = told }
  end
  local staging = require "firecracker.launch.staging"
  local known = { vsock = vsock_path(self), addresses = told }
  for section, id in pairs { drives = "drive_id", pmem = "id" } do
    known[section] = {}
    for _, device in ipairs(config[section] or {}) do
      known[section][device[id]] = device.path_on_host and staging.origin(self, device.path_on_host)
    end
  end
  return known
end

local function describe (self, options, parts, release)
  local config, err = self:full_config()
  if not config then
    return nil, err
  end
  local fields = {
    type = options.snapshot_type, id = self.id, created = os.date "!%Y-%m-%dT%H:%M:%SZ", release = release,
    architecture = host.arch() or "unknown", config = config, host = host_side(self, config),
  }
  for _, name in ipairs { "state", "memory" } do
    local look
    look, err = files.look(parts[name].from)
    if not look then
      return nil, err
    end
    fields[name] = { path = parts[name].to, size = look.size }
  end
  return manifest.new(fields)
end

local function add_hashes (described, parts)
  for _, name in ipairs { "state", "memory" } do
    local value, err = hash(parts[name].from)
    if not value then
      return nil, err
    end
    described[name].sha256 = value
  end
  return true
end

local function write (path, content)
  local ok, err = files.create(path)
  if ok then
    ok, err = config_file.write(path, content)
  end
  return ok, err
end

-- Noted before it is done: Ctrl-C may come in between.
local function rename (guard, from, to)
  local moves = guard.moves
  moves[#moves + 1] = { from = from, to = to }
  local ok, problem = os.rename(from, to)
  if not ok then
    moves[#moves] = nil
    return nil, errors.new { code = "system", path = to, message = "cannot rename: " .. problem }
  end
  return true
end

-- The state is what a load begins with. The old one goes first and the new one comes last: at no moment does a state stand
-- beside another's memory.
local function commit (guard, with_manifest)
  local parts = guard.parts
  local function sync (part)
    return files.sync(part.from)
  end
  local function set_aside (part)
    local ok, there = check_place(part)
    if not ok or not there then
      return ok, there
    end
    return rename(guard, part.to, part.former)
  end
  local function put (part)
    return rename(guard, part.from, part.to)
  end
  local function of_manifest (fn)
    if not with_manifest then
      return true
    end
    return fn(parts.manifest)
  end
  local steps = {
    function () return sync(parts.memory) end,
    function () return sync(parts.state) end,
    function () return of_manifest(sync) end,
    function () return set_aside(parts.state) end,
    function () return set_aside(parts.manifest) end,
    function () return sync_directories(parts) end,
    function () return set_aside(parts.memory) end,
    function () return put(parts.memory) end,
    function () return of_manifest(put) end,
    function () return sync_directories(parts) end,
    function () return put(parts.state) end,
    function () return sync_directories(parts) end,
  }
  for _, step in ipairs(steps) do
    local ok, err = step()
    if not ok then
      return nil, err
    end
  end
  return true
end

-- Everything but the final names.
local function produce (self, options, guard)
  local parts = guard.parts
  guard.asked = true
  if self.state == "running" then
    guard.paused = true
    local ok, err = self:pause()
    if not ok then
      return nil, err
    end
  end
  for _, name in ipairs { "state", "memory" } do
    local made, problem = files.create(parts[name].from)   -- for our eyes alone: the VMM would let everybody read
    if not made then
      return nil, problem
    end
  end
  local body = { snapshot_type = options.snapshot_type }
  for field, part in pairs { snapshot_path = parts.state, mem_file_path = parts.memory } do
    local path, problem = self:vmm_path(part.from, "create")
    if not path then
      return nil, problem
    end
    body[field] = path
  end
  local ok, err = self.api:put_snapshot_create(body, { timeout = options.timeout })
  for _, name in ipairs(ok and { "state", "memory" } or {}) do
    if ok then
      ok, err = paths.forget(self, parts[name].from)
    end
  end
  if not ok then
    return nil, err
  end
  local described, release
  release, err = self:version()
  if release then
    described, err = describe(self, options, parts, release)
  end
  if described and guard.paused then
    ok, err = self:resume()
    described, guard.paused = ok and described, not ok
  end
  if described and options.hashes then
    ok, err = add_hashes(described, parts)
    described = ok and described
  end
  if described and options.manifest ~= false then
    ok, err = write(parts.manifest.from, manifest.encode(described, parts.manifest.to))
    described = ok and described
  end
  return described or nil, err
end

--- Write a snapshot of a machine, as `vm:snapshot`.
-- @tparam table self the machine
-- @tparam table options
-- @treturn[1] table manifest
-- @return[2] nil
-- @treturn[2] err
return function (self, options)
  options = check(options)
  local deadline = loop.deadline(options.timeout or TIMEOUT)
  local own <close>, busy = turn.take(self, "snapshot", deadline)
  if not own then
    return nil, busy
  end
  options.timeout = deadline - core.now()
  if self.state ~= "paused" and not (options.pause and self.state == "running") then
    return process.refuse(self, "snapshot", options.pause and "running or paused" or "paused")
  end
  local fits, parts, err
  fits, err = check_limit(self)
  if fits then
    fits, err = check_swap(self, options)
  end
  if fits then
    parts, err = parts_of(options)
  end
  if not parts then
    return nil, err
  end
  local guard <close> = setmetatable({ vm = self, parts = parts, moves = {} }, guard_metatable)
  local described
  described, err = produce(self, options, guard)
  if not described then
    return nil, err
  end
  local ok
  ok, err = commit(guard, options.manifest ~= false)
  guard.done = ok
  if not ok then
    return nil, err
  end
  return described
end
