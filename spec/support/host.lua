--- A Lua host process of its own that finds the modules under test, for what a whole process has but one of: its umask,
-- dispositions, standard streams.
-- host(preparation, script): preparation stands before the command: "umask 077;", "exec <&-;", "env --ignore-signal=CHLD".
-- Returns what it wrote to both streams, and its exit status.

local lfs = require "lfs"
local sh = require "spec.support.sh"

-- Templates of busted's are relative to the tree; a host may stand elsewhere.
local function absolute (templates)
  return sh.quote((templates:gsub("%f[^;\0]%./", (lfs.currentdir():gsub("%%", "%%%%")) .. "/")))
end

return function (preparation, script)
  return sh(("export LUA_PATH=%s LUA_CPATH=%s; %s lua5.4 -e %s"):format(absolute(package.path), absolute(package.cpath),
    preparation, sh.quote(script)))
end
