-- Random mutations of valid configurations, ours against the real VMM's verdict. SEED and CASES in the environment choose
-- others. What we accept the VMM accepts, as we would send it; what we refuse and the VMM takes is an exception with a name
-- and a reason below. Each case has a VMM of its own: nothing of one is left for the next.

local bed = require "spec.support.bed"
local config = require "firecracker.config"
local copy = require "firecracker.copy"
local core = require "firecracker.core"
local errors = require "firecracker.errors"
local fc = require "firecracker"
local gate = require "firecracker.api.gate"
local leaks = require "spec.support.leaks"
local lfs = require "lfs"
local models = require "firecracker.api.models"
local operations = require "firecracker.api.operations"
local release = require "firecracker.release"

local SEED <const> = tonumber(os.getenv "SEED") or os.time()
local CASES <const> = tonumber(os.getenv "CASES") or 2000

-- Where we are stricter: a pattern of our refusal, and why.
local STRICTER <const> = {
  { "got userdata", "null stands for absent in some fields and is refused in others: leave absent ones out" },
  { "partuuid: allowed only with is_root_device", "the VMM ignores it for other drives, so that it is a mistake" },
  { "guest_cid: 3 to", "0 to 2 are taken by the hypervisor, the loopback and the host" },
  { "limiter%.%a+%.[^ ]*: unknown key", "the VMM ignores unknown keys of a bucket, so that a misspelt one is silence" },
  { "limiter%.%a+%[", "the same" },
  { "^config%.metrics[^ ]*: unknown key", "the VMM ignores unknown keys of metrics" },
  { "metrics%.[%a_]+ needs Firecracker", "the same: older releases ignore what they do not know" },
  { "metrics%.emit_id: boolean expected", "the same" },
  { "metrics%.properties.*expected", "the same" },
  { "%[1%]: unknown key", "the VMM takes a list for a structure's fields in their order; nobody means that" },
  { "cpu_config%[", "the same" },
  { "_modifiers%[%d%][^ ]*: unknown key", "the VMM ignores unknown keys there, so that a misspelt one is silence" },
  { "path expected, got an empty string", "an empty path names nothing" },
  { "name of a tap device expected", "no interface can have such a name" },
  { "is taken by %[", "two devices of one id: the VMM lets the second replace the first" },
  { "a number of 32 bits", "the VMM tells of it at the start alone" },
  { "refill_time: 0 to %d", "with more the VMM limits nothing, and does not tell" },
  { "a multiple of", "the VMM tells of it at the start alone" },
}

-- Refusals of the VMM that are about files and the host, not about the configuration.
local HOST <const> = { "os error", "Invalid TUN/TAP", "Inserting string would make", "Hugetlbfs", "Invalid interface name" }

local function matches (text, list)
  for _, each in ipairs(list) do
    if text:find(type(each) == "table" and each[1] or each) then
      return true
    end
  end
  return false
end

-- Mutation --------------------------------------------------------------------------------------------------------------

local random = math.random

