-- The flow that brings a machine back from a snapshot: `fc.restore(config)`, with `config.snapshot`. Copy it as boot.lua.
-- The VMM takes a snapshot only while it is fresh: before it come the log, metrics, metadata and serial port, which no
-- snapshot holds, and nothing else.

local fc = require "firecracker"
local validate, fcinit = fc.handlers.validate, fc.handlers.fcinit

return fc.flow {
  validation = {
    validate.network_cfg,              -- interfaces can be told apart
    validate.load_snapshot_cfg,        -- its files are there, and its manifest fits this host
  },
  fcinit = {
    fcinit.setup_network,              -- taps exist before the VMM opens them
    fcinit.start_vmm,                  -- spawn firecracker and wait for its API
    fcinit.create_log_files,
    fcinit.bootstrap_logging,          -- refused once the snapshot is loaded
    fcinit.configure_serial,
    fcinit.config_mmds,                -- the data alone: its configuration is in the snapshot
    fcinit.load_snapshot,              -- the guest is there; running, if snapshot.resume_vm
    fcinit.add_vsocks,                 -- sends nothing: the snapshot brings its own
  },
}
