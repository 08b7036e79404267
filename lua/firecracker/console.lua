--- A guest's serial console: what it wrote last, to be read, waited for and answered, by a program or from a terminal.
-- It is drained all the time: what nobody reads is kept up to `console_size`, and the oldest is dropped beyond that.
-- It outlives the machine: what was not read yet can still be. It is the machine's: closing it ends its reader's use of it.
-- @module firecracker.console

local core = require "firecracker.core"
local errors = require "firecracker.errors"
local loop = require "firecracker.loop"
local stream = require "firecracker.stream"

local console = {}

local ESCAPE <const> = "\x1d"    -- Ctrl-]
local PIECE <const> = 1 << 16    -- bytes handed on at once
local SEEN <const> = 200         -- bytes that an error shows

local EXPECT_OPTIONS <const> = { timeout = "seconds", plain = "boolean" }
local ATTACH_OPTIONS <const> = { escape = true, output = true }

-- Reads as streams do, but for what its output goes to elsewhere.
local methods = setmetatable({}, { __index = stream.methods })
local metatable = { __name = "firecracker.console", __index = methods }

local function usage (level, message, ...)
  errors.raise(level + 1, { code = "usage", message = message:format(...) })
end

local function check_readable (self)
  if self.sink then
    usage(3, "%s: its output goes to the function config.console", self.what)
  elseif self.detached then
    usage(3, "%s: attached to a terminal, which gets its output", self.what)
  end
end

--- Read as @{firecracker.stream} does, from what was not read yet.
-- @function console:read
-- @tparam[opt="l"] string|integer format
-- @tparam[opt] table options `timeout` in seconds
-- @treturn[1] string
-- @return[2] nil when the VMM is gone and all is read
-- @return[3] nil
-- @treturn[3] err code "timeout"
function methods:read (format, options)
  check_readable(self)
  local number = math.tointeger(format)
  if number and number > self.size then
    usage(2, "read: %d bytes never are there at once: config.console_size is %d", number, self.size)
  end
  return stream.methods.read(self, format, options)
end

--- How many bytes were dropped unread.
-- @function console:dropped
-- @treturn integer
function methods:dropped ()
  return self.raw and select(3, self.raw:peek()) or 0
end

local function unexpected (self, code, text, pattern)
  local seen = text:sub(-SEEN)
  return nil, errors.new { code = code, seen = seen,
    message = ("%s: '%s' did not come%s; its last words: %s"):format(self.what, pattern,
      code == "timeout" and " in time" or ", the VMM is gone", seen ~= "" and seen or "none") }
end

--- Wait until what was not read yet holds a pattern, and take all up to the end of it.
-- @function console:expect
-- @tparam string pattern of Lua's
-- @tparam[opt] table options `timeout` in seconds; `plain`: it is no pattern, but the text itself
-- @treturn[1] string the captures, as of string.match; without any, what matched
-- @return[2] nil; what is there stays
-- @treturn[2] err code "timeout" or "closed" (the VMM is gone), with `seen`; "closed" without it: the console was closed
function methods:expect (pattern, options)
  check_readable(self)
  options = loop.options("expect", options, EXPECT_OPTIONS)
  if type(pattern) ~= "string" then
    usage(2, "expect: pattern expected, got %s", type(pattern))
  end
  local deadline = loop.deadline(options.timeout)
  while self.raw do
    local text, ended = self.raw:peek()
    local found = table.pack(pcall(string.find, text, pattern, 1, options.plain))
    if not found[1] then
      usage(2, "expect: pattern expected, got '%s': %s", pattern, found[2])
    elseif found[2] then
      if found[3] > 0 then
        self.raw:read(-found[3])
      end
      if found.n == 3 then
        return text:sub(found[2], found[3])
      end
      return table.unpack(found, 4, found.n)
    elseif ended then
      return unexpected(self, "closed", text, pattern)
    elseif not loop.park(deadline, self.raw:key()) and core.now() >= deadline then
      return unexpected(self, "timeout", text, pattern)
    end
  end
  return nil, errors.new { code = "closed", message = self.what .. ": closed" }
end

-- The user's keys -----------------------------------------------------------------------------------------------------

-- Until the end of the standard input; what cannot be waited for, a file, is there at once.
local function read_keys (take)
  local fd, err = core.files.reopen(0)
  local raw
  if fd then
    raw, err = core.stream.open(fd)
  end
  if not raw then
    if err.errno == "EPERM" then
      for bytes in io.stdin:lines(PIECE) do
        take(bytes)
      end
    end
    return
  end
  local input <close> = stream.new(raw, "standard input")
  for bytes in input:lines(-PIECE) do
    take(bytes)
  end
