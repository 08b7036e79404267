-- Real Linux guests, those of scripts/guest/build: what the specs in spec/linux share.
-- One guest is booted and snapshotted, the first time it is wanted; most specs get a restored one. Its devices are named
-- relative to the machine's directory, so that many can be restored at once.

local bed = require "spec.support.bed"
local core = require "firecracker.core"
local fc = require "firecracker"
local leaks = require "spec.support.leaks"
local loop = require "firecracker.loop"
local sh = require "spec.support.sh"

local files = core.files
local linux = {}

local root = assert(files.absolute ".")
local COMMAND_PORT <const>, ECHO_PORT <const> = 52, 53
-- Seconds; a nested host is ten times slower, and may share two cores with others.
local PATIENCE <const> = tonumber(os.getenv "SPEC_PATIENCE") or 300

-- Each byte of the kernel's log is an exit of the guest's.
local QUIET <const> = "console=ttyS0 reboot=k panic=1 quiet loglevel=0 8250.nr_uarts=1 i8042.noaux i8042.nomux"

--- Seconds that anything of a guest may take.
linux.patience = PATIENCE

--- Path of a file of the guest's: vmlinux, initrd, rootfs.ext4.
function linux.path (name)
  return root .. "/build/guest/" .. name
end

local function has_virtualisation ()
  for line in io.lines "/proc/cpuinfo" do
    if line:find "^flags" then
      return line:find "%f[%w]vmx%f[%W]" or line:find "%f[%w]svm%f[%W]"
    end
  end
end

--- Why no Linux guest can run here; nil when one can. A /dev/kvm that has no VMX or SVM below it emulates a stock kernel
-- instruction by instruction, and fails.
function linux.missing ()
  local kvm <close> = io.open("/dev/kvm", "r+")
  if not kvm then
    return "no usable /dev/kvm here"
  elseif not has_virtualisation() then
    return "this machine's KVM runs no Linux guest; scripts/test takes the nested host"
  elseif not files.look(linux.path "vmlinux") then
    return "no Linux guest in build/guest: run scripts/guest/build"
  end
end

local skip

--- Around every spec of a block: look for leaks. `pending` is busted's, for `need`.
function linux.check (before_each, after_each, teardown, pending)
  skip = pending
  leaks.check(before_each, after_each, teardown)
end

--- Skip the spec that is running where no Linux guest can run. All that makes a guest begins with it.
function linux.need ()
  local reason = linux.missing()
  if reason then
    skip(reason)
  end
end

--- A configuration of a Linux guest; fields of `more` go on top.
function linux.config (more)
  linux.need()
  local config = {
    run_dir = leaks.run_dir,
    boot_source = { kernel_image_path = linux.path "vmlinux", initrd_path = linux.path "initrd", boot_args = QUIET },
    timeouts = { start = PATIENCE, request = PATIENCE, shutdown = PATIENCE, stop = 2 * PATIENCE },
  }
  for key, value in pairs(more or {}) do
    config[key] = value
  end
  return config
end

local function copy (from, to)
  local out, status = sh(("cp --sparse=always %s %s"):format(sh.quote(from), sh.quote(to)))
  assert(status == 0, out)
end

local function request (vm, verb, path, body)
  return assert(vm.api:request(verb, path, body))
end

---------------------------------------------------------------------------------------------------
-- What a guest says
---------------------------------------------------------------------------------------------------

--- Wait until a console's text holds a pattern.
function linux.await (text, pattern)
  local deadline = core.now() + PATIENCE
  while not text():find(pattern) do
    if core.now() > deadline then
      error(("'%s' never came; the console's end: %s"):format(pattern, text():sub(-500)), 2)
    end
    loop.sleep(0.02)
  end
end

-- What the command port answers.
local function answer (vm, command, limit)
  local stream <close>, err = vm:dial(COMMAND_PORT, limit)
  if not stream then
    return nil, err
  end
  if not stream:write(command, "\n") then
    return ""    -- it is reset already
  end
  local text, problem = stream:read("a", limit)
  if not text and problem.errno == "ECONNRESET" then
    return ""
  end
  return text, problem
