--- The manifest beside a snapshot, `<snapshot_path>.json`: of which release and processor it is, how large its files are,
-- the machine's configuration, hashes when asked for. What is read may come from anywhere: its shape is checked.
-- @module firecracker.snapshot.manifest

local address = require "firecracker.network.address"
local config_file = require "firecracker.config.file"
local core = require "firecracker.core"
local errors = require "firecracker.errors"
local release = require "firecracker.release"

local files, tree = core.files, core.tree
local manifest = {}

local ours = setmetatable({}, { __mode = "k" })   -- those that nobody else can have written

local FORMAT <const> = 1
local SUFFIX <const> = ".json"

-- Since which release the VMM writes and reads which format of its own; below the last, and above the first, each minor
-- release has its own.
local FORMATS <const> = { { "1.17", nil }, { "1.16", 10 }, { "1.15", 9 }, { "1.13", 8 }, { "1.12", 6 }, { "1.11", 5 }, { "1.9", 3 },
                          { "1.8", 2 }, { "1.7", 1 } }

local metatable = { __name = "firecracker.manifest" }

function metatable.__tostring (self)
  local size = self.config.machine_config or {}
  return ("<snapshot %s, %s of %s, Firecracker %s, %s, %s vCPU, %s MiB>"):format(self.state.path, self.type:lower(), self.id,
    self.release, self.architecture, size.vcpu_count or "?", size.mem_size_mib or "?")
end

local function refuse (path, format, ...)
  return nil, errors.new { code = "snapshot", path = path, message = ("%s: %s"):format(path, format:format(...)) }
end

