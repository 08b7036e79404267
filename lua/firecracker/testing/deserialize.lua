--- Reading a body as the VMM reads it: against the model, in one pass, and with its words for what is wrong, line and
-- column included. @see lua/firecracker/api/models for what is read
-- @module firecracker.testing.deserialize

local json = require "firecracker.testing.json"
local models = require "firecracker.api.models"
local text_reader = require "firecracker.testing.reader"

-- The VMM's own names, as its errors have them.
local STRUCTS <const> = {
  BootSource = "BootSourceConfig", MachineConfiguration = "MachineConfig", Drive = "BlockDeviceConfig",
  PartialDrive = "BlockDeviceUpdateConfig", Metrics = "MetricsConfig", EntropyDevice = "EntropyDeviceConfig",
  Logger = "LoggerConfig", InstanceActionInfo = "ActionBody", RateLimiter = "RateLimiterConfig",
  TokenBucket = "TokenBucketConfig", Balloon = "BalloonDeviceConfig", BalloonUpdate = "BalloonUpdateConfig",
  BalloonStatsUpdate = "BalloonUpdateStatsConfig", BalloonStartCmd = "StartHintingCmd",
  NetworkInterface = "NetworkInterfaceConfig", PartialNetworkInterface = "NetworkInterfaceUpdateConfig",
  Vsock = "VsockDeviceConfig", SnapshotCreateParams = "CreateSnapshotParams", SnapshotLoadParams = "LoadSnapshotConfig",
  MemoryBackend = "MemBackendConfig", Pmem = "PmemConfig", PartialPmem = "PmemDeviceUpdateConfig",
  SerialDevice = "SerialConfig", CpuConfig = "CustomCpuTemplate",
}
-- Enumerations whose values the VMM lists in another order.
local ORDERS <const> = {
  cpu_template = { "C3", "T2", "T2S", "None", "T2CL", "T2A" }, io_engine = { "Async", "Sync" },
}
local PATHS <const> = { metrics_path = true, log_path = true, snapshot_path = true, mem_file_path = true,
                        backend_path = true, serial_out_path = true }

local reader = setmetatable({}, { __index = text_reader })
reader.__index = reader

local function list_of (names)
  for i, name in ipairs(names) do
    names[i] = "`" .. name .. "`"
  end
  if #names <= 2 then
    return table.concat(names, " or ")
  end
  return "one of " .. table.concat(names, ", ")
end

-- Checks that come once the string is read, by field and by rule; their errors are told where the value around it ends.
local function has_word (list, text, ignore_case)
  for _, word in ipairs(list) do
    if word == text or ignore_case and word:lower() == text:lower() then
      return true
    end
  end
  return false
end

local CHECKS <const> = {
  guest_mac = function (text, field)
    return not text:find(field.pattern) and "The provided MAC address is invalid."
  end,
  level = function (text, field)
    return not has_word(field.enum, text, "ignore_case") and "Invalid LevelFilter"
  end,
  register = function (text, field)
    return not has_word(field.enum, text)
      and ("Invalid CPUID register. Must be one of [%s]"):format(table.concat(field.enum, ", "))
  end,
}

local RULES <const> = {
  number = function (text)
    return not text:find "^0[xb]" and ("No supported number system prefix found in value [%s]. Make sure to prefix the " ..
      "number with '0x' for hexadecimal numbers or '0b' for binary numbers."):format(text)
  end,
  bitmap = function (text, bits)
    local digits = text:gsub("^0b", ""):gsub("_", "")
    local unknown = digits:match "[^01x]"
    return #digits > bits and ("Failed to parse string [%s] as a bitmap - string is too long"):format(text)
      or unknown and ("Failed to parse string [%s] as a bitmap - unknown character: %d"):format(text, unknown:byte())
  end,
  capability = function (text)
    return not text:find "^!?%d+$" and ("Failed to parse string [%s] as a kvm capability - can not convert to numeric: " ..
      "invalid digit found in string"):format(text)
  end,
}

function reader:text_of (field)
  if self:space() ~= '"' then
    self:wrong(PATHS[field.name] and "path string" or "a string")
  end
  local text = self:string()
  local check = CHECKS[field.name]
  local problem = check and check(text, field)
  for _, rule in ipairs(field.rules or {}) do
    if rule[1] == "metadata_address" then
      local parts = { text:match "^(%d%d?%d?)%.(%d%d?%d?)%.(%d%d?%d?)%.(%d%d?%d?)$" }
      if #parts == 0 then
        self:fail_read "invalid IPv4 address syntax"
      end
    else
      problem = problem or RULES[rule[1]](text, rule[2])
    end
  end
  if problem then
    self.fail(problem)
  end
  return text
end

