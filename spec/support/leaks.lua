-- What must be the same before and after every integration spec: child processes, descriptors, run directory, mounts,
-- links, cgroups of the specs' own names (others come and go by themselves). In a describe block:
--
--   leaks.check(before_each, after_each, teardown)

local core = require "firecracker.core"
local fds = require "spec.support.fds"
local lfs = require "lfs"
local loop = require "firecracker.loop"

local leaks = {}

local OTHERS <const> = 20   -- seconds in which another run's machine ends
local CGROUP_DEPTH <const> = 5

--- A run directory of the specs' own.
leaks.run_dir = ("%s/firecracker-lua-spec-%s"):format(os.getenv "TMPDIR" or "/tmp", core.files.random_hex(4))

--- What the names of links made by the specs begin with.
leaks.links = "fcs" .. core.files.random_hex(3)

local function lines_of (path)
  local file <close> = io.open(path)
  return file and file:read "a" or ""
end

local function children ()
  local found = {}
  for task in lfs.dir "/proc/self/task" do
    for child in lines_of(("/proc/self/task/%s/children"):format(task)):gmatch "%d+" do
      local words = lines_of(("/proc/%s/cmdline"):format(child))
      found[("%s %s"):format(child, (words:gsub("\0", " "):sub(1, 120)))] = true
    end
  end
  return found
end

local function descriptors ()
  local found = {}
  for fd, target in pairs(fds.all()) do
    found[("%d %s"):format(fd, target)] = true
  end
  return found
end

local function below (directory, found)
  if lfs.symlinkattributes(directory, "mode") == "directory" then
    for name in lfs.dir(directory) do
      if name ~= "." and name ~= ".." then
        local path = directory .. "/" .. name
        found[path] = true
        below(path, found)
      end
    end
  end
  return found
end

local function holds (text, part)
  return text:find(part, 1, true) ~= nil
end

-- Not those of other runs.
local function mounts ()
  local found = {}
  for place in lines_of "/proc/self/mountinfo":gmatch "[^\n]+" do
    place = place:match "^%S+ %S+ %S+ %S+ (%S+)"
    local others = place:find "^/run/netns/fc" or holds(place, "/firecracker-lua-spec-") or holds(place, "/tmp.")
    if not others or holds(place, leaks.run_dir) or holds(place, leaks.links) then
      found[place] = true
    end
  end
  return found
end

local function links ()
  local found = {}
  for name in lfs.dir "/sys/class/net" do
    if name:sub(1, 2) ~= "fc" or name:sub(1, #leaks.links) == leaks.links then
      found[name] = true
    end
  end
  return found
end

-- A directory of this file system has two links, and one more for each below it.
local function cgroups (directory, depth, found)
  local left = (lfs.attributes(directory, "nlink") or 2) - 2
  if left > 0 and depth > 0 then
    for name in lfs.dir(directory) do
      local path = directory .. "/" .. name
      if name ~= "." and name ~= ".." and lfs.symlinkattributes(path, "mode") == "directory" then
        if holds(path, leaks.links) then
          found[path] = true
        end
        left = left - 1
        pcall(cgroups, path, depth - 1, found)    -- another run's may go while we look
      end
      if left == 0 then
        break
      end
    end
  end
  return found
end

local function snapshot ()
  return { children = children(), descriptors = descriptors(), run_dir = below(leaks.run_dir, {}), mounts = mounts(),
           links = links(), cgroups = cgroups("/sys/fs/cgroup", CGROUP_DEPTH, {}) }
end

local warm

-- What is made once and stays: inotify, libcurl's own pair, /run/netns as a mount.
local function warm_up ()
  local netns = require "firecracker.core.net".netns
  local fd = not warm and netns.create(leaks.links)    -- nil for a user
  if fd then
    fd:close()
    assert(netns.delete(leaks.links))
  end
  warm = true
  assert(core.watch.open("/", "nothing")):close()
  assert(require "firecracker.core.http".client(core.reactor(), "/nothing")):close()
end

-- What is no longer as it was.
local function differences (was, now)
  local found = {}
  for section, lines in pairs(now) do
    for line in pairs(lines) do
      if not was[section][line] then
        found[#found + 1] = ("left behind in %s: %s"):format(section, line)
      end
    end
    for line in pairs(section == "cgroups" and {} or was[section]) do
      if not lines[line] then
        found[#found + 1] = ("gone from %s: %s"):format(section, line)
      end
    end
  end
  table.sort(found)
  return found
end

-- What the specs of another file dropped may still be on its way out.
local function settle ()
  for _ = 1, 2 do
    collectgarbage()
    loop.sleep(0.02)
  end
end

-- To collect costs more than to look, all that busted holds is walked for it: only where something changed.
local taken, sound

local function before ()
  warm_up()
  taken = snapshot()
  if not sound or #differences(sound, taken) > 0 then
    settle()
    taken = snapshot()
  end
end

-- Cgroups are the whole host's: those of another run go by themselves.
local function only_cgroups (found)
  for _, line in ipairs(found) do
    if not line:find "^left behind in cgroups" then
      return false
    end
  end
  return #found > 0
end

local function after ()
  local found, deadline = differences(taken, snapshot()), core.now() + OTHERS
  for _ = 1, #found > 0 and 2 or 0 do    -- finalizers let go, and what they let go of too
    collectgarbage()
    found = differences(taken, snapshot())
  end
  while only_cgroups(found) and core.now() < deadline do
    loop.sleep(0.2)
    found = differences(taken, snapshot())
  end
  sound = #found == 0 and taken
  if #found > 0 then
    error(table.concat(found, "\n"), 0)
  end
end

--- Check around every spec of a block.
function leaks.check (before_each, after_each, teardown)
  before_each(before)
  after_each(after)
  teardown(function ()
    assert(core.files.remove_directory(leaks.run_dir))
  end)
end

return leaks
