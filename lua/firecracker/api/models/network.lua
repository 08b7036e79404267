--- Models of network interfaces and of the metadata service.
-- @module firecracker.api.models.network

local words = require "firecracker.api.models.words"

return {
  NetworkInterface = { doc = "A network interface.", fields = {
    words.id("iface_id", "unique among network interfaces"),
    words.tap("host_dev_name", "the tap device on the host"),
    { name = "guest_mac", type = "string", nullable = true, pattern = "^%x%x:%x%x:%x%x:%x%x:%x%x:%x%x$",
      expected = "MAC address xx:xx:xx:xx:xx:xx expected", doc = "absent: the guest chooses" },
    { name = "mtu", type = "integer", width = "u16", min = 68, nullable = true, since = "1.16",
      doc = "told to the guest" },
    words.limiter("rx_rate_limiter", "limits towards the guest"),
    words.limiter("tx_rate_limiter", "limits from the guest"),
  } },

  PartialNetworkInterface = { doc = "What changes of a network interface.", fields = {
    words.id("iface_id", "which interface"),
    words.limiter("rx_rate_limiter", "limits towards the guest"),
    words.limiter("tx_rate_limiter", "limits from the guest"),
  } },

  MmdsConfig = { doc = "How the guest reaches its metadata.", fields = {
    { name = "version", type = "string", enum = { "V1", "V2" }, absent = "V1",
      deprecated = { since = "1.1", value = "V1", use = "V2" }, doc = "V2 asks the guest for a token" },
    { name = "network_interfaces", type = "list", item = { type = "string" }, min = 1, required = true,
      doc = "ids of the interfaces through which the guest reaches its metadata" },
    { name = "ipv4_address", type = "string", nullable = true, absent = "169.254.169.254",
      rules = { { "metadata_address" } }, doc = "where the guest finds it" },
    { name = "imds_compat", type = "boolean", absent = false, since = "1.13",
      doc = "plain text whatever the guest accepts, as EC2 answers" },
  } },

  NetworkOverride = { doc = "Another tap for an interface of a snapshot.", lax = true, fields = {
    words.id("iface_id", "which interface"),
    words.tap("host_dev_name", "its tap on this host"),
  } },
}
