--- The host's side of a guest's vsock: streams to its ports, and a listener for the connections that it makes.
-- Firecracker joins them to a Unix socket: who dials says `CONNECT port` there and is told `OK`; what the guest dials comes to
-- the socket's path with `_port` behind it.
-- @module firecracker.vsock

local core = require "firecracker.core"
local errors = require "firecracker.errors"
local loop = require "firecracker.loop"
local paths = require "firecracker.machine.paths"
local process = require "firecracker.machine.process"
local stream = require "firecracker.stream"

local files, now <const> = core.files, core.now
local vsock = {}

local RETRY_FIRST <const>, RETRY_LAST <const> = 1e-3, 0.1   -- seconds
local PATIENCE <const> = 2       -- seconds for the first reply, doubled at each try: a resumed guest may have lost the request
local TIMEOUT <const> = 10       -- seconds, where no configuration says
local LIMIT <const> = 128 * 1024 -- bytes of a stream that wait to be read
local SUN_PATH <const> = 107     -- bytes of a path that the VMM can connect to

local function usage (level, message, ...)
  errors.raise(level + 1, { code = "usage", message = message:format(...) })
end

local LISTEN_OPTIONS <const> = { mode = "integer", uid = "integer", gid = "integer" }

local function check (verb, path, port, options, known)
  if type(path) ~= "string" or path == "" then
    usage(3, "%s: path expected, got %s", verb, path == "" and "an empty string" or type(path))
  elseif math.type(port) ~= "integer" or port < 0 or port >= 0xffffffff then
    usage(3, "%s: port from 0 to 4294967294 expected, got %s", verb, errors.shown(port))
  end
  return loop.options(verb, options, known)
end

-- Dialling -----------------------------------------------------------------------------------------------------------

local HINTS <const> = {
  ENOENT = "no VMM has made this socket yet; the path is that of config.vsock.uds_path",
  ECONNREFUSED = "the VMM that made this socket is gone",
  garbage = "this is no vsock socket of Firecracker's",
  closed = "nobody listens on this port in the guest",
  timeout = "the guest is not ready, paused, or without a vsock driver",
}
local RETRIED <const> = { ENOENT = true, ECONNREFUSED = true, EAGAIN = true, EPIPE = true, ECONNRESET = true }

-- Why a try failed, and whether another may do better.
local function failed (path, port, code, message, errno)
  local hint = HINTS[errno or code]
  return nil, errors.new { code = code == "timeout" and code or "vsock", path = path, port = port, errno = errno, hint = hint,
    message = ("vsock port %d: %s"):format(port, message) }, code == "closed" or code == "timeout" or RETRIED[errno]
end

local drop = { __close = function (attempt)
  if attempt.raw then
    attempt.raw:close()
  end
end }

-- One try: the core's stream, its next byte the first behind OK; or nil, err and whether it may be tried again.
local function try (path, port, deadline, key)
  local raw, err = core.stream.dial(path, port, LIMIT)
  if not raw then
    return failed(path, port, err.code, err.message, err.errno)
  end
  local attempt <close> = setmetatable({ raw = raw }, drop)
  local ok
  repeat
    ok, err = raw:acknowledged()
    if ok then
      attempt.raw = nil
      return raw
    elseif ok == nil and err then
      return failed(path, port, err.code, err.message, err.errno)
    elseif ok == nil then
      return failed(path, port, "closed", "the VMM hung up")
    end
  until not loop.park(deadline, raw:key(), key) and now() >= deadline
  return failed(path, port, "timeout", "no answer")
end

-- Try until the deadline; `gone` says why nobody will ever answer, and `key` is fired when it does.
local function dial (path, port, deadline, gone, key)
  local pause, patience, last = RETRY_FIRST, PATIENCE, nil
  while true do
    local raw, err, again = try(path, port, math.min(deadline, now() + patience), key)
    if raw then
      return stream.new(raw, "vsock port " .. port)
    end
    local over = gone and gone()
    local left = deadline - now()
    if over or not again or left <= 0 then
      return nil, over or err.code == "timeout" and last or err   -- a try that the deadline cut short says less than one before
    elseif err.code == "timeout" then
      patience, last = patience * 2, nil
    else
      last = err
      loop.park(now() + math.min(pause, left), key)
      pause = math.min(pause * 2, RETRY_LAST)
    end
  end
end

--- Connect to a port of the guest's, through the VMM's socket. Tried at once, and again until the guest takes it.
-- @tparam string path of the socket, of any length
-- @tparam integer port
-- @tparam[opt] table options `timeout` in seconds (default 10)
-- @treturn[1] table @{firecracker.stream}; its first byte is the guest's first
-- @return[2] nil
-- @treturn[2] err code "vsock" or "timeout", with a hint
function vsock.dial (path, port, options)
  return dial(path, port, loop.deadline(check("dial", path, port, options).timeout or TIMEOUT))
end

-- Listening ----------------------------------------------------------------------------------------------------------

local listener = {}
local metatable = { __name = "firecracker.vsock.listener", __index = listener }

