-- What the library takes, measured in one process that obeys the commands of floor.c:
-- start, stop, wait, jail, unjail, attach PATH, get N, vm N, mmds1 N, mmds50 N, many N. Beyond those: `parts N`, what a start does
-- that the floor does not, and `death STAGE`, the time from the death of a stub that ends at "socket" or "request" to the
-- error of the start.
-- Environment: FIRECRACKER, KERNEL, DRIVE, WORK, JAILER, JAILS.

local fc = require "firecracker"
local core = require "firecracker.core"
local sample = require "spec.bench.sample"

local now <const>, cpu <const> = core.now, os.clock
local KERNEL <const>, DRIVE <const>, WORK <const> = os.getenv "KERNEL", os.getenv "DRIVE", os.getenv "WORK"

local serial = 0

local function config ()
  serial = serial + 1
  return {
    boot_source = { kernel_image_path = KERNEL, boot_args = "console=ttyS0" },
    drives = { { drive_id = "rootfs", path_on_host = DRIVE, is_root_device = true, is_read_only = false } },
    vsock = { guest_cid = 3, uds_path = ("%s/ours-%d.vsock"):format(WORK, serial) },
    run_dir = WORK,
  }
end

local started   -- when InstanceStart was sent, and when it was answered
local instance_start = fc.handlers.fcinit.start_instance
local flow = fc.flow "boot":swap(fc.handler(instance_start.name, function (vm)
  local before = now()
  local ok, err = instance_start.run(vm)
  started = now() - before
  return ok, err
end))

local function microseconds (seconds)
  return ("%.1f"):format(seconds * 1e6)
end

local vm, client
local commands = {}

-- Seconds a process has had a core, and has waited for one.
local function schedule (pid)
  local file <close> = assert(io.open(("/proc/%s/schedstat"):format(pid)))
  local had, waited = file:read("n", "n")
  return had / 1e9, waited / 1e9
end

-- With the default flow, or the same one told when its last step began.
function commands.start (which)
  local had, waited = schedule "self"
  local before = now()
  vm = assert(fc.new(config(), which == "timed" and flow or nil))
  assert(vm:start())
  local took = now() - before
  local had_now, waited_now = schedule "self"
  local vmm_had, vmm_waited = schedule(vm.pid)
  return "total", microseconds(took), "instance_start", microseconds(which == "timed" and started or 0),
    "cpu", microseconds(had_now - had), "waited", microseconds(waited_now - waited),
    "vmm_cpu", microseconds(vmm_had), "vmm_waited", microseconds(vmm_waited)
end

-- Made here, for `restore` of all.
function commands.snapshot (directory)
  local plain <close> = assert(fc.boot { boot_source = { kernel_image_path = KERNEL }, run_dir = WORK })
  assert(plain:snapshot { snapshot_path = directory .. "/state", mem_file_path = directory .. "/memory", pause = true })
  return "total", "0"
end

function commands.restore (directory)
  local before = now()
  vm = assert(fc.restore { snapshot = { snapshot_path = directory .. "/state", resume_vm = true }, run_dir = WORK })
  return "total", microseconds(now() - before)
end

-- By the jailer, without a cgroup.
function commands.jail ()
  local before = now()
  local settings = config()
  settings.jailer = { uid = 1000, gid = 1000, chroot_base_dir = os.getenv "JAILS" }
  vm = assert(fc.new(settings))
  assert(vm:start())
  return "total", microseconds(now() - before)
end

function commands.stop ()
  local before = now()
  assert(vm:stop { shutdown = 0 })
  local took = now() - before
  vm:close()
  return "total", microseconds(took)
end

function commands.wait ()
  local before = now()
  vm:kill()
  assert(vm:wait())
  local took = now() - before
  vm:close()
  return "total", microseconds(took)
end

function commands.attach (path)
  client = fc.client(path)
  return "total", "0"
end

function commands.socket ()
  return "path", vm.socket_path
end

-- Ask N times: ask(api, i).
local function repeated (ask)
  return function (n)
    local took, api = {}, client or vm.api
    local began = cpu()
    for i = 1, tonumber(n) do
      local before = now()
      assert(ask(api, i))
      took[i] = now() - before
    end
    local spent = (cpu() - began) / n
    return "p50", microseconds(sample.quantile(took, 0.5)), "p90", microseconds(sample.quantile(took, 0.9)),
      "p99", microseconds(sample.quantile(took, 0.99)), "cpu", ("%.3f"):format(spent * 1e6)
  end
end

commands.unjail = commands.wait

commands.get = repeated(function (api) return api:get_instance_info().vmm_version end)

commands.vm = repeated(function (api, i) return api:patch_vm { state = i % 2 == 1 and "Paused" or "Resumed" } end)

