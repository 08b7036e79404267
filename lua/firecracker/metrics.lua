--- The VMM's metrics: its JSON objects added up, and written as Prometheus text.
-- A counter in an object is what was counted since the object before; other values are as they are now. The objects come
-- from a process that may be anybody's by now: nothing makes this raise, and the sum's size is bounded.
-- @module firecracker.metrics

local core = require "firecracker.core"
local errors = require "firecracker.errors"
local length <const> = require "firecracker.config.values".length

local metrics = {}

local VALUES <const> = 16384   -- of a sum at most; a hundred devices have a quarter of it
local DEPTH <const> = 4
local FIRST <const> = '{"utc_timestamp_ms":'

-- What is no counter: a group, members of groups, and what ends a name.
local LATENCIES <const> = "latencies_us"
local MEMBERS <const> = {
  api_server = { process_startup_time_us = true, process_startup_time_cpu_us = true },
  seccomp = { num_faults = true },
  signals = { sigbus = true, sighup = true, sigill = true, sigsegv = true, sigxcpu = true, sigxfsz = true },
  vmm = { panic_count = true },
}
local AGGREGATES <const> = { min_us = true, max_us = true }
local VHOST <const> = { init_time_us = true, activate_time_us = true, config_change_time_us = true }

-- Devices of which a VMM has several: their groups begin so, and a group of that name, where there is one, is their sum.
local DEVICES <const> = { "vhost_user_block", "block", "net", "pmem" }

local function is_gauge (group, name, part)
  return group == LATENCIES or AGGREGATES[part] or MEMBERS[group] and MEMBERS[group][name]
    or VHOST[name] and group:find "^vhost_user_" ~= nil or false
end

local DECODING <const> = { null = false }

--- Decode a line. Where a full FIFO took only the beginning of an object, the next one follows it in the same line.
-- @tparam string line
-- @treturn[1] table
-- @return[2] nil (none is in it)
function metrics.decode (line)
  local object = core.json.decode(line, DECODING)
  if type(object) ~= "table" then
    local at, next_at = nil, line:find(FIRST, 2, true)
    while next_at do
      at, next_at = next_at, line:find(FIRST, next_at + 1, true)
    end
    object = at and core.json.decode(line:sub(at), DECODING)
  end
  return type(object) == "table" and type(object.utc_timestamp_ms) == "number" and object or nil
end

local function plus (a, b)
  local sum = a + b
  return sum < a and a + 0.0 + b or sum   -- an integer that does not fit any more
end

--- Make an empty sum.
-- @treturn table its `values` are what @{add} has added up
function metrics.new ()
  return { values = {}, size = 0 }
end

local function add (sum, into, object, group, name, depth)
  for key, value in pairs(object) do
    local had = into[key]
    if type(key) ~= "string" or (had == nil and sum.size >= VALUES) then
      goto continue
    elseif type(value) == "table" then
      if depth < DEPTH and (had == nil or type(had) == "table") then
        sum.size = sum.size + (had and 0 or 1)
        into[key] = had or {}
        add(sum, into[key], value, group or key, group and (name or key), depth + 1)
      end
    elseif type(value) == "number" and value == value and group then
      sum.size = sum.size + (had and 0 or 1)
      local counts = value >= 0 and type(had) == "number" and not is_gauge(group, name or key, name and key)
      if type(had) ~= "table" and (value >= 0 or not had) then
        into[key] = counts and plus(had, value) or value
      end
    elseif type(value) ~= "userdata" and type(had) ~= "table" then
      sum.size = sum.size + (had == nil and 1 or 0)
      into[key] = value
    end
    ::continue::
  end
end

--- Add an object to a sum.
-- @tparam table sum of @{new}
-- @tparam table object as @{decode} gives it
function metrics.add (sum, object)
  add(sum, sum.values, object, nil, nil, 1)
end

--- What a sum holds, as a table of its own.
-- @tparam table sum
-- @treturn table groups as Firecracker names them, with devices as `net_eth0`, and `utc_timestamp_ms` of the last object
function metrics.values (sum)
  return require("firecracker.copy").deep(sum.values)
end

---------------------------------------------------------------------------------------------------
-- Prometheus
---------------------------------------------------------------------------------------------------

local function plain (name)
  return (name:gsub("[^%w_]", "_"))
end

local ESCAPES <const> = { ["\\"] = "\\\\", ['"'] = '\\"', ["\n"] = "\\n" }

local function readable (text)
  return utf8.len(text) and text or text:gsub("[\x80-\xff]", "?")
end

local function label (name, value)
  return ('%s="%s"'):format(name, (readable(tostring(value)):gsub('[\\"\n]', ESCAPES)))
end

local function refuse (message, ...)
  errors.raise(3, { code = "usage", message = "prometheus: " .. message:format(...) })
end

local LABEL_TYPES <const> = { string = true, number = true, boolean = true }

-- Put labels of the user's, which stand at `place`, into others.
local function put_labels (into, place, labels)
  if labels ~= nil and type(labels) ~= "table" then
    refuse("%slabels: table expected, got %s", place, errors.shown(labels))
  end
  for name, value in pairs(labels or {}) do
    if type(name) ~= "string" or not name:find "^[%a_][%w_]*$" or name:find "^__" or name == "device" then
      refuse("%slabels: '%s' cannot be the name of a label", place, tostring(name))
    elseif not LABEL_TYPES[type(value)] then
      refuse("%slabels.%s: string expected, got %s", place, name, type(value))
    end
    into[name] = value
  end
