-- A process that has too few descriptors, and one that ends in the middle of a task. Each is a host of its own.
local bed = require "spec.support.bed"
local host = require "spec.support.host"
local leaks = require "spec.support.leaks"
local sh = require "spec.support.sh"

local PRELUDE <const> = [[
  local core, fc, sh = require "firecracker.core", require "firecracker", require "spec.support.sh"
  local run_dir = %q
  local function config (more)
    more.run_dir, more.boot_source, more.timeouts = run_dir, { kernel_image_path = %q }, { shutdown = 0 }
    return more
  end
  -- Leave so many descriptors; call the result to have the others again.
  local function hog (spare)
    local held, fd = {}, core.files.open("/dev/null", "r")
    while fd do
      held[#held + 1], fd = fd, core.files.open("/dev/null", "r")
    end
    for _ = 1, spare do
      table.remove(held):close()
    end
    return function ()
      for _, each in ipairs(held) do
        each:close()
      end
    end
  end
]]

local function run (preparation, script)
  return host(preparation, PRELUDE:format(leaks.run_dir, bed.guest "idle") .. script)
end

describe("#kvm a process without descriptors", function ()
  leaks.check(before_each, after_each, teardown)

  -- The first starts of a process: what is loaded when it is needed is not there either.
  for what, more in pairs {
    ["plain machine"] = "{}",
    ["machine with everything"] = "{ console = 'pty', metrics = {}, logger = { level = 'Info', to = function () end } }",
  } do
    it("starts a " .. what .. " as soon as there are enough, and nothing is left before", function ()
      local out, status = run("ulimit -n 64;", ([[
        local n, started = 0, nil
        repeat
          local give_back <const> = hog(n)
          local ok, vm, err = pcall(fc.boot, config(%s))
          started = ok and vm
          if started then
            assert(vm:close())
          end
          give_back()
          local left = sh("ls " .. run_dir .. " 2>/dev/null")
          assert(left == "", left)
          local problem = tostring(err or vm)
          assert(started or problem:find("Too many open files (RLIMIT_NOFILE is 64)", 1, true)
            or problem:find "module '[%%w._]+' not found", problem)   -- Lua does not say why it cannot open a module
          n = n + 1
        until started or n > 40
        print(started and n > 3)]]):format(more))
      assert.equal("true\n", out)
      assert.equal(0, status)
    end)
  end

  it("is told so where a program is to say something", function ()
    local out = run("ulimit -n 64;", [[
      local release, hash = require "firecracker.release", require "firecracker.snapshot.hash"
      require "firecracker.launch.answer"
      local binary = require("firecracker.launch.direct").find(config { vmm = {} })
      for _, ask in ipairs { release.of_binary, hash } do
        local n, answer, err = 0, nil, nil
        repeat
          local give_back <const> = hog(n)
          answer, err = ask(binary)
          give_back()
          assert(answer or err.errno == "EMFILE", err)
          n = n + 1
        until answer or n > 40
        print(answer and n > 3)
      end]])
    assert.equal("true\ntrue\n", out)
  end)

  it("is told so where a FIFO is made, and keeps none", function ()
    local fifo = bed.scratch "log.fifo"
    local out = run("ulimit -n 64;", ([[
      require "firecracker.intake"
      local flow, give_back = fc.flow "boot", nil
      flow:insert_before("fcinit.CreateLogFilesHandler", function () give_back = hog(0) end)
      local vm, err = fc.boot(config { logger = { fifo = %q } }, flow)
      give_back()
      print(vm, err.errno, err.message)]]):format(fifo))
    assert.matches("^nil\tEMFILE\t.*config%.logger%.fifo: cannot open .*: Too many open files %(RLIMIT_NOFILE is 64%)\n$", out)
    assert.equal("", sh("ls " .. sh.quote(fifo) .. " 2>/dev/null"))
  end)
end)

describe("#kvm a process that ends in a task", function ()
  leaks.check(before_each, after_each, teardown)

  it("ends, and so do its machines, whatever waits for them", function ()
    local out, status = run("exec timeout 60", [[
      warn "@off"
      local vms, others = {}, {}
      fc.run(function ()
        for i = 1, 3 do
          vms[i] = assert(fc.boot(config {}))
          fc.spawn(vms[i].wait, vms[i])
        end
        fc.spawn(function ()
          local _ <close> = setmetatable({}, { __close = function () print "closed" end })
          fc.sleep(60)
        end)
        fc.sleep(0.01)
        os.exit(7, true)
      end)]])
    assert.equal("closed\n", out)
    assert.equal(7, status)
  end)
end)
