-- The fake VMM against real ones: every recorded exchange, byte by byte where the recording has bytes.

local http = require "firecracker.testing.http"
local json = require "firecracker.testing.json"
local deserialize = require "firecracker.testing.deserialize"
local replay = require "spec.api.replay"
local vmm = require "firecracker.testing.vmm"

-- A server without its socket: bytes in, bytes out.
local function server (options, state)
  state = state or vmm.new(options)
  local parser = http.parser { limit = options.limit, delete = state:is "1.16" }
  return function (bytes)
    local replies = {}
    for _, event in ipairs(parser:take(bytes)) do
      if event.continue then
        replies[#replies + 1] = http.reply(100)
      elseif event.fault then
        replies[#replies + 1] = http.fault(event.fault)
      else
        replies[#replies + 1] = http.reply(state:answer(event.method, event.target, event.body))
      end
    end
    return table.concat(replies)
  end
end

local function request_of (row)
  return ("%s %s HTTP/1.1\r\n%s\r\n%s"):format(row.method, row.path,
    row.body and ("Content-Length: %d\r\n"):format(#row.body) or "", row.body or "")
end

-- Drives have no order once the guest runs.
local function sorted (text)
  local value = text:sub(1, 1) == "{" and deserialize(text, "json", nil, {})
  if value and value.drives then
    table.sort(value.drives, function (a, b) return a.drive_id < b.drive_id end)
    return json.encode(value)
  end
  return text
end

for _, release in ipairs { "1.12.1", "1.16.1" } do
  describe("replaying the exchanges with " .. release .. ", the fake", function ()
    local rows, servers, snapshots = replay.rows(release), {}, {}

    local function server_of (process)
      servers[process] = servers[process] or server(replay.options(release, process, snapshots))
      return servers[process]
    end

    it("gives each recorded status, message and body", function ()
      local wrong = {}
      for i, row in ipairs(rows) do
        if row.process and not replay.left_out(row) then
          local got = server_of(row.process)(request_of(row))
          local status, body = tonumber(got:match "^HTTP/1.1 (%d+)"), got:match "\r\n\r\n(.*)$"
          local deprecated = got:find("Deprecation: true", 1, true) ~= nil
          if status ~= row.status or sorted(body) ~= sorted(row.reply or "") or deprecated ~= (row.deprecated == true) then
            wrong[#wrong + 1] = ("%d: %s: %s %s %s\n  recorded %d %s%s\n  fake     %d %s%s"):format(i, row.process, row.method,
              row.path, (row.body or ""):sub(1, 120), row.status, row.deprecated and "deprecated " or "", row.reply or "",
              status, deprecated and "deprecated " or "", body)
          end
        end
      end
      assert(#wrong == 0, table.concat(wrong, "\n"))
    end)

    it("gives each recorded byte", function ()
      local wrong = {}
      local options = replay.options(release, "http", {})
      local state = vmm.new(options)
      for _, row in ipairs(rows) do
        if row.raw and not replay.left_out(row) then
          local talk = server(options, state)     -- a connection each
          for _, pair in ipairs { { row.raw, row.reply }, row.then_raw and { row.then_raw, row.then_reply } } do
            local got = talk(pair[1])
            if got ~= pair[2] then
              wrong[#wrong + 1] = ("%s: %q\n  recorded %q\n  fake     %q"):format(row.case, pair[1], pair[2], got)
            end
          end
        end
      end
      assert(#wrong == 0, table.concat(wrong, "\n"))
    end)

    it("leaves few lines out, and says why", function ()
      local left = 0
      for i, row in ipairs(rows) do
        left = left + (replay.left_out(row) and 1 or 0)
        assert(replay.left_out(row) or row.process or row.raw, i)    -- or neither of the two above replays it
      end
      assert.is_true(left <= 40, left)
    end)
  end)
end
