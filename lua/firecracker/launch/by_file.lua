--- Start Firecracker with its own configuration file instead of a request for each section.
-- A machine started so has an API client from fcinit.StartVMM on, but no VMM: what is sent is noted, and InstanceStart
-- starts the VMM with all of it. So every step that only sends configuration, the user's own too, goes into the file, and
-- every other runs in its place. What can only be asked of a VMM is refused until it is there.
-- @module firecracker.launch.by_file

local client = require "firecracker.api.client"
local config_file = require "firecracker.config.file"
local core = require "firecracker.core"
local errors = require "firecracker.errors"
local launch = require "firecracker.launch"
local loop = require "firecracker.loop"
local operations = require "firecracker.api.operations"
local process = require "firecracker.machine.process"
local vmm_paths = require "firecracker.machine.paths"

local PATIENCE <const> = 1   -- seconds
local FIRST_LOOK <const>, LAST_LOOK <const> = 0.5e-3, 4e-3

local files, json = core.files, core.json
local by_file = {}

-- Where in the file a request's body goes: by its path, or the lists of what has an id, with the field it stands in.
local sections, lists = {}, {}
for _, operation in ipairs(operations) do
  if operation.each then
    lists[operation.path:match "^/([%w-]+)/"] = operation.each
  elseif operation.section then
    sections[operation.path] = operation.section:gsub("_", "-")
  end
end
sections["/serial"] = nil   -- the file has no place for it

-- What gets a file of its own: the file names it by its path, or the command line does.
local ASIDE <const> = { ["/cpu-config"] = true, ["/mmds"] = true }

local FLAGS <const> = { { name = "--config-file", file = "config" }, { name = "--metadata", file = "mmds" } }

local function refuse (vm, operation)
  return nil, errors.new {
    code = "state", operation = operation,
    message = ("%s: not while machine %s is put together for its start by file"):format(operation, vm.id),
    hint = "its VMM comes with fcinit.StartInstance",
  }
end

-- A body is kept as text: later changes of it reach no file. False: the file has no place for it. Nil: the API would not
-- take it either.
local function put (noted, path, body)
  local list, id = path:match "^/([%w-]+)/([%w_]+)$"
  if sections[path] then
    noted.sections[path] = json.encode(body)
  elseif lists[list] and body[lists[list]] ~= id then
    return nil, errors.new { code = "config", field = lists[list], operation = "PUT " .. path,
                             message = ("PUT %s: %s: '%s' expected, got '%s'"):format(path, lists[list], id,
                               tostring(body[lists[list]])) }
  elseif lists[list] then
    table.insert(noted.lists[list], json.encode(body))   -- one more of an id does what a second request does
  else
    return false
  end
  return true
end

local function is_object (value)
  return type(value) == "table" and #value == 0 and not getmetatable(value)   -- arrays are marked
end

-- As RFC 7396 merges.
local function merge (value, changes)
  if not is_object(changes) then
    return changes
  end
  local result = is_object(value) and value or {}
  for key, change in pairs(changes) do
    if change == json.null then
      result[key] = nil
    else
      result[key] = merge(result[key], change)
    end
  end
  return result
end

local function patch (noted, path, changes)
  local text = noted.sections[path] or path == "/machine-config" and '{"vcpu_count":1,"mem_size_mib":128}'
  if (path ~= "/mmds" and path ~= "/machine-config") or not text then
    return false
  end
  noted.sections[path] = json.encode(merge(json.decode(text), changes))
  return true
end

local TAKES <const> = { PUT = put, PATCH = patch }

