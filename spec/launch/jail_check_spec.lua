-- validate.JailerCfg and the section's own checks: each error names its field, and nothing has been made by then.
local core = require "firecracker.core"
local fc = require "firecracker"
local sh = require "spec.support.sh"

local files = core.files
local is_root = files.euid() == 0
local program = os.getenv "FIRECRACKER" or sh "command -v firecracker":match "%S+"

local function config (jailer, more)
  local result = { boot_source = { kernel_image_path = "/dev/null" }, run_dir = "/nonexistent/run",
                   jailer = { uid = 1, gid = 2, jailer_binary = "/bin/true", chroot_base_dir = "/root" },
                   vmm = { binary = program } }
  for key, value in pairs(jailer or {}) do
    result.jailer[key] = value
  end
  for key, value in pairs(more or {}) do
    result[key] = value
  end
  return result
end

describe("config.jailer", function ()
  for _, case in ipairs {
    { { uid = "1" }, "uid: integer expected, got string" },
    { { uid = -1 }, "uid: 0 to 4294967294 expected, got -1" },
    { { gid = 4294967295 }, "gid: 0 to 4294967294 expected, got 4294967295" },
    { { gid = 1.5 }, "gid: integer expected, got 1.5" },
    { { cgroup_version = 3 }, "cgroup_version: 1 to 2 expected, got 3" },
    { { cgroups = { "cpu.shares" } }, "cgroups[1]: the name of a cgroup's file expected, as cpu.weight, got 'cpu.shares'" },
    { { cgroups = { "cpu.shares=1=2" } }, "cgroups[1]: a number or a text without '=' expected, got '1=2'" },
    { { cgroups = { "../x.y=1" } }, "cgroups[1]: the name of a cgroup's file expected, as cpu.weight, got '../x.y'" },
    { { cgroups = { ["cpu.shares"] = true } }, "cgroups[\"cpu.shares\"]: a number or a text without '=' expected, got boolean" },
    { { cgroups = { ["io.max"] = "8:0 rbps=1" } }, "cgroups[\"io.max\"]: a number or a text without '=' expected, got '8:0 rbps=1'" },
    { { cgroups = { ["cpu.shares"] = "" } }, "cgroups[\"cpu.shares\"]: a number or a text without '=' expected, got ''" },
    { { cgroups = { ["a/b.c"] = 1 } }, "cgroups[\"a/b.c\"]: the name of a cgroup's file expected, as cpu.weight, got 'a/b.c'" },
    { { parent_cgroup = "/a" }, "parent_cgroup: a relative path without '.' and '..' expected, got '/a'" },
    { { parent_cgroup = "a/../b" }, "parent_cgroup: a relative path without '.' and '..' expected, got 'a/../b'" },
    { { resource_limits = { nofile = 1 } }, "resource_limits.nofile: unknown key (did you mean 'no_file'?)" },
    { { resource_limits = { fsize = -1 } }, "resource_limits.fsize: at least 0 expected, got -1" },
    { { staging = { "magic" } }, "staging[1]: one of 'link', 'reflink', 'bind', 'copy', 'node' expected, got 'magic'" },
    { { staging = {} }, "staging: at least 1 item expected, got 0" },
    { { staging_for = { kernel = { "x" } } }, "staging_for.kernel[1]: one of 'link', 'reflink', 'bind', 'copy', 'node' expected, got 'x'" },
    { { daemonise = true }, "daemonise: unknown key (did you mean 'daemonize'?)" },
    { { chroot_strategy = "naive" }, "chroot_strategy: function expected, got string" },
  } do
    it("refuses " .. case[2], function ()
      local ok, err = pcall(fc.new, config(case[1]))
      assert.is_false(ok)
      assert.equal("config.jailer." .. case[2], err.message)
    end)
  end

  it("needs a user and a group", function ()
    local _, err = pcall(fc.new, { jailer = { gid = 1 } })
    assert.equal("config.jailer.uid: integer expected, got nil", err.message)
  end)

  for _, id in ipairs { "a_b", "", ("x"):rep(65), "../x" } do
    it("takes no id " .. id, function ()
      local _, err = pcall(fc.new, config(nil, { id = id }))
      assert.equal("config.id", err.field and "config." .. err.field:gsub("^config%.", ""))
    end)
  end

  it("puts its check into every flow of a jailed machine, and its staging before the start", function ()
    local flow = assert(fc.new(config())).flow
    assert.is_true(flow:has "validate.JailerCfg")
    local names = {}
    for i, step in ipairs(flow.fcinit) do
      names[step.name] = i
    end
    assert.is_true(names["fcinit.CreateLogFilesHandler"] < names["fcinit.LinkFilesToRootFS"])
    assert.is_true(names["fcinit.LinkFilesToRootFS"] < names["fcinit.StartVMM"])
    flow = assert(fc.new(config { chroot_strategy = function (given) return given end })).flow
    assert.is_true(flow:has "validate.JailerCfg")
    assert.is_false(flow:has "fcinit.LinkFilesToRootFS")
    flow = fc.jail.naive(fc.jail.naive(assert(fc.flow "boot")))
    assert.equal(1, select(2, tostring(flow):gsub("LinkFilesToRootFS", "")))
    assert.is_false(assert(fc.new {}).flow:has "validate.JailerCfg")
  end)
end)

