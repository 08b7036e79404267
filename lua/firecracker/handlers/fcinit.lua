--- The steps that bring a machine up, in the order of the default flow. Each does one thing and can be called by hand:
-- `handlers.fcinit.create_machine(vm)`.
-- @module firecracker.handlers.fcinit

local client = require "firecracker.api.client"
local core = require "firecracker.core"
local direct = require "firecracker.launch.direct"
local errors = require "firecracker.errors"
local events = require "firecracker.events"
local handler = require "firecracker.handler"
local intake = require "firecracker.intake"

local files = core.files
local fcinit = {}

-- Our own, where none is given: Firecracker's default switches the serial port and module loading off.
local DEFAULT_BOOT_ARGS <const> = "console=ttyS0 reboot=k panic=1"

-- A request needs a VMM.
local function api_of (vm)
  if not vm.api then
    return nil, errors.new { code = "state", message = ("machine %s has no VMM yet: run fcinit.StartVMM first"):format(vm.id) }
  end
  return vm.api
end

-- One request of the client's, with a section of the configuration as its body; nothing for an absent section.
local function put (operation, section)
  return function (vm)
    local body = vm.config[section]
    if body == nil then
      return true
    end
    local api, err = api_of(vm)
    if not api then
      return nil, err
    end
    return api[operation](api, body)
  end
end

-- The same for each element of a list, by its id.
local function put_each (operation, section, id)
  return function (vm)
    for _, body in ipairs(vm.config[section]) do
      local api, err = api_of(vm)
      local ok
      if api then
        ok, err = api[operation](api, body[id], body)
      end
      if not ok then
        return nil, err
      end
    end
    return true
  end
end

--- Check that the taps exist: Firecracker would create a missing one, so that a typing error became an interface.
fcinit.setup_network = handler.new("fcinit.SetupNetwork", function (vm)
  for i, interface in ipairs(vm.config.network_interfaces) do
    local name = interface.host_dev_name
    if not files.look("/sys/class/net/" .. name) then
      local field = ("network_interfaces[%d].host_dev_name"):format(i)
      return nil, errors.new {
        code = "config", field = field, message = ("config.%s: no interface '%s' on this host"):format(field, name),
        hint = "ip tuntap add mode tap " .. name,
      }
    end
  end
end)

--- Fill in the kernel's command line where none is given.
fcinit.setup_kernel_args = handler.new("fcinit.SetupKernelArgs", function (vm)
  local source = vm.config.boot_source
  if source and not source.boot_args then
    source.boot_args = DEFAULT_BOOT_ARGS
  end
end)

-- A directory of the machine's own; an id of ours that is taken is drawn anew.
local function make_directory (vm)
  local base = vm.config.run_dir
  local ok, err = files.mkdir_private(base)
  if not ok then
    return nil, errors.context(err, "config.run_dir")
  end
  while true do
    local path = base .. "/" .. vm.id
    ok, err = files.mkdir(path)
    if ok then
      vm.directory = path
      vm:defer("run directory", function ()
        return files.remove_directory(path)
      end, { path = path })
      return true
    elseif err.errno ~= "EEXIST" or vm.config.id then
      err.hint = err.errno == "EEXIST" and "another machine has this id, or one that is gone left it" or nil
      return nil, err
    end
    vm.id = assert(files.random_hex(4))
  end
end

--- Start Firecracker and wait for its API.
fcinit.start_vmm = handler.new("fcinit.StartVMM", function (vm)
  if vm.process then
    return nil, errors.new { code = "state", message = ("machine %s has a VMM already"):format(vm.id) }
  end
  local ok, err = make_directory(vm)
  if ok then
    ok, err = direct.start(vm)
  end
  if not ok then
    return nil, err
  end
  local api = client.new(vm.socket_path, {
    timeout = vm.config.timeouts.request,
    log = vm.config.log and events.teller(vm.config, vm.id),
    trace = vm.config.log_level == "trace",
    gone = function (patience) return vm:gone(patience) end,
    starting = true,
  })
  api:prepare()   -- while the VMM starts
  ok, err = direct.await(vm)
  if not ok then
    api:close()
    return nil, err
  end
  vm.api = api
  vm:defer("api client", function ()
    vm.api:close()
  end)
  vm.phase = "vmm"
  return true
end)

--- Make the log and metrics files and FIFOs, which must exist before the VMM opens them.
fcinit.create_log_files = handler.new("fcinit.CreateLogFilesHandler", function (vm)
  for _, section in ipairs { "logger", "metrics" } do
    local ok, err = intake.prepare(vm, section)
    if not ok then
      return nil, err
    end
  end
end)

--- Tell the VMM where to log and where its metrics go.
fcinit.bootstrap_logging = handler.new("fcinit.BootstrapLogging", function (vm)
  for _, section in ipairs { "logger", "metrics" } do
    local operation = "put_" .. section
    local body = intake.body(vm, section)
    local api, ok, err = nil, true, nil
    if body then
      api, err = api_of(vm)
      ok = api
    end
    if api then
      ok, err = api[operation](api, body)
    end
    if not ok then
      return nil, err
    end
  end
end)

--- Set the size of the machine.
fcinit.create_machine = handler.new("fcinit.CreateMachine", put("put_machine_config", "machine_config"))

--- Set kernel, initrd and command line.
fcinit.create_boot_source = handler.new("fcinit.CreateBootSource", put("put_boot_source", "boot_source"))

--- Attach the drives, in their order; the VMM puts the root drive first.
fcinit.attach_drives = handler.new("fcinit.AttachDrives", put_each("put_drive", "drives", "drive_id"))

--- Create the network interfaces, in their order.
fcinit.create_network_interfaces = handler.new("fcinit.CreateNetworkInterfaces",
  put_each("put_network_interface", "network_interfaces", "iface_id"))

--- Add the vsock device. Its socket is made by the VMM at once and never removed by it.
fcinit.add_vsocks = handler.new("fcinit.AddVsocks", function (vm)
  local vsock = vm.config.vsock
  if not vsock then
    return true
  end
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
  vm:defer("vsock socket", function ()
    return files.unlink(vsock.uds_path)
  end, { path = vsock.uds_path })
  return api:put_vsock(vsock)
end)

--- Configure the metadata service, and put the data when there are any.
fcinit.config_mmds = handler.new("fcinit.ConfigMmds", function (vm)
  local ok, err = put("put_mmds_config", "mmds_config")(vm)
  if not ok then
    return nil, err
  end
  return put("put_mmds", "mmds")(vm)
end)

--- Start the guest.
fcinit.start_instance = handler.new("fcinit.StartInstance", function (vm)
  local api, err = api_of(vm)
  if not api then
    return nil, err
  end
  local ok
  ok, err = api:put_actions { action_type = "InstanceStart" }
  if not ok then
    return nil, err
  end
  vm.phase = "running"
  return true
end)

return fcinit