end

--- Run a shell command in the guest: its output and its exit status, or nil and what is wrong. A restored guest resets the
-- connections that come too early: an answer without a byte is none.
function linux.run (vm, command, seconds)
  local limit, deadline = { timeout = seconds or PATIENCE }, core.now() + PATIENCE
  local text, err
  repeat
    text, err = answer(vm, command, limit)
  until text ~= "" or core.now() > deadline
  local output, status = (text or ""):match "^(.*)%[exit (%d+)%]\n$"
  if not output then
    return nil, err and tostring(err) or "the guest's answer has no end: " .. text
  end
  return output, math.tointeger(tonumber(status))
end

--- What the guest's echo port makes of a text and a newline.
function linux.echo (vm, text)
  local stream <close> = assert(vm:dial(ECHO_PORT, { timeout = PATIENCE }))
  assert(stream:write(text, "\n"))
  return stream:read(#text + 1, { timeout = PATIENCE })
end

---------------------------------------------------------------------------------------------------
-- The one guest
---------------------------------------------------------------------------------------------------

local add_devices = fc.handler("spec.AddDevices", function (vm)
  bed.write(vm.directory .. "/data", ("from the host\n" .. ("\0"):rep(1 << 20)):sub(1, 1 << 20))
  request(vm, "PUT", "/drives/data", { drive_id = "data", path_on_host = "data", is_root_device = false, is_read_only = false })
  request(vm, "PUT", "/vsock", { guest_cid = 3, uds_path = "vsock" })
  vm.vsock_path = vm.directory .. "/vsock"
  request(vm, "PUT", "/entropy", {})
  -- Rarely: a guest that is snapshotted while it answers a request for statistics never answers another.
  request(vm, "PUT", "/balloon", { amount_mib = 0, deflate_on_oom = false, stats_polling_interval_s = 3600 })
end)

--- Boot a guest with a drive `data`, a vsock, entropy and a balloon; returns when its ports answer. `more` as for `config`.
function linux.boot (more)
  local console, text = bed.collector()
  local flow = assert(fc.flow "boot"):insert_before("fcinit.StartInstance", add_devices)
  local config = linux.config(more)
  config.console = console
  local vm = assert(fc.boot(config, flow))
  linux.await(text, "guest ready")
  return vm, text
end

local snapshot

-- Its directory, which goes when the specs end.
local function take_snapshot ()
  local directory = bed.scratch "snapshot"
  assert(files.mkdir(directory))
  snapshot = setmetatable({ directory = directory }, { __gc = function () files.remove_directory(directory) end })
  local vm <close> = linux.boot()
  assert(vm:pause())
  assert(vm:snapshot { snapshot_path = directory .. "/state", mem_file_path = directory .. "/memory" })
  copy(vm.directory .. "/data", directory .. "/data")
end

--- A machine of a snapshot of a `linux.boot` guest, running. The drive `data` is a copy of `data`; fields of `section` go into
-- `snapshot`, of `more` on top.
function linux.load (path, data, section, more)
  local config = linux.config(more)
  config.boot_source = nil
  config.snapshot = { snapshot_path = path, resume_vm = true }
  for key, value in pairs(section or {}) do
    config.snapshot[key] = value
  end
  return assert(fc.restore(config, assert(fc.flow "restore"):insert_before("fcinit.LoadSnapshot", function (vm)
    copy(data, vm.directory .. "/data")
  end)))
end

--- The one guest, as it was when its ports answered, in a machine of its own.
function linux.restore ()
  linux.need()
  if not snapshot then
    take_snapshot()
  end
  local vm = linux.load(snapshot.directory .. "/state", snapshot.directory .. "/data")
  local said, err = linux.run(vm, "true")    -- it takes connections from now on
  if not said then
    vm:close()
    error(err)
  end
  return vm
end

return linux
