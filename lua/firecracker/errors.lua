--- The one error object.
-- What fails in the world comes back as `nil, err`; wrong use raises. Both carry this object: `err.code` is a stable
-- word, `err.message` says what happened, `err.where` is the user's own line that led here (`script:line`).
-- It prints as one line and joins with `..`, but is no string: `tostring(err)` makes one.
-- Refuses to print and to log.
-- @module firecracker.errors

local errors = {}

local NAME <const> = "firecracker.error"

-- The C core makes errors too: whoever loads first creates the metatable, both find it under its name.
local registry = debug.getregistry()
local metatable = registry[NAME] or { __name = NAME }
registry[NAME] = metatable

local LIBRARY = debug.getinfo(1, "S").source:match "^@(.*/)" or "?"
local OWN_DIRECTORY = LIBRARY:match "[^/]*/$" or LIBRARY

-- Whether a path, or a message's `path:line`, lies in the library. Flows are the user's, the installed ones included.
-- Lua shortens a long path in its messages to "..." and the last 56 bytes: these are compared with the end of ours.
local function is_ours (path)
  local rest
  if path:sub(1, #LIBRARY) == LIBRARY then
    rest = path:sub(#LIBRARY + 1)
  elseif path:sub(1, 3) == "..." then
    for from = 1, #LIBRARY - #OWN_DIRECTORY + 1 do
      local tail = LIBRARY:sub(from)
      if path:sub(4, 3 + #tail) == tail then
        rest = path:sub(4 + #tail)
        break
      end
    end
  end
  return rest ~= nil and rest:sub(1, 6) ~= "flows/"
end

-- A line of a function, given what `debug.getinfo` says of it; nil in the library and in C.
local function users_line (info, line)
  local path = info.source:match "^@(.*)"
  if info.what ~= "C" and not (path and is_ours(path)) then
    return ("%s:%d"):format(path or info.short_src, line)
  end
end

--- Find the user's line on the stack: the first Lua frame outside the library.
-- A function that ends in `return f()` has left the stack; of one called by @{pcall} the line where it begins is taken.
-- @tparam[opt=1] int level where the search begins, as in `error`
-- @treturn[1] string `script:line`
-- @return[2] nil (no such frame; a task whose function is the library's own knows where it was spawned)
function errors.where (level)
  level = (level or 1) + 1
  while true do
    local frame = debug.getinfo(level, "Slf")
    if not frame then
      return errors.origin and errors.origin()
    end
    local line = users_line(frame, frame.currentline)
    if frame.func == errors.pcall then
      local _, called = debug.getlocal(level, 1)
      local info = type(called) == "function" and debug.getinfo(called, "S")
      line = info and users_line(info, info.linedefined)
    end
    if line then
      return line
    end
    level = level + 1
  end
end

--- Make an error object of a table, which is kept.
-- @tparam table fields `code` and `message`, strings; whatever else fits (`status`, `path`, `hint`, …)
-- @treturn table err; `where` is filled unless given
function errors.new (fields)
  assert(type(fields.code) == "string", "an error needs a code")
  assert(type(fields.message) == "string", "an error needs a message")
  fields.where = fields.where or errors.where(2)
  return setmetatable(fields, metatable)
end

--- Refuse a value of a configuration that does not fit the world.
-- @tparam string field its path
-- @tparam string message a format
-- @param ... its arguments
-- @return nil
-- @treturn table err code "config"
function errors.config (field, message, ...)
  return nil, errors.new { code = "config", field = field, message = ("config.%s: %s"):format(field, message:format(...)) }
end

--- Tell an error object from other values.
-- @param value anything
-- @treturn boolean
function errors.is (value)
  return type(value) == "table" and getmetatable(value) == metatable
end

--- Say what was being done when an error arose.
-- @tparam table err an error object
-- @tparam string prefix goes before its message
-- @treturn table err, the same; `where` is filled if it was absent
function errors.context (err, prefix)
  err.message = ("%s: %s"):format(prefix, err.message or err.code)
  err.where = err.where or errors.where(2)
  return err
end

--- Tell what is no failure of what was called and ends it all the same: a task's being cancelled, Ctrl-C.
-- @tparam table err an error object that was raised
-- @treturn boolean
function errors.is_stop (err)
  return err.code == "cancelled" or err.code == "interrupted"
end

--- Make an error object of anything that was raised.
-- An error object stays itself. A string becomes code `raised`, its position `where`, but Lua's own of Ctrl-C becomes code
-- `interrupted`; of another value the message is its `tostring`, and `err.value` the value.
-- @param value what was raised
-- @tparam[opt] string traceback becomes `err.traceback` unless there is one
-- @treturn table err
function errors.from (value, traceback)
  local err = value
  if not errors.is(value) then
    err = { code = "raised", message = tostring(value) }
    if err.message:find "^interrupted!$" or err.message:find ":%d+: interrupted!$" then   -- @see lua.c
      err.code, err.message = "interrupted", "interrupted!"
    elseif type(value) == "string" then
      local where, message = value:match "^(.-:%d+): (.*)$"
      if where and not is_ours(where) then
        local full = errors.where(2)
        local shortened = full and where:sub(1, 3) == "..." and full:sub(3 - #where) == where:sub(4)
        err.where, err.message = shortened and full or where, message
      end
    else
      err.value = value
    end
    errors.new(err)
  end
  err.traceback = err.traceback or traceback
  return err
end

--- Raise misuse at the user's line.
-- @tparam int level where the search for that line begins, as in `error`; frames of the library are passed over
-- @tparam table fields as for @{new}; `field` is the path of the refused value
function errors.raise (level, fields)
  fields.where = fields.where or errors.where(level + 1)
  error(errors.new(fields), 0)
end

--- A value as a message shows it: a string in quotes, so that it is not taken for the number that is wanted.
-- @param value
-- @treturn string of what has no text its type
function errors.shown (value)
  local kind = type(value)
  if kind == "string" then
    return ("'%s'"):format(value)
  end
  return (kind == "number" or kind == "boolean") and tostring(value) or kind
end

local function traced (value)
  return errors.from(value, debug.traceback(nil, 2))
end

local function same (...)
  return ...
end

--- Call a function as `pcall` does; what it raises comes back as an error object with its traceback.
-- @tparam function fn
-- @param ... its arguments
-- @treturn[1] boolean true
-- @return[1] what it returned
-- @treturn[2] boolean false
-- @treturn[2] table err
function errors.pcall (fn, ...)
  return same(xpcall(fn, traced, ...))    -- no tail call: `where` looks for this frame
end

local function judge (returned, first, second)
  if not returned then
    return nil, first, true
  elseif first or (first == nil and second == nil) then
    return true
  elseif errors.is(second) then
    return nil, second
  elseif second == nil then
    second = "returned false"
  end
  return nil, errors.new { code = "failed", message = tostring(second) }
end

--- Call a step and judge what it returns.
-- Nothing or a true value is success; `nil, err`, `false, err` and `false` are not.
-- @tparam function fn
-- @param ... its arguments
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] table err; code `failed` where the step returned no error object
-- @treturn[2] boolean true when it was raised, not returned
function errors.try (fn, ...)
  return judge(errors.pcall(fn, ...))
end

-- Texts from the VMM and from guests reach a terminal through here.
local function one_line (text)
  return (text:gsub("%s*[\r\n]%s*", " "):gsub("%c", function (c)
    return c == "\t" and " " or ("\\x%02x"):format(c:byte())
  end))
end

function metatable:__tostring ()
  local text = tostring(self.message or self.code)
  if self.hint then
    text = ("%s (%s)"):format(text, self.hint)
  end
  if self.where then
    text = ("%s: %s"):format(self.where, text)
  end
  return one_line(text)
end

function metatable.__concat (a, b)
  return tostring(a) .. tostring(b)
end

return errors
