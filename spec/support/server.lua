--- A server on a Unix socket that says what a spec tells it to. See server.py for the script.
-- server(script, fn [, subdirectory]): fn(s) with s.path, the socket; whatever fn does, the server is gone afterwards
-- s:log(): what has happened so far, a list of lines: "accept 1", "request 1 GET / HTTP/1.1 localhost ", "end 1"
-- s:count(pattern): how many of them match; s:wait(pattern [, n]): until n do
-- s:kill(): it dies
-- server.reply(status, body [, headers]): the text of a reply with its length

local core = require "firecracker.core"
local driver = require "spec.support.reactor"
local lfs = require "lfs"
local sh = require "spec.support.sh"
local spawn = require "spec.support.spawn"

local server = {}

local methods = {}
methods.__index = methods

function methods:log ()
  local lines = {}
  for line in io.lines(self.output) do
    lines[#lines + 1] = line
  end
  return lines
end

function methods:count (pattern)
  local n = 0
  for _, line in ipairs(self:log()) do
    n = n + (line:match(pattern) and 1 or 0)
  end
  return n
end

function methods:wait (pattern, n)
  driver.poll(function () return self:count(pattern) >= (n or 1) end)
end

function methods:kill ()
  self.process:signal "KILL"
  spawn.ended(self.process)
end

function server.reply (status, body, headers)
  return ("HTTP/1.1 %d X\r\nContent-Length: %d\r\n%s\r\n%s"):format(status, #body, headers or "", body)
end

local HEXADECIMAL <const> = {}
for i = 0, 255 do
  HEXADECIMAL[string.char(i)] = ("%02x"):format(i)
end

local function start (script, fn, subdirectory)
  local entries = {}
  for i, entry in ipairs(script) do
    entries[i] = {}
    for key, value in pairs(entry) do
      entries[i][key] = key == "text" and value:gsub(".", HEXADECIMAL) or value
    end
  end
  sh.tmpdir(function (dir)
    local self = setmetatable({ output = dir .. "/output", path = dir .. (subdirectory or "") .. "/socket" }, methods)
    if subdirectory then
      assert(core.files.mkdir_private(dir .. subdirectory))
    end
    assert(io.open(dir .. "/script", "w")):write(core.json.encode(entries)):close()
    local output <close> = assert(core.files.open(self.output, "w"))
    self.process = assert(spawn({ "/usr/bin/python3", "-SE", lfs.currentdir() .. "/spec/support/server.py", self.path,
      dir .. "/script" }, { stdio = { nil, output, output } }))
    local _ <close> = setmetatable({}, { __close = function ()
      self:kill()
      self.process:close()
    end })
    self:wait "listening"
    fn(self)
  end)
end

return setmetatable(server, { __call = function (_, ...) return start(...) end })
