-- The default flow: what happens between a configuration and a running guest, one line a step.
-- Copy it (`fclua init`), add a step, take one away, put a function in a step's place; then run yours:
-- `fclua run my-boot.lua …` or `fc.boot(config, "./my-boot.lua")`.
-- A step is a handler or a function of the machine; it fails by raising or by returning `nil, err`. When one fails,
-- what the steps before it acquired is given back in reverse.

local fc = require "firecracker"
local validate, fcinit = fc.handlers.validate, fc.handlers.fcinit

return fc.flow {
  validation = {
    validate.network_cfg,              -- interfaces can be told apart
    validate.cfg,                      -- kernel, initrd and drives are there
  },
  fcinit = {
    fcinit.setup_network,              -- taps exist before the VMM opens them
    fcinit.setup_kernel_args,          -- a console, where no arguments are given
    fcinit.start_vmm,                  -- spawn firecracker, or its jailer, and wait for its API
    fcinit.create_log_files,           -- the VMM opens them, it does not make them
    fcinit.bootstrap_logging,          -- first, so that the log holds what follows
    fcinit.create_machine,             -- vCPUs and memory
    fcinit.configure_cpu,              -- after the machine: a template of its own wins
    fcinit.create_boot_source,         -- kernel, initrd, command line
    fcinit.configure_serial,
    fcinit.attach_drives,
    fcinit.attach_pmem,
    fcinit.create_network_interfaces,
    fcinit.add_vsocks,
    fcinit.add_balloon,                -- within the machine's memory, so after it
    fcinit.add_entropy,
    fcinit.add_memory_hotplug,
    fcinit.config_mmds,                -- names interfaces, so after them
    fcinit.start_instance,             -- the guest runs from here
  },
}