--- Listen for what the guest dials. A socket of a process that is gone is replaced, one that is in use is not.
-- @tparam string path of the VMM's socket; the listener's name has `_port` behind it. Behind a "//" no link is followed
-- @tparam integer port
-- @tparam[opt] table options `mode` of the name (default 384, 0600), `uid` and `gid`, its owner: the VMM's, where it is not ours
-- @treturn[1] table listener
-- @return[2] nil
-- @treturn[2] err
function vsock.listen (path, port, options)
  options = check("listen", path, port, options, LISTEN_OPTIONS)
  local whole = ("%s_%d"):format(path, port)
  local ours, theirs = paths.split(whole)
  local name, err = files.absolute(ours or whole)
  if not name then
    return nil, err
  end
  name = theirs and name .. "//" .. theirs or name
  local raw, look
  raw, err = core.listener.open(name, { mode = options.mode or 384, uid = options.uid, gid = options.gid, replace_stale = true })
  if raw then
    look, err = paths.look(name)
  end
  if not look then
    if raw then
      raw:close()
    end
    err.code, err.port = "vsock", port
    err.hint = err.errno == "EADDRINUSE" and "somebody listens there" or nil
    return nil, err
  end
  return setmetatable({ raw = raw, path = name, port = port, inode = look.inode, device = look.device }, metatable)
end

--- Take the next connection.
-- @function listener:accept
-- @tparam[opt] table options `timeout` in seconds
-- @treturn[1] table @{firecracker.stream}
-- @return[2] nil
-- @treturn[2] err code "timeout", "closed" or "system"
function listener:accept (options)
  local deadline = loop.limit("accept", options)
  while self.raw do
    local fd, err = self.raw:accept()
    local raw
    if fd then
      raw, err = core.stream.open(fd, LIMIT)
    end
    if raw then
      return stream.new(raw, "vsock connection to port " .. self.port)
    elseif fd ~= false then
      return nil, err
    elseif not loop.park(deadline, self.raw:key()) and now() >= deadline then
      return nil, errors.new { code = "timeout", port = self.port, message = ("nobody dialled port %d in time"):format(self.port) }
    end
  end
  return nil, errors.new { code = "closed", port = self.port, message = ("the listener of port %d is closed"):format(self.port) }
end

--- The number of its descriptor, for other event loops: readable when there is a connection.
-- @function listener:fd
-- @treturn[1] integer
-- @return[2] nil when closed
function listener:fd ()
  return self.raw and self.raw:fd()
end

--- Stop listening and remove the name, unless another has taken it. Closing twice is no error.
-- @function listener:close
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function listener:close ()
  local raw = self.raw
  if not raw then
    return true
  end
  self.raw = nil
  local key = raw:key()
  raw:close()
  local siblings = self.machine and self.machine.listeners
  if siblings then
    siblings[self] = nil
  end
  if not core.reactor():ours() then   -- forked: the name is the parent's
    return true
  end
  loop.fire(key)
  local look = paths.look(self.path)
  if not look or look.inode ~= self.inode or look.device ~= self.device then
    return true
  end
  return paths.unlink(self.path)
end

metatable.__close = listener.close
metatable.__gc = listener.close

function metatable.__tostring (self)
  return ("<listener of vsock port %d%s>"):format(self.port, self.raw and "" or ", closed")
end

-- Of a machine -------------------------------------------------------------------------------------------------------

--- Methods of a machine.
vsock.of_machine = {}

local methods = vsock.of_machine

local function no_device (self)
  return nil, errors.new { code = "state", message = ("machine %s has no vsock%s"):format(self.id,
    self.config.vsock and " yet: fcinit.AddVsocks makes it" or ""), hint = "set config.vsock" }
end

--- Connect to a port of the guest's. Tried at once, and again until somebody there takes it.
-- @function vm:dial
-- @tparam integer port
-- @tparam[opt] table options `timeout` in seconds (default `timeouts.dial`)
-- @treturn[1] table @{firecracker.stream}; its first byte is the guest's first
-- @return[2] nil
-- @treturn[2] err code "vsock" or "timeout", with a hint; "exited", "state"
function methods:dial (port, options)
  options = check("dial", self.vsock_path or "-", port, options)
  if not self.process or not self.vsock_path then
    return no_device(self)
  end
  return dial(self.vsock_path, port, loop.deadline(options.timeout or self.config.timeouts.dial), function ()
    return process.exit(self) and self:exited_error()
  end, self.process:key())
end

local function close_all (self)
  local listeners, ok, err = self.listeners, true, nil
  self.listeners = nil   -- a step may be tried again: its listener is deferred anew
  for each in pairs(listeners) do
    local closed, problem = each:close()
    if not closed then
      ok, err = nil, err or problem
    end
  end
  return ok, err
end

--- Listen for what the guest dials. To hear its first call, listen before it runs: right after `fc.new`, or, jailed, in a step
-- before fcinit.StartInstance. It is closed with the machine.
-- @function vm:listen
-- @tparam integer port
-- @tparam[opt] table options as of @{vsock.listen}; jailed, the owner is the jail's
-- @treturn[1] table listener
-- @return[2] nil
-- @treturn[2] err
function methods:listen (port, options)
  options = check("listen", self.vsock_path or "-", port, options, LISTEN_OPTIONS)
  local config, jail = self.config.vsock, self.config.jailer
  local path = self.vsock_path or config and not jail and config.uds_path
  if not path or self.closed or self.failed or process.exit(self) then
    return no_device(self)
  end
  local longest = config and not jail and #config.uds_path + #tostring(port) + 1 or 0
  if longest > SUN_PATH then
    return nil, errors.new { code = "config", field = "vsock.uds_path", port = port,
      message = ("config.vsock.uds_path: with _%d behind it %d bytes, the VMM connects to at most %d"):format(port, longest, SUN_PATH) }
  end
  local made, err = vsock.listen(path, port, { mode = options.mode, uid = options.uid or jail and jail.uid,
                                               gid = options.gid or jail and jail.gid })
  if not made then
    return nil, err
  end
  if not self.listeners then
    self.listeners = setmetatable({}, { __mode = "k" })
    self:defer("vsock listeners", close_all)
  end
  made.machine = self
  self.listeners[made] = true
  return made
end

return vsock
