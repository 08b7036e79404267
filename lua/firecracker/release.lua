--- Firecracker's releases: comparing them, and learning which one a binary is.
-- A binary is asked once, for as long as it is the same file.
-- @module firecracker.release

local core = require "firecracker.core"
local errors = require "firecracker.errors"
local loop = require "firecracker.loop"

local files = core.files
local release = {}

--- The first release that is supported.
release.MINIMUM = "1.0"

local PATIENCE <const> = 10   -- seconds that a binary may take to say its release

--- Make a number of a release, for comparing.
-- @tparam string text "1.12.1", "v1.12", "1.17.0-dev"
-- @treturn ?int nil for what is none
function release.number (text)
  local major, minor, patch = text:match "^v?(%d+)%.(%d+)%.?(%d*)"
  return major and (tonumber(major) * 1000 + tonumber(minor)) * 1000 + (tonumber(patch) or 0)
end

local known = {}   -- identity -> release; while it is being asked, a table to wait for

--- Learn the release of a Firecracker binary: from `--version`, once for each device, inode, time and size.
-- @tparam string path
-- @tparam[opt] number timeout seconds, ten at most
-- @treturn[1] string "1.12.1"
-- @return[2] nil
-- @treturn[2] err code "spawn", "timeout", "system" or "release"
function release.of_binary (path, timeout)
  local look, err = files.look(path, true)
  if not look then
    return nil, err
  end
  local deadline = loop.deadline(math.min(timeout or PATIENCE, PATIENCE))
  local identity = ("%d:%d:%.9f:%d"):format(look.device, look.inode, look.mtime, look.size)
  while type(known[identity]) == "table" do
    if not loop.park(deadline, known[identity]) then
      return nil, errors.new { code = "timeout", path = path, message = path .. " --version does not end in time" }
    end
  end
  if known[identity] then
    return known[identity]
  end
  local asked = {}
  known[identity] = asked
  local _ <close> = setmetatable({}, { __close = function ()
    if known[identity] == asked then
      known[identity] = nil
    end
    loop.fire(asked)
  end })
  local text
  text, err = require "firecracker.launch.answer"({ path, "--version" }, {}, nil, deadline)
  if not text then
    return nil, errors.context(err, "cannot learn the release of " .. path)
  end
  local found = (text:match "^Firecracker v(.*)" or text:match "^Jailer v(.*)" or ""):match "^%d+%.%d+%.%d+%S*"
  if not found then
    return nil, errors.new { code = "release", path = path,
                             message = ("%s --version says no release: %s"):format(path, text:match "^[^\r\n]*") }
  end
  known[identity] = found
  return found
end

return release
