-- A spec file in a network and a mount namespace of its own, so that nothing it makes is seen outside or outlives it:
-- /run, /tmp/firecracker-* and the namespaces that `ip netns` shows are its own too.
--
--   require "spec.support.isolated" (describe, it, "spec/network/x_spec.lua", function () describe(…) end)
--
-- Outside, the file is one spec, which runs the file inside. Its specs' names are in the output where one fails.

local sh = require "spec.support.sh"

local VARIABLE <const> = "FIRECRACKER_SPEC_ISOLATED"
local PREPARE <const> = "mount -t sysfs sysfs /sys && mount -t tmpfs tmpfs /run && mkdir /run/netns && ip link set lo up"

return function (describe, it, path, body)
  if os.getenv(VARIABLE) == path then
    return body()
  end
  describe("#net #root " .. path, function ()
    it("passes in namespaces of its own", function ()
      local run = package.cpath:find("build/asan", 1, true) and "--run=asan " or ""
      local out, status = sh(("env -u SPEC_RESULTS %s=%s unshare --net --mount sh -c '%s && exec \"$0\" spec/run.lua %s%s' %s"):format(
        VARIABLE, path, PREPARE, run, path, sh.quote(arg and arg[-1] or "lua5.4")))
      assert(status == 0, "\n" .. out)
      local passed = out:match "(%d+) passed, 0 failed"
      assert(passed and tonumber(passed) > 0, out)
      print(("      %s: %s inside"):format(path, passed))
      for line in out:gmatch "skip [^\n]+" do
        print("      " .. line)
      end
    end)
  end)
end
