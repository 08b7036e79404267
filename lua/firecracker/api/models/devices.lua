--- Models of the other devices: vsock, entropy, the serial port.
-- @module firecracker.api.models.devices

local words = require "firecracker.api.models.words"

return {
  Vsock = { doc = "The socket between host and guest.", fields = {
    { name = "vsock_id", type = "string", nullable = true, deprecated = { since = "1.0", use = "nothing" },
      doc = "has no effect" },
    { name = "guest_cid", type = "integer", width = "u32", min = 3, required = true, doc = "the guest's address" },
    { name = "uds_path", type = "path", max_bytes = 107, required = true, doc = "the VMM makes this socket" },
  } },

  VsockOverride = { doc = "Another socket for the vsock of a snapshot.", lax = true, fields = {
    { name = "uds_path", type = "path", max_bytes = 107, required = true, doc = "the VMM makes this socket" },
  } },

  EntropyDevice = { doc = "A source of random bytes for the guest.", fields = {
    words.limiter("rate_limiter", "limits of this device"),
  } },

  SerialDevice = { doc = "The guest's serial port.", fields = {
    { name = "serial_out_path", type = "path", nullable = true, doc = "file or FIFO; absent: the VMM's standard output" },
    { name = "rate_limiter", type = "table", model = "TokenBucket", nullable = true, since = "1.16",
      doc = "bytes beyond it are dropped and counted" },
  } },
}
