-- What firecracker-go-sdk and firectl offer, by its name here: each is there, and takes what it is to take. That it works is
-- for the specs of its part.

local config = require "firecracker.config"
local copy = require "firecracker.copy"
local fc = require "firecracker"
local sh = require "spec.support.sh"

local function words (text)
  local list = {}
  for word in text:gmatch "%S+" do
    list[#list + 1] = word
  end
  return list
end

-- Every name is callable there.
local function all_callable (what, table, names)
  for _, name in ipairs(words(names)) do
    it(what .. name, function ()
      local value = table[name]
      assert.is_true(type(value) == "function" or (getmetatable(value) or {}).__call ~= nil, type(value))
    end)
  end
end

-- As far as it is given: what the schema fills in is not compared.
local function holds (given, got, path)
  if type(given) ~= "table" or type(got) ~= "table" then
    assert.equal(given, got, path)
    return
  end
  for key, value in pairs(given) do
    holds(value, got[key], ("%s.%s"):format(path, key))
  end
end

describe("a handler of firecracker-go-sdk:", function ()
  local h = fc.handlers
  local handlers = {
    ["validate.Cfg"] = h.validate.cfg, ["validate.JailerCfg"] = h.validate.jailer_cfg,
    ["validate.NetworkCfg"] = h.validate.network_cfg, ["validate.LoadSnapshotCfg"] = h.validate.load_snapshot_cfg,
    ["fcinit.StartVMM"] = h.fcinit.start_vmm, ["fcinit.CreateLogFilesHandler"] = h.fcinit.create_log_files,
    ["fcinit.BootstrapLogging"] = h.fcinit.bootstrap_logging, ["fcinit.CreateMachine"] = h.fcinit.create_machine,
    ["fcinit.CreateBootSource"] = h.fcinit.create_boot_source, ["fcinit.AttachDrives"] = h.fcinit.attach_drives,
    ["fcinit.CreateNetworkInterfaces"] = h.fcinit.create_network_interfaces, ["fcinit.SetupNetwork"] = h.fcinit.setup_network,
    ["fcinit.SetupKernelArgs"] = h.fcinit.setup_kernel_args, ["fcinit.AddVsocks"] = h.fcinit.add_vsocks,
    ["fcinit.ConfigMmds"] = h.fcinit.config_mmds, ["fcinit.LoadSnapshot"] = h.fcinit.load_snapshot,
    ["fcinit.LinkFilesToRootFS"] = h.fcinit.link_files, ["fcinit.StartInstance"] = h.fcinit.start_instance,
    ["fcinit.SetMetadata"] = h.fcinit.set_metadata { key = "value" },
    ["fcinit.CreateBalloon"] = h.fcinit.create_balloon { amount_mib = 1, deflate_on_oom = true },
  }
  for name, handler in pairs(handlers) do
    it(name, function ()
      assert.equal(name, handler.name)
      assert.equal("function", type(handler.run))
      assert.equal("function", type(getmetatable(handler).__call))
    end)
  end

  it("makes of ones own, with an undo, callable", function ()
    local got
    local mine = fc.handler("mine.Step", function (vm) got = vm end, function () end)
    mine(fc.new())
    assert.equal("mine.Step", mine.name)
    assert.not_nil(got)
  end)

  -- Those of a machine's flow, whichever strategy made it.
  local function names (vm)
    local found = {}
    for _, list in ipairs { vm.flow.validation, vm.flow.fcinit } do
      for i = 1, #list do
        found[list[i].name] = true
      end
    end
    return found
  end

  it("is in the flow that needs it", function ()
    local jailer = { uid = 1, gid = 1 }
    local found = names(assert(fc.new({ jailer = jailer })))
    for name in pairs(names(assert(fc.new({ jailer = jailer }, "restore")))) do
      found[name] = true
    end
    for name in pairs(handlers) do
      if name ~= "fcinit.SetMetadata" and name ~= "fcinit.CreateBalloon" then
        assert.is_true(found[name], name)
      end
    end
  end)
end)

describe("a list of handlers has", function ()
  local flow = assert(fc.flow "boot")
  all_callable("", flow.fcinit, "append prepend append_after insert_before has swap swappend remove clear run")
  all_callable("flow:", flow, "append prepend append_after insert_before has swap swappend remove clear run copy")

  it("its length", function ()
    assert.is_true(#flow.fcinit > #flow.validation)
  end)

  it("a run without its validation", function ()
    local ran = {}
    local own = fc.flow {
      validation = { function () ran[#ran + 1] = "validation" end },
      fcinit = { function () ran[#ran + 1] = "fcinit" end },
    }
    assert(own:run(assert(fc.new())))
    assert(own:run(assert(fc.new { disable_validation = true })))
    assert.same({ "validation", "fcinit", "fcinit" }, ran)
  end)
end)

describe("a machine has", function ()
  local vm = assert(fc.new { id = "m", logger = { level = "Info", log_path = "/l" } })
  all_callable("vm:", vm, [[start wait stop kill shutdown pause resume snapshot set_metadata update_metadata metadata update_drive
    update_network_interface create_balloon balloon update_balloon balloon_stats update_balloon_stats info version full_config
    machine_config dial listen console]])

  it("its identity and its log", function ()
    assert.same({ "m", "/l", "Info" }, { vm.id, vm.log_path, vm.log_level })
  end)
end)

describe("fc has", function ()
  all_callable("fc.", fc, "new boot restore handler flow command client forward_signals rate_limiter kernel_args")
  all_callable("fc.jail.", fc.jail, "naive")
  all_callable("fc.drives.", fc.drives, "root add")
  all_callable("fc.vsock.", fc.vsock, "dial listen")
  all_callable("fc.testing.", fc.testing, "fake_vmm")
  all_callable("fc.config.", fc.config, "load dump")
  all_callable("kernel_args:", fc.kernel_args "a=1 -- b", "get set add remove")

  it("kernel arguments that are text again", function ()
    assert.equal("a=1 a=2 -- b", tostring(fc.kernel_args "a=1 a=2 -- b"))
  end)
end)

describe("the builders make", function ()
  local bucket = { size = 10, refill_time = 100, one_time_burst = 5 }
  local limiter = fc.rate_limiter { bandwidth = bucket, ops = { size = 1, refill_seconds = 0.5 } }

  it("a rate limiter", function ()
    assert.same({ bandwidth = bucket, ops = { size = 1, refill_time = 500 } }, limiter)
  end)

  it("drives", function ()
    local list = fc.drives.add(fc.drives.root("/root", { drive_id = "r", is_read_only = true, partuuid = "u", rate_limiter = limiter,
      cache_type = "Writeback", io_engine = "Async" }), "/data")
    assert.same({ "r", "drive1" }, { list[1].drive_id, list[2].drive_id })
    holds(list, config.check({ drives = list }).drives, "drives")
  end)
end)

describe("a configuration takes", function ()
  local limiter = { bandwidth = { size = 1, refill_time = 1 } }
  local cni = { network_name = "n", if_name = "veth0", vm_if_name = "eth0", args = { A = "b" }, bin_path = { "/bin" },
                conf_dir = { "/conf" }, cache_dir = "/cache", force = true }
  for what, section in pairs {
    jailer = { jailer = { uid = 1, gid = 2, jailer_binary = "/j", chroot_base_dir = "/c", numa_node = 0, daemonize = true,
      chroot_strategy = function (flow) return flow end, cgroup_version = 2, cgroups = { "pids.max=4" }, parent_cgroup = "p",
      stdin = "/0", stdout = "/1", stderr = "/2", new_pid_ns = true, resource_limits = { fsize = 1, no_file = 2 },
      staging = { "link", "copy" }, staging_for = { kernel = { "copy" } }, adopt = true } },
    vmm = { id = "i", netns = "n", vmm = { binary = "/f", socket_path = "/s", seccomp_filter = "/p", no_seccomp = false,
      arguments = { "--x" }, environment = { A = "b" }, spawn = print } },
    replacements = { client = function () end, log = print, disable_validation = true },
    logger = { logger = { fifo = "/f", log_path = "/l", level = "Info", to = print } },
    metrics = { metrics = { fifo = "/f", metrics_path = "/m", to = "/t" } },
    static = { network_interfaces = { { iface_id = "e", guest_mac = "AA:FC:00:00:00:01", host_dev_name = "t", allow_mmds = true,
      rx_rate_limiter = limiter, tx_rate_limiter = limiter,
      static = { ip = { "10.0.0.2/24" }, gateway = { "10.0.0.1" }, nameservers = { "10.0.0.1" }, if_name = "eth0" } } } },
    cni = { network_interfaces = { { iface_id = "e", cni = cni } } },
    ["cni of a configuration given"] = { network_interfaces = { { iface_id = "e", cni = { network_config = { name = "n" } } } } },
    mmds = { network_interfaces = { { iface_id = "e", host_dev_name = "t" } }, mmds = { key = "value" },
      mmds_config = { network_interfaces = { "e" }, ipv4_address = "169.254.1.1", version = "V2" } },
    balloon = { balloon = { amount_mib = 1, deflate_on_oom = true, stats_polling_interval_s = 1 } },
    vsock = { vsock = { guest_cid = 3, uds_path = "/v", vsock_id = "v" } },
    snapshot = { snapshot = { snapshot_path = "/s", mem_backend = { backend_path = "/u", backend_type = "Uffd" },
      resume_vm = true, track_dirty_pages = true, network_overrides = { { iface_id = "e", host_dev_name = "t" } } } },
    ["snapshot by mem_file_path"] = { snapshot = { snapshot_path = "/s", mem_file_path = "/m", enable_diff_snapshots = true } },
  } do
    it(what, function ()
      holds(section, config.check(copy.deep(section)), "config")
    end)
  end
end)

describe("a client has", function ()
  -- Those of firecracker-go-sdk's client, by its names.
  all_callable("api:", fc.client "/s", [[request put_actions get_instance_info get_version get_vm_config patch_vm
    get_machine_config put_machine_config patch_machine_config put_boot_source put_cpu_config put_drive patch_drive
    put_network_interface patch_network_interface put_vsock put_logger put_metrics put_entropy put_balloon get_balloon
    patch_balloon get_balloon_statistics patch_balloon_statistics put_mmds patch_mmds get_mmds put_mmds_config
    put_snapshot_create put_snapshot_load]])

  local client = fc.client "/s"
  for _, operation in ipairs(require "firecracker.api.operations") do
    it("the operation " .. operation.name, function ()
      assert.equal("function", type(client[operation.name]))
    end)
  end
end)

describe("fclua run", function ()    -- in a block, as all specs: scripts/test counts no others
  it("takes firectl's words", function ()
    local help, status = sh "lua5.4 scripts/fclua run --help"
    assert.equal(0, status, help)
    local missing = {}
    for _, word in ipairs(words [[--kernel --kernel-opts --root-drive --root-partition --add-drive --tap-device --vsock-device
      --vmm-log-fifo --log-level --metrics-fifo --disable-smt --ncpus --cpu-template --memory --metadata --firecracker-log
      --socket-path --debug --id --exec-file --jailer --uid --gid --node --chroot-base-dir --daemonize --initrd-path]]) do
      if not help:find(("%%f[%%-]%s%%f[^%%w-]"):format(word:gsub("%-", "%%-"))) then
        missing[#missing + 1] = word
      end
    end
    assert.same({}, missing)
  end)
end)
