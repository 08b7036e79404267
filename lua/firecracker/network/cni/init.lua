--- CNI: networks made by plugins, as the specification 1.1 (and 0.3 to 1.0) describes and libcni does it.
-- Plugins run without a shell, with CNI's variables and PATH and nothing else.
-- @module firecracker.network.cni
-- @see https://www.cni.dev/docs/spec

local command = require "firecracker.network.command"
local core = require "firecracker.core"
local errors = require "firecracker.errors"

local files, json = core.files, core.json
local cni = {}

local OLDEST <const>, NEWEST <const> = "0.3.0", "1.1.0"
local SECONDS <const> = 60   -- that one plugin may take

--- The plugin whose work is done here where it is not installed.
cni.REDIRECT = "tc-redirect-tap"

local function refuse (field, message, ...)
  return nil, errors.new { code = "cni", field = field, message = message:format(...) }
end

-- Configurations ---------------------------------------------------------------------------------------------------

local function number (version)
  local major, minor, patch = tostring(version):match "^(%d%d?%d?)%.(%d%d?%d?)%.(%d%d?%d?)$"
  return major and (major * 1000 + minor) * 1000 + patch or nil
end

-- The newest of the versions that a configuration offers and we know.
local function choose_version (raw)
  local best
  local offered = type(raw.cniVersions) == "table" and table.move(raw.cniVersions, 1, #raw.cniVersions, 1, {}) or {}
  offered[#offered + 1] = raw.cniVersion
  for _, version in ipairs(offered) do
    local n = number(version)
    if n and n <= number(NEWEST) and (not best or n > number(best)) then
      best = version
    end
  end
  return best and number(best) >= number(OLDEST) and best or nil
end

local function is_true (value)
  return value == true or (type(value) == "string" and value:lower() == "true")
end

-- What a configuration says, a single plugin's as well, checked as far as it is used here. `more` plugins come after.
local function checked (raw, more)
  if type(raw) ~= "table" or getmetatable(raw) then
    return refuse(nil, "an object expected")
  elseif type(raw.name) ~= "string" or not raw.name:find "^%w[%w_.-]*$" then
    return refuse(nil, "name: letters, digits, '_', '.' and '-' expected, got %s", tostring(raw.name))
  end
  local version = choose_version(raw)
  if not version then
    return refuse(nil, "cniVersion: %s to %s expected, got %s", OLDEST, NEWEST, tostring(raw.cniVersion))
  end
  local plugins = table.move(more or {}, 1, #(more or {}), 1 + (type(raw.plugins) == "table" and #raw.plugins or 0),
    type(raw.plugins) == "table" and table.move(raw.plugins, 1, #raw.plugins, 1, {}) or {})
  if raw.plugins == nil and raw.type ~= nil then
    plugins = { raw }
  end
  for i, plugin in ipairs(plugins) do
    if type(plugin) ~= "table" or type(plugin.type) ~= "string" or plugin.type == "" or plugin.type:find "[/%z]" then
      return refuse(nil, "plugins[%d].type: name of a plugin expected", i)
    end
  end
  if #plugins == 0 then
    return refuse(nil, "it has no plugins")
  end
  return { name = raw.name, version = version, plugins = plugins, disable_check = is_true(raw.disableCheck), raw = raw }
end

local function read (path)
  return require "firecracker.config.file".read(path)
end

-- The files of a directory with one of these endings, sorted; none where there is no such directory.
local function conf_files (directory, ...)
  local names, err = files.list(directory .. "/.")   -- which may be a link
  if not names then
    return err.errno == "ENOENT" and {} or nil, err
  end
  local found = {}
  for _, name in ipairs(names) do
    for _, ending in ipairs { ... } do
      if name:sub(-#ending) == ending then
        found[#found + 1] = directory .. "/" .. name
      end
    end
  end
  table.sort(found)
  return found
end

-- Plugins of a network that have files of their own, in a directory named after it.
local function loose_plugins (directory, raw)
  if is_true(raw.loadOnlyInlinedPlugins) or type(raw.name) ~= "string" or not raw.name:find "^%w[%w_.-]*$" then
    return {}
  end
  local paths, err = conf_files(directory .. "/" .. raw.name, ".conf")
  local plugins = {}
  for i, path in ipairs(paths or {}) do
    plugins[i], err = read(path)
    if not plugins[i] then
      return nil, err
    end
  end
  return paths and plugins, err
end

-- The first file of a directory that has the network, lists before single plugins; false where none has.
local function find_in (directory, name)
  for _, endings in ipairs { { ".conflist" }, { ".conf", ".json" } } do
    local paths, err = conf_files(directory, table.unpack(endings))
    if not paths then
      return nil, err
    end
    for _, path in ipairs(paths) do
      local raw, more, list
      raw, err = read(path)
      if not raw then
        return nil, err
      elseif raw.name == name then
        more, err = loose_plugins(directory, raw)
        if more then
          list, err = checked(raw, more)
        end
        return list, err and not list and errors.context(err, path) or nil
      end
    end
  end
  return false
end

local function find (directories, name)
  for _, directory in ipairs(directories) do
    local list, err = find_in(directory, name)
    if list ~= false then
      return list, err
    end
  end
  return refuse("network_name", "no network '%s' in %s", name, table.concat(directories, ", "))
end

--- Load a network and find its plugins. Nothing is run.
-- @tparam table options `network_name` and `conf_dir`, or `network_config`; `bin_path`
-- @treturn[1] table network: `name`, `version`, `plugins`; `paths` of their programs; `redirect`: to be done here
-- @return[2] nil
-- @treturn[2] err `field` is that of the options
function cni.load (options)
  local list, err
  if options.network_config then
    list, err = checked(options.network_config)
    if err then
      err.field = "network_config"
    end
  else
    list, err = find(options.conf_dir, options.network_name)
  end
  if not list then
    return nil, err
  end
  list.paths, list.redirect = {}, true
  for i, plugin in ipairs(list.plugins) do
    list.paths[i], err = command.find(plugin.type, options.bin_path)
    if plugin.type == cni.REDIRECT and list.paths[i] then
      list.redirect = false
    elseif not list.paths[i] and plugin.type ~= cni.REDIRECT then
      err.field = "bin_path"
      return nil, errors.context(err, "network " .. list.name)
    end
    list.paths[i] = list.paths[i] or false
  end
  return list
end

-- Plugins ----------------------------------------------------------------------------------------------------------

local function arguments (args)
  local words = {}
  for name, value in pairs(args or {}) do
    words[#words + 1] = name .. "=" .. value
  end
  table.sort(words)
  return table.concat(words, ";")
end

-- What a plugin gets on its standard input.
local function input (attachment, plugin, previous)
  local conf, runtime = {}, {}
  for key, value in pairs(plugin) do
    conf[key] = value
  end
  for capability, has in pairs(type(plugin.capabilities) == "table" and plugin.capabilities or {}) do
    if has == true then
      runtime[capability] = (attachment.options.capability_args or {})[capability]
    end
  end
  conf.name, conf.cniVersion, conf.prevResult = attachment.network.name, attachment.network.version, previous
  conf.runtimeConfig = next(runtime) and runtime or conf.runtimeConfig
  return json.encode(conf)
end

-- What a plugin says when it fails: an object with `code`, `msg`, perhaps `details`.
local function failure (what, out, status, stderr)
  local said = json.decode(out, { null = false })
  if type(said) ~= "table" or type(said.msg) ~= "string" then
    said = { msg = ("status %d%s%s"):format(status, stderr ~= "" and ": " or "", stderr) }
  end
  local details = type(said.details) == "string" and said.details ~= "" and "; " .. said.details or ""
  return errors.new { code = "cni", cni_code = said.code, message = ("%s: %s%s"):format(what, said.msg, details) }
end

-- Run one plugin; its answer, decoded, where it has one.
local function invoke (attachment, i, verb, previous)
  local network, options = attachment.network, attachment.options
  local plugin = network.plugins[i]
  local what = ("plugin %s of network %s (%s)"):format(plugin.type, network.name, verb)
  local out, status, stderr = command.run {
    path = network.paths[i], argv = { network.paths[i] }, input = input(attachment, plugin, previous),
    directory = attachment.directory, timeout = SECONDS,
    environment = {
      "CNI_COMMAND=" .. verb, "CNI_CONTAINERID=" .. attachment.id, "CNI_NETNS=" .. attachment.netns,
      "CNI_IFNAME=" .. options.if_name, "CNI_ARGS=" .. arguments(options.args),
      "CNI_PATH=" .. table.concat(options.bin_path, ":"), "PATH=" .. command.path(),
    },
  }
  if not out then
    return nil, errors.context(status, what)
  elseif status ~= 0 then
    return nil, failure(what, out, status, stderr)
  elseif verb ~= "ADD" then
    return true
  end
  local result, err = json.decode(out)
  if type(result) ~= "table" or getmetatable(result) then
    return refuse(nil, "%s: its result is no object%s", what, err and ": " .. err.message or "")
  end
  return result
end

-- Results that are kept ----------------------------------------------------------------------------------------------

local ALPHABET <const> = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

local function base64 (text)
  local padding = (3 - #text % 3) % 3
  text = text .. ("\0"):rep(padding)
  local coded = text:gsub("...", function (three)
    local n = string.unpack(">I3", three)
    return (("%c%c%c%c"):format(ALPHABET:byte((n >> 18) + 1), ALPHABET:byte((n >> 12 & 63) + 1), ALPHABET:byte((n >> 6 & 63) + 1),
      ALPHABET:byte((n & 63) + 1)))
  end)
  return coded:sub(1, #coded - padding) .. ("="):rep(padding)
end

local function cache_path (attachment)
  return ("%s/results/%s-%s-%s"):format(attachment.options.cache_dir, attachment.network.name, attachment.id,
    attachment.options.if_name)
end

-- As libcni keeps it, so that its tools find it.
local function keep (attachment, result)
  local path, args = cache_path(attachment), json.array {}
  for name, value in pairs(attachment.options.args or {}) do
    args[#args + 1] = json.array { name, value }
  end
  local ok, err = files.mkdir_private(attachment.options.cache_dir .. "/results")
  if ok then
    ok, err = files.unlink(path)
  end
  if ok then
    ok, err = files.create(path)
  end
  if not ok then
    return nil, err
  end
  return require "firecracker.config.file".write(path, json.encode {
    kind = "cniCacheV1", containerId = attachment.id, config = base64(json.encode(attachment.network.raw)),
    ifName = attachment.options.if_name, networkName = attachment.network.name, netns = attachment.netns,
    cniArgs = #args > 0 and args or nil, capabilityArgs = attachment.options.capability_args, result = result,
  })
end

-- The result of an ADD; nil where none is kept, or none that can be read.
local function kept (attachment)
  local file <close> = io.open(cache_path(attachment), "rb")
  local value = file and json.decode(file:read "a")
  return type(value) == "table" and value.kind == "cniCacheV1" and type(value.result) == "table" and value.result or nil
end

-- The three verbs ----------------------------------------------------------------------------------------------------

--- Attach a namespace to a network: ADD of each plugin, each with the result of the one before.
-- @tparam table attachment `network` of @{load}; `options`: those of @{load}, and `if_name`, `args`, `capability_args`, `cache_dir`;
-- `id` of the container; `netns`, a path; `directory`, private to us
-- @treturn[1] table the last one's result
-- @return[2] nil
-- @treturn[2] err code "cni", "spawn", "timeout" or "system"
function cni.add (attachment)
  if attachment.options.force or files.look(cache_path(attachment)) then   -- of one that nobody took back
    local ok, err = cni.delete(attachment)
    if not ok then
      return nil, err
    end
  end
  local result, err
  for i in ipairs(attachment.network.plugins) do
    if attachment.network.paths[i] then
      result, err = invoke(attachment, i, "ADD", result)
      if not result then
        return nil, err
      end
    end
  end
  local ok
  ok, err = keep(attachment, result)
  return ok and result, err
end

--- Detach: DEL of each plugin from the last to the first, with the result of ADD. What cannot be done does not keep the
-- others from it.
-- @tparam table attachment
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err the first
function cni.delete (attachment)
  local network, previous = attachment.network, nil
  if number(network.version) >= number "0.4.0" then
    previous = kept(attachment)
  end
  local first
  for i = #network.plugins, 1, -1 do
    local ok, err = true, nil
    if network.paths[i] then
      ok, err = invoke(attachment, i, "DEL", previous)
    end
    first = first or not ok and err or nil
  end
  if first then
    return nil, first
  end
  return files.unlink(cache_path(attachment))
end

--- Ask the plugins whether all is as ADD left it.
-- @tparam table attachment
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err the first
function cni.check (attachment)
  local network = attachment.network
  if number(network.version) < number "0.4.0" then
    return refuse(nil, "network %s: CHECK needs cniVersion 0.4.0, it has %s", network.name, network.version)
  elseif network.disable_check then
    return true
  end
  local previous = kept(attachment)
  if not previous then
    return refuse(nil, "network %s: no result of ADD in %s", network.name, cache_path(attachment))
  end
  for i in ipairs(network.plugins) do
    local ok, err = true, nil
    if network.paths[i] then
      ok, err = invoke(attachment, i, "CHECK", previous)
    end
    if not ok then
      return nil, err
    end
  end
  return true
end

return cni
