--- A client of Firecracker's API at a Unix socket: one method for each operation of the table, and `request`, which lets
-- anything pass. A method refuses what the VMM's release lacks and what the guest's state forbids before it sends.
-- Requests share kept connections; several at a time are possible from several tasks. libcurl is loaded at the first
-- request, or by `prepare`. It knows nothing of processes: whoever owns one says, by `gone`, why a connection broke.
-- @module firecracker.api.client

local core = require "firecracker.core"
local errors = require "firecracker.errors"
local exchange = require "firecracker.api.exchange"
local gate = require "firecracker.api.gate"
local loop = require "firecracker.loop"
local operations = require "firecracker.api.operations"
local payload = require "firecracker.api.payload"
local phases = require "firecracker.api.phases"

local now <const>, encode <const>, decode_json <const> = core.now, payload.encode, core.json.decode
local take <const>, attempt <const>, closed_error <const> = exchange.take, exchange.attempt, exchange.closed_error

local client = {}

local methods = {}
local metatable = { __name = "firecracker.api", __index = methods }

--- Make a client. Nothing is connected yet.
-- @tparam string path of the API socket; may be longer than a socket address
-- @tparam[opt] table options `timeout` (seconds for a request that gives none, default 60), `log` (function of an event),
-- `trace` (true: with bodies),
-- `release` (function of a time limit in seconds that gives the VMM's release, or `nil, err`: it is called again, but where
-- code is "release"; absent: the VMM is asked when it matters, once), `state` (function that
-- gives the guest's state, "vmm", "running" or "paused"), `moved` (function, called with the state that a request brought
-- about or tells), `who` (names the machine in errors),
-- `gone` (function: `err` when the server's process is known to be dead, else nil), `hangs` (function, asked when a reply is
-- late: whether none will come), `starting` (true: the server may
-- still be on its way to listen, so a refused connection is tried again), `body_limit` (bytes, default 51200: a longer body
-- is sent when the server says so, @{firecracker.api.payload})
-- @treturn table client; close it
function client.new (path, options)
  options = options or {}
  return setmetatable({
    path = path,
    timeout = options.timeout or 60,
    log = options.log or false,   -- what is false is found here, what is nil only after the methods
    trace = options.trace,
    gone = options.gone,
    hangs = options.hangs or false,
    release = options.release,
    state = options.state or false,
    moved = options.moved or false,
    moves = 0,      -- so many requests changed the guest's state
    who = options.who,
    starting = options.starting or false,
    body_limit = options.body_limit or payload.LIMIT,
    closed = false,
    uses = {}, idle = {}, left = {},   -- its pool, @{firecracker.api.exchange}
  }, metatable)
end

function metatable.__tostring (self)
  return ("<api %s%s>"):format(self.path, self.closed and " (closed)" or "")
end

local OPERATIONS <const> = {}   -- by request
for _, operation in ipairs(operations) do
  OPERATIONS[operation.method .. " " .. operation.path] = operation
end
local INSTANCE_INFO <const> = OPERATIONS["GET /"]

local DECODING <const> = { null = false }
-- `at`: where the body stands in a configuration; `text`: the body as JSON already, which is sent as it is.
local OPTIONS <const> = { timeout = "seconds", at = "string", text = "string" }

local function decode (text)
  local value, err = decode_json(text, DECODING)
  if value == nil then
    err.reply = text
  end
  return value, err
end

-- What a reply says: the decoded body or true, or nil and an error object.
local function judge (method, path, status, text)
  if status >= 200 and status < 300 then
    if text == "" then
      return true
    end
    local value, err = decode(text)
    return value, err and errors.context(err, method .. " " .. path .. ": reply")
  end
  local operation = method .. " " .. path
  local body = decode(text)
  local fault = type(body) == "table" and (body.fault_message or body.error)
  fault = type(fault) == "string" and fault
    or text:match '"error"%s*:%s*"([^"]*)"'   -- its parser's own errors are not valid JSON
    or text
  return nil, errors.new {
    code = "api", operation = operation, status = status, fault_message = fault, hint = phases.hint(fault),
    message = ("%s: %s (status %d)"):format(operation, fault, status),
  }
