-- A real Linux in the machine: what the VMM's side alone cannot show.
local bed = require "spec.support.bed"
local fc = require "firecracker"
local linux = require "spec.support.linux"
local sh = require "spec.support.sh"

describe("#linux a guest", function ()
  linux.check(before_each, after_each, teardown, pending)

  it("boots to its userland by scripts/boot.lua, and ends well on Ctrl-Alt-Del", function ()
    local console, text = bed.collector()
    local config = linux.config { console = console }
    config.boot_source.boot_args = nil
    local vm <close> = assert(fc.boot(config, "scripts/boot.lua"))
    linux.await(text, "guest ready %d+%.%d+\r?\n")
    assert.is_truthy(text():find "Linux version %d")
    assert.is_nil(text():match "\ninit: [^\n]*")
    assert.same({ by = "shutdown", exited = 0 }, vm:shutdown())
    assert.is_truthy(text():find "guest stopping")
  end)

  it("boots from a root drive, keeps what it wrote, and leaves a sound file system", function ()
    linux.need()
    local drive = bed.scratch "rootfs"
    finally(function () os.remove(drive) end)
    assert(os.execute(("cp --sparse=always %s %s"):format(linux.path "rootfs.ext4", drive)))
    local console, text = bed.collector()
    local flow = assert(fc.flow "boot"):insert_before("fcinit.StartInstance", function (vm)
      vm.vsock_path = vm.directory .. "/vsock"
      return vm.api:request("PUT", "/vsock", { guest_cid = 3, uds_path = "vsock" })
    end)
    local vm <close> = assert(fc.boot(linux.config {
      console = console,
      drives = { { drive_id = "rootfs", path_on_host = drive, is_root_device = true, is_read_only = false } },
    }, flow))
    linux.await(text, "guest ready")
    assert.matches("/dev/vda / ext4 rw", linux.run(vm, "cat /proc/mounts; echo kept >/root/file"), 1, true)
    assert.same({ by = "shutdown", exited = 0 }, vm:shutdown())
    assert.equal("kept\n", (sh("debugfs -R 'cat /root/file' " .. drive .. " 2>/dev/null")))
    local out, status = sh("e2fsck -fn " .. drive)
    assert.equal(0, status, out)
  end)

  it("is booted by fclua with nothing but its two files, and ended by Ctrl-C", function ()
    linux.need()
    local out, status = sh(([[
      out=%s; trap 'kill $p 2>/dev/null; rm -f $out $out.err' EXIT
      set -- --kernel build/guest/vmlinux --initrd build/guest/initrd
      env --default-signal scripts/fclua run "$@" >$out 2>$out.err & p=$!
      i=0; until grep -q "guest ready" $out; do i=$((i+1)); [ $i -lt 3000 ] || break; sleep 0.1; done
      kill -INT $p; wait $p; status=$?
      tail -n 1 $out; tail -n 3 $out.err; exit $status]]):format(bed.scratch "console"))
    assert.equal(130, status, out)
  end)

  it("tells how its commands end, and ends by itself", function ()
    local vm <close> = linux.restore()
    assert.same({ "out\nerr\n", 7 }, { linux.run(vm, "echo out; echo err >&2; exit 7") })
    assert.same({ "", 137 }, { linux.run(vm, "kill -9 $$") })
    assert.same({ "", 127 }, { linux.run(vm, "no-such-program 2>/dev/null") })
    linux.run(vm, "reboot -f")
    assert.same({ exited = 0 }, vm:wait { timeout = linux.patience })
  end)

  it("echoes", function ()
    local vm <close> = linux.restore()
    local text = ("0123456789abcdef"):rep(4096)
    assert.equal(text .. "\n", linux.echo(vm, text))
  end)

  it("reads and writes a drive", function ()
    local vm <close> = linux.restore()
    assert.equal("from the host\n", linux.run(vm, "head -c 14 /dev/vda"))
    assert.same({ "", 0 }, { linux.run(vm, "echo from the guest | dd of=/dev/vda bs=512 seek=1 2>/dev/null && sync") })
    assert.equal("from the guest\n", bed.read(vm.directory .. "/data"):sub(513, 527))
  end)

  it("draws entropy from the device", function ()
    local vm <close> = linux.restore()
    assert.equal("virtio_rng.0\n16\n",
      linux.run(vm, "cat /sys/class/misc/hw_random/rng_current; dd if=/dev/hwrng bs=16 count=1 2>/dev/null | wc -c"))
  end)

  it("stands still while it is paused", function ()
    local vm <close> = linux.restore()
    assert.equal("up\n", linux.run(vm, "echo up"))
    assert(vm:pause())
    assert.is_nil((linux.run(vm, "echo up", 0.5)))
    assert(vm:resume())
    assert.equal("up\n", linux.run(vm, "echo up"))
  end)

  it("runs eight times at once, each for itself", function ()
    local one <close> = linux.restore()     -- makes the snapshot, if it is not there
    assert.equal("", (linux.run(one, "echo one >/tmp/name")))
    fc.run(function ()
      local vms <close> = fc.map({ 1, 2, 3, 4, 5, 6, 7, 8 }, linux.restore, { limit = 8 })
      assert.same({}, vms.errors)
      local answers = fc.map({ 1, 2, 3, 4, 5, 6, 7, 8 }, function (i)
        return (assert(linux.run(vms[i], "cat /tmp/name 2>/dev/null; echo " .. i .. " >/tmp/name; cat /tmp/name")))
      end, { limit = 8 })
      assert.same({}, answers.errors)
      for i = 1, 8 do
        assert.equal(i .. "\n", answers[i])
      end
    end)
    assert.equal("one\n", linux.run(one, "cat /tmp/name"))
  end)
end)

describe("#linux scripts/demo", function ()
  linux.check(before_each, after_each, teardown, pending)

  it("boots its guest", function ()
    linux.need()
    local out, status = sh "scripts/demo"
    assert.equal(0, status, out)
    assert.matches("hello from the guest\n", out)
  end)
end)
