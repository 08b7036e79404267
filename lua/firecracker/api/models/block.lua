--- Models of drives, and of the rate limiters that devices have.
-- @module firecracker.api.models.block

local words = require "firecracker.api.models.words"

local LONGEST <const> = 18446744073709   -- in nanoseconds 64 bits hold it; with more the VMM limits nothing

return {
  TokenBucket = { doc = "A bucket of tokens.", lax = true, fields = {
    { name = "size", type = "integer", width = "u64", required = true, doc = "tokens the bucket holds; 0: no limit" },
    { name = "one_time_burst", type = "integer", width = "u64", nullable = true,
      doc = "tokens beyond the bucket, never refilled" },
    { name = "refill_time", type = "integer", width = "u64", max = LONGEST, required = true,
      doc = "milliseconds that filling it takes; 0: no limit" },
  } },

  RateLimiter = { doc = "Limits of a device.", fields = {
    { name = "bandwidth", type = "table", model = "TokenBucket", nullable = true, doc = "bytes" },
    { name = "ops", type = "table", model = "TokenBucket", nullable = true, doc = "operations" },
  } },

  Drive = { doc = "A drive: a file, or the socket of a vhost-user backend.",
    rules = {
      { "excludes", "socket", "path_on_host", "is_read_only", "io_engine", "rate_limiter" },
      { "either", "path_on_host", "socket" },
      { "only_with", "partuuid", "is_root_device" },
    },
    fields = {
    words.id("drive_id", "unique among drives"),
    { name = "partuuid", type = "string", nullable = true, doc = "the partition to boot from; for the root drive" },
    { name = "is_root_device", type = "boolean", required = true, doc = "the drive the guest boots from" },
    { name = "cache_type", type = "string", enum = { "Unsafe", "Writeback" }, absent = "Unsafe",
      doc = "Unsafe: the guest's flushes do nothing" },
    { name = "is_read_only", type = "boolean", nullable = true, absent = false, doc = "the guest cannot write" },
    { name = "path_on_host", type = "path", nullable = true, doc = "file or block device; needed unless there is a socket" },
    words.limiter("rate_limiter", "limits of this drive"),
    { name = "io_engine", type = "string", enum = { "Sync", "Async" }, nullable = true, absent = "Sync",
      doc = "Async: io_uring" },
    { name = "socket", type = "path", nullable = true, max_bytes = 107, since = "1.6",
      doc = "of a vhost-user backend, instead of path_on_host" },
  } },

  PartialDrive = { doc = "What changes of a drive.", fields = {
    words.id("drive_id", "which drive"),
    { name = "path_on_host", type = "path", nullable = true, doc = "another file, or the same to read its size again" },
    words.limiter("rate_limiter", "each bucket given replaces the one there is"),
  } },
}
