--- Verbs: the VMM and its guest as a whole.
-- @module firecracker.machine.verbs.machine

local asking = require "firecracker.machine.verbs.asking"
local errors = require "firecracker.errors"
local lazy = require "firecracker.lazy"

local file = lazy "firecracker.config.file"
local manifest = lazy "firecracker.snapshot.manifest"

local call = asking.call
local methods = {}

local function misshapen (operation, message, ...)
  return nil, errors.new { code = "json", operation = operation, message = ("%s: reply: "):format(operation) .. message:format(...) }
end

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
  local version = reply.firecracker_version
  if type(version) ~= "string" then
    return misshapen("GET /version", "firecracker_version: string expected, got %s", type(version))
  end
  return version
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
  local config = file.from_sections(reply)
  local field, expected = manifest.misshapen_config(config)
  if field then
    return misshapen("GET /vm/config", "%s: %s expected", field:match "^config%.(.*)", expected)
  end
  return config
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
-- manifest), `manifest` (false: none is written), `timeout` (seconds for the VMM to write it, and before that for
-- another task's snapshot, pause or resume of the machine to end; default 600)
-- @treturn[1] table the manifest, which is beside the state as `<snapshot_path>.json`
-- @return[2] nil
-- @treturn[2] err
-- @see firecracker.restore
function methods:snapshot (options)
  return require "firecracker.snapshot.create"(self, options)
end

return methods
