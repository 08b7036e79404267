--- What a machine is asked and told through its VMM's API, verb by verb.
-- Each is one request (a drive's rescan two) and needs a VMM: before its start code is "state", afterwards "exited". What the
-- VMM refuses comes back as it says it, code "api". The last parameter of each, `options`, holds the request's `timeout` in
-- seconds. Paths are made absolute, as in a configuration.
-- @module firecracker.machine.verbs

local core = require "firecracker.core"
local errors = require "firecracker.errors"
local lazy = require "firecracker.lazy"
local paths = require "firecracker.machine.paths"
local process = require "firecracker.machine.process"

local file = lazy "firecracker.config.file"

local verbs = {}

--- Methods of a machine.
verbs.methods = {}

local methods = verbs.methods

-- Bytes of metadata that the VMM takes unless its command line says otherwise.
local METADATA_LIMIT <const> = 51200

-- An operation of the client's, of a machine that has a VMM.
local function call (self, verb, operation, ...)
  if not self.api then
    return process.refuse(self, verb, "started")
  end
  return self.api[operation](self.api, ...)
end

local function check (verb, value, expected, what)
  if type(value) ~= expected then
    errors.raise(2, { code = "usage", message = ("%s: %s%s expected, got %s"):format(verb, what or "", expected, type(value)) })
  end
end

-- A copy with other fields, its paths absolute, then the VMM's of a section's.
local function body_of (self, verb, given, fields, section)
  check(verb, given, "table")
  local body = {}
  for key, value in pairs(given) do
    body[key] = value
  end
  for key, value in pairs(fields or {}) do
    body[key] = value
  end
  for _, key in ipairs { "path_on_host", "socket" } do
    if type(body[key]) == "string" and body[key] ~= "" then
      local path, err = core.files.absolute(body[key])
      if not path then
        return nil, err
      end
      body[key] = path
    end
  end
  if section and self.api then   -- a machine without a VMM is refused later
    return paths.body(self, section, body)
  end
  return body
end

-- The machine -------------------------------------------------------------------------------------------------------

--- What the VMM says of itself.
-- @function vm:info
-- @tparam[opt] table options
-- @treturn[1] table `id`, `state` ("Not started", "Running", "Paused"), `vmm_version`, `app_name`
-- @return[2] nil
-- @treturn[2] err
function methods:info (options)
  return call(self, "ask", "get_instance_info", options)
end

--- The VMM's release.
-- @function vm:version
-- @tparam[opt] table options
-- @treturn[1] string as "1.12.1"
-- @return[2] nil
-- @treturn[2] err
function methods:version (options)
  local reply, err = call(self, "ask", "get_version", options)
  if not reply then
    return nil, err
  end
  return reply.firecracker_version
end

--- The configuration as the VMM has it.
-- @function vm:full_config
-- @tparam[opt] table options
-- @treturn[1] table sections under the names of `fc.new`. Firecracker tells nothing of cpu_config, logger, metrics and
-- serial; after the start the order of drives may be any: find them by id
-- @return[2] nil
-- @treturn[2] err
function methods:full_config (options)
  local reply, err = call(self, "ask", "get_vm_config", options)
  if not reply then
    return nil, err
  end
  return file.from_sections(reply)
end

--- Processors and memory as the VMM has them.
-- @function vm:machine_config
-- @tparam[opt] table options
-- @treturn[1] table `vcpu_count`, `mem_size_mib`, `smt`, `track_dirty_pages`, `huge_pages`, perhaps `cpu_template`
-- @return[2] nil
-- @treturn[2] err
function methods:machine_config (options)
  return call(self, "ask", "get_machine_config", options)
end

--- Write a line of metrics now. Without a place for them the VMM does nothing.
-- @function vm:flush_metrics
-- @tparam[opt] table options
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function methods:flush_metrics (options)
  return call(self, "flush the metrics of", "put_actions", { action_type = "FlushMetrics" }, options)
end

--- What the VMM has counted since its start. Needs `config.metrics`: a file, `to`, or `{}`.
-- @function vm:metrics
-- @tparam[opt] table options `flush` (default true: has the VMM write what it has now; after its end what it wrote), `timeout`
-- (seconds), `format = "prometheus"` and `labels` (default `{ id = vm.id }`)
-- @treturn[1] table|string groups of counters and values as Firecracker names them, or Prometheus' text
-- @return[2] nil
-- @treturn[2] err code "state", "timeout", "exited" or "api"
function methods:metrics (options)
  return require "firecracker.intake".metrics(self, options)
end

--- Press Ctrl-Alt-Del and do not wait (x86). `vm:shutdown` waits.
-- @function vm:ctrl_alt_del
-- @tparam[opt] table options
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function methods:ctrl_alt_del (options)
  return call(self, "send Ctrl-Alt-Del to", "put_actions", { action_type = "SendCtrlAltDel" }, options)
end

--- Write a snapshot of a paused machine. It gets its names when all of it is on the disk; whatever fails, nothing of it is
-- left and the machine is as it was. Drives are not in it: copy them while the guest stands still.
-- @function vm:snapshot
-- @tparam table options `snapshot_path` (the state), `mem_file_path` (the memory); perhaps `snapshot_type` ("Full", or "Diff": what
-- changed since the snapshot before), `pause` (true: a guest that runs is paused for it), `hashes` (true: SHA-256 in the
-- manifest), `manifest` (false: none is written), `timeout` (seconds for the VMM to write it, default 600)
-- @treturn[1] table the manifest, which is beside the state as `<snapshot_path>.json`
-- @return[2] nil
-- @treturn[2] err
-- @see firecracker.restore
function methods:snapshot (options)
  return require "firecracker.snapshot.create"(self, options)
end

-- Drives ------------------------------------------------------------------------------------------------------------

--- Change a drive of a guest that runs, or have the guest look at it again.
-- @function vm:update_drive
-- @tparam string id
-- @tparam[opt] table changes `path_on_host` (another file), `rate_limiter` (a bucket that is given is replaced whole). Absent:
-- rescan; the file's size is read anew and the guest told
-- @tparam[opt] table options
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function methods:update_drive (id, changes, options)
  local body, err = body_of(self, "update_drive", changes or {}, { drive_id = id }, "drives")
  if body and not changes then
    local seen
    seen, err = call(self, "rescan a drive of", "get_vm_config", options)
    body = seen and body
    for _, drive in ipairs(seen and seen.drives or {}) do
      if drive.drive_id == id then
        body.path_on_host = drive.path_on_host   -- as the VMM sees it; none for a vhost-user drive
      end
    end
  end
  if not body then
    return nil, err
  end
  return call(self, "update a drive of", "patch_drive", id, body, options)
end

--- Add a drive, before the start or, from release 1.16 with `--enable-pci`, to a guest that runs.
-- @function vm:add_drive
-- @tparam table drive as in `config.drives`
-- @tparam[opt] table options
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function methods:add_drive (drive, options)
  local body, err = body_of(self, "add_drive", drive, nil, "drives")
  if not body then
    return nil, err
  end
  return call(self, "add a drive to", "put_drive", body.drive_id, body, options)
end

--- Take a drive from a guest that runs and has let go of it (release 1.16).
-- @function vm:remove_drive
-- @tparam string id
-- @tparam[opt] table options
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function methods:remove_drive (id, options)
  return call(self, "remove a drive of", "delete_drive", id, options)
end

--- Add a persistent memory device, as `vm:add_drive` (release 1.14; to a guest that runs 1.16).
-- @function vm:add_pmem
-- @tparam table pmem as in `config.pmem`
-- @tparam[opt] table options
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function methods:add_pmem (pmem, options)
  local body, err = body_of(self, "add_pmem", pmem, nil, "pmem")
  if not body then
    return nil, err
  end
  return call(self, "add pmem to", "put_pmem", body.id, body, options)
end

--- Change a persistent memory device's limits (release 1.16).
-- @function vm:update_pmem
-- @tparam string id
-- @tparam table changes `rate_limiter`
-- @tparam[opt] table options
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function methods:update_pmem (id, changes, options)
  return call(self, "update pmem of", "patch_pmem", id, body_of(self, "update_pmem", changes, { id = id }), options)
end

--- Take a persistent memory device from a guest that runs and has let go of it (release 1.16).
-- @function vm:remove_pmem
-- @tparam string id
-- @tparam[opt] table options
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function methods:remove_pmem (id, options)
  return call(self, "remove pmem of", "delete_pmem", id, options)
end

-- Network -----------------------------------------------------------------------------------------------------------

--- Change the limits of a network interface of a guest that runs.
-- @function vm:update_network_interface
-- @tparam string id
-- @tparam table changes `rx_rate_limiter` (towards the guest), `tx_rate_limiter` (from it); a bucket that is given is
-- replaced whole, one of size 0 lifts its limit
-- @tparam[opt] table options
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function methods:update_network_interface (id, changes, options)
  local body = body_of(self, "update_network_interface", changes, { iface_id = id })
  return call(self, "update an interface of", "patch_network_interface", id, body, options)
end

--- Add a network interface, as `vm:add_drive`. Its tap must exist: the VMM would make a missing one.
-- @function vm:add_network_interface
-- @tparam table interface as in `config.network_interfaces`
-- @tparam[opt] table options
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function methods:add_network_interface (interface, options)
  check("add_network_interface", interface, "table")
  local tap = interface.host_dev_name
  if type(tap) == "string" then
    local found, err = require "firecracker.network.setup".find_tap(self, tap)
    if not found then
      return nil, err
    end
  end
  return call(self, "add an interface to", "put_network_interface", interface.iface_id, interface, options)
end

--- Ask the CNI plugins of the machine's interfaces whether their networks are as they made them.
-- @function vm:check_network
-- @treturn[1] boolean true, also where there are none
-- @return[2] nil
-- @treturn[2] err code "cni"
function methods:check_network ()
  return require "firecracker.network.setup".check(self)
end

--- Take a network interface from a guest that runs and has let go of it (release 1.16).
-- @function vm:remove_network_interface
-- @tparam string id
-- @tparam[opt] table options
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function methods:remove_network_interface (id, options)
  return call(self, "remove an interface of", "delete_network_interface", id, options)
end

-- Memory ------------------------------------------------------------------------------------------------------------

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

-- Metadata ----------------------------------------------------------------------------------------------------------

-- The smaller of the limits that the VMM's command line sets: the store's is the body's where it has none of its own.
local function metadata_limit (arguments)
  local named = {}
  for i, argument in ipairs(arguments) do
    named[argument] = math.tointeger(tonumber(arguments[i + 1]))
  end
  local body = named["--http-api-max-payload-size"] or METADATA_LIMIT
  return math.min(body, named["--mmds-size-limit"] or body)
end

-- The VMM would read what is beyond its limit as requests.
local function check_metadata (self, verb, data)
  check(verb, data, "table", "data: ")
  local size, limit = #core.json.encode(data), metadata_limit(self.config.vmm.arguments)
  if size > limit then
    return nil, errors.new {
      code = "config", operation = verb, message = ("%s: %d bytes of JSON, at most %d fit"):format(verb, size, limit),
      hint = 'vmm.arguments = { "--http-api-max-payload-size", "…" }',
    }
  end
  return true
end

--- Replace the guest's metadata. The guest reads them through the interfaces that `config.mmds_config` names.
-- @function vm:set_metadata
-- @tparam table data anything JSON can hold
-- @tparam[opt] table options
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err code "config": too large (51200 bytes unless `vmm.arguments` say otherwise); "api"
function methods:set_metadata (data, options)
  local ok, err = check_metadata(self, "set_metadata", data)
  if not ok then
    return nil, err
  end
  return call(self, "set the metadata of", "put_mmds", data, options)
end

--- Change the guest's metadata: members given are merged into what is there, `fc.null` takes one out (RFC 7396).
-- @function vm:update_metadata
-- @tparam table changes
-- @tparam[opt] table options
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err code "config": too large; "api": status 413 when the whole becomes too large, 400 before any were set
function methods:update_metadata (changes, options)
  local ok, err = check_metadata(self, "update_metadata", changes)
  if not ok then
    return nil, err
  end
  return call(self, "update the metadata of", "patch_mmds", changes, options)
end

--- The guest's metadata.
-- @function vm:metadata
-- @tparam[opt] table options
-- @treturn[1] table empty when there are none
-- @return[2] nil
-- @treturn[2] err
function methods:metadata (options)
  return call(self, "ask", "get_mmds", options)
end

return verbs
