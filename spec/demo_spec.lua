-- scripts/demo where /dev/kvm is of no use.

local sh = require "spec.support.sh"

-- Runs the demo under a /dev of its own: nothing but null and what `nodes` makes.
local function demo (nodes)
  if select(2, sh "unshare --mount true") ~= 0 then pending "a mount namespace needs root" end
  local prepare = "mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && " .. nodes
  return sh("unshare --mount sh -c " .. sh.quote(prepare .. " && exec scripts/demo"))
end

describe("scripts/demo #scripts #root", function ()
  it("says that /dev/kvm is missing, and what to do", function ()
    local out, status = demo "true"
    assert.equal(1, status)
    assert.matches("^demo: /dev/kvm is missing", out)
    assert.matches("modprobe kvm_intel", out)
  end)

  it("says that KVM creates no machine", function ()
    local out, status = demo "mknod /dev/kvm c 1 3"
    assert.equal(1, status)
    assert.matches("^demo: /dev/kvm is there but creates no virtual machine", out)
  end)
end)
