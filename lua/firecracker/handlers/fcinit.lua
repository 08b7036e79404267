--- The steps that bring a machine up, in the order of the default flow. Each does one thing and can be called by hand:
-- `handlers.fcinit.create_machine(vm)`.
-- @module firecracker.handlers.fcinit

local client = require "firecracker.api.client"
local errors = require "firecracker.errors"
local handler = require "firecracker.handler"
local launch = require "firecracker.launch"
local lazy = require "firecracker.lazy"
local paths = require "firecracker.machine.paths"
local payload = require "firecracker.api.payload"

local by_file = lazy "firecracker.launch.by_file"
local extras = lazy "firecracker.handlers.extras"
local intake = lazy "firecracker.intake"
local release = lazy "firecracker.release"

local fcinit = {}

-- Our own, where none is given: Firecracker's default switches the serial port and module loading off.
local DEFAULT_BOOT_ARGS <const> = "console=ttyS0 reboot=k panic=1"

-- A request needs a VMM.
local function api_of (vm)
  if vm.api then
    return vm.api
  end
  return extras.without_vmm(vm)
end

-- One request of the client's, with a section of the configuration as its body; nothing for an absent section.
local function put (operation, section)
  return function (vm)
    local body = vm.config[section]
    if body == nil then
      return true
    end
    local api, err = api_of(vm)
    if api then
      body, err = paths.body(vm, section, body)
    end
    if not api or not body then
      return nil, err
    end
    return api[operation](api, body, { at = section })
  end
end

-- The same for each element of a list, by its id.
local function put_each (operation, section, id)
  return function (vm)
    for i, body in ipairs(vm.config[section] or {}) do
      local api, err = api_of(vm)
      local ok
      if api then
        body, err = paths.body(vm, section, body)
      end
      if api and body then
        ok, err = api[operation](api, body[id], body, { at = ("%s[%d]"):format(section, i) })
      end
      if not ok then
        return nil, err
      end
    end
    return true
  end
end

-- What only machines with a network need.
local function network (part)
  return require("firecracker.network." .. part)
end

--- Make the namespace, taps, bridges' ports, NAT and what plugins make; a tap that is named only must exist.
fcinit.setup_network = handler.new("fcinit.SetupNetwork", function (vm)
  if #vm.config.network_interfaces > 0 or vm.config.netns then
    return network "setup".run(vm)
  end
end)

--- Fill in the kernel's command line where none is given, and add `ip=` where an interface has an address of IPv4.
fcinit.setup_kernel_args = handler.new("fcinit.SetupKernelArgs", function (vm)
  local source = vm.config.boot_source
  if source and not source.boot_args then
    source.boot_args = DEFAULT_BOOT_ARGS
  end
  if source and #vm.config.network_interfaces > 0 then
    network "guest".set_kernel_args(vm)
  end
end)

-- The client of the machine: one of the user's own takes the place of the library's.
local function new_client (vm, options)
  if vm.config.client then
    return extras.own_client(vm, options)
  end
  return client.new(vm.socket_path, options)
end

-- The watch on the socket of a VMM that is started now; false where it comes later.
local function launched (vm, launcher)
  if vm.by_file then
    return false
  end
  return launcher.start(vm)
end

--- Start Firecracker and wait for its API. Where the machine starts by file, what follows is noted and the VMM comes with
-- fcinit.StartInstance.
fcinit.start_vmm = handler.new("fcinit.StartVMM", function (vm)
  if vm.process or vm.api then
    return nil, errors.new { code = "state", message = ("machine %s has a VMM already"):format(vm.id) }
  end
  local ok, err = vm:own_directory()
  if not ok then
    return nil, err
  end
  local launcher = launch.of(vm.config)
  local watch <close>, problem = launched(vm, launcher)
  if watch == nil then
    return nil, problem
  end
  local api
  api, err = new_client(vm, {
    timeout = vm.config.timeouts.request,
    log = vm.config.log and function (event) vm:emit(event) end,
    trace = vm.config.log_level == "trace",
    gone = function (patience) return vm:gone(patience) end,
    hangs = function () return vm:hangs() end,
    release = function (timeout)
      local binary, missing = launcher.find(vm.config)
      if not binary then
        return nil, missing
      end
      return release.of_binary(binary, timeout)
    end,
    state = function () return vm.phase end,
    moved = function (state) vm.phase = state end,
    who = "machine " .. vm.id,
    starting = true,
    body_limit = payload.limits(vm.config.vmm.arguments),
  })
  if not api then
    return nil, err
  end
  vm:defer("api client", function ()
    api:close()
  end)
  if not watch then
    vm.api = api
    by_file.hold(vm)
    return true
  end
  if api.prepare then
    api:prepare()   -- while the VMM starts
  end
  ok, err = launcher.await(vm, watch)
  if ok then
    vm.api, vm.phase = api, "vmm"
  end
  return ok, err
end)

--- Make the log and metrics files and FIFOs, which must exist before the VMM opens them.
fcinit.create_log_files = handler.new("fcinit.CreateLogFilesHandler", function (vm)
  local made, problem = vm:own_directory()   -- in a jailed machine's flow this step comes first
  if not made then
    return nil, problem
  end
  if vm.config.logger or vm.config.metrics then
    return intake.prepare_all(vm)
  end
end)

