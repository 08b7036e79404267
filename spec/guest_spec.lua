-- scripts/guest/build and `fclua guest build`: the same bytes again, only what is missing, and exact refusals.

local sh = require "spec.support.sh"

local here = sh "pwd":match "[^\n]+"

-- fn(dir): a directory with the kernel of build/guest, whose initrd and root drive are yet to be made.
local function with_kernel (fn)
  if not io.open "build/guest/manifest" then
    pending "no Linux guest in build/guest: run scripts/guest/build"
  end
  sh.tmpdir(function (dir)
    dir = dir .. "/it's new"
    local out, status = sh(("mkdir %s && cd %s && from=%s/build/guest && cp -r $from/vmlinux $from/lib . && " ..
      "grep -E '^kernel|vmlinux' $from/manifest >manifest"):format(sh.quote(dir), sh.quote(dir), sh.quote(here)))
    assert(status == 0, out)
    fn(dir)
  end)
end

local function build (dir, environment)
  return sh(("%s scripts/guest/build %s"):format(environment or "", sh.quote(dir)))
end

local function read (path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read "a"
end

describe("scripts/guest/build #scripts", function ()
  it("gives the same bytes again, to whoever builds", function ()
    with_kernel(function (dir)
      local out, status = sh(("sleep 1; umask 077; PATH=/usr/bin:/bin TZ=Asia/Tokyo scripts/guest/build %s"):format(sh.quote(dir)))
      assert(status == 0, out)
      for _, name in ipairs { "manifest", "initrd", "rootfs.ext4" } do
        assert.is_true(read(dir .. "/" .. name) == read("build/guest/" .. name), name .. " differs")
      end
      out = build(dir)
      assert.matches("is up to date\n$", out)
    end)
  end)

  it("makes what is broken again, all when what goes in is another, and puts a root drive that was written to aside", function ()
    with_kernel(function (dir)
      build(dir)
      sh(("cd %s && echo broken >initrd && echo written >rootfs.ext4"):format(sh.quote(dir)))
      local out = build(dir)
      assert.matches("rootfs.ext4 was written to: it is now rootfs.ext4.old\n", out)
      assert.equal("written\n", read(dir .. "/rootfs.ext4.old"))
      assert.is_true(read(dir .. "/initrd") == read "build/guest/initrd")
      assert.equal("", (sh(("cd %s && ls -A | grep new"):format(sh.quote(dir)))))
      sh(("cd %s && sed -i 's/^inputs ./inputs _/' manifest"):format(sh.quote(dir)))    -- nothing is broken
      out = build(dir)
      assert.matches("vmlinux %([%w.-]+%), initrd, rootfs.ext4\n$", out)
      assert.is_true(read(dir .. "/manifest") == read "build/guest/manifest")
    end)
  end)

  -- With a CDPATH cd goes elsewhere, or prints where it went: what was to be one directory's name were two lines.
  it("makes what it is told where the shell has a CDPATH", function ()
    sh.tmpdir(function (dir)
      sh(("mkdir -p %s/guest %s/other/guest && echo mine >%s/guest/vmlinux"):format(dir, dir, dir))
      for _, others in ipairs { ".", dir .. "/other" } do
        local out, status = sh(('build=$PWD/scripts/guest/build; cd %s && CDPATH=%s "$build" guest'):format(dir, others))
        assert.equal(("guest build: %s/guest/vmlinux was not made here: choose another directory\n"):format(dir), out)
        assert.equal(1, status)
      end
    end)
  end)

  it("touches nothing that it did not make", function ()
    sh.tmpdir(function (dir)
      sh("echo mine >" .. dir .. "/vmlinux")
      local out, status = build(dir)
      assert.equal(("guest build: %s/vmlinux was not made here: choose another directory\n"):format(dir), out)
      assert.equal(1, status)
      assert.equal("vmlinux\n", (sh("ls -A " .. dir)))
    end)
  end)

  it("refuses a package that holds no kernel, and keeps nothing", function ()
    sh.tmpdir(function (dir)
      sh(("cd %s && mkdir -p 'a b' p/DEBIAN && printf 'Package: x\\nVersion: 1\\nArchitecture: all\\nMaintainer: x\\nDescription: x\\n' " ..
        ">p/DEBIAN/control && dpkg-deb -b p 'a b/x.deb'"):format(dir))
      local out, status = build(dir .. "/guest", ("GUEST_KERNEL='%s/a b/x.deb'"):format(dir))
      assert.matches("guest build: %S+/a b/x.deb is no package of a kernel\n$", out)
      assert.equal(1, status)
      assert.equal("", (sh(("ls -A %s/guest"):format(dir))))
    end)
  end)

  it("names what is missing", function ()
    sh.tmpdir(function (dir)
      local out, status = sh(("for p in bash cat cut dirname id readlink uname; do ln -s $(command -v $p) %s; done; " ..
        "PATH=%s bash scripts/guest/build %s/guest"):format(dir, dir, dir))
      assert.matches("^guest build: programs are missing; on Debian, as root: apt%-get install gcc busybox%-static [%l%d ]*lz4 cpio " ..
        "[%l%d ]*dpkg\n$", out)      -- those of an sbin are found
      assert.equal(1, status)
    end)
  end)
end)

describe("fclua guest #scripts", function ()
  it("builds where it is told, and says how to boot it", function ()
    with_kernel(function (dir)
      local out, status = sh("scripts/fclua guest build " .. sh.quote(dir))
      assert.equal(0, status, out)
      assert.matches("vmlinux %([%w.-]+%), initrd, rootfs.ext4\nboot it by: fclua run %-%-kernel ", out)
    end)
  end)

  it("ends as the script does", function ()
    local out, status = sh "scripts/fclua guest build /proc/nowhere"
    assert.equal(1, status, out)
  end)

  it("refuses what it cannot do", function ()
    local out, status = sh "scripts/fclua guest make"
    assert.matches("^fclua: argument 'action' must be one of 'build'\n", out)
    assert.equal(2, status)
  end)
end)
