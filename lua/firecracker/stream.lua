--- A stream of bytes, both ways: to a port of a guest's, to its serial console. Reads and writes as Lua's own files do, and
-- waits as everything here does: in a task, on the main thread, inside another event loop.
-- What does not come in time stays to be read; nothing is lost by a time limit.
-- @module firecracker.stream

local core = require "firecracker.core"
local errors = require "firecracker.errors"
local loop = require "firecracker.loop"

local stream = {}

local methods = {}
local metatable = { __name = "firecracker.stream", __index = methods }

local LINE <const> = 1 << 24   -- bytes of the longest line

--- The methods, for what is a stream and more.
stream.methods = methods

--- Make a stream of the core's.
-- @tparam userdata raw of `core.stream`; it is closed with the stream
-- @tparam string what it is, for messages: `vsock port 52`
-- @tparam[opt] table meta metatable of a kind of its own
-- @treturn table stream
function stream.new (raw, what, meta)
  return setmetatable({ raw = raw, what = what }, meta or metatable)
end

local function fail (self, code, message, ...)
  return nil, errors.new { code = code, message = ("%s: %s"):format(self.what, message:format(...)) }
end

-- Who waits in vain wants no more than the limit any longer: else the other end would fill the memory. Another who waits
-- says anew what he wants.
local function give_up (self)
  if self.raw then
    self.raw:give_up()
    loop.fire(self.raw:key())
  end
end

local waiting = { __close = function (guard, raised)
  if raised then
    give_up(guard.stream)
  end
end }

local function park (self, deadline, key)
  local _ <close> = self.guard
  return loop.park(deadline, key)
end

-- What `take(raw, …)` takes, once it is there; nil at the end, nil and err otherwise.
local function await (self, deadline, take, ...)
  while true do
    local raw = self.raw
    if not raw then
      return fail(self, "closed", "closed")
    end
    local got, err = take(raw, ...)
    if got == false then
      raw:fill()   -- sooner than the loop would
      got, err = take(raw, ...)
    end
    if err then
      return nil, errors.context(err, self.what)
    elseif got ~= false then
      return got
    end
    self.guard = self.guard or setmetatable({ stream = self }, waiting)
    if not park(self, deadline, raw:key()) and core.now() >= deadline then
      give_up(self)
      return fail(self, "timeout", "nothing came in time")
    end
  end
end

local function take_line (raw, whole)
  local line = raw:line(LINE, whole)
  if line and #line >= LINE then
    return nil, errors.new { code = "line", message = ("a line is longer than %d bytes"):format(LINE) }
  end
  return line
end

local function bytes (self, n, deadline)
  return await(self, deadline, self.raw and self.raw.read, n)
end

local FORMATS <const> = {
  l = function (self, deadline) return await(self, deadline, take_line, false) end,
  L = function (self, deadline) return await(self, deadline, take_line, true) end,
  a = function (self, deadline)
    local all, err = bytes(self, math.maxinteger, deadline)
    return all or not err and "" or nil, err
  end,
}

--- Read as Lua's `file:read` does.
-- @function stream:read
-- @tparam[opt="l"] string|integer format "l" (a line without its newline), "L" (with it), "a" (everything up to the end), so many
-- bytes (fewer only before the end); negative: at most so many, as soon as there are any
-- @tparam[opt] table options `timeout` in seconds; what was there in part stays to be read
-- @treturn[1] string
-- @return[2] nil at the end
-- @return[3] nil
-- @treturn[3] err code "timeout", "closed", "line" (longer than 16 MiB) or "system"
function methods:read (format, options)
  if type(format) == "table" and options == nil then
    format, options = nil, format
  end
  local deadline = loop.limit("read", options)
  local number = math.tointeger(format)
  if number then
    return bytes(self, number, deadline)
  end
  local reader = FORMATS[format == nil and "l" or type(format) == "string" and format:gsub("^%*", "")]
  if not reader then
    errors.raise(2, { code = "usage",
      message = ("read: 'l', 'L', 'a' or a number of bytes expected, got %s"):format(errors.shown(format)) })
  end
  return reader(self, deadline)
