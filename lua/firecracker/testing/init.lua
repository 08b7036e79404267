--- For your own tests: a VMM that is none.
--
--    local fake <close> = fc.testing.fake_vmm { release = "1.16.1" }
--    local api <close> = fc.client(fake.path)
--    assert(api:put_machine_config { vcpu_count = 2, mem_size_mib = 256 })
--
-- It serves the API at a socket, on the loop of this process, and answers from the table of the API and from what it was
-- told: unknown fields, phases and ranges as the release has them. It needs neither KVM nor a kernel, and opens no file.
-- On request it is slow, cuts a reply, says garbage or hangs up.
-- @module firecracker.testing

local core = require "firecracker.core"
local errors = require "firecracker.errors"
local http = require "firecracker.testing.http"
local loop = require "firecracker.loop"
local release = require "firecracker.release"
local vmm = require "firecracker.testing.vmm"

local files = core.files
local testing = {}

local CONNECTIONS <const> = 10
local PAUSE <const> = 1e-3   -- until a socket that is full is tried again

local methods = {}
local metatable = { __name = "firecracker.fake_vmm", __index = methods }

function metatable.__tostring (self)
  return ("<fake VMM %s at %s>"):format(self.vmm.release, self.path)
end

local function send (self, stream, bytes)
  while #bytes > 0 and not self.closed do
    local sent = stream:send(bytes)
    if not sent then
      return false
    end
    bytes = bytes:sub(sent + 1)
    if #bytes > 0 then
      loop.park(core.now() + PAUSE, self)
    end
  end
  return true
end

-- Send a reply, or what was asked for in its place; false ends the connection.
local function reply (self, stream, text)
  local fault = table.remove(self.faults, 1) or {}
  if fault.after then
    loop.park(core.now() + fault.after, self)
  end
  if fault.hang then
    return true
  end
  text = fault.text or text
  if fault.cut then
    text = text:sub(1, fault.cut)
  end
  return send(self, stream, text) and not fault.cut and not fault.close
end

local function handle (self, stream, event)
  if event.continue then
    return send(self, stream, http.reply(100))
  elseif event.fault then
    return send(self, stream, http.fault(event.fault))
  end
  local status, body, deprecated = self.vmm:answer(event.method, event.target, event.body)
  self.requests[#self.requests + 1] = { method = event.method, path = event.target, body = event.body, status = status,
                                        reply = body }
  return reply(self, stream, http.reply(status, body, deprecated))
end

local function serve (self, stream)
  local parser = http.parser { limit = self.limit, delete = self.vmm:is "1.16" }
  while not self.closed do
    local bytes = stream:read()
    if bytes == nil then
      return
    elseif not bytes then
      loop.park(math.huge, stream:key())
    else
      for _, event in ipairs(parser:take(bytes)) do
        if not handle(self, stream, event) then
          return
        elseif self.vmm.dying then
          return self:close()
        end
      end
    end
  end
end

local function connect (self, fd)
  local stream = core.stream.open(fd)
  if not stream then
    return
  elseif self.count >= CONNECTIONS then
    stream:send(http.TOO_MANY)
    return stream:close()
  end
  self.count = self.count + 1
  self.streams[stream] = true
  loop.background(function ()
    local _ <close> = setmetatable({}, { __close = function ()
      self.count = self.count - 1
      self.streams[stream] = nil
      stream:close()
    end })
    serve(self, stream)
  end)
end

local function accept (self)
  while not self.closed do
    local fd = self.listener:accept()
    if fd then
      connect(self, fd)
    elseif fd == nil then
      return
    else
      loop.park(math.huge, self.listener:key())
    end
  end
end

local function make_path ()
  while true do
    local directory = "/tmp/firecracker-lua-fake-" .. assert(files.random_hex(4))
    local ok, err = files.mkdir(directory)
    if ok then
      return directory .. "/api.sock", directory
    elseif err.errno ~= "EEXIST" then
      return nil, err
    end
  end
end

local OPTIONS <const> = {
  path = "string", release = "string", id = "string", pci = "boolean", limit = "integer", mmds_limit = "integer",
  drivers = "boolean", world = "table", snapshots = "table",
}

--- Serve a VMM's API without a VMM.
-- @tparam[opt] table options `path` of the socket (absent: one in a directory of its own), `release` ("1.16.1"), `id`,
-- `pci` (true: as with --enable-pci), `limit` (bytes of a request's body, 51200), `mmds_limit`, `drivers` (false: the guest
-- has no driver for balloon and memory), `world` (a path or a tap -> the system's words for what fails there), `snapshots`
-- (a table that several share)
-- @treturn[1] table fake: `path`, `requests` (a list: `method`, `path`, `body`, `status`, `reply`), `vmm` (its state); close it
-- @return[2] nil
-- @treturn[2] err
function testing.fake_vmm (options)
  options = loop.options("fake_vmm", options, OPTIONS)
  if options.release and not release.number(options.release) then
    errors.raise(2, { code = "usage", message = ("fake_vmm: release: '%s' is none"):format(options.release) })
  end
  local state = {}
  for key, value in pairs(options) do
    state[key] = value
  end
  state.mmds_limit = options.mmds_limit or options.limit
  local path, directory = options.path, nil
  if not path then
    path, directory = make_path()
    if not path then
      return nil, directory
    end
  end
  local listener, err = core.listener.open(path)
  if not listener then
    if directory then
      files.remove_directory(directory)
    end
    return nil, err
  end
  local self = setmetatable({
    path = path, directory = directory, listener = listener, vmm = vmm.new(state), limit = options.limit or 51200,
    requests = {}, faults = {}, streams = {}, count = 0,
  }, metatable)
  loop.background(accept, self)
  return self
end

local FAULTS <const> = { after = "seconds", cut = "integer", text = "string", close = "boolean", hang = "boolean" }

--- Say how a reply to come is to go wrong. Each call is for one reply, in their order.
-- @function fake:fault
-- @tparam table fault `after` (seconds later), `cut` (only so many bytes, then it hangs up), `text` (in place of the reply),
-- `close` (hang up after it), `hang` (no reply at all); `{}` lets one reply be
-- @treturn table fake
function methods:fault (fault)
  if fault == nil then
    errors.raise(2, { code = "usage", message = "fault: table of options expected, got nil" })
  end
  self.faults[#self.faults + 1] = loop.options("fault", fault, FAULTS)
  return self
end

--- Hang up, on everybody, and take the socket away. Closing twice is no error.
-- @function fake:close
function methods:close ()
  if self.closed then
    return
  end
  self.closed = true
  local key = self.listener:key()
  self.listener:close()
  loop.fire(key)
  loop.fire(self)
  for stream in pairs(self.streams) do
    key = stream:key()
    stream:close()
    loop.fire(key)
  end
  files.unlink(self.path)
  if self.directory then
    files.remove_directory(self.directory)
  end
end

metatable.__close = methods.close
metatable.__gc = methods.close

return testing
