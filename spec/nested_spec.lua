-- scripts/nested: what it returns, and that nothing stays, however it ends.

local sh = require "spec.support.sh"

-- Processes of ours, and mounts of theirs, that are still there: none, a moment after the end.
local function remains ()
  return (sh [[
    i=0; while :; do
      left=$(grep -lsz "$PWD/build/guest/vmlinux" /proc/[0-9]*/cmdline; grep -s ' /[^ ]*/build/nested ' /proc/mounts; ls -A build/nested)
      [ -n "$left" ] || break
      i=$((i+1)); [ $i -lt 100 ] || break; sleep 0.05
    done
    echo "$left"]])
end

describe("scripts/nested #root #scripts", function ()
  local function need ()
    local out, status = sh "scripts/nested -c"
    if status ~= 0 then
      pending((out:gsub("\n$", "")))
    end
  end

  after_each(function ()
    assert.equal("\n", remains())
  end)

  it("returns the output and the exit status of a command, arguments and environment intact", function ()
    need()
    sh.tmpdir(function (dir)
      local out, status = sh(([[cd spec && TOLD="a  b" ../scripts/nested -w %s sh -c 'echo "$TOLD"; printf "<%%s>" "$@"; pwd
        test -w /dev/kvm && test -e /sys/fs/cgroup/cgroup.controllers && echo beds; echo lost >/root/lost; echo kept >%s/kept
        sleep 1000 & exit 7' sh 'one two' "it's" '$HOME *' '']]):format(dir, dir))
      assert.equal("a  b\n<one two><it's><$HOME *><>" .. sh "pwd":match "[^\n]+" .. "/spec\nbeds\n", out)
      assert.equal(7, status)
      assert.equal("kept\n", (sh("cat " .. dir .. "/kept")))
      assert.is_nil(io.open "/root/lost")
    end)
  end)

  it("ends a command that is out of time with 124", function ()
    need()
    assert.same({ "nested: out of time after 1 s\n", 124 }, { sh "scripts/nested -t 01 sleep 1000" })
  end)

  it("tries again, once, when the host dies, and then says 125", function ()
    need()
    local out, status = sh [[scripts/nested -t 120 sh -c 'echo c >/proc/sysrq-trigger'; s=$?
      grep -c 'sysrq: Trigger a crash' build/nested.log; exit $s]]
    assert.equal("nested: the host died (build/nested.log): once more\nnested: the host died (build/nested.log)\n1\n", out)
    assert.equal(125, status)
  end)

  it("tries again, once, when nothing in the host runs any more", function ()
    need()
    sh.tmpdir(function (dir)
      local function run (first)
        return sh(([[scripts/nested -t 300 -s 15 -w %s sh -c 'cd %s; %s; touch tried
          kill -STOP $(grep -lszx /run/job /proc/[0-9]*/cmdline | cut -d/ -f3 | grep -vx 1) 2>/dev/null; sleep 1000']])
          :format(dir, dir, first))
      end
      local silent = "nested: the host is silent\nnested: the host died (build/nested.log)"
      assert.same({ silent .. ": once more\nagain\n", 0 }, { run "[ ! -e tried ] || { echo again; exit; }" })
      assert.same({ ("%s: once more\n%s\n"):format(silent, silent), 125 }, { run ":" })
    end)
  end)

  for signal, expected in pairs { INT = 130, TERM = 143, KILL = 137 } do
    it("goes by SIG" .. signal, function ()
      need()
      local out, status = sh(([[env --default-signal scripts/nested sleep 1000 & p=$!
        i=0; until grep -qsz "$PWD/build/guest/vmlinux" /proc/[0-9]*/cmdline; do i=$((i+1)); [ $i -lt 200 ] || exit 99; sleep 0.05; done
        kill -%s $p; wait $p]]):format(signal))
      assert.equal(expected, status, out)
    end)
  end

  it("stops when nobody reads its output", function ()
    need()
    assert.same({ "y\n", 0 }, { sh "scripts/nested -t 100 yes | head -n 1" })
  end)

  it("explains itself", function ()
    assert.same({ "usage: nested [-c] [-t SECONDS] [-s SECONDS] [-w DIR] COMMAND [ARGUMENT…]\n", 2 }, { sh "scripts/nested" })
    assert.same({ "nested: -t: a number of seconds expected, got 'x'\n", 2 }, { sh "scripts/nested -t x true" })
    assert.same({ "nested: -s: a number of seconds expected, got 'x'\n", 2 }, { sh "scripts/nested -s x true" })
  end)
end)
