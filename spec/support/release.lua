-- Firecracker of any release, as a program: what is not to be had here, or cannot run here, is played by fc.testing.

local bed = require "spec.support.bed"
local core = require "firecracker.core"

local interpreter = "lua5.4"
local script = assert(core.files.absolute "spec/support/fake_firecracker.lua")

--- Make such a program; remove it.
-- @treturn string its path
return function (text)
  local path = bed.write(bed.scratch("firecracker-" .. text),
    ('#!/bin/sh\nexec %s %s %s "$@"\n'):format(interpreter, script, text))
  assert(os.execute("chmod +x " .. path))
  return path
end