end

-- What a request that succeeded says of the guest's state; `moves`: how often it had changed when the request began. What was
-- true then is no news when a change has come meanwhile.
local function note_state (self, operation, body, value, moves)
  local state = phases.after(operation, body, value)
  if state and (operation.moves or self.moves == moves) then
    self.moves = operation.moves and self.moves + 1 or self.moves
    self.moved(state)
  end
end

--- Tell what can be sent as a request.
-- @param method capitals
-- @param path begins with a slash
-- @treturn boolean
function client.is_request (method, path)
  return type(method) == "string" and method:find "^[A-Z]+$" ~= nil and type(path) == "string" and path:sub(1, 1) == "/"
end

--- Send any request.
-- @function client:request
-- @tparam string method "GET", "PUT", "PATCH", "DELETE"
-- @tparam string path begins with a slash
-- @tparam[opt] table body is sent as JSON
-- @tparam[opt] table options `timeout` in seconds; `text`: the same body as JSON, sent byte for byte
-- @return[1] the decoded reply without its nulls; true where there is none
-- @return[2] nil
-- @treturn[2] err code "api" (with `status`, `fault_message`, `operation`), "timeout", "connect", "http", "json", "exited"
function methods:request (method, path, body, options, operation)    -- the record, where one of the methods below asks
  if not operation and not client.is_request(method, path) then
    errors.raise(2, { code = "usage", message = "request: a method in capitals and a path that begins with a slash expected" })
  elseif not operation and options ~= nil then
    loop.options(method .. " " .. path, options, OPTIONS)
  end
  if self.closed then
    return nil, closed_error(self)
  end
  local began, moves = now(), self.moves
  local deadline = loop.deadline(options and options.timeout or self.timeout, began)
  if self.left[1] and operation and operation.moves then
    local err = exchange.let_changes_come(self, method .. " " .. path, deadline, began)
    if err then
      return nil, err
    end
  end
  local use <close>, text = take(self, deadline, body, method, path)
  if not use then
    return nil, self.closed and closed_error(self) or exchange.timed_out(method .. " " .. path, now() - began)
  end
  if body ~= nil then
    text = options and options.text or text or encode(body, use.text, method, path)
  end
  local status, reply, cause = attempt(self, use, method, path, text, deadline, began)
  if not status and self.starting and reply ~= "timeout" then
    status, reply, cause = exchange.insist(self, use, method, path, text, deadline, reply)
  end
  local value, err
  if status then
    self.starting = false
    value, err = judge(method, path, status, reply)
    operation = operation or OPERATIONS[method .. " " .. path]
    if value and operation and (operation.moves or operation.tells) and self.moved then
      note_state(self, operation, body, value, moves)
    end
  elseif reply == "timeout" then
    err = exchange.timed_out(method .. " " .. path, now() - began, cause)
  else
    err = self.gone and self.gone(1) or errors.context(reply, method .. " " .. path)
    err.operation = method .. " " .. path
  end
  if self.log then
    local shown = self.trace
    self.log { event = "request", level = "debug", operation = method .. " " .. path, status = status, err = err,
               elapsed = now() - began, body = shown and text and use.request:body() or nil,
               reply = shown and status and reply or nil }
  end
  return value, err
end

--- Do what can be done before there is a server: load libcurl and make the first request.
-- @function client:prepare
function methods:prepare ()
  if #self.uses == 0 then
    self.idle[1] = exchange.add(self)
  end
end

--- Close its connections unless a request runs; the next request makes a new one.
-- @function client:rest
function methods:rest ()
  if self.core and #self.idle == #self.uses then
    self.core:close()
    self.core, self.uses, self.idle = nil, {}, {}
  end
end

--- Close its connections; requests that run fail. Closing twice is no error.
-- @function client:close
function methods:close ()
  local idle = self.idle
  self.closed = true
  self.idle, self.left = {}, {}
  if self.core then
    self.core:close()
    self.core = nil
  end
  for _, use in ipairs(self.uses) do
    loop.fire(use.key)
  end
  loop.fire(idle)    -- who waits for a request to use
