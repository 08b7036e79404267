--- `fclua check`: load a flow and show its steps. Nothing is started.
-- @module firecracker.cli.check

local report = require "firecracker.cli.report"

local check = {
  name = "check",
  summary = "Load a flow and show its steps; nothing is started.",
  usage = "[FLOW] [-- ARG…]",
  arguments = true,
}

function check.define (command)
  command:argument("flow", "a name, or the path of a script; default: boot"):args "?"
  command:flag("-d --debug", "show tracebacks")
end

function check.main (options)
  local flow, err = require("firecracker.flow").load(options.flow or "boot", options.arguments)
  if not flow then
    report.failure(err, options.debug)
    return 2
  end
  return report.output(tostring(flow) .. "\n")
end

return check
