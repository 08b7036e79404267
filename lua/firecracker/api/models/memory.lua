--- Models of memory that is plugged while the guest runs.
-- Before 1.17 the VMM wraps what exceeds 32 bits silently: refused for every release.
-- @module firecracker.api.models.memory

local U32 <const> = 0xffffffff

return {
  MemoryHotplugConfig = { doc = "Memory that can be plugged later; none is at first.",
    rules = { { "power_of_two", "block_size_mib" }, { "multiple", "slot_size_mib", "block_size_mib", 128, 2 },
              { "multiple", "total_size_mib", "slot_size_mib", nil, 128 } },
    fields = {
    { name = "total_size_mib", type = "integer", width = "usize", max = U32, required = true, doc = "all of it" },
    { name = "block_size_mib", type = "integer", width = "usize", min = 2, max = U32, absent = 2,
      doc = "what the guest plugs at once, a power of two" },
    { name = "slot_size_mib", type = "integer", width = "usize", min = 128, max = U32, absent = 128,
      doc = "what the host plugs at once" },
  } },

  MemoryHotplugSizeUpdate = { doc = "How much is to be plugged.", fields = {
    { name = "requested_size_mib", type = "integer", width = "usize", max = U32, required = true,
      doc = "a multiple of the block size, at most the total size" },
  } },

  MemoryHotplugStatus = { doc = "How much is plugged.", fields = {
    { name = "block_size_mib", type = "integer", width = "usize", doc = "what the guest plugs at once" },
    { name = "total_size_mib", type = "integer", width = "usize", doc = "all of it" },
    { name = "slot_size_mib", type = "integer", width = "usize", doc = "what the host plugs at once" },
    { name = "plugged_size_mib", type = "integer", width = "usize", doc = "what the guest has plugged" },
    { name = "requested_size_mib", type = "integer", width = "usize", doc = "what it is to plug" },
  } },
}
