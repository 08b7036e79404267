--- Models of persistent memory.
-- @module firecracker.api.models.pmem

local words = require "firecracker.api.models.words"

return {
  Pmem = { doc = "Persistent memory backed by a file.", fields = {
    words.id("id", "unique among persistent memory"),
    { name = "path_on_host", type = "path", required = true, doc = "the file" },
    { name = "root_device", type = "boolean", absent = false, doc = "the guest boots from it" },
    { name = "read_only", type = "boolean", absent = false, doc = "the guest cannot write" },
    { name = "rate_limiter", type = "table", model = "RateLimiter", nullable = true, since = "1.16",
      doc = "limits of its flushes" },
  } },

  PartialPmem = { doc = "What changes of persistent memory.", fields = {
    words.id("id", "which"),
    words.limiter("rate_limiter", "each bucket given replaces the one there is"),
  } },
}
