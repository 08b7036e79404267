local fc = require "firecracker"
local models = require "firecracker.api.models"
local operations = require "firecracker.api.operations"
local server = require "spec.support.server"
local sh = require "spec.support.sh"
local spawn = require "spec.support.spawn"
local terminal = require "spec.support.terminal"

describe("fclua api", function ()
  local function run (words)
    return sh("scripts/fclua api " .. words .. " 2>&1")
  end

  it("lists every operation", function ()
    local out, status = run ""
    assert.equal(0, status)
    local _, lines = out:gsub("\n", "")
    assert.equal(#operations, lines)
    assert.matches("\nDELETE /drives/{drive_id} +unplug a drive %(since 1.16%)\n", out)
  end)

  it("shows the fields of one, with their ranges, values and releases", function ()
    local out, status = run "put /machine-config --describe"
    assert.equal(0, status)
    assert.matches("^PUT /machine%-config\n", out)
    assert.matches("\n  vcpu_count +integer: virtual CPUs %(required; 1 to 32%)\n", out)
    assert.matches("\n  huge_pages +string: [^\n]*one of None, 2M, Transparent %(1.17%); absent: 'None'; since 1.7%)\n", out)
    assert.matches("cpu_template[^\n]*deprecated since 1.5: use cpu_config", out)
  end)

  it("tells of a request that takes any of its fields neither what is required nor what is taken instead", function ()
    local out = run "patch /machine-config --describe"
    assert.matches("\n  vcpu_count +integer: virtual CPUs %(1 to 32%)\n", out)
    assert.matches("\n  smt +boolean: [^\n]*%(x86%)\n", out)
    assert.not_matches("absent", out)
  end)

  it("tells what an identifier holds, and which releases lack a field again", function ()
    assert.matches("\n  drive_id +string: [^\n]*%(required; letters, digits and '_'; at most %d+ bytes%)\n",
      (run "put /drives/a --describe"))
    assert.matches("\n  clock_realtime +boolean: [^\n]*; since 1.14.4; not in 1.15.0, again in 1.15.1%)\n",
      (run "put /snapshot/load --describe"))
  end)

  it("prints the reference page, which has every field", function ()
    local out, status = run "--markdown"
    assert.equal(0, status)
    for name, model in pairs(models) do
      local section = assert(out:match("\n## " .. name .. "\n(.-)\n## "), name)
      for _, field in ipairs(model.fields) do
        assert.matches("\n| `" .. field.name:gsub("%-", "%%-") .. "` | [^\n]*[^ |] |", section, name)
      end
    end
  end)

  for words, message in pairs {
    ["PUT"] = "a path is missing",
    ["PUT /drive '{}'"] = "no request 'PUT /drive' (did you mean 'PUT /drives/{drive_id}'?); --raw sends it all the same",
    ["PUT /drives/a-b '{}'"] = "PUT /drives/a-b: drive_id: letters, digits and '_' expected, got 'a-b'; --raw sends it all the same",
    ["PUT '/drives/{drive_id}' '{}'"] = "PUT /drives/{drive_id}: drive_id: letters, digits and '_' expected, got '{drive_id}'",
    ["DELETE '/pmem/{id}'"] = "DELETE /pmem/{id}: id: letters, digits and '_' expected, got '{id}'",
    ["PUT /drives/ '{}'"] = "no request 'PUT /drives/' (did you mean 'PUT /drives/{drive_id}'?)",
    ["PUT /drives/a/b '{}'"] = "no request 'PUT /drives/a/b'",
    ["GET / --timeout abc"] = "fclua: --timeout: a number of seconds expected, got 'abc'\n",
    ["GET / --timeout -5"] = "fclua: --timeout: a number of seconds expected, got '-5'\n",
    ["GET / --timeout=-.5"] = "fclua: --timeout: a number of seconds expected, got '-.5'\n",
    ["GET / --timeout 1e999"] = "fclua: --timeout: a number of seconds expected, got '1e999'\n",
    ["GET / --timeout ''"] = "fclua: --timeout: a number of seconds expected, got ''\n",
    ["GET / -s ''"] = "fclua: --socket-path: path expected, got an empty string\n",
    ["PUT /drives/a"] = "PUT /drives/a needs a body: Drive",
    ["GET /version 5"] = "GET /version takes no body",
    ["DELETE /drives/a '{}'"] = "DELETE /drives/a takes no body",
    ["PUT /mmds '{'"] = "the body: not valid JSON",
    ["FOO x --raw -s /none"] = "a verb, and a path that begins with a slash expected, got 'FOO x'",
    ["F-O / --raw -s /none"] = "a verb, and a path that begins with a slash expected, got 'F-O /'",
  } do
    it("refuses " .. words, function ()
      local out, status = run(words)
      assert.equal(2, status, out)
      assert.is_truthy(out:find(message, 1, true), out)
    end)
  end

  -- In this process, whose loop serves the fake.
  local function ask (fake, words, full)
    local printed, said, stdout, stderr = {}, {}, io.stdout, io.stderr
    rawset(io, "stdout", {
      write = function (_, text) printed[#printed + 1] = text return true end,
      flush = function () return not full or nil, full end,
    })
    rawset(io, "stderr", { write = function (_, ...) said[#said + 1] = table.concat { ... } end })
    table.move({ "-s", fake.path }, 1, 2, #words + 1, words)
    table.insert(words, 1, "api")
    local ok, status = pcall(require "firecracker.cli", words)
    rawset(io, "stdout", stdout)
    rawset(io, "stderr", stderr)
    assert(ok, status)
    return status, table.concat(printed), table.concat(said)
  end

  it("sends a request and prints the reply as it came", function ()
    local fake <close> = assert(fc.testing.fake_vmm())
    assert.same({ 0, '{"firecracker_version":"1.16.1"}\n', "" }, { ask(fake, { "GET", "/version" }) })
    assert.same({ 0, "", "" }, { ask(fake, { "PUT", "/drives/a", '{"drive_id":"a","path_on_host":"/a","is_root_device":false}' }) })
    assert.equal(1, #fake.vmm.drives)
    assert.same({ 0, "", "" }, { ask(fake, { "PUT", "/mmds", '{"a":[],"b":null}' }) })
    assert.same({ 0, '{"a":[],"b":null}\n', "" }, { ask(fake, { "GET", "/mmds" }) })
    for _, text in ipairs { "false", "0", '""', "[]" } do
      assert.same({ 0, "", "" }, { ask(fake, { "PUT", "/mmds", text }) })
      assert.same({ 0, text .. "\n", "" }, { ask(fake, { "GET", "/mmds" }) })
    end
    local status, _, said = ask(fake, { "GET", "/mmds" }, "No space left on device")
    assert.same({ 1, "fclua: standard output: No space left on device\n" }, { status, said })
  end)

  it("sends the body as it was written", function ()
    local body = '{ "b":18446744073709551615, "a":1.0,"a": 1e2 }'
    server({ { text = "HTTP/1.1 204 \r\n\r\n" } }, function (s)
      for _, words in ipairs { "PUT /mmds '%s'", "PUT /drives/a '%s'", "PUT /drives/a '%s' --raw", "PUT /x - --raw <<<'%s'" } do
        local out, status = sh(("bash -c %s"):format(sh.quote(("scripts/fclua api -s %s %s"):format(s.path, words:format(body)))))
        assert.same({ "", 0 }, { out, status })
      end
      assert.equal(4, s:count("^request .* localhost " .. body:gsub("%p", "%%%0") .. "$"))
    end)
  end)

  it("refuses what the release lacks, unless raw", function ()
    local fake <close> = assert(fc.testing.fake_vmm { release = "1.12.1" })
    assert.equal(1, (ask(fake, { "PUT", "/serial", "{}" })))
    assert.same({ "/version" }, { fake.requests[1].path, fake.requests[2] and fake.requests[2].path })
    assert.equal(1, (ask(fake, { "PUT", "/serial", "{}", "--raw" })))
    assert.equal("/serial", fake.requests[2].path)
  end)

  it("ends with 130 and without a word at Ctrl-C", function ()
    server({ { hang = true } }, function (s)
      terminal(("exec env --default-signal scripts/fclua api GET /version -s %s"):format(s.path), function (t)
        s:wait "request"
        t.process:signal "INT"
        assert.same({ "exited", 130 }, { spawn.ended(t.process) })
        assert.equal("", t:rest())
      end)
    end)
  end)
end)