-- The file's text; `written` is what stands beside it.
local function compose (noted, written)
  local members = {}
  for path, text in pairs(noted.sections) do
    members[#members + 1] = not ASIDE[path] and ("%q:%s"):format(sections[path], text) or nil
  end
  for list, items in pairs(noted.lists) do
    members[#members + 1] = ("%q:[%s]"):format(list, table.concat(items, ","))
  end
  if written["cpu-config"] then
    members[#members + 1] = '"cpu-config":' .. json.encode(written["cpu-config"].seen)
  end
  table.sort(members)
  return ("{%s}"):format(table.concat(members, ","))
end

-- What the VMM has read, and its copy in a jail.
local function remove (vm, path)
  local ok, err = vmm_paths.forget(vm, path, "read")
  if ok then
    ok, err = files.unlink(path)
  end
  return ok, err
end

-- A file of the machine's directory, which is ours alone; it goes once it is read, and with the machine in any case.
-- In `written` its `path`, and as the VMM sees it, `seen`: in a jail that is a copy.
local function write (vm, written, name, text)
  local path = ("%s/%s.json"):format(vm.directory, name)
  local ok, err = remove(vm, path)
  if ok then
    ok, err = files.create(path)
  end
  if not ok then
    return nil, err
  end
  vm:defer(name .. " file", function ()
    return files.unlink(path)
  end, { path = path })
  ok, err = config_file.write(path, text)
  local seen
  if ok then
    seen, err = vm:vmm_path(path)
  end
  written[name] = { path = path, seen = seen }
  return seen, err
end

local function write_all (vm, noted)
  local written = {}
  for path in pairs(ASIDE) do
    local ok, err = true, nil
    if noted.sections[path] then
      ok, err = write(vm, written, sections[path], noted.sections[path])
    end
    if not ok then
      return nil, err
    end
  end
  local ok, err = write(vm, written, "config", compose(noted, written))
  return ok and written, err
end

-- How many system call filters a process has on (Linux 5.9); ours, in a container, are the VMM's from its beginning.
local function filters (of)
  local status <close> = io.open(("/proc/%s/status"):format(of))
  return status and tonumber((status:read "a" or ""):match "\nSeccomp_filters:%s*(%d+)") or 0
end

-- Whether the VMM has put its own on, the last thing it does before the guest runs; without them it makes its vCPUs last.
local function is_built (vm)
  local pid = vm.process:pid()
  if vm.config.vmm.no_seccomp then
    return process.has_thread(pid, "fc_vcpu")
  end
  return filters(pid) > filters "self"
end

-- Wait until the guest runs, as far as that shows; false: it does not. Asking is the last resort: a request that waits
-- while the VMM fails to build its machine ends it by a panic, and the cause with it, and one that waits while the guest
-- ends is never answered, nor does the VMM end then (seen on 1.12).
local function await_built (vm)
  local deadline, pause = core.now() + PATIENCE, FIRST_LOOK
  while core.now() < deadline do
    if vm.process:poll() then
      return nil, vm:exited_error()
    elseif is_built(vm) then
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
  local written, err = write_all(vm, noted)
  if not written then
    return nil, err
  end
  local arguments = {}
  for _, flag in ipairs(FLAGS) do
    local file = written[flag.file]
    if file then
      table.move({ flag.name, file.seen }, 1, 2, #arguments + 1, arguments)
    end
  end
  local launcher = launch.of(vm.config)
  local watch <close>, problem = launcher.start(vm, arguments)
  if not watch then
    return nil, problem
  end
  vm.api.path = vm.socket_path
  vm.api:prepare()   -- while the VMM starts
  local ok
  ok, err = launcher.await(vm, watch)
  if ok then
    ok, err = await_built(vm)
  end
  if ok == false then
    ok, err = ask(vm, options)
  end
  if not ok and not ran(err) then
    return nil, err
  end
  vm.api.request = nil   -- the client's own from here
  for _, file in pairs(written) do
    ok, err = remove(vm, file.path)
    if not ok then
      return nil, err
    end
  end
  return true
end

--- Let a machine's client note what it is sent, until InstanceStart.
-- @tparam table vm has `api` and `directory`
function by_file.hold (vm)
  local noted = { sections = {}, lists = {} }
  for list in pairs(lists) do
    noted.lists[list] = {}
  end
  function vm.api.request (_, method, path, body, options)
    local operation = ("%s %s"):format(method, path)
    if operation == "PUT /actions" and body and body.action_type == "InstanceStart" then
      return start(vm, noted, options)
    end
    local take = TAKES[method]
    local taken, err = false, nil
    if take then
      taken, err = take(noted, path, body)
    end
    if taken == false then
      return refuse(vm, operation)
    end
    return taken, err
  end
end

return by_file