function reader:variant_of (field)
  local c = self:space()
  if c ~= '"' then
    self:fail_next(c == "" and "EOF while parsing a value" or "expected value")
  end
  local text, known = self:string(), {}
  for _, value in ipairs(ORDERS[field.name] or field.enum) do
    local arch = field.enum_arch and field.enum_arch[value]
    if arch ~= "arm" and self.has({ since = field.enum_since and field.enum_since[value] }) then
      if value == text then
        return text
      end
      known[#known + 1] = value
    end
  end
  self:fail_read(("unknown variant `%s`, expected %s"):format(text, list_of(known)))
end

function reader:integer_of (field)
  if not self:space():find "[%d-]" then
    self:wrong(field.width)
  end
  local value, called = self:number()
  if math.type(value) == "float" then
    self:fail_read(("invalid type: %s, expected %s"):format(called, field.width))
  end
  local most = ({ u8 = 0xff, u16 = 0xffff, u32 = 0xffffffff })[field.width]
  if type(value) == "number" and value < 0 or most and (type(value) == "table" or value > most) then
    self:fail_read(("invalid value: %s, expected %s"):format(called, field.width))
  end
  return value
end

function reader:value_of (field)
  if (field.nullable or self.partial) and self:space() == "n" then
    self:any()
    return nil
  elseif field.model then
    return self:struct(field.model)
  elseif field.enum and not CHECKS[field.name] then
    return self:variant_of(field)
  elseif field.type == "integer" then
    return self:integer_of(field)
  elseif field.type == "boolean" then
    local c = self:space()
    if c ~= "t" and c ~= "f" then
      self:wrong "a boolean"
    end
    return (self:any())
  elseif field.type == "list" then
    if self:space() ~= "[" then
      self:wrong "a sequence"
    end
    local list = setmetatable({}, json.array)
    self:enclosed("]", "a list", function () list[#list + 1] = self:value_of(field.item) end)
    return list
  elseif field.type == "map" then
    return (self:any())
  end
  return self:text_of(field)
end

-- The fields in their order, from an array.
function reader:positional (fields, name, partial)
  local value, count = {}, 0
  self:enclosed("]", "a list", function ()
    count = count + 1
    if not fields[count] then
      self:fail_next "trailing characters"
    end
    value[fields[count].name] = self:value_of(fields[count])
    value[1] = nil
  end)
  for i = count + 1, #fields do
    if not partial and (fields[i].required or fields[i].nullable) then
      self:fail_read(("invalid length %d, expected struct %s with %d element%s"):format(i - 1, name, #fields,
        #fields == 1 and "" or "s"))
    end
  end
  return value
end

--- Read a model's value.
function reader:struct (model_name)
  local model = models[model_name]
  local partial = self.partial
  local name = (STRUCTS[model_name] or model_name) .. (partial and "Update" or "")
  local fields, known, names = {}, {}, {}
  for _, field in ipairs(model.fields) do
    if self.has(field) then
      fields[#fields + 1], names[#names + 1], known[field.name] = field, field.name, field
    end
  end
  local c = self:space()
  if c == "[" then
    return self:positional(fields, name, partial)
  elseif c ~= "{" then
    self:wrong("struct " .. name)
  end
  local value, seen = {}, {}
  self:members(function (key)
    if known[key] then
      value[key] = self:value_of(known[key])
    else
      self:any()
    end
  end, function (key)
    if not known[key] and not model.lax then
      self:fail_read(("unknown field `%s`, expected %s"):format(key, list_of(names)))
    elseif seen[key] and known[key] then
      self:fail_read(("duplicate field `%s`"):format(key))
    end
    seen[key] = true
  end)
  for _, field in ipairs(fields) do
    if field.required and not partial and not seen[field.name] then
      self:fail_read(("missing field `%s`"):format(field.name))
    end
  end
  return value
end

--- Read a body.
-- @tparam string text
-- @tparam string model a model's name, or "json"
-- @tparam function has tells whether the release has a field
-- @tparam table options `partial`: every field may be left out; `plus`: how the release writes exponents
-- @return[1] the value
-- @return[2] nil
-- @treturn[2] string what is wrong
return function (text, model, has, options)
  local self = setmetatable({ text = text, at = 1, depth = 0, has = has, partial = options.partial, plus = options.plus },
    reader)
  local ok, value = pcall(function ()
    local read = model == "json" and self.any or self.struct
    local value = read(self, model)
    if self:space() ~= "" then
      self:fail_next "trailing characters"
    end
    return value
  end)
  if ok then
    return value
  elseif type(value) ~= "table" then
    error(value, 0)
  end
  local before = text:sub(1, value.at or self.at - 1)
  local _, lines = before:gsub("\n", "")
  return nil, ("%s at line %d column %d."):format(value.message, lines + 1, #before:match "[^\n]*$")
end
