--- `fclua api`: one request to a VMM's API, or what there is to ask.
-- Standard output gets the reply as it came. A request of the table is refused where the VMM's release lacks it.
-- @module firecracker.cli.api

local report = require "firecracker.cli.report"

local api = {
  name = "api",
  summary = "Send one request to a VMM, or show what can be asked.",
  description = "Sends one request to a VMM and prints its reply. Without a request it lists what can be asked;\n" ..
    "with --describe it shows the fields of one.",
  usage = "[VERB PATH [JSON]] [OPTION…]",
}

local DEFAULT_SOCKET <const> = "/run/firecracker.socket"

local function seconds (text)
  local number = tonumber(text)
  if not number or number ~= number or number < 0 or number == math.huge then
    return nil, ("--timeout: a number of seconds expected, got '%s'"):format(text)
  end
  return number
end

local function socket_path (text)
  return text ~= "" and text or nil, "--socket-path: path expected, got an empty string"
end

function api.define (command)
  command:argument("verb", "GET, PUT, PATCH or DELETE"):args "?"
  command:argument("path", "/machine-config, /drives/ID, …"):args "?"
  command:argument("json", "the body; '-' reads it from standard input"):args "?"
  command:option("-s --socket-path", "of the API; default: " .. DEFAULT_SOCKET):convert(socket_path)
  command:option("--timeout", "seconds for the reply; default: 60"):convert(seconds)
  command:flag("--describe", "show the request's fields, and send nothing")
  command:flag("--raw", "send it whatever the table says")
  command:flag("--markdown", "print the reference page, and send nothing")
  command:flag("-d --debug", "show tracebacks")
end

local function list ()
  local describe, lines = require "firecracker.api.describe", {}
  for i, operation in ipairs(require "firecracker.api.operations") do
    lines[i] = describe.line(operation) .. "\n"
  end
  return report.output(table.concat(lines))
end

local function refuse (message, ...)
  report.usage(message:format(...), api)
  return 2
end

local function unknown (verb, path)
  local like, id = require "firecracker.api.describe".like(verb, path)
  if like then
    return refuse("%s %s: %s: letters, digits and '_' expected, got '%s'; --raw sends it all the same", verb, path,
      like.path:match "{([%w_]+)}", id)
  end
  local text, names = require "firecracker.text", {}
  for _, operation in ipairs(require "firecracker.api.operations") do
    names[#names + 1] = operation.method .. " " .. operation.path
  end
  return refuse("no request '%s %s'%s; --raw sends it all the same", verb, path, text.suggest(verb .. " " .. path, names))
end

-- The body as a value and as it was written: `true, nil` where there is none.
local function read_body (json)
  local text = json == "-" and io.read "a" or json
  if not text then
    return true
  end
  local value, err = require("firecracker.core").json.decode(text)
  if value == nil and err then
    return false, err.message
  end
  return true, value, text
end

-- The reply as it came, perhaps nothing; nil and err.
local function send (options, operation, id, body, text)
  local client = require "firecracker.api.client"
  local last
  local one <close> = client.new(options.socket_path or DEFAULT_SOCKET, {
    timeout = options.timeout, trace = true,
    log = function (event)
      if event.event == "request" then
        last = event
      elseif event.message then
        report.note(event.message)
      end
    end,
  })
  local value, err
  local as_written = { text = text }     -- a Lua value has not all that JSON has
  if not operation or options.raw then
    value, err = one:request(options.verb, options.path, body, as_written)
  elseif not operation.body then
    value, err = one[operation.name](one, id)
  elseif id then
    value, err = one[operation.name](one, id, body, as_written)
  else
    value, err = one[operation.name](one, body, as_written)
  end
  if value == nil then     -- false is a reply too: metadata may be any JSON
    return nil, err
  end
  return last.reply or ""
end

--- Run the sub-command.
-- @tparam table options what was parsed
-- @treturn int exit status
function api.main (options)
  local describe = require "firecracker.api.describe"
  if options.markdown then
    return report.output(describe.reference())
  elseif not options.verb then
    return list()
  elseif not options.path then
    return refuse "a path is missing"
  end
  options.verb = options.verb:upper()
  local operation, id = describe.find(options.verb, options.path)
  if operation and options.describe then
    return report.output(describe.operation(operation) .. "\n")
  elseif options.describe or not options.raw and (not operation or operation.path:find "{" and not id) then
    return unknown(options.verb, options.path)
  elseif not require("firecracker.api.client").is_request(options.verb, options.path) then
    return refuse("a verb, and a path that begins with a slash expected, got '%s %s'", options.verb, options.path)
  end
  local ok, body, text = read_body(options.json)
  if not ok then
    return refuse("the body: %s", body)
  elseif operation and not options.raw then
    if operation.body and body == nil and not operation.optional then
      return refuse("%s %s needs a body: %s", options.verb, options.path, operation.body)
    elseif not operation.body and body ~= nil then
      return refuse("%s %s takes no body", options.verb, options.path)
    end
  end
  local reply, err = send(options, operation, id, body, text)
  if not reply then
    report.failure(err, options.debug)
    return 1
  end
  return reply == "" and 0 or report.output(reply .. "\n")
end

return api