--- Where the manifest of a snapshot is.
-- @tparam string path of the snapshot's state, or of the manifest
-- @treturn string
function manifest.path_of (path)
  return path:sub(-#SUFFIX) == SUFFIX and path or path .. SUFFIX
end

-- Shapes: a type's name, or the fields of a table; `list` of tables with a name.
local FILE <const> = { path = "string", size = "integer" }
local SHAPE <const> = { format = "integer", type = "string", id = "string", created = "string", release = "string",
                        architecture = "string", state = FILE, memory = FILE, config = {} }
local LISTS <const> = { drives = "drive_id", network_interfaces = "iface_id", pmem = "id" }
local SECTIONS <const> = { vsock = { uds_path = "string" },
                           machine_config = { vcpu_count = "integer", mem_size_mib = "integer" } }

-- The first field that has not the shape, and what was expected.
local function misshapen (value, shape, at)
  if type(shape) == "string" then
    local kind = shape == "integer" and math.type(value) or type(value)
    return kind ~= shape and at, shape
  elseif type(value) ~= "table" or getmetatable(value) then   -- an array
    return at, "object"
  end
  for name, each in pairs(shape) do
    local found, expected = misshapen(value[name], each, at and at .. "." .. name or name)
    if found then
      return found, expected
    end
  end
end

--- Find what of a configuration, as `vm:full_config` gives it, has not the shape that is relied on.
-- @tparam table config
-- @treturn[1] string its path
-- @treturn[1] string what is expected
-- @return[2] nil
function manifest.misshapen_config (config)
  for name, id in pairs(LISTS) do
    local list = config[name]
    if list ~= nil and type(list) ~= "table" then
      return "config." .. name, "list"
    end
    for key, item in pairs(list or {}) do
      local at = ("config.%s[%s]"):format(name, key)
      if math.type(key) ~= "integer" or type(item) ~= "table" then
        return at, "object"
      elseif type(item[id]) ~= "string" then
        return at .. "." .. id, "string"
      end
      for _, field in ipairs { "path_on_host", "host_dev_name" } do
        if item[field] ~= nil and type(item[field]) ~= "string" then
          return at .. "." .. field, "string"
        end
      end
    end
  end
  for name, shape in pairs(SECTIONS) do
    if config[name] ~= nil then
      local found, expected = misshapen(config[name], shape, "config." .. name)
      if found then
        return found, expected
      end
    end
  end
end

local function misshapen_host (host)
  if host == nil then
    return nil
  elseif type(host) ~= "table" then
    return "host", "object"
  elseif host.vsock ~= nil and type(host.vsock) ~= "string" then
    return "host.vsock", "string"
  end
  if host.addresses ~= nil and type(host.addresses) ~= "table" then
    return "host.addresses", "object"
  end
  for id, list in pairs(host.addresses or {}) do
    for _, text in ipairs(type(list) == "table" and list or { false }) do
      if not (type(id) == "string" and type(text) == "string" and address.cidr(text)) then
        return "host.addresses." .. tostring(id), "list of addresses with their prefixes"
      end
    end
  end
  for _, section in ipairs { "drives", "pmem" } do
    local paths = host[section]
    if paths ~= nil and type(paths) ~= "table" then
      return "host." .. section, "object"
    end
    for id, path in pairs(paths or {}) do
      if type(path) ~= "string" then
        return ("host.%s.%s"):format(section, id), "string"
      end
    end
  end
end

-- A path in a manifest, relative to where that is.
local function resolve (directory, path)
  return path:sub(1, 1) == "/" and path or directory .. "/" .. path
end

--- Read a manifest.
-- @tparam string path of the snapshot's state, or of the manifest
-- @treturn[1] table `type` ("Full", "Diff"), `id`, `created`, `release`, `architecture`, `state` and `memory` (each `path`,
-- `size`, perhaps `sha256`), `config` as of `vm:full_config`, perhaps `host`: what the VMM does not know (`addresses` by interface, a
-- jail's `vsock`, `drives` and `pmem`)
-- @return[2] nil
-- @treturn[2] err code "system" (`errno` ENOENT: there is none), "json" or "snapshot"
function manifest.read (path)
  path = manifest.path_of(path)
  local look, err = files.look(path, true)
  if not look then
    return nil, err
  elseif look.type ~= "file" or look.size > 1 << 20 then
    return refuse(path, "no manifest: a %s of %d bytes", look.type, look.size)
  end
  local file <close>, problem = tree.name(path)
  if not file then
    return nil, problem
  end
  local read
  read, err = config_file.read(path, "/proc/self/fd/" .. file:number())
  look = tree.look(file)
  if not read then
    return nil, err
  elseif read.format ~= FORMAT then
    return refuse(path, "a manifest of format %s, %d is known", tostring(read.format), FORMAT)
  end
  local field, expected = misshapen(read, SHAPE)
  if not field then
    read.config = config_file.from_sections(read.config)
    field, expected = manifest.misshapen_config(read.config)
  end
  if not field then
    field, expected = misshapen_host(read.host)
  end
  if field then
    return refuse(path, "%s: %s expected", field, expected)
  elseif not release.number(read.release) then
    return refuse(path, "release: '%s' is none", read.release)
  end
  read.format = nil
  local directory = assert(files.absolute(path)):match "^(.*)/"
  for _, name in ipairs { "state", "memory" } do
    local part = read[name]
    if part.path == "" or part.path:find "\0" then
      return refuse(path, "%s.path: path expected", name)
    elseif part.sha256 ~= nil and not (type(part.sha256) == "string" and part.sha256:find "^%x+$" and #part.sha256 == 64) then
      return refuse(path, "%s.sha256: 64 hexadecimal digits expected", name)
    end
    part.path = resolve(directory, part.path)
  end
  ours[read] = look and look.uid == files.euid() and look.mode & 18 == 0 or nil   -- 022
  return setmetatable(read, metatable)
end

--- Whether a manifest that was read is ours, and nobody else can have written to it.
-- @tparam table self
-- @treturn boolean
function manifest.is_ours (self)
  return ours[self] == true
end

-- The name where the file lies beside the manifest, so that both can be moved; else its path.
local function relative (directory, path)
  local parent, name = path:match "^(.*)/([^/]+)$"
  return parent == directory and name or path
end

--- The text of a manifest.
-- @tparam table fields as `read` gives them
-- @tparam string path where it will be
-- @treturn string JSON
function manifest.encode (fields, path)
  local directory = path:match "^(.*)/"
  local written = { format = FORMAT }
  for name, value in pairs(fields) do
    written[name] = value
  end
  for _, name in ipairs { "state", "memory" } do
    local part = fields[name]
    written[name] = { path = relative(directory, part.path), size = part.size, sha256 = part.sha256 }
  end
  return core.json.encode(written) .. "\n"
end

--- Make a manifest of its fields.
-- @tparam table fields
-- @treturn table the same
function manifest.new (fields)
  return setmetatable(fields, metatable)
end

-- The VMM's own format of a release; its minor release where nothing is known.
local function format_of (text)
  local number = release.number(text)
  for i, entry in ipairs(FORMATS) do
    if number >= release.number(entry[1]) then
      return i > 1 and entry[2] or number // 1000
    end
  end
  return number // 1000
end

--- Whether one release reads what another wrote.
-- @tparam string reader "1.12.1"
-- @tparam string writer
-- @treturn boolean
function manifest.reads (reader, writer)
  return format_of(reader) == format_of(writer)
end

--- Compare a snapshot's files with their sizes, and hashes when asked for.
-- @tparam table self a manifest
-- @tparam[opt] table options `hashes`; `memory`: false: not the memory; a path: in the place of its own
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err code "snapshot" or "system"
function manifest.check_files (self, options)
  options = options or {}
  for _, name in ipairs { "state", "memory" } do
    local part = self[name]
    local path = name == "memory" and options.memory or part.path
    local own = path == part.path
    if not (name == "memory" and options.memory == false) then
      local look, err = files.look(path, true)
      if not look then
        return nil, err
      elseif look.type ~= "file" then
        return refuse(path, "the snapshot's %s is a %s, no file", name, look.type)
      elseif look.size ~= part.size then
        return refuse(path, "the snapshot's %s has %d bytes, its manifest says %d", name, look.size, part.size)
      elseif options.hashes and own then
        if not part.sha256 then
          return refuse(path, "the manifest has no hash of the %s", name)
        end
        local hash
        hash, err = require("firecracker.snapshot.hash")(path)
        if not hash then
          return nil, err
        elseif hash ~= part.sha256:lower() then
          return refuse(path, "the snapshot's %s is not what was written: its hash differs from the manifest's", name)
        end
      end
    end
  end
  return true
end

return manifest
