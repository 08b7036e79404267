--- The VMM's side of the API without a machine behind it: what is configured, in which state the guest is, and what a
-- real one would answer. Which operations and fields there are, and in which phase, it takes from the table; here stands
-- what each of them does. It opens no file: `world` says which paths and taps fail, and how.
-- @module firecracker.testing.vmm

local deserialize = require "firecracker.testing.deserialize"
local json = require "firecracker.testing.json"
local models = require "firecracker.api.models"
local release = require "firecracker.release"
local router = require "firecracker.testing.router"

local vmm = {}

local methods = {}
local metatable = { __index = methods }

local BEFORE <const> = "The requested operation is not supported before starting the microVM."
local AFTER <const> = "The requested operation is not supported after starting the microVM."
local BODY <const> = "An error occurred when deserializing the json body of a request: "
local LONGEST <const>, SLOTS <const> = 2047, 17   -- bytes of a command line; devices without PCI
local INACTIVE <const> = "MMDS error: The MMDS data store is not initialized."
local TOO_LARGE <const> = "MMDS limit exceeded error: The MMDS patch request doesn't fit."
local DIRECTORY <const> = "Is a directory (os error 21)"
local BACKEND <const> = "Running method expected different backend. Please verify the request arguments."

-- A refusal leaves by error(), as { status, message }.
local function refuse (message, ...)
  error({ 400, select("#", ...) > 0 and message:format(...) or message }, 0)
end

--- Make one.
-- @tparam[opt] table options `release` ("1.16.1"), `id`, `pci` (as with --enable-pci), `mmds_limit` (bytes), `drivers`
-- (false: the guest has none for balloon and memory), `world` (path or tap -> the system's words for what fails there, or
-- a table of them by purpose: "kernel", "initrd", "start", "drive", "socket", "pmem", "tap", "vsock", "log", "metrics",
-- "snapshot", "memory", "uffd", "serial"), `snapshots` (a table: what is saved by path; several may share one)
-- @treturn table
function vmm.new (options)
  options = options or {}
  local text = options.release or "1.16.1"
  local self = setmetatable({
    release = text, number = assert(release.number(text), "a release expected"), id = options.id or "anonymous-instance",
    pci = options.pci, mmds_limit = options.mmds_limit or 51200, world = options.world or {},
    snapshots = options.snapshots or {},
    drivers = options.drivers ~= false,
    phase = "vmm", boots = false,
    machine = { vcpu_count = 1, mem_size_mib = 128, smt = false, track_dirty_pages = false, huge_pages = "None" },
    boot = { kernel_image_path = "" }, drives = {}, interfaces = {}, pmem = {},
    store = json.null, hinting = 0, plugged = 0,
  }, metatable)
  self.plus = self:is "1.14" and "+" or ""   -- before an exponent
  self.has = function (record)
    return (not record.since or release.number(record.since) <= self.number)
      and (not record.removed or release.number(record.removed) > self.number)
      and (not record.unless or not record.unless[text]) and record.arch ~= "arm"
  end
  return self
end

-- Whether this is at least a release.
function methods:is (text)
  return release.number(text) <= self.number
end

-- Fail as the system does at this path.
function methods:open (purpose, path, message, after)
  local fault = self:fault(path, purpose)
  if fault then
    refuse("%s%s%s", message, fault, after or "")
  end
end

-- What the world says of a path, by what it is to be used for.
function methods:fault (path, purpose)
  local fault = self.world[path]
  if type(fault) == "table" then
    return fault[purpose]
  end
  return fault
end

local function position (list, key, id)
  for i, item in ipairs(list) do
    if item[key] == id then
      return i
    end
  end
end

local function has_value (list, value)
  for _, item in ipairs(list) do
    if item == value then
      return true
    end
  end
  return false
end

