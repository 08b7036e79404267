--- The vsock's socket of a restored machine: its place is free, and it goes with the machine.
-- @module firecracker.snapshot.vsock

local core = require "firecracker.core"
local errors = require "firecracker.errors"
local loop = require "firecracker.loop"
local manifest = require "firecracker.snapshot.manifest"
local paths = require "firecracker.machine.paths"
local source = require "firecracker.snapshot.source"

local files = core.files
local vsock = {}

-- A socket that nobody serves is what a VMM left behind; the one to come could not bind.
local function claim (path)
  local look = paths.look(path)
  if not look then
    return true
  end
  local listens = look.type == "socket" and files.listens(path)
  if look.type == "socket" and not listens then
    return paths.unlink(path)
  end
  return nil, errors.new {
    code = "vsock", path = path, errno = "EEXIST",
    message = listens and ("the snapshot's vsock %s is in use by another VMM"):format(path)
      or ("the snapshot's vsock %s is a %s"):format(path, look.type),
    hint = "snapshot.vsock_override gives it another place (Firecracker 1.16)",
  }
end

--- The VMM has made it: `vm.vsock_path`.
-- @tparam table vm
-- @tparam string path
function vsock.remember (vm, path)
  local look = paths.look(path)
  vm.vsock_path = path
  if not look then
    return
  end
  vm:defer("vsock socket", function ()
    local now = paths.look(path)   -- it may be another VMM's by now
    if not now or now.inode ~= look.inode or now.device ~= look.device then
      return true
    end
    return paths.unlink(path)
  end, { path = path })
end

--- A load was given up, and the VMM may have made it all the same: it goes with the machine then. In a jail it does anyway.
-- @tparam table vm
-- @tparam string path
function vsock.remember_ours (vm, path)
  local listens, pid = nil, nil
  if not vm.jail then
    listens, pid = files.listens(path)
  end
  if listens and (pid == vm.pid or vm.config.vmm.spawn) then
    vsock.remember(vm, path)
  end
end

--- Remove what a VMM that gave up left, unless another serves there.
-- @tparam ?string path
function vsock.remove (path)
  local look = path and paths.look(path)
  if look and look.type == "socket" and not files.listens(path) then
    paths.unlink(path)
  end
end

-- The path of the snapshot's socket as the VMM will have it.
local function wanted (vm, body)
  local override, theirs = body.vsock_override, vm.manifest and vm.manifest.config.vsock
  return override and override.uds_path or theirs and theirs.uds_path
end

local turns = {}   -- by path: who of this program loads a snapshot that makes it

local turn = { __close = function (own)
  if own.path then
    turns[own.path] = nil
    loop.fire(own)
  end
end }

--- Wait until no other task loads a snapshot with the same socket: before it is listened at it looks like one that nobody serves.
-- @tparam table vm
-- @tparam table body of the request
-- @treturn[1] table for a `<close>` variable
-- @return[2] nil
-- @treturn[2] err code "timeout"
function vsock.turn (vm, body)
  local there = wanted(vm, body)
  local path = there and not vm.config.jailer and source.here(vm, there) or nil   -- a jail's is its own
  while path and turns[path] do
    if not loop.park(math.huge, turns[path]) and turns[path] then
      return nil, errors.new { code = "timeout", path = path,
                               message = ("another task's restore to the vsock %s does not end in time"):format(path) }
    end
  end
  local own = setmetatable({ path = path }, turn)
  if path then
    turns[path] = own
  end
  return own
end

--- Where the vsock's socket will be on this host, and the place is free; in a jail the request learns of another.
-- @tparam table vm
-- @tparam table body of the request
-- @treturn[1] string|boolean path; true for a snapshot without one, or of which nothing is known
-- @return[2] nil
-- @treturn[2] err
function vsock.prepare (vm, body)
  local override, there = body.vsock_override, wanted(vm, body)
  if not there then
    return true
  end
  local path = source.here(vm, there)
  if vm.config.jailer then
    local known
    if not override and not manifest.is_ours(vm.manifest) then   -- no link to it, wherever somebody else wants one
      known = vm.jail.root .. "/" .. there:gsub("^/+", "")
    elseif not override then
      known = vm.manifest.host and vm.manifest.host.vsock
    end
    there, path = vm:vmm_path(known or there, "socket", not override and there or nil)
    if not there then
      return nil, path
    elseif override then
      body.vsock_override = { uds_path = there }
    end
  end
  local ok, err = claim(path)
  return ok and path, err
end

return vsock