local function pick (list)
  return list[random(#list)]
end

local WORDS <const> = {
  "", "x", "d_1", "d-1", "eth0", "root", "é", "a b", "V1", "V2", "None", "none", "2M", "Transparent", "T2", "V1N1", "t2",
  "Unsafe", "Writeback", "Sync", "Async", "Info", "warn", "OFF", "AA:FC:00:00:00:01", "AA:FC:00:00:00", "aa-fc-00-00-00-01",
  "169.254.169.254", "169.254.0.1", "169.254.255.1", "10.0.0.1", "169.254.1.999", "169.254.170.02", "0x1", "0b1", "1", "0x", "0b",
  "0x100000000", "0b0", "0bx1", "x1", "0b2", "!1", "!", "1!", "4294967295", "4294967296", "eax", "rax", "line\nbreak", "\t",
  ("l"):rep(16), ("p"):rep(108), ("a"):rep(2047), ("a"):rep(2048), ("0bx"):rep(40),
}
local NUMBERS <const> = { -1, 0, 1, 2, 3, 31, 32, 33, 64, 67, 68, 127, 128, 129, 255, 256, 65535, 65536, 0x7fffffff, 0x80000000,
                          0xffffffff, 0x100000000, 1 << 53, math.maxinteger, 1.5, -0.5, 1e3, 1e300 }

local function value ()
  local kind = random(12)
  if kind <= 4 then
    return pick(WORDS)
  elseif kind <= 8 then
    return pick(NUMBERS)
  elseif kind == 9 then
    return random(2) == 1
  elseif kind == 10 then
    return pick { fc.array(), {}, fc.array { "x" }, fc.array { 1, 2 }, { x = 1 } }
  elseif kind == 11 then
    return fc.null
  end
  return { size = pick(NUMBERS), refill_time = pick(NUMBERS) }
end

local function model_value (field)      -- one that fits, mostly
  if field.enum then
    return pick(field.enum)
  elseif field.model then
    local result = {}
    for _, each in ipairs(models[field.model].fields) do
      if each.required or random(3) == 1 then
        result[each.name] = model_value(each)
      end
    end
    return result
  elseif field.type == "integer" then
    return random(field.min or 0, math.min(field.max or 1024, 1024))
  elseif field.type == "boolean" then
    return random(2) == 1
  elseif field.type == "list" then
    local list = fc.array()
    for i = 1, random(0, 2) do
      list[i] = model_value(field.item)
    end
    return list
  elseif field.type == "map" then
    return { x = "y" }
  end
  return pick(WORDS)
end

-- Every table of a configuration with the model it has.
local function places (tables, body, model)
  tables[#tables + 1] = { body, model }
  for _, field in ipairs(models[model].fields) do
    local below, inner = body[field.name], field.model or field.item and field.item.model
    if type(below) == "table" and inner then
      for _, each in ipairs(field.item and below or { below }) do
        if type(each) == "table" then
          places(tables, each, inner)
        end
      end
    end
  end
end

local SECTIONS <const> = {}    -- in the order of the flow
for _, name in ipairs { "logger", "metrics", "machine_config", "cpu_config", "boot_source", "serial", "drives", "pmem",
                        "network_interfaces", "vsock", "balloon", "entropy", "memory_hotplug", "mmds_config" } do
  for _, operation in ipairs(operations) do
    if operation.section == name and operation.method == "PUT" then
      SECTIONS[#SECTIONS + 1] = operation
    end
  end
end

local function mutate (t)
  local operation = pick(SECTIONS)
  local section = t[operation.section]
  local field = { model = operation.body }
  if section == nil then
    t[operation.section] = operation.each and { model_value(field) } or model_value(field)
    return
  elseif type(section) ~= "table" then
    return
  elseif operation.each and random(8) == 1 then
    table.insert(section, random(3) == 1 and copy.deep(section[1]) or model_value(field))
    return
  end
  local tables = {}
  for _, body in ipairs(operation.each and section or { section }) do
    if type(body) == "table" then
      places(tables, body, operation.body)
    end
  end
  if #tables == 0 then
    return
  end
  local body, model = table.unpack(pick(tables))
  local chosen = pick(models[model].fields)
  local kind = random(10)
  if kind <= 3 then
    body[chosen.name] = value()
  elseif kind <= 7 then
    body[chosen.name] = model_value(chosen)
  elseif kind == 8 then
    body[chosen.name] = nil
  elseif kind == 9 then
    body[pick { "bogus", "x", chosen.name .. "s" }] = value()
  else
    t[operation.section] = value()
  end
end

-- Verdicts --------------------------------------------------------------------------------------------------------------

local have

local function show (t)
  local ok, text = pcall(core.json.encode, t)
  return ok and text or "cannot be shown"
end

-- The checked configuration, or nil and why we refuse it.
local function ours (t)
  local ok, checked = errors.pcall(config.check, t)
  if not ok then
    return nil, checked.message
  end
  local lacking = gate.check_config(checked, function () return have end)
  return not lacking and checked or nil, lacking and lacking.message
end

-- Why the VMM refuses it; nil when it takes all of it.
local function theirs (api, t)
  for _, operation in ipairs(SECTIONS) do
    local section = t[operation.section]
    local list = operation.each and type(section) == "table" and (#section > 0 or next(section) == nil)
    for _, body in ipairs(section ~= nil and (list and section or { section }) or {}) do
      local id = operation.each and type(body) == "table" and body[operation.each]
      local path = operation.path:gsub("{[%w_]+}", type(id) == "string" and id ~= "" and not id:find "[^%w_-]" and id or "x")
      local sent, ok, err = pcall(api.request, api, operation.method, path, body)
      if not sent then
        return "cannot be sent: " .. tostring(ok)
      elseif not ok then
        return ("%s %s: %s"):format(operation.method, path, err.fault_message or err.message)
      end
    end
  end
end

describe("#kvm a configuration mutated at random", function ()
  local base, checked_api

  leaks.check(before_each, after_each, teardown)

  -- What the VMM makes at relative paths goes where nothing else is.
  local image, here, scratch
  setup(function ()
    here, scratch = lfs.currentdir(), bed.scratch "directory"
    assert(lfs.mkdir(scratch))
    image = bed.write(bed.scratch "image", ("\0"):rep(4096))
    have = assert(release.of_binary(require("firecracker.launch.direct").find(config.check {})))
    base = {
      boot_source = { kernel_image_path = bed.guest "exit", boot_args = "console=ttyS0" },
      machine_config = { vcpu_count = 2, mem_size_mib = 128, smt = false },
      drives = { { drive_id = "root", path_on_host = image, is_root_device = true, is_read_only = false,
                   rate_limiter = { ops = { size = 1, refill_time = 1 } } } },
      network_interfaces = { { iface_id = "eth0", host_dev_name = leaks.links .. "d", guest_mac = "AA:FC:00:00:00:01" } },
      balloon = { amount_mib = 1, deflate_on_oom = true },
      entropy = { rate_limiter = { bandwidth = { size = 1, refill_time = 1 } } },
      cpu_config = { kvm_capabilities = { "!1" }, cpuid_modifiers = { { leaf = "0x1", subleaf = "0x0", flags = 0,
        modifiers = { { register = "eax", bitmap = "0b1" } } } }, msr_modifiers = { { addr = "0x10a", bitmap = "0b1" } } },
      mmds_config = { network_interfaces = { "eth0" }, version = "V2" },
    }
  end)
  before_each(function () assert(lfs.chdir(scratch)) end)
  after_each(function () assert(lfs.chdir(here)) end)
  teardown(function ()
    os.remove(image)
    os.execute("rm -rf " .. scratch)
  end)

  -- A VMM of its own, where it cannot make a socket or a file that stays.
  local function with_vmm (fn)
    local vm <close> = fc.new({ run_dir = leaks.run_dir }, fc.flow { fcinit = { fc.handlers.fcinit.start_vmm } })
    assert(vm:start())
    checked_api = vm.api
    local result = fn(vm)
    return result
  end

  it(("is accepted only where the VMM accepts it: %d cases, seed %d"):format(CASES, SEED), function ()
    math.randomseed(SEED)
    local wrong, accepted, refused, host = {}, 0, 0, 0
    for case = 1, CASES do
      local t = copy.deep(base)
      with_vmm(function (vm)
        local directory = vm.directory
        t.vsock = { guest_cid = 3, uds_path = directory .. "/v.sock" }
        t.logger = { log_path = bed.write(directory .. "/log", ""), level = "Info" }
        t.metrics = { metrics_path = bed.write(directory .. "/metrics", "") }
        if random(4) > 1 then     -- a tap takes long to go
          t.network_interfaces, t.mmds_config = nil, nil
        end
        for _ = 1, random(1, 2) do
          mutate(t)
        end
        for _, interface in ipairs(type(t.network_interfaces) == "table" and t.network_interfaces or {}) do
          local name = type(interface) == "table" and interface.host_dev_name
          if type(name) == "string" and #name < 16 and name:find "^[%w_.-]+$" then
            interface.host_dev_name = base.network_interfaces[1].host_dev_name   -- the VMM makes what is not there
          end
        end
        local checked, refusal = ours(t)
        if checked and type(checked.cpu_config) == "string" then
          checked.cpu_config = nil   -- names a file; what it holds is sent
        end
        if checked and checked.metrics and not checked.metrics.metrics_path then
          checked.metrics = nil   -- go through a FIFO of ours
        end
        local fault = theirs(checked_api, checked or t)
        if not checked then
          refused = refused + 1
          if not fault and not matches(refusal, STRICTER) then
            wrong[#wrong + 1] = ("case %d: we refuse: %s; the VMM does not: %s"):format(case, refusal, show(t))
          end
        elseif not fault then
          accepted = accepted + 1
        elseif matches(fault, HOST) then
          host = host + 1
        else
          wrong[#wrong + 1] = ("case %d: we accept, the VMM: %s: %s"):format(case, fault, show(t))
        end
      end)
    end
    assert(#wrong == 0, ("%d of %d:\n%s"):format(#wrong, CASES, table.concat(wrong, "\n", 1, math.min(#wrong, 12))))
    assert.is_true(accepted > CASES / 20 and refused > CASES / 10, ("%d accepted, %d refused, %d by the host"):format(accepted,
      refused, host))
  end)
end)
