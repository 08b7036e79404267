--- Models of the balloon.
-- @module firecracker.api.models.balloon

-- What the guest's driver reports, as records; some drivers report less.
local function statistics (since, list)
  local fields = {}
  for i, pair in ipairs(list) do
    fields[i] = { name = pair[1], type = "integer", width = "u64", since = since, doc = pair[2] }
  end
  return fields
end

local stats = {
  { name = "target_pages", type = "integer", width = "u32", required = true, doc = "pages it aims to hold" },
  { name = "actual_pages", type = "integer", width = "u32", required = true, doc = "pages it holds" },
  { name = "target_mib", type = "integer", width = "u32", required = true, doc = "MiB it aims to hold" },
  { name = "actual_mib", type = "integer", width = "u32", required = true, doc = "MiB it holds" },
}
table.move(statistics(nil, {
  { "swap_in", "bytes swapped in" }, { "swap_out", "bytes swapped out" },
  { "major_faults", "page faults that waited for a disk" }, { "minor_faults", "page faults that did not" },
  { "free_memory", "bytes that nobody uses" }, { "total_memory", "bytes in all" },
  { "available_memory", "bytes to be had without swapping" }, { "disk_caches", "bytes of files kept in memory" },
  { "hugetlb_allocations", "huge pages allocated" }, { "hugetlb_failures", "huge pages refused" },
}), 1, 10, 5, stats)
table.move(statistics("1.14", {
  { "oom_kill", "times the guest killed for memory" }, { "alloc_stall", "allocations that had to wait" },
  { "async_scan", "memory scanned in the background" }, { "direct_scan", "memory scanned while waiting" },
  { "async_reclaim", "memory reclaimed in the background" }, { "direct_reclaim", "memory reclaimed while waiting" },
}), 1, 6, 15, stats)

return {
  Balloon = { doc = "The balloon: takes memory back from the guest.", fields = {
    { name = "amount_mib", type = "integer", width = "u32", required = true, doc = "memory it takes, at most the guest's" },
    { name = "deflate_on_oom", type = "boolean", required = true, doc = "gives memory back when the guest runs out" },
    { name = "stats_polling_interval_s", type = "integer", width = "u16", absent = 0,
      doc = "seconds between the guest's reports; 0: none" },
    { name = "free_page_hinting", type = "boolean", absent = false, since = "1.14", doc = "on request (developer preview)" },
    { name = "free_page_reporting", type = "boolean", absent = false, since = "1.14",
      doc = "the guest reports free pages all the time" },
  } },

  BalloonUpdate = { doc = "The balloon's new size.", fields = {
    { name = "amount_mib", type = "integer", width = "u32", required = true, doc = "memory it takes, at most the guest's" },
  } },

  BalloonStats = { doc = "The guest's memory, as far as its driver reports it.", fields = stats },

  BalloonStatsUpdate = { doc = "The interval of the statistics.", fields = {
    { name = "stats_polling_interval_s", type = "integer", width = "u16", required = true,
      doc = "seconds between the guest's reports" },
  } },

  BalloonStartCmd = { doc = "How a run of hinting ends.", lax = true, fields = {
    { name = "acknowledge_on_stop", type = "boolean", absent = true, doc = "the VMM ends the run when the guest is through" },
  } },

  BalloonHintingStatus = { doc = "How far a run of hinting is.", fields = {
    { name = "host_cmd", type = "integer", width = "u32", required = true, doc = "0, 1: no run; else its number" },
    { name = "guest_cmd", type = "integer", width = "u32", nullable = true, doc = "the guest's last answer; 0: it is through" },
  } },
}
