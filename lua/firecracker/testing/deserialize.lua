--- Reading a body as the VMM reads it: against the model, in one pass, and with its words for what is wrong, line and
-- column included. @see lua/firecracker/api/models for what is read
-- @module firecracker.testing.deserialize

local json = require "firecracker.testing.json"
local models = require "firecracker.api.models"

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
local U64 <const> = "18446744073709551615"
local DEPTH <const> = 127

local reader = {}
reader.__index = reader

-- Errors leave by error(): { message, at } with the byte it is told of; without `at` it is told of where the value ends
-- that it is about.
local function fail (message, at)
  error({ message = message, at = at }, 0)
end

function reader:space ()
  self.at = self.text:match("^[ \t\r\n]*()", self.at)
  return self.text:sub(self.at, self.at)
end

-- An error at the next byte, and one at what has been read.
function reader:fail_next (message)
  fail(message, math.min(self.at, #self.text))
end

function reader:fail_read (message)
  fail(message, self.at - 1)
end

local ESCAPED <const> = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", ['"'] = '"', ["\\"] = "\\", ["/"] = "/" }

function reader:string ()
  self.at = self.at + 1
  local parts = {}
  while true do
    local plain, after = self.text:match('^([^"\\%c\127]*\127*)()', self.at)
    parts[#parts + 1], self.at = plain, after
    local c = self.text:sub(after, after)
    if c == '"' then
      self.at = after + 1
      local text = table.concat(parts)
      if not utf8.len(text) then
        self:fail_read "invalid unicode code point"
      end
      return text
    elseif c == "" then
      self:fail_next "EOF while parsing a string"
    elseif c == "\\" then
      local letter = self.text:sub(after + 1, after + 1)
      local digits = letter == "u" and self.text:match("^%x%x%x%x", after + 2)
      if not ESCAPED[letter] and not digits then
        self.at = after + 1
        self:fail_next "invalid escape"
      end
      self.at = after + (digits and 6 or 2)
      local code = digits and tonumber(digits, 16)
      local low = code and code >= 0xd800 and code < 0xdc00 and self.text:match("^\\u([dD][c-fC-F]%x%x)", self.at)
      if low then
        code, self.at = 0x10000 + ((code - 0xd800) << 10) + (tonumber(low, 16) - 0xdc00), self.at + 6
      end
      parts[#parts + 1] = code and utf8.char(code) or ESCAPED[letter]
    elseif c < " " then
      self.at = after + 1
      self:fail_read "control character (\\u0000-\\u001F) found while parsing a string"
    else
      parts[#parts + 1], self.at = c, after + 1
    end
  end
end

-- A number: an integer, one beyond Lua's, or a float; and how errors call it.
function reader:number ()
  local digits, after = self.text:match("^(%-?%d+)()", self.at)
  if not digits or digits:find "^%-?0%d" then
    self.at = self.at + (digits and 2 or 1)
    self:fail_next(digits and "invalid number" or "expected value")
  end
  local rest, past = self.text:match("^(%.%d+[eE]?[+-]?%d*)()", after)
  if not rest then
    rest, past = self.text:match("^([eE][+-]?%d+)()", after)
  end
  self.at = past or after
  local short = digits:gsub("^%-", "")
  if not rest and digits ~= "-0" and (#short < #U64 or #short == #U64 and short <= U64) then
    local integer = math.tointeger(digits)
    local value = integer or setmetatable({ raw = digits }, json.big)
    if integer or digits:sub(1, 1) ~= "-" then
      return value, ("integer `%s`"):format(digits)
    end
  end
  local value = tonumber(digits .. (rest or "") .. ".0") or tonumber(digits .. (rest or "")) + 0.0
  if value == math.huge or value == -math.huge then
    self:fail_read "number out of range"
  end
  return value, ("floating point `%s`"):format(json.float(value, self.plus))
end

-- Items between brackets, each read by a function. What is wrong inside is told at the end, where that follows.
function reader:enclosed (close, what, each)
  self.depth = self.depth + 1
  if self.depth > DEPTH then
    self:fail_next "recursion limit exceeded"
  end
  self.at = self.at + 1
  local ok, err = pcall(function ()
    local first = true
    while true do
      local c = self:space()
      if c == close then
        return
      elseif c == "" then
        self:fail_next("EOF while parsing " .. what)
      elseif not first then
        if c ~= "," then
          self:fail_next(("expected `,` or `%s`"):format(close))
        end
        self.at = self.at + 1
        if self:space() == close then
          self:fail_next "trailing comma"
        elseif self.at > #self.text then
          self:fail_next("EOF while parsing " .. "a value")
        end
      end
      first = false
      each()
    end
  end)
  if not ok and type(err) ~= "table" then
    error(err, 0)
  end
  local at_end = self:space() == close
  if ok or (not err.at and at_end) then
    self.at = self.at + (at_end and 1 or 0)
  end
  if not ok then
    err.at = err.at or self.at - 1
    error(err, 0)
  end
  self.depth = self.depth - 1
end

function reader:key ()
  if self:space() ~= '"' then
    self:fail_next "key must be a string"
  end
  local key = self:string()
  return key
end

function reader:colon ()
  local c = self:space()
  if c ~= ":" then
    self:fail_next(c == "" and "EOF while parsing an object" or "expected `:`")
  end
  self.at = self.at + 1
end

-- Any value: the value, and how errors call it.
function reader:any ()
  local c = self:space()
  for word, value in pairs { ["null"] = json.null, ["true"] = true, ["false"] = false } do
    if self.text:sub(self.at, self.at + #word - 1) == word then
      self.at = self.at + #word
      return value, value == json.null and "null" or ("boolean `%s`"):format(word)
    end
  end
  if c == "" then
    self:fail_next "EOF while parsing a value"
  elseif c == '"' then
    local text = self:string()
    return text, "string " .. json.string(text)
  elseif c == "{" then
    local object = setmetatable({}, json.object)
    self:enclosed("}", "an object", function ()
      local key = self:key()
      self:colon()
      object[key] = self:any()
    end)
    return object, "map"
  elseif c == "[" then
    local array = setmetatable({}, json.array)
    self:enclosed("]", "a list", function () array[#array + 1] = self:any() end)
    return array, "sequence"
  elseif c:find "[%d-]" then
    return self:number()
  elseif c:find "[ntf]" then
    self.at = self.at + 1
    self:fail_next "expected ident"
  end
  self:fail_next "expected value"
end

-- What is asked for, found to be something else.
function reader:wrong (expected)
  local c = self:space()
  if c == "{" or c == "[" then
    self:fail_read(("invalid type: %s, expected %s"):format(c == "{" and "map" or "sequence", expected))
  end
  local _, called = self:any()
  self:fail_read(("invalid type: %s, expected %s"):format(called, expected))
end

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
local CHECKS <const> = {
  guest_mac = function (text, field)
    return not text:find(field.pattern) and "The provided MAC address is invalid."
  end,
  level = function (text, field)
    for _, word in ipairs(field.enum) do
      if word:lower() == text:lower() then
        return false
      end
    end
    return "Invalid LevelFilter"
  end,
  register = function (text, field)
    for _, word in ipairs(field.enum) do
      if word == text then
        return false
      end
    end
    return ("Invalid CPUID register. Must be one of [%s]"):format(table.concat(field.enum, ", "))
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
    fail(problem)
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
  self:enclosed("}", "an object", function ()
    local key = self:key()
    local field = known[key]
    if not field and not model.lax then
      self:fail_read(("unknown field `%s`, expected %s"):format(key, list_of(names)))
    elseif seen[key] and field then
      self:fail_read(("duplicate field `%s`"):format(key))
    end
    seen[key] = true
    self:colon()
    if field then
      value[key] = self:value_of(field)
    else
      self:any()
    end
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
    local value
    if model == "json" then
      value = self:any()
    else
      value = self:struct(model)
    end
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
