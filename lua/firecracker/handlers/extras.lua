--- What the steps of @{firecracker.handlers.fcinit} do for more than a plain machine: a vsock, metadata, a CPU template from a
-- file, a client of the user's own; and their makers.
-- @module firecracker.handlers.extras

local core = require "firecracker.core"
local errors = require "firecracker.errors"
local handler = require "firecracker.handler"
local lazy = require "firecracker.lazy"
local paths = require "firecracker.machine.paths"
local payload = require "firecracker.api.payload"
local process = require "firecracker.machine.process"

local config_file = lazy "firecracker.config.file"

local files = core.files
local extras = {}

--- The error of a step that comes before fcinit.StartVMM.
-- @tparam table vm
-- @return nil
-- @treturn table err code "state"
function extras.without_vmm (vm)
  return nil, errors.new { code = "state", message = ("machine %s has no VMM yet: run fcinit.StartVMM first"):format(vm.id) }
end

-- A request needs a VMM.
local function api_of (vm)
  if vm.api then
    return vm.api
  end
  return extras.without_vmm(vm)
end

--- The client that the configuration brings.
-- @tparam table vm
-- @tparam table options as for the library's own
-- @treturn[1] table client
-- @return[2] nil
-- @treturn[2] err
function extras.own_client (vm, options)
  local own, err = vm.config.client, nil
  if vm.by_file then
    return nil, errors.new { code = "config", field = "client", message = "config.client: not with via = 'config_file'" }
  elseif type(own) == "function" then
    own, err = own(vm.socket_path, options)
  end
  if type(own) == "table" and type(own.close) == "function" then
    return own
  end
  return nil, errors.is(err) and err or errors.new {
    code = "config", field = "client",
    message = ("config.client: a table with the methods of a client expected, got %s"):format(err or type(own)),
  }
end

--- Read the CPU template that the configuration names.
-- @tparam table vm
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function extras.read_template (vm)
  local template, err = config_file.read(vm.config.cpu_config)
  if not template then
    return nil, errors.context(err, "config.cpu_config")
  end
  vm.config.cpu_config = template
  return true
end

-- Whether a socket is another VMM's: one that is served where ours is gone, or never was. In a jail nobody else is.
local function is_foreign (vm, path)
  return not vm.jail and (not vm.process or process.exit(vm)) and files.listens(path)
end

--- Add the vsock device.
-- @tparam table vm
-- @tparam table vsock
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function extras.add_vsock (vm, vsock)
  local api, err = api_of(vm)
  if not api then
    return nil, err
  elseif files.look(vsock.uds_path) then
    return nil, errors.new {
      code = "config", field = "vsock.uds_path", path = vsock.uds_path, errno = "EEXIST",
      message = ("config.vsock.uds_path: %s exists already"):format(vsock.uds_path),
      hint = "another VMM uses it, or one that is gone left it: remove it then",
    }
  end
  local path, there = vm:vmm_path(vsock.uds_path, "socket", "/run/vsock.sock")
  if not path then
    return nil, there
  end
  vm.vsock_path = there
  local refused = false
  vm:defer("vsock socket", function ()
    if refused or not paths.look(there) or is_foreign(vm, there) then
      return true
    end
    return paths.unlink(there)
  end, { path = there })
  local ok
  ok, err = api:put_vsock({ vsock_id = vsock.vsock_id, guest_cid = vsock.guest_cid, uds_path = path }, { at = "vsock" })
  refused = errors.is(err) and err.code == "api"   -- what is there is another's
  return ok, err
end

-- What only machines with a network need.
local function network (part)
  return require("firecracker.network." .. part)
end

--- Configure the metadata service, and put the data.
-- @tparam table vm
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function extras.config_mmds (vm)
  local config, data = vm.config.mmds_config, vm.config.mmds
  if #vm.config.network_interfaces > 0 then
    config, data = network "guest".mmds_config(vm.config), network "guest".metadata(vm)
  end
  local ok, err = true, nil
  if config then
    local api
    api, err = api_of(vm)
    ok = api
    if api then
      ok, err = api:put_mmds_config(config, { at = "mmds_config" })
    end
  end
  if ok and data then
    ok, err = vm:set_metadata(data)
  end
  return ok, err
end

-- What a maker of handlers is given: checked now, so that what cannot be sent raises at the user's line, and copied.
local function maker_argument (name, value)
  if type(value) ~= "table" or (getmetatable(value) or {}).__name == "firecracker.vm" then
    errors.raise(3, { code = "usage", message = ("fcinit.%s makes a handler of a table: write fcinit.%s { … }"):format(name, name) })
  end
  payload.encode(value, nil, "fcinit." .. name)
  return require("firecracker.copy").deep(value)
end

--- Make a handler that replaces the guest's metadata.
-- @tparam table data copied
-- @treturn table handler "fcinit.SetMetadata"
function extras.set_metadata (data)
  data = maker_argument("set_metadata", data)
  return handler.new("fcinit.SetMetadata", function (vm)
    return vm:set_metadata(data)
  end)
end

--- Make a handler that adds a balloon.
-- @tparam table balloon copied
-- @treturn table handler "fcinit.CreateBalloon"
function extras.create_balloon (balloon)
  balloon = maker_argument("create_balloon", balloon)
  return handler.new("fcinit.CreateBalloon", function (vm)
    return vm:create_balloon(balloon)
  end)
end

return extras