-- Put into a list what replaces the item of its id, or comes last.
local function place (list, key, item)
  list[position(list, key, item[key]) or #list + 1] = item
end

-- Absent fields as the VMM takes them.
local function complete (model, body)
  local result = {}
  for _, field in ipairs(models[model].fields) do
    local value = body[field.name]
    if value == nil and field.absent ~= "None" then
      value = field.absent
    end
    result[field.name] = value
  end
  return result
end

-- Buckets that limit nothing read back as null.
local function limiter (given, old)
  if not given then
    return old
  end
  local result = {}
  for _, name in ipairs { "bandwidth", "ops" } do
    local bucket = given[name] or old and old[name]
    if bucket and bucket.size ~= 0 and bucket.refill_time ~= 0 then
      result[name] = { size = bucket.size, refill_time = bucket.refill_time,
                       one_time_burst = bucket.one_time_burst ~= 0 and bucket.one_time_burst or nil }
    end
  end
  return next(result) and result or nil
end

-- Operations ------------------------------------------------------------------------------------------------------------

local run = {}   -- by the operation's name: (self, body, id) -> nothing, or the reply's text

function run:get_instance_info ()
  local words = { vmm = "Not started", running = "Running", paused = "Paused" }
  return self:write("InstanceInfo", { id = self.id, state = words[self.phase], vmm_version = self.release,
                                      app_name = "Firecracker" })
end

function run:get_version ()
  return self:write("FirecrackerVersion", { firecracker_version = self.release })
end

local function root_of (self)
  for _, drive in ipairs(self.drives) do
    if drive.is_root_device then
      return drive.drive_id, "drive"
    end
  end
  for _, pmem in ipairs(self.pmem) do
    if pmem.root_device then
      return pmem.id, "pmem"
    end
  end
end

local function start (self)
  local kernel = self.boot.kernel_image_path
  if kernel == "" then
    refuse "Start microvm error: Cannot start microvm without kernel configuration."
  end
  local failed = "Start microvm error: "
  self:open("start", kernel, failed)
  local root, kind = root_of(self)
  if #(self.boot.boot_args or "") + (kind == "drive" and root and #" root=/dev/vda rw" or 0) > LONGEST then
    refuse(failed .. "Invalid kernel command line: Inserting string would make command line too long.")
  elseif not self.pci and #self.drives + #self.interfaces > SLOTS then
    refuse("%s%s: Failed to allocate requested resource: The requested resource is not available.", failed,
      self:is "1.14" and "Could not attach device: MMIO transport error"
      or "Cannot initialize a MMIO Device or add a device to the MMIO Bus or cmdline")
  elseif self.serial and self.serial.serial_out_path then
    self:open("serial", self.serial.serial_out_path, failed .. "Failed to create device manager: Error with EventFd: ")
  end
  for _, pmem in ipairs(self.pmem) do
    self:open("pmem", pmem.path_on_host, failed .. "Cannot create pmem device: ")
  end
  self.phase = "running"
end

function run:put_actions (body)
  if body.action_type == "InstanceStart" then
    start(self)
  end
end

function run:get_machine_config ()
  return self:write("MachineConfiguration", self.machine)
end

local function check_machine (self, machine)
  local count, size = machine.vcpu_count, machine.mem_size_mib
  if count < 1 or count > 32 or machine.smt and count > 1 and count % 2 ~= 0 then
    refuse("Machine config error: The number of vCPUs must be greater than 0, less than 32 and must be 1 or an even " ..
      "number if SMT is enabled.")
  elseif size == 0 or machine.huge_pages ~= "None" and size % 2 ~= 0 then
    refuse "Machine config error: The memory size (MiB) is either 0, or not a multiple of the configured page size."
  elseif self.balloon and self.balloon.amount_mib > size then
    refuse "Machine config error: The memory size (MiB) is smaller than the previously set balloon device target size."
  end
  self.machine = machine
end

function run:put_machine_config (body)
  local machine = complete("MachineConfiguration", body)
  machine.huge_pages = body.huge_pages or "None"
  machine.cpu_template = body.cpu_template or self.machine.cpu_template
  machine.cpu_template = machine.cpu_template ~= "None" and machine.cpu_template or nil
  check_machine(self, machine)
end

function run:patch_machine_config (body)
  local machine = {}
  for _, source in ipairs { self.machine, body } do
    for key, value in pairs(source) do
      machine[key] = value
    end
  end
  machine.cpu_template = machine.cpu_template ~= "None" and machine.cpu_template or nil
  check_machine(self, machine)
end

function run:put_boot_source (body)
  self:open("kernel", body.kernel_image_path, "Boot source error: The kernel file cannot be opened: ")
  if body.initrd_path then
    self:open("initrd", body.initrd_path,
      "Boot source error: The initrd file cannot be opened due to invalid path or invalid permissions. ")
  end
  if body.boot_args and #body.boot_args > 2047 then
    refuse "Boot source error: The kernel command line is invalid: Invalid cmdline capacity provided."
  end
  self.boot = body
end

run.put_cpu_config = function () end

function run:put_drive (body)
  local hot = self.phase ~= "vmm"
  if hot and position(self.drives, "drive_id", body.drive_id) then
    refuse "Device ID in use"
  end
  local root = root_of(self)
  if body.is_root_device and root and (hot or root ~= body.drive_id) then
    refuse "Drive config error: A root block device already exists!"
  end
  local made = "Drive config error: Unable to create the virtio block device: "
  local backed = body.is_read_only ~= nil or body.io_engine or body.rate_limiter or body.path_on_host
  if (body.path_on_host == nil) == (body.socket == nil) or body.socket and backed then
    refuse(made .. "Invalid block config.")
  elseif body.socket then
    self:open("socket", body.socket, made .. "Vhost user backend error: Vhost-user error: Failed to connect to UDS Unix stream: ")
  elseif not (body.is_read_only and self:fault(body.path_on_host, "drive") == DIRECTORY) then
    self:open("drive", body.path_on_host, made .. "Virtio backend error: Error manipulating the backing file: ", " " .. body.path_on_host)
  end
  local drive = complete("Drive", body)
  drive.rate_limiter = limiter(body.rate_limiter)
  if body.socket then
    drive.is_read_only, drive.io_engine = nil, nil
  end
  if drive.is_root_device and not position(self.drives, "drive_id", drive.drive_id) then
    table.insert(self.drives, 1, drive)
  else
    place(self.drives, "drive_id", drive)
  end
end

function run:patch_drive (body, id)
  local drive = self.drives[position(self.drives, "drive_id", id)]
  local prefix = "Drive config error: Unable to patch the block device: " ..
    (self:is "1.14" and (drive and "Block: " or "") or "Device manager error: ")
  if not drive then
    refuse(prefix .. (self:is "1.14" and "Failed perform action on device: Device not found" or
      "Failed to find the device on the bus.") .. " Please verify the request arguments.")
  elseif not body.path_on_host and not body.rate_limiter then
    refuse(prefix .. BACKEND)
  elseif body.path_on_host then
    self:open("drive", body.path_on_host, prefix .. "Virtio backend error: Error manipulating the backing file: ",
      (" %s Please verify the request arguments."):format(body.path_on_host))
    drive.path_on_host = body.path_on_host
  end
  drive.rate_limiter = limiter(body.rate_limiter, drive.rate_limiter)
end

local function unplug (self, list, key, id, root)
  local at = position(list, key, id)
  if not self.pci then
    refuse "PCI is not enabled"
  elseif not at then
    refuse "Device not found"
  elseif list[at][root] then
    refuse "Cannot unplug root device"
  end
  table.remove(list, at)
end

function run:delete_drive (_, id)
  unplug(self, self.drives, "drive_id", id, "is_root_device")
end

function run:delete_pmem (_, id)
  unplug(self, self.pmem, "id", id, "root_device")
end

function run:delete_network_interface (_, id)
  unplug(self, self.interfaces, "iface_id", id)
end

function run:put_pmem (body)
  if self.phase ~= "vmm" then
    if position(self.pmem, "id", body.id) then
      refuse "Device ID in use"
    end
    self:open("pmem", body.path_on_host, "Pmem config error: Unable to create the virtio-pmem device: ")
  end
  local root, kind = root_of(self)
  if body.root_device and root and not (kind == "pmem" and root == body.id) then
    refuse(kind == "drive" and
      "Pmem config error: Attempt to add pmem as a root device while the root device defined as a block device"
      or "Pmem config error: A root pmem device already exists!")
  end
  local pmem = complete("Pmem", body)
  pmem.rate_limiter = limiter(body.rate_limiter)
  place(self.pmem, "id", pmem)
end

run.patch_pmem = function () end   -- its new limits do not show, and an unknown id is taken

function run:put_network_interface (body)
  local at = position(self.interfaces, "iface_id", body.iface_id)
  if at and self.phase ~= "vmm" then
    refuse "Device ID in use"
  end
  local mac = body.guest_mac and body.guest_mac:lower()
  for i, other in ipairs(self.interfaces) do
    if mac and other.guest_mac == mac and i ~= at then
      refuse("Network config error: The MAC address is already in use: %s", mac)
    end
  end
  if at then       -- the old one goes first, and the last takes its place
    self.interfaces[at] = self.interfaces[#self.interfaces]
    self.interfaces[#self.interfaces] = nil
    if self.mmds and has_value(self.mmds.network_interfaces, body.iface_id) then
      self.mmds = nil
    end
  end
  local made = "Network config error: Could not create the network device: "
  self:open("tap", body.host_dev_name, made .. "Open tap device failed: ")
  if #body.host_dev_name > 15 then
    refuse(made .. "Open tap device failed: Invalid interface name")
  end
  for _, other in ipairs(self.interfaces) do
    if other.host_dev_name == body.host_dev_name then
      refuse("%sOpen tap device failed: Error while creating ifreq structure: %s (os error 16). Invalid TUN/TAP Backend " ..
        "provided by %s. Check our documentation on setting up the network devices.", made,
        self.world.busy or "Device or resource busy", body.host_dev_name)
    end
  end
  if body.mtu and body.mtu < 68 then
    refuse("%sMTU %d is out of range [68, 65535]", made, body.mtu)
  end
  local interface = complete("NetworkInterface", body)
  interface.guest_mac = mac
  interface.rx_rate_limiter, interface.tx_rate_limiter = limiter(body.rx_rate_limiter), limiter(body.tx_rate_limiter)
  self.interfaces[#self.interfaces + 1] = interface
end

function run:patch_network_interface (body, id)
  local interface = self.interfaces[position(self.interfaces, "iface_id", id)]
  if not interface then
    refuse("Network config error: Unable to update the net device: %s", self:is "1.14"
      and "Failed perform action on device: Device not found" or "Device manager error: Failed to find the device on the bus.")
  end
  for _, name in ipairs { "rx_rate_limiter", "tx_rate_limiter" } do
    interface[name] = limiter(body[name], interface[name])
  end
end

function run:put_mmds_config (body)
  if #body.network_interfaces == 0 then
    refuse "MMMDS config error: The list of network interface IDs that allow forwarding MMDS requests is empty."
  end
  local third, fourth = (body.ipv4_address or "169.254.169.254"):match "^169%.254%.(%d+)%.(%d+)$"
  third = tonumber(third)
  if not third or third < 1 or third > 254 or tonumber(fourth) > 255 then
    refuse "MMMDS config error: The MMDS IPv4 address is not link local."
  end
  for _, id in ipairs(body.network_interfaces) do
    if not position(self.interfaces, "iface_id", id) then
      refuse("MMMDS config error: The list of network interface IDs provided contains at least one ID that does not " ..
        "correspond to any existing network interface.")
    end
  end
  self.mmds = complete("MmdsConfig", body)
end

-- From 1.14 a running guest without an interface for it has no store.
local function check_store (self)
  if self.phase ~= "vmm" and self:is "1.14" and not self.mmds then
    refuse(INACTIVE)
  end
end

local function keep (self, store)
  if #json.encode(store, self.plus) > self.mmds_limit then
    error({ 413, TOO_LARGE }, 0)
  end
  self.store, self.filled = store, true
end

function run:get_mmds ()
  check_store(self)
  return self.store == json.null and "{}" or json.encode(self.store, self.plus)
end

function run:put_mmds (body)
  check_store(self)
  keep(self, body)
end

function run:patch_mmds (body)
  check_store(self)
  if not self.filled then
    refuse(INACTIVE)
  end
  keep(self, json.merge(self.store, body))
end

function run:put_balloon (body)
  if body.amount_mib > self.machine.mem_size_mib then
    refuse "Balloon config error: Amount of pages requested is too large."
  end
  self.balloon = complete("Balloon", body)
end

function run:get_balloon ()
  if not self.balloon then
    refuse "Balloon config error: No balloon device found."
  end
  return self:write("Balloon", self.balloon)
end

-- The prefix of what a running balloon refuses.
local function balloon_of (self, statistics)
  local prefix = not self:is "1.14" and "Balloon config error: Error creating the balloon device: "
    or statistics and "Internal VMM error: Balloon: " or "Balloon update error: Balloon: "
  if not self.balloon then
    refuse((self:is "1.14" and "Balloon update error: " or "Balloon config error: ") .. "No balloon device found.")
  end
  return self.balloon, prefix
end

function run:patch_balloon (body)
  local balloon, prefix = balloon_of(self)
  if not self.drivers then
    refuse(prefix .. "Device not activated yet.")
  elseif body.amount_mib > self.machine.mem_size_mib then
    refuse(self:is "1.14" and "%sRequested memory should be less than %dMiB"
      or "%sAmount of pages requested cannot fit in `u32`.",
      prefix, body.amount_mib)
  end
  balloon.amount_mib = body.amount_mib
end

function run:patch_balloon_statistics (body)
  local balloon, prefix = balloon_of(self)
  if (body.stats_polling_interval_s == 0) ~= (balloon.stats_polling_interval_s == 0) then
    refuse(prefix .. "Statistics cannot be enabled/disabled after activation.")
  end
  balloon.stats_polling_interval_s = body.stats_polling_interval_s
end

function run:get_balloon_statistics ()
  local balloon, prefix = balloon_of(self, true)
  if balloon.stats_polling_interval_s == 0 then
    refuse(prefix .. (self:is "1.14" and "Received stats query when stats are disabled."
      or "Received stats querry when stats are disabled."))
  end
  local mib, reported = balloon.amount_mib, 0
  local statistics = { target_pages = mib * 256, actual_pages = 0, target_mib = mib, actual_mib = 0 }
  for _, field in ipairs(self.drivers and models.BalloonStats.fields or {}) do
    if not field.required then       -- a guest whose numbers can be told apart
      reported = reported + 4096
      statistics[field.name] = reported
    end
  end
  return self:write("BalloonStats", statistics)
end

local function hinting (self)
  local balloon, prefix = balloon_of(self)
  if not balloon.free_page_hinting then
    refuse(prefix .. "Attempting to use hinting when not enabled")
  end
end

function run:patch_balloon_hinting_start ()
  hinting(self)
  self.hinting = math.max(self.hinting, 1) + 1
end

function run:patch_balloon_hinting_stop ()
  hinting(self)
  self.hinting = 1
end

function run:get_balloon_hinting_status ()
  hinting(self)
  return self:write("BalloonHintingStatus", { host_cmd = self.hinting })
end

function run:put_entropy (body)
  self.entropy = { rate_limiter = limiter(body.rate_limiter) }
end

function run:put_serial (body)
  self.serial = body
end

function run:put_vsock (body)
  local failed = "Vsock config error: Cannot create backend for vsock device: Error binding to the host-side Unix socket: "
  self.vsock = nil
  self:open("vsock", body.uds_path, failed)
  if #body.uds_path > 107 then
    refuse(failed .. "path must be shorter than SUN_LEN")
  end
  self.vsock = body
end

function run:put_logger (body)
  if body.log_path then
    self:open("log", body.log_path, "Logger error: Failed to open target file: ")
  end
end

function run:put_metrics (body)
  local prefix = "Metrics error: Cannot initialize the metrics system due to bad user input: "
  if self.metrics then
    refuse(prefix .. "Reinitialization of metrics not allowed.")
  end
  self:open("metrics", body.metrics_path, prefix)
  self.metrics = body
end

function run:put_memory_hotplug (body)
  local memory = complete("MemoryHotplugConfig", body)
  local block, slot, total = memory.block_size_mib, memory.slot_size_mib, memory.total_size_mib
  local wrong = block < 2 and "Block size must not be lower than 2 MiB"
    or block & (block - 1) ~= 0 and "Block size must be a power of 2"
    or slot < 128 and "Slot size must not be lower than 128 MiB"
    or slot % block ~= 0 and ("Slot size must be a multiple of block size (%d MiB)"):format(block)
    or total < slot and ("Total size must not be lower than slot size (%d MiB)"):format(slot)
    or total % slot ~= 0 and ("Total size must be a multiple of slot size (%d MiB)"):format(slot)
  if wrong then
    refuse("Memory hotplug config error: " .. wrong)
  end
  self.hotplug = memory
end

function run:patch_memory_hotplug (body)
  local prefix, size = "Memory hotplug update error: Failed to create memory hotplug device: ", body.requested_size_mib
  if not self.hotplug or not self.drivers then
    refuse(prefix .. "Device is not active")
  elseif size % self.hotplug.block_size_mib ~= 0 or size > self.hotplug.total_size_mib then
    refuse("%sSize %d is invalid: it must be a multiple of block size and less than the total size", prefix, size << 20)
  end
  self.plugged = size
end

function run:get_memory_hotplug ()
  if not self.hotplug then
    refuse "Memory hotplug update error: Device not found"
  end
  local status = complete("MemoryHotplugConfig", self.hotplug)
  status.plugged_size_mib, status.requested_size_mib = 0, self.plugged
  return self:write("MemoryHotplugStatus", status)
end

function run:put_snapshot_create (body)
  if self.phase == "running" then
    refuse("Create snapshot error: Cannot save the microVM state: Operation not allowed: save/restore unavailable while running")
  elseif body.snapshot_type == "Diff" and not self.machine.track_dirty_pages and not self:is "1.13" then
    refuse("The requested operation is not supported: Diff snapshots are not allowed on uVMs with dirty page tracking disabled.")
  end
  self:open("snapshot", body.snapshot_path, "Create snapshot error: Cannot perform open on the snapshot backing file: ")
  self:open("memory", body.mem_file_path, "Create snapshot error: Cannot perform open on the memory backing file: ")
  self.snapshots[body.snapshot_path] = self:saved()
end

-- What a snapshot holds.
local SAVED <const> = { "machine", "boot", "drives", "interfaces", "pmem", "mmds", "balloon", "vsock", "entropy", "hotplug",
                        "plugged", "hinting" }

local function copy (value)
  if type(value) ~= "table" then
    return value
  end
  local result = setmetatable({}, getmetatable(value))
  for key, item in pairs(value) do
    result[key] = copy(item)
  end
  return result
end

-- The state as a snapshot has it.
function methods:saved ()
  local saved = {}
  for _, key in ipairs(SAVED) do
    saved[key] = copy(self[key])
  end
  return saved
end

-- A failure ends the process.
function run:put_snapshot_load (body)
  if self.boots then
    refuse "Load snapshot error: Loading a microVM snapshot not allowed after configuring boot-specific resources."
  end
  self.dying = true
  local failed = "Load snapshot error: Failed to restore from snapshot: "
  self:open("snapshot", body.snapshot_path, failed .. "Failed to get snapshot state from file: ")
  local backend = body.mem_backend or { backend_type = "File", backend_path = body.mem_file_path }
  local memory = failed .. "Failed to load guest memory: Error creating guest memory from "
  if backend.backend_type == "Uffd" then
    self:open("uffd", backend.backend_path, memory .. "uffd: Failed to connect to UDS Unix stream: ")
  else
    self:open("memory", backend.backend_path, memory .. "file: ")
  end
  local saved = copy(self.snapshots[body.snapshot_path] or {})
  for _, override in ipairs(body.network_overrides or {}) do
    local at = saved.interfaces and position(saved.interfaces, "iface_id", override.iface_id)
    if saved.interfaces and not at then
      refuse(failed .. "Failed to get snapshot state from file: Unknown Network Device.")
    elseif at then
      saved.interfaces[at].host_dev_name = override.host_dev_name
    end
  end
  if saved.vsock then
    saved.vsock.uds_path = body.vsock_override and body.vsock_override.uds_path or saved.vsock.uds_path
    self:open("restore", saved.vsock.uds_path, failed .. "Failed to build microVM from snapshot: ")
  end
  self.dying = nil
  for key, value in pairs(saved) do
    self[key] = value
  end
  self.machine.track_dirty_pages = body.track_dirty_pages or body.enable_diff_snapshots or false
  self.phase = body.resume_vm and "running" or "paused"
end

function run:patch_vm (body)
  self.phase = body.state == "Paused" and "paused" or "running"
end

function run:get_vm_config ()
  return self:write("FullVmConfiguration", {
    balloon = self.balloon, drives = self.drives, ["boot-source"] = self.boot, ["machine-config"] = self.machine,
    ["mmds-config"] = self.mmds, ["network-interfaces"] = self.interfaces, vsock = self.vsock, entropy = self.entropy,
    pmem = self.pmem, ["memory-hotplug"] = self.hotplug,
  })
end

-- Requests --------------------------------------------------------------------------------------------------------------

-- What is left out of a reply when there is none, rather than null.
local OMITTED <const> = { cpu_template = true, vsock_id = true }

--- Write a reply.
function methods:write (model, value)
  return json.of_model(models[model], value, function (field, of)
    local statistic = model == "BalloonStats" and not field.required
    return self.has(field) and not (of[field.name] == nil and (OMITTED[field.name] or statistic))
  end)
end

-- Whether a body uses what is deprecated.
function methods:deprecates (operation, body)
  for _, field in ipairs(models[operation.body] and models[operation.body].fields or {}) do
    local how, value = field.deprecated, body[field.name]
    if value == nil and how and how.value then
      value = field.absent
    end
    if how and value ~= nil and self:is(how.since) and self.has(field) and (not how.value or how.value == value)
      and (value ~= false or how.value) then
      return true
    end
  end
  return false
end

local function check_phase (self, operation, body)
  local phase = operation.phase
  if type(phase) == "table" then
    phase = phase[body[phase[1]]]
  end
  local started = self.phase ~= "vmm"
  if phase == "before" and started or phase == "hotplug" and started and not self:is(operation.hotplug_since) then
    refuse(AFTER)
  elseif (phase == "after" or phase == "paused") and not started then
    refuse(BEFORE)
  elseif phase == "hotplug" and started and not self.pci then
    refuse "PCI is not enabled"
  end
end

-- The body against its model, and the id in it against the path's.
local function read (self, operation, text, id)
  if not operation.body or not text then
    return {}
  end
  local body, problem = deserialize(text, operation.body, self.has,
    { partial = operation.partial, plus = self.plus })
  if problem then
    refuse("%s", BODY .. problem)
  elseif operation.partial and next(body) == nil then
    refuse("Empty %s request.", operation.method)
  elseif operation.name == "put_snapshot_load" and (body.mem_backend == nil) == (body.mem_file_path == nil) then
    refuse(BODY .. (body.mem_backend and "too many fields: either `mem_backend` or `mem_file_path` exclusively is required."
      or "missing field: either `mem_backend` or `mem_file_path` is required."))
  end
  local field = operation.path:match "{([%w_]+)}"
  if field and body[field] ~= id then
    refuse(field == "iface_id" and ("The id from the path [%s] does not match the id from the body [%s]!"):format(id, body[field])
      or "The id from the path does not match the id from the body!")
  end
  return body
end

--- Answer a request.
-- @tparam string method
-- @tparam string target
-- @tparam ?string text the body
-- @treturn int status
-- @treturn ?string the reply's body
-- @treturn boolean whether the reply tells of something deprecated
function methods:answer (method, target, text)
  local deprecated = false
  local ok, reply = pcall(function ()
    local operation, id = router.find(method, target, text ~= nil, self.has)
    if not operation then
      refuse("%s", id)
    end
    local body = read(self, operation, text, id)
    deprecated = type(body) == "table" and self:deprecates(operation, body)
    check_phase(self, operation, body)
    if operation.boots then
      self.boots = true
    end
    return run[operation.name](self, body, id)
  end)
  if ok then
    return reply and 200 or 204, reply, deprecated
  elseif type(reply) ~= "table" then
    error(reply, 0)
  end
  return reply[1], '{"fault_message":' .. json.string(reply[2]) .. "}", deprecated
end

return vmm
