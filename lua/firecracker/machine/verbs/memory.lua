--- Verbs: the balloon, memory that is plugged.
-- @module firecracker.machine.verbs.memory

local asking = require "firecracker.machine.verbs.asking"

local call, check = asking.call, asking.check
local methods = {}

--- Add the balloon, before the start.
-- @function vm:create_balloon
-- @tparam table balloon `amount_mib`, `deflate_on_oom`, perhaps `stats_polling_interval_s` (seconds; 0: no statistics)
-- @tparam[opt] table options
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function methods:create_balloon (balloon, options)
  check("create_balloon", balloon, "table")
  return call(self, "add a balloon to", "put_balloon", balloon, options)
end

--- The balloon's configuration.
-- @function vm:balloon
-- @tparam[opt] table options
-- @treturn[1] table `amount_mib`, `deflate_on_oom`, `stats_polling_interval_s`, …
-- @return[2] nil
-- @treturn[2] err
function methods:balloon (options)
  return call(self, "ask", "get_balloon", options)
end

--- Change how much memory the balloon takes from the guest. The guest's driver must be up.
-- @function vm:update_balloon
-- @tparam table changes `amount_mib`
-- @tparam[opt] table options
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function methods:update_balloon (changes, options)
  check("update_balloon", changes, "table")
  return call(self, "update the balloon of", "patch_balloon", changes, options)
end

--- What the guest tells through its balloon, when statistics are on.
-- @function vm:balloon_stats
-- @tparam[opt] table options
-- @treturn[1] table `target_mib`, `actual_mib`, `target_pages`, `actual_pages`, and what the guest reports
-- @return[2] nil
-- @treturn[2] err
function methods:balloon_stats (options)
  return call(self, "ask", "get_balloon_statistics", options)
end

--- Change how often the guest reports. Statistics are switched on or off before the start only.
-- @function vm:update_balloon_stats
-- @tparam table changes `stats_polling_interval_s` (seconds)
-- @tparam[opt] table options
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function methods:update_balloon_stats (changes, options)
  check("update_balloon_stats", changes, "table")
  return call(self, "update the balloon of", "patch_balloon_statistics", changes, options)
end

--- Begin to give back memory that the guest does not use (release 1.14; Firecracker calls it a preview).
-- @function vm:start_balloon_hinting
-- @tparam[opt] table settings `acknowledge_on_stop` (default true: it ends by itself when the guest is through)
-- @tparam[opt] table options
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function methods:start_balloon_hinting (settings, options)
  return call(self, "start hinting in", "patch_balloon_hinting_start", settings or {}, options)
end

--- End it (release 1.14).
-- @function vm:stop_balloon_hinting
-- @tparam[opt] table options
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function methods:stop_balloon_hinting (options)
  return call(self, "stop hinting in", "patch_balloon_hinting_stop", options)
end

--- How far it is (release 1.14).
-- @function vm:balloon_hinting
-- @tparam[opt] table options
-- @treturn[1] table `host_cmd`, `guest_cmd`
-- @return[2] nil
-- @treturn[2] err
function methods:balloon_hinting (options)
  return call(self, "ask", "get_balloon_hinting_status", options)
end

--- The memory that can be plugged, and how much of it is (release 1.14).
-- @function vm:memory_hotplug
-- @tparam[opt] table options
-- @treturn[1] table `total_size_mib`, `slot_size_mib`, `block_size_mib`, `plugged_size_mib`, `requested_size_mib`
-- @return[2] nil
-- @treturn[2] err
function methods:memory_hotplug (options)
  return call(self, "ask", "get_memory_hotplug", options)
end

--- Ask for memory to be plugged or unplugged (release 1.14). The guest does it later: see `vm:memory_hotplug`.
-- @function vm:update_memory_hotplug
-- @tparam table changes `requested_size_mib`
-- @tparam[opt] table options
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function methods:update_memory_hotplug (changes, options)
  check("update_memory_hotplug", changes, "table")
  return call(self, "plug memory into", "patch_memory_hotplug", changes, options)
end

return methods
