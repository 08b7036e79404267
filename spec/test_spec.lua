-- scripts/test: the last line tells the truth, however the run ends.

local sh = require "spec.support.sh"

-- Runs scripts/test on one spec of the text given; returns its output, its last line and its status.
local function run (text, environment, options)
  return sh.tmpdir(function (dir)
    local path = dir .. "/sample_spec.lua"
    local f = assert(io.open(path, "w"))
    f:write(text)
    f:close()
    local out, status = sh("SPEC_STRICT= " .. (environment or "") .. " scripts/test " .. sh.quote(path) .. " " .. (options or ""))
    return out, out:match "([^\n]*)\n$", status
  end)
end

describe("scripts/test #scripts", function ()
  it("counts, and gives each failure and each skip a line", function ()
    local out, last, status = run [[
      it("a", function () end)
      it("b", function () error "why\nnot" end)
      it("c", function () pending "no moon" end)
      describe("d", function () before_each(function () error "early" end) it("e", function () end) end)]]
    assert.equal("1 passed, 2 failed, 1 skipped", last)
    assert.equal(1, status)
    assert.matches("\nFAIL %S+/sample_spec.lua:2: b: %S+/sample_spec.lua:2: why | not %(%-%-seed=%d+%)\n", "\n" .. out)
    assert.matches("\nskip %S+/sample_spec.lua:3: c: no moon\n", "\n" .. out)
    assert.matches("\nFAIL %S+/sample_spec.lua:4: d before_each: [^\n]*early %(%-%-seed=%d+%)\n", "\n" .. out)
  end)

  it("says in which spec a run died", function ()
    local out, last, status = run([[
      it("a", function () end)
      it("b", function () error "why" end)
      it("dies", function () os.execute "kill -9 $PPID" end)]], "", "--no-shuffle-tests")
    assert.equal("1 passed, 2 failed, 0 skipped", last)
    assert.equal(1, status)
    assert.matches("FAIL the run ended with status 137, last in: dies\n", out)
  end)

  it("is content with a skip, unless it is strict and the spec needs the machine", function ()
    local text = [[it("starts a guest #kvm", function () pending "lazy" end) it("other", function () pending "too" end)]]
    local _, last, status = run(text)
    assert.equal("0 passed, 0 failed, 2 skipped", last)
    assert.equal(0, status)
    _, last, status = run(text, "SPEC_STRICT=1")
    assert.equal("0 passed, 1 failed, 1 skipped", last)
    assert.equal(1, status)
  end)

  -- fn(dir, test): a tree of its own with nothing but these specs, test(arguments, before) runs its scripts/test; its nested host
  -- is this one, told by NESTED, and is missing where NO_HOST is set. FUZZ is the fuzzers' exit status.
  local function tree (text, fn)
    sh.tmpdir(function (dir)
      local out, status = sh(([[mkdir -p %s/scripts %s/spec/support %s/tmp && cp scripts/test %s/scripts && cp .busted %s &&
        cp spec/run.lua %s/spec && cp spec/support/output.lua spec/support/apart %s/spec/support && cd %s &&
        printf '#!/bin/sh\n' >scripts/setup && cat >scripts/nested <<'END' && chmod +x scripts/*
#!/bin/sh
[ "$1" != -c ] || { [ -z "$NO_HOST" ] || { echo "no QEMU"; exit 2; }; exit 0; }
while [ "$1" != env ] && [ "$1" != lua5.4 ]; do shift; done
NESTED=yes exec "$@"
END
        printf 'env support:\nasan:\n\t@echo end >$(SPEC_RESULTS)\nfuzz:\n\t@exit $(FUZZ)\n' >Makefile && cat >spec/a_spec.lua <<'END'
describe("sample", function ()
%s
end)
END]]):format(dir, dir, dir, dir, dir, dir, dir, dir, text))
      assert(status == 0, out)
      fn(dir, function (arguments, before)
        out, status = sh(("cd %s && export TMPDIR=%s/tmp SPEC_STRICT= && %s scripts/test %s")
          :format(dir, dir, before or "", arguments or ""))
        return out, out:match "([^\n]*)\n$", status
      end)
      assert.equal("", (sh("ls -A " .. dir .. "/tmp")))
    end)
  end

  local function need_root ()
    if sh "id -u" ~= "0\n" then pending "needs root" end
  end

  it("runs the whole tree, and fails when fewer specs ran than it holds, or a fuzzer finds something", function ()
    tree([[
      it("a", function () end)
      for _, word in ipairs(arg) do
        if word == "--list" and os.getenv "MORE" then it("b", function () end) end
      end]], function (_, test)
      assert.same({ "1 passed, 0 failed, 0 skipped", 0 }, { select(2, test()) })
      local out, last, status = test("", "MORE=1")
      assert.matches("\nFAIL only 1 of the tree's 2 specs ran\n", out)
      assert.same({ "1 passed, 1 failed, 0 skipped", 1 }, { last, status })
      assert.same({ "1 passed, 1 failed, 0 skipped", 1 }, { select(2, test("", "FUZZ=1")) })
      assert.same({ "1 passed, 0 failed, 0 skipped", 0 }, { select(2, test("spec/a_spec.lua", "MORE=1")) })
    end)
  end)

  -- The specs look in build/, and where they were started is not where they run.
  it("takes the caller's paths, and no BUILD", function ()
    tree([[
      for _, name in ipairs { "FIRECRACKER", "JAILER", "TMPDIR", "BUILD" } do
        it(name .. "=" .. tostring(os.getenv(name)), function () error "told" end)
      end]], function (dir, test)
      local out, last = test("", [[mkdir here && cd here && export BUILD=out FIRECRACKER=bin/fc JAILER=jail TMPDIR=../tmp &&
        ../scripts/test spec/a_spec.lua; exit; ]])
      assert.equal("0 passed, 4 failed, 0 skipped", last)
      for _, expected in ipairs { "FIRECRACKER=" .. dir .. "/here/bin/fc", "JAILER=jail", "BUILD=nil", "TMPDIR=" .. dir .. "/" } do
        assert.is_true(out:find("sample " .. expected, 1, true) ~= nil, out)
      end
    end)
  end)

  it("takes a nested host for what needs KVM where there is none, and says so #root", function ()
    need_root()
    tree([[
      local function nested () if not os.getenv "NESTED" then pending "no KVM" end end
      it("starts a guest #kvm", nested)
      it("starts Linux #linux", nested)
      it("starts none", function () assert(not os.getenv "NESTED") end)]], function (dir, test)
      local without = ("touch %s/none && exec unshare -m sh -c '! [ -e /dev/kvm ] || mount --bind %s/none /dev/kvm && \"$@\"' - ")
        :format(dir, dir)
      for _, arguments in ipairs { "", "spec/a_spec.lua" } do
        local out, last, status = test(arguments, without)
        assert.matches("note: no usable /dev/kvm here: the specs tagged #linux or #kvm ran in the nested host:\n", out)
        assert.same({ "3 passed, 0 failed, 0 skipped", 0 }, { last, status }, out)
      end
      local out, last, status = test("", "export NO_HOST=1 SPEC_STRICT=1; " .. without)
      assert.matches("note: no nested host: no QEMU\n", out)
      assert.same({ "1 passed, 2 failed, 0 skipped", 1 }, { last, status }, out)
    end)
  end)

  it("leaves no process when it is ended in the middle, and no file beyond the next run #root", function ()
    need_root()
    tree([[
      it("hangs", function ()
        os.execute "setsid sleep 4211.7 >/dev/null 2>&1 & : >$TMPDIR/file; : >begun; exec sleep 4211.7"
      end)
      it("is quick", function () end)]], function (dir, test)
      for signal, expected in pairs { INT = 130, TERM = 143, KILL = 137 } do
        local out, _, status = test("", ([[rm -f begun; env --default-signal scripts/test --filter=hangs >out 2>&1 & p=$!
          i=0; until [ -e begun ]; do i=$((i+1)); [ $i -lt 600 ] || exit 99; sleep 0.05; done
          kill -%s $p; wait $p; status=$?
          i=0; while left=$(grep -lsz '^4211.7' /proc/[0-9]*/cmdline); [ -n "$left" ]; do
            i=$((i+1)); [ $i -lt 100 ] || break; sleep 0.05
          done
          for each in $left; do each=${each#/proc/}; kill -9 ${each%%/*}; done
          echo "left: $left"; ls -A tmp | grep -c fcspec; exit $status; ]]):format(signal))
        assert.equal(expected, status, out)
        assert.matches("left: \n" .. (signal == "KILL" and 1 or 0) .. "\n$", out)
        assert.equal("1 passed, 0 failed, 0 skipped", (select(2, test "--filter=quick")))
        assert.equal("", (sh("ls -A " .. dir .. "/tmp")))
      end
    end)
  end)
end)
