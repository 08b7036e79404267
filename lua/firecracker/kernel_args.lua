--- The kernel's command line as an ordered list of arguments.
-- Order and duplicates are kept, for both mean something (`console=` twice; the last `root=` wins). What follows ` -- ` belongs
-- to init: no verb touches it, it is the field `init`. As for the kernel, `-` and `_` are the same in a name and double
-- quotes keep blanks together. Verbs edit in place and return their object; `tostring` gives the line.
-- @module firecracker.kernel_args

local errors = require "firecracker.errors"

local kernel_args = {}

local methods = {}
local metatable = { __name = "firecracker.kernel_args", __index = methods }

-- One argument of the line is `text`, as it was written; `name` and `value` are what the kernel makes of it.
local function parse (text)
  local bare = text:match '^"(.*)"$' or text:match '^"(.*)$' or text
  local name, value = bare:match "^([^=]+)=(.*)$"
  if not name then
    return { text = text, name = bare, value = true }
  end
  return { text = text, name = name, value = value:match '^"(.-)"?$' or value }
end

-- Arguments end at a blank outside of quotes.
local function split (line)
  local words, from = {}, line:find "%S"
  while from do
    local at, quoted = from, false
    while at <= #line and (quoted or not line:find("^%s", at)) do
      quoted = quoted ~= (line:sub(at, at) == '"')
      at = at + 1
    end
    local word = line:sub(from, at - 1)
    if word == "--" then
      return words, line:sub(at):match "^%s*(.-)%s*$"
    end
    words[#words + 1] = word
    from = line:find("%S", at)
  end
  return words
end

local function refuse (verb, message, ...)
  errors.raise(2, { code = "usage", message = ("kernel_args: %s: %s"):format(verb, message:format(...)) })
end

local function same (name)
  return (name:gsub("-", "_"))
end

local function check_name (verb, name)
  if type(name) ~= "string" then
    refuse(verb, "name expected, got %s", type(name))
  elseif name == "" or name == "--" or name:find '[%s="%z]' then
    refuse(verb, "name without blanks, '=' and '\"' expected, got '%s'", name)
  end
  return same(name)
end

local function check_value (verb, name, value)
  if value == nil or value == true then
    return name
  elseif math.type(value) == "integer" then
    value = tostring(value)
  elseif type(value) ~= "string" then
    refuse(verb, "%s: string, integer or true expected, got %s", name, type(value))
  elseif value:find '["%z]' then
    refuse(verb, "%s: a value without '\"' and NUL expected", name)
  end
  return name .. "=" .. (value:find "%s" and ('"%s"'):format(value) or value)
end

--- Take a command line apart.
-- @tparam[opt=""] string line
-- @treturn table args; `args.init` is what follows ` -- `, nil where there is none
function kernel_args.new (line)
  if line ~= nil and type(line) ~= "string" then
    errors.raise(2, { code = "usage", message = ("kernel_args: string expected, got %s"):format(type(line)) })
  end
  local words, init = split(line or "")
  local self = setmetatable({ init = init }, metatable)
  for i, word in ipairs(words) do
    self[i] = parse(word)
  end
  return self
end

--- The values of an argument: all of them, in their order.
-- @function args:get
-- @tparam string name
-- @treturn string|boolean ... true for one without `=`; nothing when it is absent
function methods:get (name)
  local key, values = check_name("get", name), {}
  for _, argument in ipairs(self) do
    if same(argument.name) == key then
      values[#values + 1] = argument.value
    end
  end
  return table.unpack(values)
end

--- Give an argument one value: in the place of its first, else at the end. Others of its name go.
-- @function args:set
-- @tparam string name
-- @tparam[opt=true] string|integer|boolean value true: without `=`
-- @treturn table args
function methods:set (name, value)
  local key = check_name("set", name)
  local argument, place = parse(check_value("set", name, value)), nil
  for i, each in ipairs(self) do
    place = place or same(each.name) == key and i or nil
  end
  if not place then
    return self:add(name, value)
  end
  self[place] = argument
  for i = #self, place + 1, -1 do
    if same(self[i].name) == key then
      table.remove(self, i)
    end
  end
  return self
end

--- Add an argument at the end, beside others of its name.
-- @function args:add
-- @tparam string name
-- @tparam[opt=true] string|integer|boolean value true: without `=`
-- @treturn table args
function methods:add (name, value)
  check_name("add", name)
  self[#self + 1] = parse(check_value("add", name, value))
  return self
end

--- Take out all arguments of a name, or those of one value.
-- @function args:remove
-- @tparam string name
-- @tparam[opt] string|integer|boolean value
-- @treturn table args; that there was none is no error
function methods:remove (name, value)
  local key = check_name("remove", name)
  if math.type(value) == "integer" then
    value = tostring(value)
  elseif value ~= nil and value ~= true and type(value) ~= "string" then
    refuse("remove", "%s: string, integer or true expected, got %s", name, type(value))
  end
  for i = #self, 1, -1 do
    if same(self[i].name) == key and (value == nil or self[i].value == value) then
      table.remove(self, i)
    end
  end
  return self
end

function metatable:__tostring ()
  local words = {}
  for i, argument in ipairs(self) do
    words[i] = argument.text
  end
  if self.init then
    words[#words + 1] = self.init == "" and "--" or "-- " .. self.init
  end
  return table.concat(words, " ")
end

return kernel_args
