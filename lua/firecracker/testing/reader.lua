--- JSON text read as the VMM's parser reads it: any value, and what is wrong in its words, with the byte it is told of.
-- @module firecracker.testing.reader

local json = require "firecracker.testing.json"

local U64 <const> = "18446744073709551615"
local DEPTH <const> = 127

local reader = {}
reader.__index = reader

-- Errors leave by error(): { message, at } with the byte it is told of; without `at` it is told of where the value ends
-- that it is about.
function reader.fail (message, at)
  error({ message = message, at = at }, 0)
end

function reader:space ()
  self.at = self.text:match("^[ \t\r\n]*()", self.at)
  return self.text:sub(self.at, self.at)
end

-- An error at the next byte, and one at what has been read.
function reader:fail_next (message)
  reader.fail(message, math.min(self.at, #self.text))
end

function reader:fail_read (message)
  reader.fail(message, self.at - 1)
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

-- The members of an object, each value read by a function of its key; `check` sees the key first.
function reader:members (each, check)
  self:enclosed("}", "an object", function ()
    if self:space() ~= '"' then
      self:fail_next "key must be a string"
    end
    local key = self:string()
    if check then
      check(key)
    end
    local c = self:space()
    if c ~= ":" then
      self:fail_next(c == "" and "EOF while parsing an object" or "expected `:`")
    end
    self.at = self.at + 1
    each(key)
  end)
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
    self:members(function (key) object[key] = self:any() end)
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

return reader
