--- The words of `fclua run`, those of firectl, and what they are in a configuration.
-- Values are checked by the configuration's schema; what it says comes back in the words used here.
-- @module firecracker.cli.flags

local errors = require "firecracker.errors"
local report = require "firecracker.cli.report"

local flags = {}

local function refuse (name, message, ...)
  return nil, errors.new { code = "usage", message = ("%s: %s"):format(name, message:format(...)) }
end

local function integer (text)
  local number = math.tointeger(tonumber(text))
  return number, not number and ("integer expected, got '%s'"):format(text) or nil
end

local function drive (text, id, is_root)
  local path, mode = text:match "^(.+):(r[ow])$"
  return { drive_id = id, path_on_host = path or text, is_root_device = is_root, is_read_only = mode == "ro" }
end

local function append (config, section, item)
  config[section] = config[section] or {}
  table.insert(config[section], item)
end

-- One record a flag, in the order of --help and of `put`: its name, its argument, what it says, and
--   also     another name
--   field    where its value goes, or the path that errors of it begin with
--   put      puts the value where more than a copy is needed; returns `nil, what is wrong`
--   convert  makes the value of the word
--   many     may be given more than once; `put` gets each
local FLAGS <const> = {
  { "--kernel", "PATH", "the guest's kernel", field = "boot_source.kernel_image_path" },
  { "--kernel-opts", "TEXT", "its command line", field = "boot_source.boot_args" },
  { "--initrd-path", "PATH", "the initial RAM disk", also = "--initrd", field = "boot_source.initrd_path" },
  { "--root-drive", "PATH[:ro|:rw]", "the drive to boot from", field = "drives[1]",
    put = function (config, text)
      append(config, "drives", drive(text, "root", true))
    end },
  { "--root-partition", "UUID", "its partition", field = "drives[1].partuuid",
    put = function (config, uuid)
      if not config.drives then
        return nil, "needs --root-drive"
      end
      config.drives[1].partuuid = uuid
    end },
  { "--add-drive", "PATH[:ro|:rw]", "one more drive; may be repeated", field = "drives", many = true,
    put = function (config, text, i)
      append(config, "drives", drive(text, "drive" .. i, false))
    end },
  { "--tap-device", "DEVICE[/MAC]", "a network interface; may be repeated", field = "network_interfaces", many = true,
    put = function (config, text, i)
      local device, mac = text:match "^(.-)/(.*)$"
      append(config, "network_interfaces",
        { iface_id = "eth" .. i - 1, host_dev_name = device or text, guest_mac = mac })
    end },
  { "--vsock-device", "PATH:CID", "the socket between host and guest", field = "vsock",
    put = function (config, text)
      local path, cid = text:match "^(.+):(%d+)$"
      cid = math.tointeger(tonumber(cid))
      if not cid then
        return nil, ("PATH:CID expected, got '%s'"):format(text)
      end
      config.vsock = { uds_path = path, guest_cid = cid }
    end },
  { "--ncpus", "N", "virtual CPUs", also = "-c", field = "machine_config.vcpu_count", convert = integer },
  { "--memory", "MIB", "guest memory", also = "-m", field = "machine_config.mem_size_mib", convert = integer },
  { "--cpu-template", "NAME", "a CPU template", field = "machine_config.cpu_template" },
  { "--disable-smt", nil, "one thread a core", also = "-t", field = "machine_config.smt",
    put = function (config)
      config.machine_config = config.machine_config or {}
      config.machine_config.smt = false
    end },
  { "--metadata", "JSON", "what the guest finds in its metadata service", field = "mmds",
    put = function (config, text)
      local data, err = require("firecracker.core").json.decode(text)
      if data == nil then
        return nil, err.message
      elseif type(data) ~= "table" then
        return nil, ("a JSON object or list expected, got '%s'"):format(text)
      end
      config.mmds = data
      for _, interface in ipairs(config.network_interfaces or {}) do
        config.mmds_config = config.mmds_config or { network_interfaces = {} }
        table.insert(config.mmds_config.network_interfaces, interface.iface_id)
      end
    end },
  { "--vmm-log-fifo", "PATH", "a FIFO to make and to log through", field = "logger.fifo" },
  { "--log-level", "LEVEL", "what the VMM logs", field = "logger.level" },
  { "--firecracker-log", "FILE", "where the VMM's log goes", also = "-l", field = "logger.log_path",
    put = function (config, path)
      config.logger = config.logger or {}
      if not config.logger.fifo then
        config.logger.log_path = path
        return
      end
      local file, problem = io.open(path, "a")
      if not file then
        return nil, problem
      end
      config.logger.to = function (line)
        local ok, why = report.write(file, line .. "\n")
        if not ok then
          error(("%s: %s"):format(path, why), 0)
        end
      end
    end },
  { "--metrics-fifo", "PATH", "a FIFO to make and to write metrics through", field = "metrics.fifo" },
  { "--id", "NAME", "the machine's name", field = "id" },
  { "--socket-path", "PATH", "the API's socket", also = "-s", field = "vmm.socket_path" },
  { "--exec-file", "PATH", "the firecracker program", also = "--firecracker-binary", field = "vmm.binary" },
  { "--jailer", "PATH", "run the VMM by this jailer; needs --uid and --gid", field = "jailer.jailer_binary" },
  { "--uid", "N", "the jailed VMM's user", field = "jailer.uid", convert = integer },
  { "--gid", "N", "its group", field = "jailer.gid", convert = integer },
  { "--node", "N", "the NUMA node it is kept to", field = "jailer.numa_node", convert = integer },
  { "--chroot-base-dir", "PATH", "where jails are made", field = "jailer.chroot_base_dir" },
  { "--daemonize", nil, "detach the jailed VMM; without a console", field = "jailer.daemonize",
    put = function (config)
      config.jailer = config.jailer or {}
      config.jailer.daemonize = true
    end },
}

