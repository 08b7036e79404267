--- The fake VMM's operations on network interfaces and metadata.
-- By the name of the operation: (self, body, id) -> nothing, or the reply's text.
-- @module firecracker.testing.vmm.network

local common = require "firecracker.testing.vmm.common"
local json = require "firecracker.testing.json"

local run = {}

local INACTIVE <const> = "MMDS error: The MMDS data store is not initialized."
local TOO_LARGE <const> = "MMDS limit exceeded error: The MMDS patch request doesn't fit."

function run:put_network_interface (body)
  local at = common.position(self.interfaces, "iface_id", body.iface_id)
  if at and self.phase ~= "vmm" then
    common.refuse "Device ID in use"
  end
  local mac = body.guest_mac and body.guest_mac:lower()
  for i, other in ipairs(self.interfaces) do
    if mac and other.guest_mac == mac and i ~= at then
      common.refuse("Network config error: The MAC address is already in use: %s", mac)
    end
  end
  if at then       -- the old one goes first, and the last takes its place
    self.interfaces[at] = self.interfaces[#self.interfaces]
    self.interfaces[#self.interfaces] = nil
    if self.mmds and common.has_value(self.mmds.network_interfaces, body.iface_id) then
      self.mmds = nil
    end
  end
  local made = "Network config error: Could not create the network device: "
  self:open("tap", body.host_dev_name, made .. "Open tap device failed: ")
  if #body.host_dev_name > 15 then
    common.refuse(made .. "Open tap device failed: Invalid interface name")
  end
  for _, other in ipairs(self.interfaces) do
    if other.host_dev_name == body.host_dev_name then
      common.refuse("%sOpen tap device failed: Error while creating ifreq structure: %s (os error 16). Invalid TUN/TAP Backend " ..
        "provided by %s. Check our documentation on setting up the network devices.", made,
        self.world.busy or "Device or resource busy", body.host_dev_name)
    end
  end
  if body.mtu and body.mtu < 68 then
    common.refuse("%sMTU %d is out of range [68, 65535]", made, body.mtu)
  end
  local interface = common.complete("NetworkInterface", body)
  interface.guest_mac = mac
  interface.rx_rate_limiter, interface.tx_rate_limiter = common.limiter(body.rx_rate_limiter), common.limiter(body.tx_rate_limiter)
  self.interfaces[#self.interfaces + 1] = interface
end

function run:patch_network_interface (body, id)
  local interface = self.interfaces[common.position(self.interfaces, "iface_id", id)]
  if not interface then
    common.refuse("Network config error: Unable to update the net device: %s", self:is "1.14"
      and "Failed perform action on device: Device not found" or "Device manager error: Failed to find the device on the bus.")
  end
  for _, name in ipairs { "rx_rate_limiter", "tx_rate_limiter" } do
    interface[name] = common.limiter(body[name], interface[name])
  end
end

function run:delete_network_interface (_, id)
  common.unplug(self, self.interfaces, "iface_id", id)
end

function run:put_mmds_config (body)
  if #body.network_interfaces == 0 then
    common.refuse "MMMDS config error: The list of network interface IDs that allow forwarding MMDS requests is empty."
  end
  local third, fourth = (body.ipv4_address or "169.254.169.254"):match "^169%.254%.(%d+)%.(%d+)$"
  third = tonumber(third)
  if not third or third < 1 or third > 254 or tonumber(fourth) > 255 then
    common.refuse "MMMDS config error: The MMDS IPv4 address is not link local."
  end
  for _, id in ipairs(body.network_interfaces) do
    if not common.position(self.interfaces, "iface_id", id) then
      common.refuse("MMMDS config error: The list of network interface IDs provided contains at least one ID that does not " ..
        "correspond to any existing network interface.")
    end
  end
  self.mmds = common.complete("MmdsConfig", body)
end

-- From 1.14 a running guest without an interface for it has no store.
local function check_store (self)
  if self.phase ~= "vmm" and self:is "1.14" and not self.mmds then
    common.refuse(INACTIVE)
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
    common.refuse(INACTIVE)
  end
  keep(self, json.merge(self.store, body))
end

return run