--- Bring the files that the configuration names into the machine's jail; nothing without one. `fc.jail.naive` puts it
-- before fcinit.StartVMM.
fcinit.link_files = handler.new("fcinit.LinkFilesToRootFS", function (vm)
  if vm.config.jailer then
    return require("firecracker.launch.staging").link_files(vm)
  end
end)

--- Tell the VMM where to log and where its metrics go.
fcinit.bootstrap_logging = handler.new("fcinit.BootstrapLogging", function (vm)
  if vm.config.logger or vm.config.metrics then
    local api, err = api_of(vm)
    if not api then
      return nil, err
    end
    return intake.put_all(vm, api)
  end
end)

--- Set the size of the machine.
fcinit.create_machine = handler.new("fcinit.CreateMachine", put("put_machine_config", "machine_config"))

--- Set kernel, initrd and command line.
fcinit.create_boot_source = handler.new("fcinit.CreateBootSource", put("put_boot_source", "boot_source"))

local put_cpu_config = put("put_cpu_config", "cpu_config")

--- Set a CPU template of one's own. What a file of it holds is sent: the API takes no path.
fcinit.configure_cpu = handler.new("fcinit.ConfigureCPU", function (vm)
  if type(vm.config.cpu_config) == "string" then
    local ok, err = extras.read_template(vm)
    if not ok then
      return nil, err
    end
  end
  return put_cpu_config(vm)
end)

--- Set where the guest's serial port goes.
fcinit.configure_serial = handler.new("fcinit.ConfigureSerial", put("put_serial", "serial"))

--- Attach the drives, in their order; the VMM puts the root drive first.
fcinit.attach_drives = handler.new("fcinit.AttachDrives", put_each("put_drive", "drives", "drive_id"))

--- Attach persistent memory, in its order.
fcinit.attach_pmem = handler.new("fcinit.AttachPmem", put_each("put_pmem", "pmem", "id"))

--- Create the network interfaces, in their order.
fcinit.create_network_interfaces = handler.new("fcinit.CreateNetworkInterfaces", function (vm)
  for i, interface in ipairs(vm.config.network_interfaces) do
    local api, err = api_of(vm)
    local ok
    if api then
      ok, err = api:put_network_interface(interface.iface_id, network "setup".body(vm, i), { at = ("network_interfaces[%d]"):format(i) })
    end
    if not ok then
      return nil, err
    end
  end
  return true
end)

--- Add the vsock device. Its socket is made by the VMM at once and never removed by it. A snapshot brings its own.
fcinit.add_vsocks = handler.new("fcinit.AddVsocks", function (vm)
  local vsock = vm.config.vsock
  if not vsock or vm.config.snapshot then
    return true
  end
  return extras.add_vsock(vm, vsock)
end)

--- Configure the metadata service, and put the data when there are any; with the guest's addresses if asked for.
fcinit.config_mmds = handler.new("fcinit.ConfigMmds", function (vm)
  local config = vm.config
  if #config.network_interfaces > 0 or config.mmds_config or config.mmds then
    return extras.config_mmds(vm)
  end
end)

--- Make a handler that replaces the guest's metadata.
-- @function fcinit.set_metadata
-- @tparam table data copied
-- @treturn table handler "fcinit.SetMetadata"
function fcinit.set_metadata (data)
  return extras.set_metadata(data)
end

--- Make a handler that adds a balloon, for a place before fcinit.StartInstance.
-- @function fcinit.create_balloon
-- @tparam table balloon `amount_mib`, `deflate_on_oom`, perhaps `stats_polling_interval_s`; copied
-- @treturn table handler "fcinit.CreateBalloon"
function fcinit.create_balloon (balloon)
  return extras.create_balloon(balloon)
end

--- Add the balloon. It may not exceed the machine's memory.
fcinit.add_balloon = handler.new("fcinit.AddBalloon", put("put_balloon", "balloon"))

--- Add the entropy device.
fcinit.add_entropy = handler.new("fcinit.AddEntropy", put("put_entropy", "entropy"))

--- Add memory that can be plugged later.
fcinit.add_memory_hotplug = handler.new("fcinit.AddMemoryHotplug", put("put_memory_hotplug", "memory_hotplug"))

-- A guest is there: its addresses are taken as long as its VMM lives.
local function hand_over (vm)
  if vm.leased then
    return network "setup".hand_over(vm)
  end
  return true
end

--- Load the snapshot: the guest is there, paused or running as `snapshot.resume_vm` says. A stale vsock socket is removed
-- before; other taps and sockets are named in the request; limits and exchanged drives are in place before the guest goes on.
-- A failure ends the VMM.
fcinit.load_snapshot = handler.new("fcinit.LoadSnapshot", function (vm)
  local ok, err = require("firecracker.snapshot.load").load(vm)
  if not ok then
    return nil, err
  end
  return hand_over(vm)
end)

--- Start the guest; by file, the VMM and the guest.
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
  return hand_over(vm)
end)

return fcinit
