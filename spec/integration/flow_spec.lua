-- The flow script is the boot flow: what a user edits is what runs.
local bed = require "spec.support.bed"
local core = require "firecracker.core"
local fc = require "firecracker"
local leaks = require "spec.support.leaks"
local sh = require "spec.support.sh"

describe("#kvm a flow", function ()
  leaks.check(before_each, after_each, teardown)

  -- A copy of the default flow, edited.
  local function edited (edit)
    local path = bed.scratch "flow.lua"
    return bed.write(path, (edit(bed.read "scripts/boot.lua")))
  end

  it("gets a step, loses one and has one replaced by a function", function ()
    local path = edited(function (text)
      text = text:gsub("fcinit%.add_vsocks,", "")
      text = text:gsub("(fcinit%.create_machine),", "%1, function (vm) vm.seen = vm:info().state end,")
      return text:gsub("fcinit%.setup_kernel_args,", [[function (vm) vm.config.boot_source.boot_args = "mine" end,]])
    end)
    finally(function () os.remove(path) end)
    local vm <close> = assert(fc.boot(bed.config("idle", { vsock = { guest_cid = 3, uds_path = bed.scratch "v" } }), path))
    assert.equal("Not started", vm.seen)
    local seen = vm.api:get_vm_config()
    assert.equal("mine", seen["boot-source"].boot_args:match "^%a+")
    assert.is_nil(seen.vsock)
  end)

  it("is edited by verbs that chain", function ()
    local sent
    local flow = assert(fc.flow "boot")
    flow:append_after("fcinit.CreateMachine", fc.handler("mine.CpuConfig", function (vm)
          sent = vm.api:put_cpu_config { cpuid_modifiers = fc.array {} }
          return sent
        end))
        :remove "fcinit.AddVsocks"
    local vm <close> = assert(fc.boot(bed.config("exit", { vsock = { guest_cid = 3, uds_path = bed.scratch "v" } }), flow))
    assert.same({ exited = 0 }, vm:wait { timeout = 10 })
    assert.is_true(sent)
  end)

  it("is each machine's own", function ()
    local flow = assert(fc.flow "boot")
    local ran = {}
    local function note (name)
      return fc.handler("mine." .. name, function () ran[#ran + 1] = name end)
    end
    local a = assert(fc.new(bed.config "exit", flow:append_after("fcinit.CreateMachine", note "A")))
    local b = assert(fc.new(bed.config "exit", flow:remove "mine.A":append_after("fcinit.CreateMachine", note "B")))
    local plain = assert(fc.new(bed.config "exit"))
    flow:clear "fcinit"
    for _, vm in ipairs { b, a, plain } do
      local running <close> = assert(vm:start())
      assert.same({ exited = 0 }, running:wait { timeout = 10 })
    end
    assert.same({ "B", "A" }, ran)
  end)

  it("names the script and the line of a step that fails", function ()
    local path = edited(function (text)
      return text:gsub("(fcinit%.create_machine),", '%1, function () error "no such luck" end,')
    end)
    finally(function () os.remove(path) end)
    local line = 0
    for text in io.lines(path) do
      line = line + 1
      if text:find "no such luck" then
        break
      end
    end
    local vm, err = fc.boot(bed.config "exit", path)
    assert.is_nil(vm)
    assert.equal(("%s:%d"):format(path, line), err.where)
    assert.equal(("%s:%d"):format(path, line), err.handler)
    assert.matches("no such luck", err.message)
  end)

  it("called boot is scripts/boot.lua of the tree #scripts", function ()
    sh.tmpdir(function (dir)
      assert(os.execute(("cp -a lua scripts Makefile csrc %s && mkdir -p %s/build && cp -a build/firecracker build/obj %s/build")
        :format(sh.quote(dir), sh.quote(dir), sh.quote(dir))))
      local tree = dir .. "/scripts/boot.lua"
      local text = bed.read(tree):gsub("(fcinit%.create_machine),", [[%1, function () io.stdout:write "edited\n" end,]])
      bed.write(tree, text)
      local script = bed.write(dir .. "/try.lua", ([[
        local fc = require "firecracker"
        local vm <close> = assert(fc.boot { run_dir = %q, boot_source = { kernel_image_path = %q } })
        print(vm:wait().exited)
      ]]):format(leaks.run_dir, bed.guest "exit"))
      local out, status = sh(("cd %s && make -s all && eval \"$(make -s env)\" && lua5.4 %s")
        :format(sh.quote(dir), sh.quote(script)))
      assert.equal("edited\n0\n", out)
      assert.equal(0, status)
    end)
  end)

  it("that is installed is found by name only", function ()
    local flow, err = fc.flow "boto"
    assert.is_nil(flow)
    assert.equal("flow", err.code)
    assert.is_nil(core.files.look "boto")
  end)
end)
