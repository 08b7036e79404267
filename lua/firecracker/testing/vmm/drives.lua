--- The fake VMM's operations on drives and persistent memory.
-- By the name of the operation: (self, body, id) -> nothing, or the reply's text.
-- @module firecracker.testing.vmm.drives

local common = require "firecracker.testing.vmm.common"

local run = {}

local BACKEND <const> = "Running method expected different backend. Please verify the request arguments."
local DIRECTORY <const> = "Is a directory (os error 21)"

function run:put_drive (body)
  local hot = self.phase ~= "vmm"
  if hot and common.position(self.drives, "drive_id", body.drive_id) then
    common.refuse "Device ID in use"
  end
  local root = common.root_of(self)
  if body.is_root_device and root and (hot or root ~= body.drive_id) then
    common.refuse "Drive config error: A root block device already exists!"
  end
  local made = "Drive config error: Unable to create the virtio block device: "
  local backed = body.is_read_only ~= nil or body.io_engine or body.rate_limiter or body.path_on_host
  if (body.path_on_host == nil) == (body.socket == nil) or body.socket and backed then
    common.refuse(made .. "Invalid block config.")
  elseif body.socket then
    self:open("socket", body.socket, made .. "Vhost user backend error: Vhost-user error: Failed to connect to UDS Unix stream: ")
  elseif not (body.is_read_only and self:fault(body.path_on_host, "drive") == DIRECTORY) then
    self:open("drive", body.path_on_host, made .. "Virtio backend error: Error manipulating the backing file: ", " " .. body.path_on_host)
  end
  local drive = common.complete("Drive", body)
  drive.rate_limiter = common.limiter(body.rate_limiter)
  if body.socket then
    drive.is_read_only, drive.io_engine = nil, nil
  end
  if drive.is_root_device and not common.position(self.drives, "drive_id", drive.drive_id) then
    table.insert(self.drives, 1, drive)
  else
    common.place(self.drives, "drive_id", drive)
  end
end

function run:patch_drive (body, id)
  local drive = self.drives[common.position(self.drives, "drive_id", id)]
  local changes = body.path_on_host or body.rate_limiter
  local prefix = "Drive config error: Unable to patch the block device: " ..
    (self:is "1.14" and (drive and "Block: " or "") or "Device manager error: ")
  if not drive then
    common.refuse(prefix .. (self:is "1.14" and "Failed perform action on device: Device not found" or
      "Failed to find the device on the bus.") .. " Please verify the request arguments.")
  elseif (changes ~= nil) == (drive.socket ~= nil) then     -- a backend's has nothing to change
    common.refuse(prefix .. BACKEND)
  elseif body.path_on_host then
    self:open("drive", body.path_on_host, prefix .. "Virtio backend error: Error manipulating the backing file: ",
      (" %s Please verify the request arguments."):format(body.path_on_host))
    drive.path_on_host = body.path_on_host
  end
  drive.rate_limiter = common.limiter(body.rate_limiter, drive.rate_limiter)
end

function run:delete_drive (_, id)
  common.unplug(self, self.drives, "drive_id", id, "is_root_device")
end

function run:delete_pmem (_, id)
  common.unplug(self, self.pmem, "id", id, "root_device")
end

function run:put_pmem (body)
  if self.phase ~= "vmm" then
    if common.position(self.pmem, "id", body.id) then
      common.refuse "Device ID in use"
    end
    self:open("pmem", body.path_on_host, "Pmem config error: Unable to create the virtio-pmem device: ")
  end
  local root, kind = common.root_of(self)
  if body.root_device and root and not (kind == "pmem" and root == body.id) then
    common.refuse(kind == "drive" and
      "Pmem config error: Attempt to add pmem as a root device while the root device defined as a block device"
      or "Pmem config error: A root pmem device already exists!")
  end
  local pmem = common.complete("Pmem", body)
  pmem.rate_limiter = common.limiter(body.rate_limiter)
  common.place(self.pmem, "id", pmem)
end

run.patch_pmem = function () end   -- its new limits do not show, and an unknown id is taken

return run
