-- What must be the same before and after every integration spec: child processes, descriptors, run directory, mounts,
-- links, cgroups of the specs' own names (others come and go by themselves). In a describe block:
--
--   leaks.check(before_each, after_each, teardown)

local core = require "firecracker.core"
local loop = require "firecracker.loop"
local scratch = require "spec.support.scratch"

local leaks = {}

local OTHERS <const> = 20   -- seconds in which another run's machine ends

local function own_pid ()
  local file <close> = assert(io.open "/proc/self/stat")
  return file:read "n"
end

--- A run directory of the specs' own.
leaks.run_dir = ("%s/firecracker-lua-spec-%s"):format(os.getenv "TMPDIR" or "/tmp", core.files.random_hex(4))

--- What the names of links made by the specs begin with.
leaks.links = "fcs" .. core.files.random_hex(3)

local COMMAND = [[
pid=%d
section() { echo "[$1]"; }
section children
for task in /proc/$pid/task/*/children; do
  for child in $(cat $task); do [ $child = $$ ] || echo "$child $(tr '\0' ' ' </proc/$child/cmdline | cut -c1-120)"; done
done
section descriptors
ls -l /proc/$pid/fd 2>/dev/null | sed -n 's/.* \([0-9]*\) -> \(.*\)/\1 \2/p' | sort -n
section run_dir
find '%s' -mindepth 1 2>/dev/null | sort
section mounts
cut -d' ' -f5 /proc/$pid/mountinfo | grep -v -e '^/run/netns/fc' -e '/firecracker-lua-spec-' -e '/tmp\.' | sort   # nor those
cut -d' ' -f5 /proc/$pid/mountinfo | grep '%s' | sort
section links
ls /sys/class/net | grep -v '^fc'   # those of other runs
ls /sys/class/net | grep '^%s'
section cgroups
find /sys/fs/cgroup -maxdepth 5 -type d -path '*%s*' 2>/dev/null | sort
]]

local function snapshot ()
  local path = scratch "snapshot"
  -- to a file: a pipe would be a descriptor of ours
  os.execute(("{ %s } >%s"):format(COMMAND:format(own_pid(), leaks.run_dir, leaks.run_dir, leaks.links, leaks.links), path))
  local file <close> = assert(io.open(path))
  local sections, name = {}, nil
  for line in file:lines() do
    local title = line:match "^%[(.*)%]$"
    if title then
      name = title
      sections[name] = {}
    else
      sections[name][line] = true
    end
  end
  os.remove(path)
  return sections
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

local taken

local function before ()
  warm_up()
  collectgarbage()    -- once here and once after it: all that busted holds is walked for it
  taken = snapshot()
end

-- What the specs of another file dropped may still be on its way out.
local function settle ()
  for _ = 1, 5 do
    collectgarbage()
    loop.sleep(0.01)
  end
end

-- What is no longer as it was.
local function differences ()
  collectgarbage()
  local now, found = snapshot(), {}
  for section, lines in pairs(now) do
    for line in pairs(lines) do
      if not taken[section][line] then
        found[#found + 1] = ("left behind in %s: %s"):format(section, line)
      end
    end
    for line in pairs(section == "cgroups" and {} or taken[section]) do
      if not lines[line] then
        found[#found + 1] = ("gone from %s: %s"):format(section, line)
      end
    end
  end
  table.sort(found)
  return found
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
  local found, deadline = differences(), core.now() + OTHERS
  if #found > 0 then
    found = differences()    -- without what finalizers let go
  end
  while only_cgroups(found) and core.now() < deadline do
    loop.sleep(0.2)
    found = differences()
  end
  if #found > 0 then
    error(table.concat(found, "\n"), 0)
  end
end

--- Check around every spec of a block.
function leaks.check (before_each, after_each, teardown)
  local settled
  before_each(function ()
    if not settled then
      settle()
      settled = true
    end
    before()
  end)
  after_each(after)
  teardown(function ()
    assert(core.files.remove_directory(leaks.run_dir))
  end)
end

return leaks
