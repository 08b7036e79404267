--- The SHA-256 of a large file, by sha256sum in a process of its own: the loop goes on.
-- @module firecracker.snapshot.hash

local answer = require "firecracker.launch.answer"
local core = require "firecracker.core"
local errors = require "firecracker.errors"
local program = require "firecracker.launch.program"

local files = core.files

--- Hash a file.
-- @tparam string path
-- @treturn[1] string 64 hexadecimal digits
-- @return[2] nil
-- @treturn[2] err code "spawn", "system", "timeout"
return function (path)
  local sum = program.search "sha256sum"
  local input <close>, problem = files.open(path, "r")
  if not sum or not input then
    return nil, problem or errors.new { code = "spawn", message = "sha256sum is not on PATH" }
  end
  local text, err = answer({ sum }, { "LC_ALL=C" }, input, math.huge)
  local hash = text and text:match "^(%x+)  %-%s*$"
  if not hash or #hash ~= 64 then
    return nil, errors.context(err or errors.new { code = "system", message = "sha256sum said: " .. text }, path)
  end
  return hash
end
