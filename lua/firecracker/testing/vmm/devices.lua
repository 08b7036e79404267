--- The fake VMM's operations on the other devices.
-- By the name of the operation: (self, body, id) -> nothing, or the reply's text.
-- @module firecracker.testing.vmm.devices

local common = require "firecracker.testing.vmm.common"
local models = require "firecracker.api.models"

local run = {}

function run:put_balloon (body)
  if body.amount_mib > self.machine.mem_size_mib then
    common.refuse "Balloon config error: Amount of pages requested is too large."
  end
  self.balloon = common.complete("Balloon", body)
end

function run:get_balloon ()
  if not self.balloon then
    common.refuse "Balloon config error: No balloon device found."
  end
  return self:write("Balloon", self.balloon)
end

-- The prefix of what a running balloon refuses.
local function balloon_of (self, statistics)
  local prefix = not self:is "1.14" and "Balloon config error: Error creating the balloon device: "
    or statistics and "Internal VMM error: Balloon: " or "Balloon update error: Balloon: "
  if not self.balloon then
    common.refuse((self:is "1.14" and "Balloon update error: " or "Balloon config error: ") .. "No balloon device found.")
  end
  return self.balloon, prefix
end

function run:patch_balloon (body)
  local balloon, prefix = balloon_of(self)
  if not self.drivers then
    common.refuse(prefix .. "Device not activated yet.")
  elseif body.amount_mib > self.machine.mem_size_mib then
    common.refuse(self:is "1.14" and "%sRequested memory should be less than %dMiB"
      or "%sAmount of pages requested cannot fit in `u32`.",
      prefix, body.amount_mib)
  end
  balloon.amount_mib = body.amount_mib
end

function run:patch_balloon_statistics (body)
  local balloon, prefix = balloon_of(self)
  if (body.stats_polling_interval_s == 0) ~= (balloon.stats_polling_interval_s == 0) then
    common.refuse(prefix .. "Statistics cannot be enabled/disabled after activation.")
  end
  balloon.stats_polling_interval_s = body.stats_polling_interval_s
end

function run:get_balloon_statistics ()
  local balloon, prefix = balloon_of(self, true)
  if balloon.stats_polling_interval_s == 0 then
    common.refuse(prefix .. (self:is "1.14" and "Received stats query when stats are disabled."
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
    common.refuse(prefix .. "Attempting to use hinting when not enabled")
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
  self.entropy = { rate_limiter = common.limiter(body.rate_limiter) }
end

function run:put_serial (body)
  self.serial = body
end

function run:put_vsock (body)
  local failed = "Vsock config error: Cannot create backend for vsock device: Error binding to the host-side Unix socket: "
  self.vsock = nil
  self:open("vsock", body.uds_path, failed)
  if #body.uds_path > 107 then
    common.refuse(failed .. "path must be shorter than SUN_LEN")
  end
  self.vsock = body
end

function run:put_memory_hotplug (body)
  local memory = common.complete("MemoryHotplugConfig", body)
  local block, slot, total = memory.block_size_mib, memory.slot_size_mib, memory.total_size_mib
  local wrong = block < 2 and "Block size must not be lower than 2 MiB"
    or block & (block - 1) ~= 0 and "Block size must be a power of 2"
    or slot < 128 and "Slot size must not be lower than 128 MiB"
    or slot % block ~= 0 and ("Slot size must be a multiple of block size (%d MiB)"):format(block)
    or total < slot and ("Total size must not be lower than slot size (%d MiB)"):format(slot)
    or total % slot ~= 0 and ("Total size must be a multiple of slot size (%d MiB)"):format(slot)
  if wrong then
    common.refuse("Memory hotplug config error: " .. wrong)
  end
  self.hotplug = memory
end

function run:patch_memory_hotplug (body)
  local prefix, size = "Memory hotplug update error: Failed to create memory hotplug device: ", body.requested_size_mib
  if not self.hotplug or not self.drivers then
    common.refuse(prefix .. "Device is not active")
  elseif size % self.hotplug.block_size_mib ~= 0 or size > self.hotplug.total_size_mib then
    common.refuse("%sSize %d is invalid: it must be a multiple of block size and less than the total size", prefix, size << 20)
  end
  self.plugged = size
end

function run:get_memory_hotplug ()
  if not self.hotplug then
    common.refuse "Memory hotplug update error: Device not found"
  end
  local status = common.complete("MemoryHotplugConfig", self.hotplug)
  status.plugged_size_mib, status.requested_size_mib = 0, self.plugged
  return self:write("MemoryHotplugStatus", status)
end

return run
