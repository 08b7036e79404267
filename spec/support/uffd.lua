-- The page fault handler of uffd.py: uffd(directory, memory) serves one VMM at `handler.path`; close it.

local bed = require "spec.support.bed"
local core = require "firecracker.core"

local files = core.files

local handler = {}
handler.__index = handler

-- How many pages it has copied, once its VMM is gone.
function handler:copied ()
  bed.eventually(function () return self.process:poll() end, "the handler's end", 60)
  local text = bed.read(self.log)
  return tonumber(text:match "copied (%d+)"), text
end

function handler:__close ()
  self.process:signal "KILL"
  bed.eventually(function () return self.process:poll() end, "the handler's end", 60)
  self.process:close()
end

return function (directory, memory)
  local path, log = directory .. "/uffd", directory .. "/uffd.log"
  local null <close> = assert(files.open("/dev/null", "r"))
  local out <close> = assert(files.open(log, "w"))
  local argv = { "/usr/bin/python3", "-SE", assert(files.absolute "spec/support/uffd.py"), path, memory }
  local self = setmetatable({ path = path, log = log, process = assert(core.process.spawn {
    path = argv[1], argv = argv, environment = {}, stdio = { null, out, out }, kill_when_dropped = true }) }, handler)
  bed.eventually(function () return bed.read(log):find "listening" end, "the handler", 60)
  return self
end