end

-- The labels of a machine, sorted and ready; its own go before those of all.
local function labels_of (common, place, own)
  local merged, list = {}, {}
  put_labels(merged, "", common)
  put_labels(merged, place, own)
  for name, value in pairs(merged) do
    list[#list + 1] = label(name, value)
  end
  table.sort(list)
  return list
end

-- What several machines, or one, have to tell: a list of their metrics and their labels.
local function machines_of (values, common)
  local count, machines, seen = length(values), {}, {}
  if not count and values[1] == nil then
    return { { values, labels_of(common) } }
  elseif not count then
    refuse "the metrics of one machine or a list of several expected, got both"
  end
  for i = 1, count do
    local machine, place = values[i], ("[%d]: "):format(i)
    if type(machine) ~= "table" or type(machine[1]) ~= "table" then
      refuse("%stable of metrics and its labels expected, got %s", place,
        type(machine) == "table" and "one of " .. type(machine[1]) or type(machine))
    end
    local labels = labels_of(common, place, machine[2])
    local text = table.concat(labels, ",")
    if seen[text] then
      refuse("%slabels that tell it from [%d] expected, got %s", place, seen[text], text == "" and "none" or "the same")
    end
    machines[i], seen[text] = { machine[1], labels }, i
  end
  return machines
end

local function number (value)
  if math.type(value) == "integer" then
    return ("%d"):format(value)
  end
  return value == math.huge and "+Inf" or value == -math.huge and "-Inf" or ("%.17g"):format(value)
end

-- The device that a group is of.
local function device_of (group)
  for _, kind in ipairs(DEVICES) do
    local id = group:match("^" .. kind .. "_(.+)$")
    if id then
      return kind, id
    end
  end
end

local function sorted (t)
  local keys = {}
  for key in pairs(t) do
    keys[#keys + 1] = key
  end
  table.sort(keys, function (a, b) return tostring(a) < tostring(b) end)
  return keys
end

local function put (families, taken, name, path, gauge, labels, value)
  name = "firecracker_" .. plain(name) .. (gauge and "" or "_total")
  local family = families[name]
  if not family then
    family = { gauge = gauge, path = path }
    families[name] = family
  end
  local sample = name .. (#labels > 0 and ("{%s}"):format(table.concat(labels, ",")) or "")
  if not taken[sample] then   -- names that differ only in what a name may not hold
    taken[sample] = true
    family[#family + 1] = ("%s %s"):format(sample, number(value))
  end
end

local function put_group (families, taken, group, values, labels)
  local kind, id = device_of(group)
  if kind then
    labels = { label("device", id), table.unpack(labels) }
  end
  for _, key in ipairs(sorted(values)) do
    local value = values[key]
    local prefix = ("%s_%s"):format(kind or group, key)
    if type(value) == "number" then
      put(families, taken, prefix, ("%s.%s"):format(kind or group, key), is_gauge(group, key), labels, value)
    elseif type(value) == "table" then
      for _, part in ipairs(sorted(value)) do
        if type(value[part]) == "number" then
          put(families, taken, ("%s_%s"):format(prefix, part), ("%s.%s.%s"):format(kind or group, key, part),
            is_gauge(group, key, part), labels, value[part])
        end
      end
    end
  end
end

-- The sum of a kind is left out where its devices are there: together they would count twice.
local function is_sum (values, group)
  for other in pairs(values) do
    if device_of(other) == group then
      return true
    end
  end
  return false
end

--- Write metrics in Prometheus' text format. Counters end in `_total`; devices are told apart by the label `device`.
-- @tparam table values as of `vm:metrics()`; or a list of `{ values, labels }`, the metrics of several machines, which their
-- labels tell apart
-- @tparam[opt] table labels names and values, put on each sample; of several machines each one's own go before them
-- @treturn string
function metrics.prometheus (values, labels)
  if type(values) ~= "table" then
    errors.raise(2, { code = "usage", message = "prometheus: table of metrics expected, got " .. type(values) })
  end
  local families, taken = {}, {}
  for _, machine in ipairs(machines_of(values, labels)) do
    local groups, own = table.unpack(machine)
    for _, group in ipairs(sorted(groups)) do
      local value = groups[group]
      if type(value) == "number" then
        put(families, taken, group, group, true, own, value)
      elseif type(value) == "table" and not is_sum(groups, group) then
        put_group(families, taken, group, value, own)
      end
    end
  end
  local lines = {}
  for _, name in ipairs(sorted(families)) do
    local family = families[name]
    lines[#lines + 1] = ("# HELP %s Firecracker's %s"):format(name, (readable(family.path):gsub("[\\%c]", "?")))
    lines[#lines + 1] = ("# TYPE %s %s"):format(name, family.gauge and "gauge" or "counter")
    table.move(family, 1, #family, #lines + 1, lines)
  end
  lines[#lines + 1] = #lines > 0 and "" or nil
  return table.concat(lines, "\n")
end

return metrics
