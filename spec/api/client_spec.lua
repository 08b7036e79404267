local client = require "firecracker.api.client"
local closing = require "spec.support.closing"
local core = require "firecracker.core"
local driver = require "spec.support.reactor"
local errors = require "firecracker.errors"
local exchange = require "firecracker.api.exchange"
local loop = require "firecracker.loop"
local server = require "spec.support.server"
local sh = require "spec.support.sh"

local now, reply = core.now, server.reply

describe("a client of the API", function ()
  setup(driver.settle)
  local opened = closing(setup, before_each, after_each, function ()    -- libcurl's own descriptors stay
    local one <close> = client.new "/no/such"
    one:request("GET", "/")
  end, function ()
    assert.is_nil(next(core.reactor():state().waits))
  end)

  local function new (path, options)
    return opened(client.new(path, options))
  end

  it("gives the decoded reply without its nulls, and true where there is none", function ()
    server({ { text = reply(200, '{"a":1,"b":null,"l":[]}') }, { text = "HTTP/1.1 204 \r\n\r\n" }, { text = reply(201, "") } },
      function (s)
        local api = new(s.path)
        assert.same({ a = 1, l = {} }, api:request("GET", "/"))
        assert.is_true(api:request("PUT", "/a", {}))
        assert.is_true(api:request("PUT", "/a", { x = 1 }))
        local log = s:log()
        assert.same({ "request 1 GET / HTTP/1.1 localhost ", "request 1 PUT /a HTTP/1.1 localhost {}",
          'request 1 PUT /a HTTP/1.1 localhost {"x":1}' }, { log[3], log[4], log[5] })
      end)
  end)

  it("has a method for each operation, with its place in the path", function ()
    server({ { text = "HTTP/1.1 204 \r\n\r\n" } }, function (s)
      local api = new(s.path)
      api:put_machine_config { vcpu_count = 1 }
      api:put_drive("root_1", { drive_id = "root_1" })
      api:get_machine_config()
      local log = s:log()
      assert.equal('request 1 PUT /machine-config HTTP/1.1 localhost {"vcpu_count":1}', log[3])
      assert.equal('request 1 PUT /drives/root_1 HTTP/1.1 localhost {"drive_id":"root_1"}', log[4])
      assert.equal("request 1 GET /machine-config HTTP/1.1 localhost ", log[5])
      for _, id in ipairs { "", "../x", "a/b", "a b", 1 } do
        local ok, err = pcall(api.put_drive, api, id, {})
        assert.is_false(ok)
        assert.equal("put_drive: drive_id must be letters, digits and underscores, got " .. tostring(id), err.message)
      end
    end)
  end)

  describe("fails", function ()
    -- What the server's refusals look like: its own, its parser's, its parser's of bad JSON, another's.
    for text, fault in pairs {
      ['{"fault_message":"The kernel file cannot be opened"}'] = "The kernel file cannot be opened",
      ['{"error":"unknown field `x`"}'] = "unknown field `x`",
      ['{"error": "unknown field "x", expected "y""}'] = "unknown field ",
      ["Service Unavailable"] = "Service Unavailable", ["[]"] = "[]", ['"no"'] = '"no"',
      ['{"fault_message":{}}'] = '{"fault_message":{}}', ['{"error":5}'] = '{"error":5}',
    } do
      it("with the server's words out of " .. text, function ()
        server({ { text = reply(400, text) } }, function (s)
          local value, err = new(s.path):request("PUT", "/boot-source", {})
          assert.is_nil(value)
          assert.is_true(errors.is(err))
          assert.same({ "api", 400, fault, "PUT /boot-source", ("PUT /boot-source: %s (status 400)"):format(fault) },
            { err.code, err.status, err.fault_message, err.operation, err.message })
          assert.matches("client_spec%.lua:%d+$", err.where)
        end)
      end)
    end

    it("when a reply is no JSON, which it shows", function ()
      server({ { text = reply(200, "{oops") } }, function (s)
        local value, err = new(s.path):request("GET", "/")
        assert.is_nil(value)
        assert.same({ "json", "{oops" }, { err.code, err.reply })
        assert.matches("^GET /: reply: not valid JSON at byte 3 of 5$", err.message)
      end)
    end)

    it("when a reply that is to be an object is none", function ()
      for _, case in ipairs {
        { "HTTP/1.1 204 \r\n\r\n", "nothing" }, { reply(200, "[]"), "array" }, { reply(200, "5"), "number" },
        { reply(200, "false"), "boolean" },
      } do
        for method, operation in pairs { get_version = "GET /version", get_instance_info = "GET /", get_vm_config = "GET /vm/config" } do
          server({ { text = case[1] } }, function (s)
            local api = new(s.path)
            local value, err = api[method](api)
            assert.is_nil(value)
            assert.same({ "json", operation, operation .. ": reply: object expected, got " .. case[2] },
              { err.code, err.operation, err.message })
          end)
        end
      end
      server({ { text = reply(200, "[5]") } }, function (s)   -- metadata may be anything
        assert.same({ 5 }, new(s.path):get_mmds())
      end)
    end)

    it("nowhere for a release that is none: the VMM has the word", function ()
      for _, version in ipairs { '12', '{}', '"newest"', 'null' } do
        local answer = reply(200, '{"firecracker_version":' .. version .. '}')
        server({ { text = answer }, { text = "HTTP/1.1 204 \r\n\r\n" } }, function (s)
          assert.is_true(new(s.path):put_serial {})
        end)
      end
      server({ { text = "HTTP/1.1 204 \r\n\r\n" } }, function (s)
        local value, err = new(s.path):put_serial {}
        assert.is_true(value, tostring(err))
      end)
    end)

    it("for what its release lacks, also where that could not be learned before; within the request's own time", function ()
      local asked, answers = {}, { { nil, "timeout" }, { "1.12.1" } }
      local function told (timeout)
        asked[#asked + 1] = timeout
        local found, code = table.unpack(answers[#asked], 1, 2)
        return found, code and errors.new { code = code, message = "no release" }
      end
      server({ { text = "HTTP/1.1 204 \r\n\r\n" } }, function (s)
        local api = new(s.path, { release = told })
        assert.is_true(api:put_serial({}, { timeout = 30 }))
        for _ = 1, 2 do
          local _, err = api:put_serial({}, { timeout = 20 })
          assert.equal("PUT /serial needs Firecracker 1.14 (this is 1.12.1)", err and err.message)
        end
      end)
      assert.same({ 30, 20 }, asked)
      asked, answers = {}, { { nil, "release" } }
      server({ { text = "HTTP/1.1 204 \r\n\r\n" }, { text = "HTTP/1.1 204 \r\n\r\n" } }, function (s)
        local api = new(s.path, { release = told })
        assert.is_true(api:put_serial {})
        assert.is_true(api:put_serial {})
      end)
      assert.same({ 60 }, asked)
    end)

    it("when there is no server", function ()
      local value, err = new "/no/such":request("GET", "/")
      assert.is_nil(value)
      assert.same({ "connect", "ENOENT", "GET /" }, { err.code, err.errno, err.operation })
      assert.equal("GET /: cannot connect to /no/such: No such file or directory", err.message)
    end)

    it("with what is known of the server's end", function ()
      server({ { hang = true } }, function (s)
        local api = new(s.path, { gone = function () return errors.new { code = "exited", message = "status 1" } end })
        loop.run(function ()
          local task = loop.spawn(api.request, api, "GET", "/")
          loop.sleep(0.001)
          s:wait "^request"
          s:kill()
          assert.equal("exited", select(2, task:wait()).code)
        end)
        api:close()
        assert.equal("exited", select(2, api:request("GET", "/")).code)
      end)
    end)

    it("when the server is found to hang, long before its time is up", function ()
      server({ { hang = true } }, function (s)
        local looks = 0
        local api = new(s.path, { hangs = function ()
          looks = looks + 1
          return looks == 2
        end, gone = function () return looks == 2 and errors.new { code = "exited", message = "hung" } or nil end })
        local began = now()
        assert.equal("exited", select(2, api:request("GET", "/", nil, { timeout = 60 })).code)
        assert.is_true(now() - began < 30)
        looks = 2
        assert.equal("timeout", select(2, api:request("GET", "/", nil, { timeout = 0.02 })).code)
        assert.equal(2, looks)
      end)
    end)

    it("by raising for wrong use, at the user's line", function ()
      local api = new "/no/such"
      for _, arguments in ipairs { {}, { "GET" }, { "GET", "x" }, { 1, "/" }, { "get", "/" }, { "", "/" }, { "G T", "/" } } do
        local ok, err = pcall(api.request, api, table.unpack(arguments))
        assert.is_false(ok)
        assert.equal("usage", err.code)
        assert.matches("client_spec.lua:%d+$", err.where)
      end
      local ok, err = pcall(api.request, api, "PUT", "/", { f = print })
      assert.is_false(ok)
      assert.same({ "usage", "PUT /: json: value.f: a function cannot be sent" }, { err.code, err.message })
      assert.matches("client_spec.lua:%d+$", err.where)
    end)
  end)

  describe("in time", function ()
    local function times_out (api, options)
      local began = now()
      local value, err = api:request("GET", "/slow", nil, options)
      assert.is_nil(value)
      assert.same({ "timeout", "GET /slow" }, { err.code, err.operation })
      assert.matches("^GET /slow: no reply within [%d.]+ s$", err.message)
      assert.is_true(now() - began >= 0.02)
    end

    it("gives up, on the main thread and in a task, and can be used again", function ()
      server({ { hang = true }, { hang = true }, { hang = true }, { text = reply(200, "1") } }, function (s)
        local api = new(s.path)
        times_out(api, { timeout = 0.02 })
        loop.run(times_out, api, { timeout = 0.02 })
        loop.under(now() + 0.02, times_out, api)
        s:wait("^request", 3)    -- each on a connection of its own: the server takes them in any order
        assert.equal(1, api:request("GET", "/"))
        assert.equal(0, s:count "^end")    -- a VMM whose client hangs up as it answers is killed
        api:close()
        s:wait("^end", 4)
      end)
    end)

    it("sends no change of the guest's state before an earlier one that was given up has its reply", function ()
      server({ { text = reply(200, "1"), after = 0.3 }, { text = reply(204, "") }, { hang = true } }, function (s)
        local api = new(s.path)
        local began = now()
        assert.equal("timeout", select(2, api:patch_vm({ state = "Paused" }, { timeout = 0.02 })).code)
        assert.is_true(api:patch_vm { state = "Resumed" })
        assert.is_true(now() - began >= 0.3)
        assert.equal("timeout", select(2, api:patch_vm({ state = "Paused" }, { timeout = 0.02 })).code)
        local _, err = api:patch_vm({ state = "Resumed" }, { timeout = 0.02 })
        assert.matches("^PATCH /vm: no reply within [%d.]+ s: a request that was given up is not answered yet$", err.message)
        assert.equal("timeout", err.code)
        assert.equal(3, s:count "^request")
      end)
    end)

    it("takes the reply that nobody waits for any more", function ()
      server({ { text = reply(200, "1"), after = 2 } }, function (s)
        local api = new(s.path)
        for _ = 1, 9 do
          times_out(api, { timeout = 0.02 })
        end
        s:wait("^accept", 9)
        assert.equal(1, api:request("GET", "/"))    -- by one of these connections
        assert.same({ 9, 0 }, { s:count "^accept", s:count "^e[nr]" })
      end)
    end)

    it("takes the client's own limit for a request without one", function ()
      server({ { hang = true } }, function (s) times_out(new(s.path, { timeout = 0.02 })) end)
    end)

    it("waits without spinning", function ()
      server({ { text = reply(200, "1"), after = 0.1 } }, function (s)
        local api = new(s.path)
        assert.is_true(driver.steps(function () api:request("GET", "/") end) < 12)
      end)
    end)
  end)

  describe("while the server starts", function ()
    it("tries again when refused, until it listens", function ()
      server({ { text = reply(200, "1") } }, function (s)
        sh.tmpdir(function (dir)
          sh(("cd %s && python3 -SEc 'import socket; socket.socket(socket.AF_UNIX).bind(\"socket\")'"):format(dir))
          local api = new(dir .. "/socket", { starting = true })
          loop.run(function ()
            local task = loop.spawn(api.request, api, "GET", "/")
            loop.sleep(0.03)
            os.rename(s.path, dir .. "/socket")
            assert.equal(1, task:wait())
          end)
          s:kill()
          assert.equal("connect", select(2, api:request("GET", "/")).code)    -- it had started: not again
        end)
      end)
    end)

    it("gives up at the deadline, when the server is gone and when it is closed", function ()
      sh.tmpdir(function (dir)
        sh(("cd %s && python3 -SEc 'import socket; socket.socket(socket.AF_UNIX).bind(\"socket\")'"):format(dir))
        local api = new(dir .. "/socket", { starting = true })
        local began = now()
        local _, late = api:request("GET", "/", nil, { timeout = 0.03 })
        assert.equal("timeout", late.code)
        assert.matches("GET /: no reply within .* s: cannot connect to .*: Connection refused", late.message)
        assert.is_true(now() - began < 5)
        loop.run(function ()
          local task = loop.spawn(api.request, api, "GET", "/")
          loop.sleep(0.01)
          api:close()
          assert.equal("closed", select(2, task:wait()).code)
        end)
        local gone = false
        api = new(dir .. "/socket", { starting = true, gone = function ()
          return gone and errors.new { code = "exited", message = "status 1" } or nil
        end })
        loop.run(function ()
          local task = loop.spawn(api.request, api, "GET", "/")
          loop.sleep(0.01)
          gone = true
          assert.equal("exited", select(2, task:wait()).code)
        end)
      end)
    end)

    it("is not tried when it is not starting", function ()
      sh.tmpdir(function (dir)
        sh(("cd %s && python3 -SEc 'import socket; socket.socket(socket.AF_UNIX).bind(\"socket\")'"):format(dir))
        local api = new(dir .. "/socket")
        assert.is_true(driver.steps(function () api:request("GET", "/") end) <= 2)
      end)
    end)
  end)

  describe("from many tasks", function ()
    it("shares nine connections among fifty requests, each with its own reply", function ()
      local script = {}
      for i = 1, 50 do
        script[i] = { text = reply(200, tostring(i)), after = 0.005 }
      end
      server(script, function (s)
        local api, seen, n = new(s.path), {}, 0
        loop.run(function ()
          for _ = 1, 50 do
            loop.spawn(function ()
              local value = assert(api:request("GET", "/"))
              n = n + (seen[value] and 0 or 1)
              seen[value] = true
            end)
          end
        end)
        assert.equal(50, n)
        assert.equal(9, s:count "^accept")
      end)
    end)

    it("cancelled, leaves its connection to the reply and lets the next have another", function ()
      server({ { hang = true }, { text = reply(200, "1") } }, function (s)
        local api = new(s.path)
        loop.run(function ()
          local task = loop.spawn(api.request, api, "GET", "/")
          loop.sleep(0.001)
          s:wait "^request"
          task:cancel()
          assert.equal("cancelled", select(2, task:wait()).code)
          assert.equal(1, api:request("GET", "/"))
        end)
        assert.equal(0, s:count "^end")
        api:close()
        s:wait "^end 1"
      end)
    end)

    it("at rest, keeps no connection; one that is used it keeps", function ()
      server({ { text = reply(200, "1") }, { text = reply(200, "2"), after = 0.05 }, { text = reply(200, "3") } }, function (s)
        local api = new(s.path)
        api:rest()
        assert.equal(1, api:request("GET", "/"))
        api:rest()
        s:wait "^end 1"
        loop.run(function ()
          local task = loop.spawn(api.request, api, "GET", "/")
          loop.sleep(0.001)
          s:wait "^request 2"
          api:rest()
          assert.equal(2, task:wait())
        end)
        assert.equal(3, api:request("GET", "/"))
        assert.equal(2, s:count "^accept")
      end)
    end)

    it("at rest before one that waited has taken what came free, gives it a new one", function ()
      loop.run(function ()
        local api, uses = new "/no/such", {}
        for i = 1, 9 do
          uses[i] = exchange.take(api, math.huge)
        end
        local task = loop.spawn(api.request, api, "GET", "/")
        loop.sleep(0)
        for _, use in ipairs(uses) do
          local _ <close> = use
        end
        api:rest()
        assert.equal("connect", select(2, task:wait()).code)
      end)
    end)

    it("closed, fails those that run and those that wait for a connection", function ()
      server({ { hang = true } }, function (s)
        local api, codes, began = new(s.path), {}, now()
        loop.run(function ()
          for i = 1, 20 do
            loop.spawn(function () codes[i] = select(2, api:request("GET", "/", nil, { timeout = 20 })).code end)
          end
          loop.sleep(0.001)
          s:wait("^request", 9)
          api:close()
          api:close()
        end)
        assert.is_true(now() - began < 15)    -- at once, not when their time is up
        assert.same({ n = 20, closed = 20 }, (function ()
          local count = { n = #codes }
          for _, code in ipairs(codes) do count[code] = (count[code] or 0) + 1 end
          return count
        end)())
        assert.equal("closed", select(2, api:request("GET", "/")).code)
        assert.equal(("<api %s (closed)>"):format(s.path), tostring(api))
      end)
    end)
  end)

  it("tells a log of each request", function ()
    server({ { text = reply(200, "1") }, { text = reply(400, "no") } }, function (s)
      local events = {}
      local api = new(s.path, { log = function (event) events[#events + 1] = event end })
      api:request("GET", "/a")
      api:request("PUT", "/b", {})
      assert.same({ "request", "GET /a", 200 }, { events[1].event, events[1].operation, events[1].status })
      assert.same({ "request", "PUT /b", 400, "api" },
        { events[2].event, events[2].operation, events[2].status, events[2].err.code })
      assert.is_true(events[1].elapsed >= 0)
    end)
  end)
end)