end

metatable.__close = methods.close
metatable.__gc = methods.close

-- The VMM's release; nil when it cannot be learned: then the VMM has the word.
local function learn (self, options)
  if self.known_release == nil then
    local found
    if self.release then
      local err
      found, err = self.release(options and options.timeout or self.timeout)
      if not found and not (err and err.code == "release") then
        return nil       -- the next time, perhaps
      end
    else
      local reply, err = self:get_version(options)
      if not reply and err.code ~= "api" then
        return nil       -- the request itself will say why
      end
      found = reply and reply.firecracker_version
      found = type(found) == "string" and found:find "^%d+%.%d" and found
    end
    self.known_release = found or false
  end
  return self.known_release or nil
end

-- Tell of what this release has wrong, once.
local function warn (self, gated, release, body)
  for _, record in ipairs(gate.warnings(gated, release, body)) do
    self.warned = self.warned or {}
    if self.log and not self.warned[record] then
      self.warned[record] = true
      self.log { event = "warning", level = "warn", operation = record.operation, release = release,
                 message = ("Firecracker %s: %s (%s fixes it)"):format(release, record.what, record.fixed) }
    end
  end
end

-- The error of what the VMM's release lacks.
local function lacking (self, gated, body, options)
  local release = gate.asks(gated, body) and learn(self, options)
  if not release then
    return nil
  end
  warn(self, gated, release, body)
  local found = gate.check(gated, body, release, options and options.at)
  return found and errors.new(found)
end

-- The error of a request that the guest's state forbids. The VMM has the last word on that state: somebody else may
-- have moved it.
local function out_of_phase (self, operation, body, options)
  local phase, state = phases.of(operation, body), self.state()
  if not phase or phases.fits(phase, state) then
    return nil
  end
  local reply = self:get_instance_info(options)
  state = reply and phases.after(INSTANCE_INFO, nil, reply) or state
  if phases.fits(phase, state) then
    return nil
  end
  return errors.new { code = "state", operation = operation.name, state = state,
                      message = phases.say(operation, phase, state, self.who or tostring(self)) }
end

-- The reply where the table has a model for it: an object, no array (which has a metatable) and not nothing.
local function object (operation, value, err)
  if value == nil or (type(value) == "table" and not getmetatable(value)) then
    return value, err
  end
  local asked = operation.method .. " " .. operation.path
  return nil, errors.new { code = "json", operation = asked, message = ("%s: reply: object expected, got %s"):format(asked,
    value == true and "nothing" or type(value) == "table" and "array" or type(value)) }
end

for _, operation in ipairs(operations) do
  local method, whole = operation.method, operation.path
  local prefix, field, suffix = whole:match "^(.-)({[%w_]+})(.*)$"
  local phased, fits, sends = operation.phase ~= "any", phases.states(operation) or {}, operation.body
  local replies = operation.reply ~= nil and operation.reply ~= "json"
  local gated   -- nil: not asked yet
  methods[operation.name] = function (self, id, body, options)
    local path = whole
    if not field then
      body, options = id, body
    elseif type(id) == "string" and id:match "^[%w_]+$" then
      path = prefix .. id .. suffix
    else
      errors.raise(2, { code = "usage", message = ("%s: %s must be letters, digits and underscores, got %s")
        :format(operation.name, field:sub(2, -2), tostring(id)) })
    end
    if not sends then
      body, options = nil, body
    end
    if options ~= nil then
      loop.options(operation.name, options, OPTIONS)
    end
    if gated == nil then
      gated = gate.of(operation) or false
    end
    local err = gated and lacking(self, gated, body, options)
      or phased and self.state and not fits[self.state()] and out_of_phase(self, operation, body, options)
    if err then
      return nil, err
    end
    if replies then
      return object(operation, self:request(method, path, body, options, operation))
    end
    return self:request(method, path, body, options, operation)
  end
end

return client
