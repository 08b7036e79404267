--- Flows of jailed machines.
-- `config.jailer.chroot_strategy` is a function from a flow to a flow; @{naive} is the one that is taken where there is none.
-- @module firecracker.jail

local handlers = require "firecracker.handlers"

local fcinit, validate = handlers.fcinit, handlers.validate

local jail = {}

--- Bring every file the configuration names into the jail before the jailer is started. A flow that has
-- fcinit.LinkFilesToRootFS, or no fcinit.StartVMM, is left as it is.
-- @tparam table flow is edited
-- @treturn table the same flow
function jail.naive (flow)
  if flow:has(fcinit.link_files.name) or not flow:has(fcinit.start_vmm.name) then
    return flow
  end
  local logs = fcinit.create_log_files
  if flow:has(logs.name) then
    flow:remove(logs.name):insert_before(fcinit.start_vmm.name, logs)
  end
  return flow:insert_before(fcinit.start_vmm.name, fcinit.link_files)
end

--- The flow of a jailed machine: validate.JailerCfg is in it, and what its strategy makes of it.
-- @tparam table flow is edited
-- @tparam[opt=naive] function strategy
-- @return what the strategy returns
function jail.adapt (flow, strategy)
  if not flow:has(validate.jailer_cfg.name) then
    flow:append("validation", validate.jailer_cfg)
  end
  return (strategy or jail.naive)(flow)
end

return jail
