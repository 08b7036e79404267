--- Start Firecracker with its own configuration file instead of a request for each section.
-- A machine started so has an API client from fcinit.StartVMM on, but no VMM: what is sent is noted, and InstanceStart
-- starts the VMM with all of it. So every step that only sends configuration, the user's own too, goes into the file, and
-- every other runs in its place. What can only be asked of a VMM is refused until it is there.
-- @module firecracker.launch.by_file

local client = require "firecracker.api.client"
local config_file = require "firecracker.config.file"
local core = require "firecracker.core"
local direct = require "firecracker.launch.direct"
local errors = require "firecracker.errors"
local loop = require "firecracker.loop"

local PATIENCE <const> = 1   -- seconds
local FIRST_LOOK <const>, LAST_LOOK <const> = 0.5e-3, 4e-3

local files, json = core.files, core.json
local by_file = {}

-- Where in the file a request's body goes; of those with an id, the list they are part of.
local SECTIONS <const> = {
  ["/balloon"] = "balloon", ["/boot-source"] = "boot-source", ["/entropy"] = "entropy",
  ["/hotplug/memory"] = "memory-hotplug", ["/logger"] = "logger", ["/machine-config"] = "machine-config",
  ["/metrics"] = "metrics", ["/mmds/config"] = "mmds-config", ["/vsock"] = "vsock",
}
local LISTS <const> = { drives = "drive_id", ["network-interfaces"] = "iface_id", pmem = "id" }

-- Beside the file: what it names by path, and what goes on the command line.
local ASIDE <const> = { ["/cpu-config"] = "cpu-config", ["/mmds"] = "metadata" }

local function refuse (vm, operation)
  return nil, errors.new {
    code = "state", operation = operation,
    message = ("%s: not while machine %s is put together for its start by file"):format(operation, vm.id),
    hint = "its VMM comes with fcinit.StartInstance",
  }
end

-- What was sent so far, as texts: later changes of a body reach no file. False: the file has no place for it. Nil: the API
-- would not take it either.
local function note (noted, path, body)
  local list, id = path:match "^/([%w-]+)/([%w_]+)$"
  if SECTIONS[path] then
    noted.sections[SECTIONS[path]] = json.encode(body)
  elseif ASIDE[path] then
    noted.aside[ASIDE[path]] = json.encode(body)
  elseif LISTS[list] and body[LISTS[list]] ~= id then
    return nil, errors.new { code = "config", field = LISTS[list], operation = "PUT " .. path,
                             message = ("PUT %s: %s: '%s' expected, got '%s'"):format(path, LISTS[list], id,
                               tostring(body[LISTS[list]])) }
  elseif LISTS[list] then
    table.insert(noted.lists[list], json.encode(body))   -- one more of an id does what a second request does
  else
    return false
  end
  return true
end

-- The file's text; `paths` of what stands beside it.
local function compose (noted, paths)
  local members = {}
  for section, text in pairs(noted.sections) do
    members[#members + 1] = ("%q:%s"):format(section, text)
  end
  for list, items in pairs(noted.lists) do
    members[#members + 1] = ("%q:[%s]"):format(list, table.concat(items, ","))
  end
  if paths["cpu-config"] then
    members[#members + 1] = '"cpu-config":' .. json.encode(paths["cpu-config"])
  end
  table.sort(members)
  return ("{%s}"):format(table.concat(members, ","))
end

-- A file of the machine's directory, which is ours alone; it goes once it is read, and with the machine in any case.
local function write (vm, paths, name, text)
  local path = ("%s/%s.json"):format(vm.directory, name)
  local ok, err = files.unlink(path)
  if ok then
    ok, err = files.create(path)
  end
  if not ok then
    return nil, err
  end
  paths[name] = path
  vm:defer(name .. " file", function ()
    return files.unlink(path)
  end, { path = path })
  return config_file.write(path, text)
end

local function write_all (vm, noted)
  local paths = {}
  for name, text in pairs(noted.aside) do
    local ok, err = write(vm, paths, name, text)
    if not ok then
      return nil, err
    end
  end
  local ok, err = write(vm, paths, "config", compose(noted, paths))
  return ok and paths, err
end

-- How many system call filters a process has on (Linux 5.9); ours, in a container, are the VMM's from its beginning.
local function filters (process)
  local status <close> = io.open(("/proc/%s/status"):format(process))
  return status and tonumber((status:read "a" or ""):match "\nSeccomp_filters:%s*(%d+)") or 0
end

-- Whether the VMM has put its own on, the last thing it does before the guest runs.
local function is_built (pid)
  return filters(pid) > filters "self"
end

-- Wait until the guest runs, as far as that shows; false: it does not. Asking is the last resort: a request that waits
-- while the VMM fails to build its machine ends it by a panic, and the cause with it, and one that waits while the guest
-- ends is never answered, nor does the VMM end then (seen on 1.12).
local function await_built (vm)
  local deadline, pause = core.now() + PATIENCE, FIRST_LOOK
  while not vm.config.vmm.no_seccomp and core.now() < deadline do
    if vm.process:poll() then
      return nil, vm:exited_error()
    elseif is_built(vm.process:pid()) then
      return true
    end
    loop.park(math.min(core.now() + pause, deadline), vm.process:key())
    pause = math.min(2 * pause, LAST_LOOK)
  end
  return false
end

-- Is answered once the guest runs.
local function ask (vm, options)
  local api <close> = client.new(vm.socket_path, {
    timeout = vm.config.timeouts.request, starting = true, gone = function (patience) return vm:gone(patience) end,
  })
  return api:get_instance_info(options)
end

-- A guest may have run to its end before we looked.
local function ran (err)
  return err.code == "exited" and (err.exited == 0 or (err.stderr or ""):find("MicroVMStoppedWithError", 1, true))
end

local function start (vm, noted, options)
  local paths, err = write_all(vm, noted)
  if not paths then
    return nil, err
  end
  local arguments = { "--config-file", paths.config }
  if paths.metadata then
    table.move({ "--metadata", paths.metadata }, 1, 2, 3, arguments)
  end
  local ok
  ok, err = direct.start(vm, arguments)
  if ok then
    ok, err = await_built(vm)
  end
  if ok == false then
    ok, err = ask(vm, options)
  end
  if not ok and not ran(err) then
    return nil, err
  end
  vm.api.path, vm.api.request = vm.socket_path, nil   -- the client's own from here
  for _, path in pairs(paths) do
    ok, err = files.unlink(path)
    if not ok then
      return nil, err
    end
  end
  return true
end

--- Let a machine's client note what it is sent, until InstanceStart.
-- @tparam table vm has `api` and `directory`
function by_file.hold (vm)
  local noted = { sections = {}, aside = {}, lists = { drives = {}, ["network-interfaces"] = {}, pmem = {} } }
  function vm.api.request (_, method, path, body, options)
    local operation = ("%s %s"):format(method, path)
    if operation == "PUT /actions" and body and body.action_type == "InstanceStart" then
      return start(vm, noted, options)
    end
    local noticed, err = false, nil
    if method == "PUT" then
      noticed, err = note(noted, path, body)
    end
    if noticed == false then
      return refuse(vm, operation)
    end
    return noticed, err
  end
end

return by_file
