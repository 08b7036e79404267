--- `fclua init`: copy the default flow, or that of a restore, for editing.
-- @module firecracker.cli.copy

local report = require "firecracker.cli.report"

local copy = {
  name = "init",
  summary = "Copy the default flow, for editing; a file that exists is left alone.",
  usage = "[FILE] [--flow NAME]",
}

function copy.define (command)
  command:argument("file", "where to; '-' is standard output; default: ./boot.lua, or by the flow's name"):args "?"
  command:option("--flow", "boot or restore"):choices { "boot", "restore" }:default "boot"
end

local function read_flow (name)
  local path, problem = package.searchpath("firecracker.flows." .. name, package.path)
  local file <close> = path and assert(io.open(path, "rb"))
  return file and file:read "a", problem
end

local function fill (path, text)
  local file <close>, problem = io.open(path, "wb")
  if not file then
    return nil, problem
  end
  local ok, why = report.write(file, text)
  return ok, why and ("%s: %s"):format(path, why)
end

-- The core's `create` refuses a name that exists; Lua's own io.open cannot. What cannot be written whole does not stay.
local function write_new (path, text)
  local ok, err = require("firecracker.core").files.create(path, tonumber("644", 8))
  if not ok then
    return nil, err
  end
  ok, err = fill(path, text)
  if not ok then
    os.remove(path)
  end
  return ok, err
end

function copy.main (options)
  local target = options.file or ("./%s.lua"):format(options.flow)
  local text, err = read_flow(options.flow)
  local ok = text
  if text and target == "-" then
    return report.output(text)
  elseif text then
    ok, err = write_new(target, text)
  end
  if not ok then
    report.failure(err)
    return 1
  end
  if not target:find("/", 1, true) and not target:find "%.lua$" then
    target = "./" .. target             -- else it is taken for the name of an installed flow
  end
  io.stderr:write((options.flow == "boot" and "%s: the default flow; run it by: fclua run %s\n"
    or "%s: the flow of a restore; fc.restore(config, %q) runs it\n"):format(target, target))
  return 0
end

return copy
