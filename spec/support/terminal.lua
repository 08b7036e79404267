--- A terminal with a program on it.
-- terminal(program, fn): fn(t); program as of spec.support.spawn. Whatever fn does, the program is gone afterwards.
-- t:expect(pattern), t:type(text): what the program shows, what is typed; t:mode(): the terminal's settings, as stty -g shows
-- them; t.sane: those before the program began; t:ended(): how it ended; t:rest(): what it showed since the last thing
-- expected; t.process

local core = require "firecracker.core"
local lfs = require "lfs"
local sh = require "spec.support.sh"
local spawn = require "spec.support.spawn"
local stream = require "firecracker.stream"

local terminal = {}

local methods = {}
methods.__index = methods

local PATIENCE <const> = 30

function methods:mode ()
  return (sh("stty -g -F " .. self.path))
end

function methods:type (text)
  assert(self.screen:write(text))
end

function methods:expect (pattern)
  local deadline = core.now() + PATIENCE
  while not self.text:find(pattern) do
    local more, err = self.screen:read(-4096, { timeout = deadline - core.now() })
    if not more then
      error(("'%s' never came (%s) on the terminal: %s"):format(pattern, tostring(err or "its end"), self.text), 2)
    end
    self.text = self.text .. more
  end
  local _, to = self.text:find(pattern)
  local found = self.text:match(pattern)
  self.text = self.text:sub(to + 1)
  return found
end

function methods:ended ()
  local how, status = spawn.ended(self.process)
  return how, status
end

function methods:rest ()
  return self.text .. (self.screen:read(-(1 << 16), { timeout = 0 }) or "")
end

function terminal.open (program, fn, environment)
  local master, slave = assert(core.files.open_pty())
  local path = lfs.symlinkattributes("/proc/self/fd/" .. slave:number(), "target")
  local screen <close> = stream.new(assert(core.stream.open(master, 1 << 20)), "terminal")
  local _ <close> = slave
  sh("stty sane -F " .. path)
  local self = setmetatable({ path = path, screen = screen, text = "" }, methods)
  self.sane = self:mode()
  local process <close> = assert(spawn(program, { stdio = { slave, slave, slave }, environment = environment }))
  self.process = process
  local _ <close> = setmetatable({}, { __close = function ()
    process:signal "KILL"
    spawn.ended(process)
  end })
  fn(self)
end

return setmetatable(terminal, { __call = function (_, ...) return terminal.open(...) end })