end

-- One writer at a time: what two tasks write is not mixed.
local turn = { __close = function (list)
  list.self.writing = nil
  loop.fire(list.self)
end }

local function send (self, text, deadline)
  local at = 1
  while true do
    local raw = self.raw
    if not raw then
      return fail(self, "closed", "closed")
    end
    local sent, err = raw:send(text, at)
    if not sent then
      return nil, errors.context(err, self.what)
    end
    at = at + sent
    if at > #text then
      return true
    elseif sent == 0 then
      local key
      key, err = raw:room()
      self.room = key
      if not key then
        return nil, err
      elseif not loop.park(deadline, key) and core.now() >= deadline then
        key, err = fail(self, "timeout", "the other end does not take more")
        err.sent = at - 1
        return key, err
      end
    end
  end
end

--- Write strings and numbers, all of them: it waits while the other end takes no more.
-- @function stream:write
-- @param ... strings, numbers, and last perhaps a table of options: `timeout` in seconds
-- @treturn[1] table the stream
-- @return[2] nil
-- @treturn[2] err code "timeout" (`sent` is the number of bytes of the last argument that went), "closed" or "system"
function methods:write (...)
  local list, options = { self = self, ... }, nil
  if type(list[#list]) == "table" then
    options = table.remove(list)
  end
  local deadline = loop.limit("write", options)
  for i = 1, select("#", ...) - (options and 1 or 0) do
    local kind = type(list[i])
    if kind ~= "string" and kind ~= "number" then
      errors.raise(2, { code = "usage", message = ("write: string expected, got %s"):format(kind) })
    end
  end
  while self.writing do
    if not loop.park(deadline, self) and core.now() >= deadline then
      return fail(self, "timeout", "another writer is not done")
    end
  end
  self.writing = true
  local _ <close> = setmetatable(list, turn)
  for _, text in ipairs(list) do
    local ok, err = send(self, tostring(text), deadline)
    if not ok then
      return nil, err
    end
  end
  return self
end

--- Iterate over what `read` gives, to the end; an error is raised.
-- @function stream:lines
-- @tparam[opt="l"] string|integer format
-- @tparam[opt] table options of each read
-- @treturn function
function methods:lines (format, options)
  return function ()
    local line, err = self:read(format, options)
    if err then
      error(err, 0)
    end
    return line
  end
end

--- Refused: a vsock knows no half-close. A writer that shut down its side would lose the answer; say where a message ends,
-- and close when the answer is there.
-- @function stream:shutdown
function methods:shutdown ()
  errors.raise(2, { code = "usage", message = self.what .. ": no half-close: Firecracker drops the answer of who stops " ..
    "writing early. Mark where a message ends, and close when the answer is there" })
end

--- Take the core's stream away from one; whoever waits for it gets an error.
-- @tparam table self the stream
-- @treturn ?userdata nil: it is closed
function stream.let_go (self)
  local raw = self.raw
  self.raw = nil
  if raw then
    loop.fire(raw:key())
    if self.room then
      loop.fire(self.room)
    end
  end
  return raw
end

--- Close both directions. Whoever waits for it gets an error; closing twice is no error.
-- @function stream:close
-- @treturn boolean true
function methods:close ()
  local raw = stream.let_go(self)
  if raw then
    raw:close()
  end
  return true
end

--- The number of its descriptor, for other event loops: readable when a read finds something, unless bytes wait already.
-- @function stream:fd
-- @treturn[1] integer
-- @return[2] nil when closed
function methods:fd ()
  return self.raw and self.raw:fd()
end

metatable.__close = methods.close

function metatable.__tostring (self)
  return ("<stream of %s%s>"):format(self.what, self.raw and "" or ", closed")
end

return stream
