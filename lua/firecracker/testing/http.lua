--- HTTP as the VMM's server reads and writes it: keep-alive, Content-Length only, parser errors that drop what came with
-- them. One parser for each connection; it has no socket.
-- @module firecracker.testing.http

local http = {}

local parser = {}
parser.__index = parser

local LONGEST <const> = 1022   -- bytes of a line
local U32 <const> = 0xffffffff

--- Make a parser.
-- @tparam table options `limit` bytes of a body, `delete`: whether DELETE is a method
-- @treturn table
function http.parser (options)
  return setmetatable({ limit = options.limit, delete = options.delete, rest = "", state = "line" }, parser)
end

local function raise (message, ...)
  error({ message:format(...) }, 0)
end

local METHODS <const> = { GET = true, PUT = true, PATCH = true }

function parser:request_line (line)
  local method, target, version = line:match "^(.-) (.-) (.*)$"
  if not method or #line > LONGEST then
    raise "Invalid request."
  elseif not METHODS[method] and not (method == "DELETE" and self.delete) then
    raise "Invalid HTTP Method: Unsupported HTTP method."
  elseif target == "" then
    raise "Invalid URI: Empty URI not allowed."
  elseif not utf8.len(target) then
    raise "Invalid URI: Cannot parse URI as UTF-8."
  elseif version ~= "HTTP/1.1" and version ~= "HTTP/1.0" then
    raise "Invalid HTTP Version: Unsupported HTTP version."
  end
  self.request = { method = method, target = target, length = 0 }
  self.state = "headers"
end

function parser:header (line)
  local name, value = line:match "^([^:]*):%s*(.-)%s*$"
  local _, stray = utf8.len(line)
  if stray then
    raise("Invalid header. Reason: Header contains invalid characters. Key: invalid utf-8 sequence of 1 bytes from index %d",
      stray - 1)
  elseif not name then
    raise("Invalid header. Reason: Header is incorrectly formatted. Key: %s", line)
  end
  name = name:lower()
  if name == "content-length" then
    local length = value:match "^%d+$" and tonumber(value)
    if not length or length > U32 then
      raise("Invalid header. Reason: Invalid value. Key:Content-Length; Value:%s", " " .. value)
    elseif length > self.limit then
      raise("Request payload with size %d is larger than the limit of %d allowed by server.", length, self.limit)
    end
    self.request.length = length
  elseif name == "expect" and value == "100-continue" then
    self.request.expect = true
  elseif name == "accept-encoding" then
    if value == "" then
      raise "Invalid request."
    end
    local refused = value:gsub("%s", ""):match "identity;q=0%f[^%d.]" or value:gsub("%s", ""):match "%*;q=0%f[^%d.]"
    if refused then
      raise("Invalid header. Reason: Invalid value. Key:Accept-Encoding; Value:%s", value)
    end
  end
end

-- One step; false when more bytes are needed. A body that is there completes the request.
function parser:step (events)
  if self.state == "body" then
    local request = self.request
    if #self.rest < request.length then
      return false
    end
    request.body = request.length > 0 and self.rest:sub(1, request.length) or nil
    self.rest, self.state = self.rest:sub(request.length + 1), "line"
    events[#events + 1] = request
    return #self.rest > 0
  end
  local line, after = self.rest:match "^(.-)\r\n()"
  if not line then
    return false
  end
  self.rest = self.rest:sub(after)
  if self.state == "line" then
    self:request_line(line)
  elseif line ~= "" then
    self:header(line)
  else
    self.state = "body"
    if self.request.expect and self.request.length > 0 then
      events[#events + 1] = { continue = true }
    end
  end
  return true
end

--- Take bytes.
-- @tparam string bytes
-- @treturn {table,...} what they complete: requests (`method`, `target`, `body`), `{ continue = true }`, `{ fault = text }`;
-- a fault drops the requests that came with it
function parser:take (bytes)
  local events = {}
  self.rest = self.rest .. bytes
  local ok, problem = pcall(function ()
    while self:step(events) do end
  end)
  if not ok then
    if type(problem) ~= "table" then
      error(problem, 0)
    end
    self.rest = ""
    return { { fault = problem[1] } }
  end
  return events
end

--- Write a reply.
-- @tparam int status
-- @tparam ?string body
-- @tparam[opt] boolean deprecated
-- @treturn string
function http.reply (status, body, deprecated)
  return ("HTTP/1.1 %d \r\nServer: Firecracker API\r\nConnection: keep-alive\r\n%s%s\r\n%s"):format(status,
    deprecated and "Deprecation: true\r\n" or "",
    body and ("Content-Type: application/json\r\nContent-Length: %d\r\n"):format(#body) or "", body or "")
end

--- Write the parser's own refusal: a body that is not valid JSON.
-- @tparam string text
-- @treturn string
function http.fault (text)
  return http.reply(400, ('{ "error": "%s\nAll previous unanswered requests will be dropped." }'):format(text))
end

--- What the eleventh connection gets.
http.TOO_MANY = "HTTP/1.1 503\r\nServer: Firecracker API\r\nConnection: close\r\nContent-Length: 40\r\n\r\n" ..
  '{ "error": "Too many open connections" }'

return http
