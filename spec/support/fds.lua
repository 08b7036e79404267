--- Descriptors of this process, by what /proc/self/fd shows: before and after a test they are the same.
--   before_each(fds.remember)
--   after_each(fds.compare)
-- fds.count(pattern): how many there are whose target matches

local lfs = require "lfs"

local fds = {}

local DIRECTORY = "/proc/self/fd"

function fds.all ()
  local found = {}
  for name in lfs.dir(DIRECTORY) do
    local target = name:match "^%d+$" and lfs.symlinkattributes(DIRECTORY .. "/" .. name, "target")
    if target and not target:match "^/proc/%d+/fd$" then    -- the listing's own
      found[tonumber(name)] = target
    end
  end
  return found
end

function fds.count (pattern)
  local n = 0
  for _, target in pairs(fds.all()) do
    n = n + (target:match(pattern or "") and 1 or 0)
  end
  return n
end

local function collected ()
  collectgarbage()
  collectgarbage()    -- what finalizers let go
  return fds.all()
end

local before

function fds.remember ()
  before = collected()
end

function fds.compare ()
  local differences = {}
  local after = collected()
  for fd, target in pairs(after) do
    if before[fd] ~= target then
      differences[#differences + 1] = ("left open: %d -> %s"):format(fd, target)
    end
  end
  for fd, target in pairs(before) do
    if not after[fd] then
      differences[#differences + 1] = ("closed: %d -> %s"):format(fd, target)
    end
  end
  assert(#differences == 0, table.concat(differences, "; "))
end

return fds
