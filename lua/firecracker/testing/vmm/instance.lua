--- The fake VMM's operations on the machine as a whole.
-- By the name of the operation: (self, body, id) -> nothing, or the reply's text.
-- @module firecracker.testing.vmm.instance

local common = require "firecracker.testing.vmm.common"

local run = {}

local LONGEST <const>, SLOTS <const> = 2047, 17   -- bytes of a command line; devices without PCI

function run:get_instance_info ()
  local words = { vmm = "Not started", running = "Running", paused = "Paused" }
  return self:write("InstanceInfo", { id = self.id, state = words[self.phase], vmm_version = self.release,
                                      app_name = "Firecracker" })
end

function run:get_version ()
  return self:write("FirecrackerVersion", { firecracker_version = self.release })
end

local function start (self)
  local kernel = self.boot.kernel_image_path
  if kernel == "" then
    common.refuse "Start microvm error: Cannot start microvm without kernel configuration."
  end
  local failed = "Start microvm error: "
  self:open("start", kernel, failed)
  local root, kind = common.root_of(self)
  if #(self.boot.boot_args or "") + (kind == "drive" and root and #" root=/dev/vda rw" or 0) > LONGEST then
    common.refuse(failed .. "Invalid kernel command line: Inserting string would make command line too long.")
  elseif not self.pci and #self.drives + #self.interfaces > SLOTS then
    common.refuse("%s%s: Failed to allocate requested resource: The requested resource is not available.", failed,
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
    common.refuse("Machine config error: The number of vCPUs must be greater than 0, less than 32 and must be 1 or an even " ..
      "number if SMT is enabled.")
  elseif size == 0 or machine.huge_pages ~= "None" and size % 2 ~= 0 then
    common.refuse "Machine config error: The memory size (MiB) is either 0, or not a multiple of the configured page size."
  elseif self.balloon and self.balloon.amount_mib > size then
    common.refuse "Machine config error: The memory size (MiB) is smaller than the previously set balloon device target size."
  end
  self.machine = machine
end

function run:put_machine_config (body)
  local machine = common.complete("MachineConfiguration", body)
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
    common.refuse "Boot source error: The kernel command line is invalid: Invalid cmdline capacity provided."
  end
  self.boot = body
end

run.put_cpu_config = function () end

function run:put_logger (body)
  if body.log_path then
    self:open("log", body.log_path, "Logger error: Failed to open target file: ")
  end
end

function run:put_metrics (body)
  local prefix = "Metrics error: Cannot initialize the metrics system due to bad user input: "
  if self.metrics then
    common.refuse(prefix .. "Reinitialization of metrics not allowed.")
  end
  self:open("metrics", body.metrics_path, prefix)
  self.metrics = body
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

return run