describe("#root validate.JailerCfg", function ()
  if not is_root or not program then
    it("runs", function () pending "needs root and a firecracker" end)
    return
  end

  local function check (jailer, more)
    local vm = assert(fc.new(config(jailer, more)))
    local ok, err = fc.handlers.validate.jailer_cfg(vm)
    assert.equal(0, #vm.undo)
    return ok, err
  end

  it("is content with what is there, and made nothing", function ()
    assert(check())
    assert(check { chroot_base_dir = "/srv/jailer" })   -- made when it is needed
    assert(check { numa_node = 0, cgroup_version = 1 } or true)
    assert.is_nil(files.look "/nonexistent")
  end)

  it("names the field of what is not", function ()
    sh.tmpdir(function (dir)
      sh(("cd %s; mkdir -m 777 open; mkdir mine; : >plain"):format(dir))
      for _, case in ipairs {
        { "jailer.jailer_binary", "/bin/absent", { jailer_binary = "/bin/absent" } },
        { "jailer.jailer_binary", "is not on PATH", { jailer_binary = "absent-jailer" } },
        { "jailer.jailer_binary", "is no plain file", { jailer_binary = dir .. "/mine" } },
        { "vmm.binary", "cannot run the VMM", nil, { vmm = { binary = dir .. "/plain" } } },
        { "vmm.binary", "is no plain file", nil, { vmm = { binary = dir .. "/mine" } } },
        { "jailer.chroot_base_dir", "no directory", { chroot_base_dir = dir .. "/absent" } },
        { "jailer.chroot_base_dir", "no directory", { chroot_base_dir = dir .. "/plain" } },
        { "jailer.chroot_base_dir", "is not ours alone", { chroot_base_dir = dir .. "/open" } },
        { "jailer.numa_node", "no node 4711 on this host", { numa_node = 4711 } },
        { "jailer.cgroups[\"cpuset.cpus\"]", "not allowed beside numa_node", { numa_node = 0, cgroups = { ["cpuset.cpus"] = 0 } } },
        { "jailer.cgroups[\"absent.max\"]", "no hierarchy of cgroups for it: .*absent", { cgroups = { ["absent.max"] = 0 } } },
        { "jailer.cgroups[2]", "no hierarchy of cgroups for it: .*absent", { cgroups = { "pids.max=9", "absent.max=0" } } },
        { "vmm.environment", "the jailer empties it", nil, { vmm = { binary = program, environment = { A = "b" } } } },
        { "console", "no standard output", { daemonize = true }, { console = "inherit" } },
        { "jailer.stdout", "not allowed beside console", { stdout = "/dev/null" }, { console = "inherit" } },
      } do
        local ok, err = check(case[3], case[4])
        assert.is_nil(ok, case[2])
        assert.equal("config", err.code)
        assert.equal(case[1], err.field)
        assert.matches(case[2], err.message)
        assert.matches("config." .. case[1]:gsub("%p", "%%%0") .. ": ", err.message)
      end
    end)
  end)

  it("takes no file of the other version of cgroups", function ()
    local has = { {}, {} }   -- by version: where each controller is
    for line in io.lines "/proc/self/mountinfo" do
      local point, kind, options = line:match "^%S+ %S+ %S+ %S+ (%S+) .- %- (%S+) %S+ (%S+)"
      if kind == "cgroup2" then
        for name in io.open(point .. "/cgroup.controllers"):read "a":gmatch "%S+" do has[2][name] = point end
      elseif kind == "cgroup" then
        for name in options:gmatch "[^,]+" do has[1][name] = point end
      end
    end
    local files_of = {
      cpu = { { "cpu.shares", "cpu.cfs_quota_us" }, { "cpu.weight", "cpu.max" } },
      memory = { { "memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.soft_limit_in_bytes" },
                 { "memory.max", "memory.high", "memory.swap.max" } },
    }
    local seen
    for controller, names in pairs(files_of) do
      for version = 1, 2 do
        for _, name in ipairs(has[version][controller] and names[3 - version] or {}) do
          seen = true
          local _, err = check { cgroups = { [name] = 400 } }
          assert.same({ "config", ('jailer.cgroups["%s"]'):format(name) }, { err.code, err.field })
          assert.equal(("validate.JailerCfg: config.%s: '%s=400' is of version %d of cgroups, here %s is in version %d (%s)"):format(
            err.field, name, 3 - version, controller, version, has[version][controller]), err.message)
          assert.equal("jailer.cgroups[2]", select(2, check { cgroups = { names[version][1] .. "=9", name .. "=400" } }).field)
        end
        for _, name in ipairs(has[version][controller] and names[version] or {}) do
          assert(check { cgroups = { [name] = 400 } })
        end
      end
    end
    if not seen then
      pending "neither cpu nor memory is in a hierarchy of cgroups here"
    end
  end)

  it("asks an old jailer's release only about a program whose name it would refuse", function ()
    local jailer = os.getenv "JAILER" or sh "command -v jailer":match "%S+"
    if not jailer then
      return pending "no jailer here"
    end
    sh.tmpdir(function (dir)
      sh(("cp %s %s/vmm"):format(program, dir))
      local release = sh(jailer .. " --version"):match "v(%d+%.%d+)"
      local ok, err = check({ jailer_binary = jailer }, { vmm = { binary = dir .. "/vmm" } })
      if tonumber((release:gsub("^1%.", ""))) < 13 then
        assert.is_nil(ok)
        assert.equal("vmm.binary", err.field)
        assert.matches("a name that contains 'firecracker' expected by jailer 1", err.message)
      else
        assert.is_true(ok)
      end
    end)
  end)

  it("names the capability that is missing", function ()
    local lua = [[
      local fc = require "firecracker"
      local vm = fc.new { jailer = { uid = 1, gid = 1 } }
      print(select(2, fc.handlers.validate.jailer_cfg(vm)).message)]]
    local out = sh(("setpriv --bounding-set=-mknod,-sys_admin --inh-caps=-all lua5.4 -e %s"):format(sh.quote(lua)))
    assert.matches("config.jailer: this process lacks CAP_SYS_ADMIN, CAP_MKNOD\n", out)
  end)

  it("refuses a jail of the id that is there", function ()
    sh.tmpdir(function (dir)
      local name = files.canonical(program):match "[^/]+$"
      sh(("mkdir -p %s/%s/there"):format(dir, name))
      local ok, err = check({ chroot_base_dir = dir }, { id = "there" })
      assert.is_nil(ok)
      assert.same({ "id", "EEXIST" }, { err.field, err.errno })
      assert(check({ chroot_base_dir = dir, adopt = true }, { id = "there" }))
    end)
  end)
end)
