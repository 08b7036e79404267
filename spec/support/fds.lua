--- Descriptors of this process, by what /proc/self/fd shows: before and after a test they are the same.
--   before_each(fds.remember)
--   after_each(fds.compare)
-- or, where no garbage can have any, `local before = fds.all()` and fds.same(before)
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

local function differences (before, after)
  local found = {}
  for fd, target in pairs(after) do
    if before[fd] ~= target then
      found[#found + 1] = ("left open: %d -> %s"):format(fd, target)
    end
  end
  for fd, target in pairs(before) do
    if not after[fd] then
      found[#found + 1] = ("closed: %d -> %s"):format(fd, target)
    end
  end
  return #found > 0 and table.concat(found, "; ") or nil
end

-- To collect costs more than to look, all that busted holds is walked for it: only where something changed.
local remembered, sound

function fds.remember ()
  remembered = fds.all()
  if not sound or differences(sound, remembered) then
    collectgarbage()
    remembered = fds.all()
  end
end

function fds.compare ()
  sound = nil
  for _ = 1, differences(remembered, fds.all()) and 2 or 0 do
    collectgarbage()    -- finalizers let go, and what they let go of too
  end
  fds.same(remembered)
  sound = remembered
end

function fds.same (before)
  local found = differences(before, fds.all())
  assert(not found, found)
end

return fds