for command, size in pairs { mmds1 = 1024, mmds50 = 51200 } do
  local data = { a = ("x"):rep(size - #'{"a":""}') }
  commands[command] = repeated(function (api) return api:put_mmds(data) end)
end

function commands.many (n)
  local configs = {}
  for i = 1, tonumber(n) do
    configs[i] = config()
  end
  local before, began = now(), cpu()
  local vms
  fc.run(function ()
    vms = fc.map(configs, fc.boot, { limit = #configs })
  end)
  local took, spent = now() - before, cpu() - began
  fc.run(function ()
    fc.map(vms, function (each) return each:close() end, { limit = #configs })
  end)
  assert(next(vms.errors) == nil, next(vms.errors) and tostring(select(2, next(vms.errors))))
  return "total", microseconds(took), "cpu", microseconds(spent / n)
end

function commands.death (stage)
  local settings = config()
  settings.vmm = { arguments = { "--die", stage } }
  local dead <close> = assert(fc.new(settings))
  local ok, err = dead:start()
  local told = now()
  assert(not ok and err.code == "exited" and err.exited == 1, tostring(err))
  return "total", microseconds(told - tonumber(err.stderr:match "died at ([%d.]+)") / 1e6)
end

local function median_of (n, fn, after)
  local took = {}
  for i = 1, n do
    local before = now()
    local result = fn()
    took[i] = now() - before
    if after then
      after(result)
    end
  end
  return microseconds(sample.quantile(took, 0.5))
end

-- One thing at a time, as a start does it.
function commands.parts (n)
  local files, steps = core.files, fc.handlers
  local directory = WORK .. "/parts"
  local machine = fc.new(config())
  local checked = require "firecracker.config".check(config())
  local body = checked.drives[1]
  n = tonumber(n)
  local function remove ()
    assert(files.remove_directory(directory))
  end
  local parts = {
    "check_config", median_of(n, function () return require "firecracker.config".check(config()) end),
    "load_flow", median_of(n, function () return fc.flow "boot" end),
    "validate", median_of(n, function ()
      steps.validate.network_cfg(machine)
      steps.validate.cfg(machine)
    end),
    "run_directory", median_of(n, function ()
      assert(files.mkdir_private(WORK))
      assert(files.mkdir(directory))
    end, remove),
    "encode_body", median_of(n, function () return core.json.encode(body) end),
  }
  assert(files.mkdir(directory))
  table.move({
    "log_files", median_of(n, function ()
      assert(files.create(directory .. "/vmm.log"))
      files.open(directory .. "/stderr.log", "w"):close()
    end, function ()
      files.unlink(directory .. "/vmm.log")
      files.unlink(directory .. "/stderr.log")
    end),
    "remove_directory", median_of(n, remove, function ()
      assert(files.mkdir(directory))
      for _, name in ipairs { "vmm.log", "stderr.log", "api.sock" } do
        assert(files.create(directory .. "/" .. name))
      end
    end),
  }, 1, 4, #parts + 1, parts)
  remove()
  return table.unpack(parts)
end

-- Lines a second that a function gets of a log through its FIFO, alone and with what is parsed of them.
function commands.intake (n)
  local intake = require "firecracker.intake"
  local path, want = WORK .. "/lines", tonumber(n) // 1000
  local file <close> = assert(io.open(path, "w"))
  for i = 1, 1000 do
    file:write(("2026-11-23T17:33:06.%09d [abcd1234:fc_api:INFO:src/firecracker/src/api_server/parsed_request.rs:163] ")
      :format(i), "The request was executed successfully. Status code: 204 No Content.\n")
  end
  file:close()
  local function measure (to)
    local undo, machine = {}, { id = "bench", directory = WORK, config = { log_level = "debug", logger = { to = to } } }
    function machine.defer (_, _, fn)
      undo[#undo + 1] = fn
    end
    function machine.serve (_, ...)
      return fc.loop.background(...)
    end
    assert(intake.prepare(machine, "logger"))
    local before, began = now(), cpu()
    os.execute(("(for i in $(seq %d); do cat '%s'; done >'%s/logger.fifo') &"):format(want, path, WORK))
    return function ()
      local took, spent = now() - before, cpu() - began
      while #undo > 0 do
        table.remove(undo)(machine)
      end
      return ("%.0f"):format(want * 1000 / took), ("%.0f"):format(want * 1000 / spent)
    end
  end
  local got = 0
  local function await (finish)
    while got < want * 1000 do
      fc.sleep(0.0005)
    end
    got = 0
    return finish()
  end
  local lines, lines_cpu = await(measure(function (_) got = got + 1 end))
  local parsed, parsed_cpu = await(measure(function (_, record) got = got + (record.level == "info" and 1 or 0) end))
  os.remove(path)
  return "lines", lines, "lines_cpu", lines_cpu, "parsed", parsed, "parsed_cpu", parsed_cpu
end

for line in io.lines() do
  local command, argument = line:match "^(%S+)%s*(%S*)"
  io.write(table.concat({ commands[command](argument) }, " "), "\n")
  io.flush()
end