-- The key under which argparse keeps its value.
for _, flag in ipairs(FLAGS) do
  flag.key = flag[1]:sub(3):gsub("-", "_")
end

--- Tell a parser of the flags.
-- @tparam table command of argparse
function flags.define (command)
  for _, flag in ipairs(FLAGS) do
    local option = (flag[2] and command.option or command.flag)(command, flag[1])
    local text = flag[3] or ""
    if flag.also then
      option:hidden_name(flag.also)
      text = ("%s (also %s)"):format(text, flag.also)
    end
    option:description(text):target(flag.key):overwrite(false)
    if flag[2] then
      option:argname(flag[2])
    end
    if flag.many then
      option:count "*"
    end
  end
end

local function put_plain (config, field, value)
  local section, key = field:match "^(.*)%.(.*)$"
  if section then
    config[section] = config[section] or {}
    config[section][key] = value
  else
    config[field] = value
  end
end

local function put (config, flag, word, i)
  local value, problem = word, nil
  if flag.convert then
    value, problem = flag.convert(word)
  end
  if problem == nil and flag.put then
    problem = select(2, flag.put(config, value, i))
  elseif problem == nil then
    put_plain(config, flag.field, value)
  end
  return problem
end

--- Make a configuration of what was parsed.
-- @tparam table options
-- @treturn[1] table config
-- @return[2] nil
-- @treturn[2] err code "usage"
function flags.config (options)
  local config = {}
  for _, flag in ipairs(FLAGS) do
    local given = options[flag.key]
    for i, word in ipairs(flag.many and given or { given }) do
      local problem = put(config, flag, word, i)
      if problem then
        return refuse(flag[1], "%s", problem)
      end
    end
  end
  return config
end

-- The flag a field is set by: the closest above it, else the first below.
local function flag_of (field, options)
  local best
  for _, flag in ipairs(FLAGS) do
    local own = flag.field or ""
    local above = field:sub(1, #own) == own and field:sub(#own + 1):find "^[.%[]?" and field:find("^[.%[]", #own + 1)
    if (own == field or above) and (not best or #own > #best.field) and (own ~= "drives[1]" or options.root_drive) then
      best = flag
    end
  end
  for _, flag in ipairs(best and {} or FLAGS) do
    if flag.field and flag.field:sub(1, #field + 1) == field .. "." then
      return flag
    end
  end
  return best
end

local function in_flags (text, options)
  text = text:gsub("config%.([%a_][%w_.%[%]]*)", function (field)
    local flag = flag_of(field, options)
    return flag and flag[1]
  end)
  return (text:gsub("(%-%-[%w-]+): [^:]*: table expected, got nil$", "%1 is required")
              :gsub("(%-%-[%w-]+): [^:]* expected, got nil$", "%1 is required"))
end

--- Word an error in flags: a field of the configuration is called by the one that sets it.
-- `config.machine_config.vcpu_count: 1 to 32 expected, got 99` becomes `--ncpus: 1 to 32 expected, got 99`.
-- @tparam table err an error object; it is changed
-- @tparam table options what was parsed
-- @treturn table err
function flags.blame (err, options)
  err.message = in_flags(err.message, options)
  err.hint = err.hint and in_flags(err.hint, options)
  return err
end

return flags
