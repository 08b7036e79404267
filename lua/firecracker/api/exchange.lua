--- One request of a client and its reply: by which of the client's requests it goes, and how long it is waited for.
-- A client keeps a pool of them, each with a connection of its own: `uses`, all; `idle`, those to be used again; `left`, those
-- that were given up and are not answered yet. It knows no operation, and nothing of what a reply says.
-- @module firecracker.api.exchange

local core = require "firecracker.core"
local errors = require "firecracker.errors"
local loop = require "firecracker.loop"
local payload = require "firecracker.api.payload"

local now <const> = core.now

local exchange = {}

-- Firecracker serves ten connections; its own tools stay at nine.
local CONNECTIONS <const> = 9
local RETRY_FIRST <const>, RETRY_LAST <const> = 20e-6, 1e-3
local LATE <const>, LATEST <const> = 0.25, 2   -- seconds without a reply until its server is looked at, then twice as many

--- The error of a reply that did not come in time.
-- @tparam string operation "GET /"
-- @tparam number seconds
-- @tparam ?string cause
-- @treturn table err
function exchange.timed_out (operation, seconds, cause)
  return errors.new {
    code = "timeout", operation = operation,
    message = ("%s: no reply within %.3g s%s"):format(operation, seconds, cause and ": " .. cause or ""),
  }
end

--- The error of a client that is closed.
-- @tparam table self the client
-- @treturn table err
function exchange.closed_error (self)
  return self.gone and self.gone(0) or errors.new { code = "closed", message = "the API client is closed" }
end

-- Back into the pool, however the request ended. One whose reply nobody wants any more waits for it all the same: a VMM whose
-- client hangs up as it answers is killed by its own seccomp filter (SIGPIPE, as in @{firecracker.api.payload}).
local use_metatable = {
  __close = function (use)
    local self = use.client
    if not self.closed then
      local list = use.pending and self.left or self.idle
      list[#list + 1] = use
      if #self.uses >= CONNECTIONS then   -- else nobody waits
        loop.fire(self.idle)
      end
    end
  end,
}

-- Those that were left and have their reply now may be used again.
local function reclaim (self)
  local left = self.left
  for i = #left, 1, -1 do
    local use = left[i]
    if use.request:result() ~= false then
      use.pending = false
      table.remove(left, i)
      self.idle[#self.idle + 1] = use
    end
  end
end

--- Make one more request for the pool.
-- @tparam table self the client
-- @treturn table with the `request`, its `key`, a buffer for `text`; `pending` while its reply is to come
function exchange.add (self)
  if not self.core then
    local http = require "firecracker.core.http"
    self.core = assert(http.client(core.reactor(), self.path, self.body_limit))
  end
  local request = assert(self.core:request())
  local use = setmetatable({ client = self, request = request, key = request:key(), text = core.json.buffer(), pending = false },
    use_metatable)
  self.uses[#self.uses + 1] = use
  return use
end

--- A request of the pool, for a `<close>` variable, which puts it back.
-- @tparam table self the client
-- @tparam number deadline a time of core.now()
-- @param body nil: none; where it waits, it is encoded before
-- @tparam string method
-- @tparam string path
-- @treturn ?table as of @{add}; nil when the deadline comes, or the client is closed, while all are in use
-- @treturn ?string the body's text, where it waited
function exchange.take (self, deadline, body, method, path)
  local idle, text = self.idle, nil
  while not idle[1] do
    reclaim(self)
    if not idle[1] and #self.uses < CONNECTIONS then
      return exchange.add(self), text
    elseif not idle[1] then
      text = text or body ~= nil and payload.encode(body, nil, method, path) or nil
      local first = self.left[1]   -- the VMM answers one after the other
      if not loop.park(deadline, idle, first and first.key) or self.closed then
        return nil
      end
      idle = self.idle   -- another one, if the client has rested meanwhile
    end
  end
  local last = #idle
  local use = idle[last]
  idle[last] = nil
  return use, text
end

--- Wait for the replies of requests that were given up: a change of the guest's state among them may come about after one
-- that is sent next, as its connection may be accepted later.
-- @tparam table self the client
-- @tparam string asked "PATCH /vm"
-- @tparam number deadline a time of core.now()
-- @tparam number began when the caller did
-- @treturn ?table err where they do not come in time
function exchange.let_changes_come (self, asked, deadline, began)
  repeat
    reclaim(self)
    local first = self.left[1]
    if not first then
      return nil
    end
    local fired = loop.park(deadline, first.key)
    if self.closed then
      return exchange.closed_error(self)
    end
  until not fired and now() >= deadline
  return exchange.timed_out(asked, now() - began, "a request that was given up is not answered yet")
end

--- Send once, and wait for the reply.
-- @tparam table self the client
-- @tparam table use of @{take}
-- @tparam string method
-- @tparam string path
-- @param body its text, or the buffer that holds it; nil: none
-- @tparam number deadline a time of core.now()
-- @tparam number began when the caller did
-- @treturn[1] integer status
-- @treturn[1] string what came
-- @return[2] nil
-- @return[2] err, or "timeout" once the deadline has come
function exchange.attempt (self, use, method, path, body, deadline, began)
  local request = use.request
  local ok, err = request:start(method, path, body)
  if not ok then
    return nil, err
  end
  use.pending = true
  local late, look = LATE, self.hangs and began + LATE or deadline
  local status, text = false, nil
  while status == false do
    local fired = loop.park(look < deadline and look or deadline, use.key)
    if self.closed then
      return nil, exchange.closed_error(self)
    end
    status, text = request:result()
    if status == false and not fired then
      if look >= deadline then
        return nil, "timeout"
      elseif self.hangs() then
        return nil, exchange.closed_error(self)
      end
      late = math.min(2 * late, LATEST)
      look = now() + late
    end
  end
  use.pending = false
  return status, text
end

--- Send again, shortly, while the server's process lives: between bind and listen its socket exists and refuses.
-- @tparam table self the client
-- @tparam table use
-- @tparam string method
-- @tparam string path
-- @param text nil: no body
-- @tparam number deadline a time of core.now()
-- @tparam table err of the attempt before
-- @return as of @{attempt}
-- @treturn ?string the cause of a timeout
function exchange.insist (self, use, method, path, text, deadline, err)
  local pause = RETRY_FIRST
  while self.starting and err.code == "connect" and err.errno == "ECONNREFUSED" and not (self.gone and self.gone(0)) do
    if now() + pause >= deadline then
      return nil, "timeout", err.message
    end
    loop.park(now() + pause)
    if self.closed then
      return nil, exchange.closed_error(self)
    end
    pause = math.min(pause * 2, RETRY_LAST)
    local status, reply = exchange.attempt(self, use, method, path, text and use.request:body(), deadline, now())
    if status or reply == "timeout" then
      return status, reply
    end
    err = reply
  end
  return nil, err
end

return exchange
