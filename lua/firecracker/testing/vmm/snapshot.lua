--- The fake VMM's operations on snapshots.
-- By the name of the operation: (self, body, id) -> nothing, or the reply's text.
-- @module firecracker.testing.vmm.snapshot

local common = require "firecracker.testing.vmm.common"
local copy = require "firecracker.copy"

local run = {}

-- What a snapshot holds.
local SAVED <const> = { "machine", "boot", "drives", "interfaces", "pmem", "mmds", "balloon", "vsock", "entropy", "hotplug",
                        "plugged", "hinting" }

-- The state as a snapshot has it.
local function saved_of (self)
  local saved = {}
  for _, key in ipairs(SAVED) do
    saved[key] = copy.deep(self[key])
  end
  return saved
end

function run:put_snapshot_create (body)
  if self.phase == "running" then
    common.refuse("Create snapshot error: Cannot save the microVM state: Operation not allowed: save/restore unavailable while running")
  elseif body.snapshot_type == "Diff" and not self.machine.track_dirty_pages and not self:is "1.13" then
    common.refuse("The requested operation is not supported: Diff snapshots are not allowed on uVMs with dirty page tracking disabled.")
  end
  self:open("snapshot", body.snapshot_path, "Create snapshot error: Cannot perform open on the snapshot backing file: ")
  self:open("memory", body.mem_file_path, "Create snapshot error: Cannot perform open on the memory backing file: ")
  self.snapshots[body.snapshot_path] = saved_of(self)
end

-- A failure ends the process.
function run:put_snapshot_load (body)
  if self.boots then
    common.refuse "Load snapshot error: Loading a microVM snapshot not allowed after configuring boot-specific resources."
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
  local saved = copy.deep(self.snapshots[body.snapshot_path] or {})
  for _, override in ipairs(body.network_overrides or {}) do
    local at = saved.interfaces and common.position(saved.interfaces, "iface_id", override.iface_id)
    if saved.interfaces and not at then
      common.refuse(failed .. "Failed to get snapshot state from file: Unknown Network Device.")
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

return run