end

local keyboard_metatable = { __close = function (self)
  self.task:cancel()
  loop.shielded(self.task.wait, self.task)
  if self.sender then
    self.sender:cancel()
  end
  if self.terminal then
    self.terminal:close()
  end
end }

-- A guest that reads nothing holds up what goes to it, not the keys that are ours.
local function send_typed (self, to)
  while #self.typed > 0 do
    local text = table.concat(self.typed)
    self.typed = {}
    to:write(text)
  end
  self.sender = nil
end

--- Hand this program's standard input to a console. Where it is a terminal, it gives each key as it is, and those that are not
-- for the guest are taken out; one that belongs to another job is left alone. For a `<close>` variable, which puts the
-- terminal back.
-- @tparam table to the console
-- @tparam function filter of what was typed: called with bytes, gives those for the guest
-- @treturn table with `terminal` where it is one
function console.keyboard (to, filter)
  local terminal, err = core.terminal.raw(0)
  local self = setmetatable({ terminal = terminal, typed = {} }, keyboard_metatable)
  self.task = loop.spawn(function ()
    if err and err.errno == "EPERM" then
      return
    end
    read_keys(function (bytes)
      if not terminal then
        to:write(bytes)   -- one that fails: the VMM is gone, which its own end tells
        return
      end
      self.typed[#self.typed + 1] = filter(bytes)
      self.sender = self.sender or loop.spawn(send_typed, self, to)
    end)
  end)
  return self
end

--- Give the console to this program's terminal: what the guest writes goes to the standard output, what is typed to the guest,
-- every key but the escape key as it is. Standard input and output need not be a terminal.
-- @function console:attach
-- @tparam[opt] table options `escape`, the key that detaches (default "\x1d", Ctrl-]; false: none), `output`, a function of bytes
-- @treturn string "detached", or "ended": the VMM is gone
function methods:attach (options)
  check_readable(self)
  options = loop.options("attach", options, ATTACH_OPTIONS)
  local escape = options.escape == nil and ESCAPE or options.escape
  local output = options.output or function (bytes)
    io.stdout:write(bytes)
    io.stdout:flush()
  end
  self.detached = {}
  local mark <close> = setmetatable(self.detached, { __close = function () self.detached = nil end })
  local keyboard <close> = console.keyboard(self, function (bytes)
    local at = escape and bytes:find(escape, 1, true)
    if at then
      self:detach()
    end
    return bytes:sub(1, at and at - 1)
  end)
  while not mark.over do
    local bytes = self.raw and self.raw:read()
    if bytes then
      output(bytes)
    elseif bytes == nil then
      return "ended"
    else
      loop.park(math.huge, self.raw:key(), mark)
    end
  end
  return "detached", keyboard.terminal ~= nil
end

--- End an `attach` from another task.
-- @function console:detach
-- @treturn boolean false when none is under way
function methods:detach ()
  local mark = self.detached
  if mark then
    mark.over = true
    loop.fire(mark)
  end
  return mark ~= nil
end

--- Give it up: it can be used no more, whoever reads or is attached ends. The guest is not told, its output is drained on, and
-- `vm:console()` gives it anew. Closing twice is no error.
-- @function console:close
-- @treturn boolean true
function methods:close ()
  self:detach()
  stream.let_go(self)
  return true
end

metatable.__close = methods.close

function metatable.__tostring (self)
  return ("<%s>"):format(self.what)
end

--- Methods of a machine.
console.of_machine = {}

--- The guest's serial console, where `config.console` is "pty"; where it is a function, for writing.
-- @function vm:console
-- @treturn[1] table @{firecracker.console}: `read write lines expect attach detach`
-- @return[2] nil
-- @treturn[2] err code "state": there is none, or not yet
function console.of_machine:console ()
  if not self.terminal then
    local kind = type(self.config.console)
    return nil, errors.new { code = "state",
      message = ("machine %s has no console%s"):format(self.id, kind == "function" and " yet" or ""),
      hint = self.config.console == "pty" and "it comes with the VMM" or [[set config.console = "pty"]] }
  end
  if not self.terminal_stream or not self.terminal_stream.raw then
    local made = stream.new(self.terminal, "console of machine " .. self.id, metatable)
    made.size = self.config.console_size
    made.sink = type(self.config.console) == "function"
    self.terminal_stream = made
  end
  return self.terminal_stream
end

return console
