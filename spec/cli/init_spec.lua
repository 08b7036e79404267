-- The command line of fclua, and its launcher.
local sh = require "spec.support.sh"

local function fclua (words, how)
  return sh((how or "scripts/fclua") .. " " .. words)
end

describe("fclua", function ()
  it("tells its version", function ()
    local out, status = fclua "--version"
    assert.equal(("fclua %s\n"):format(require "firecracker.version".string), out)
    assert.equal(0, status)
  end)

  it("helps", function ()
    local out, status = fclua "--help"
    assert.equal(0, status)
    assert.matches("^Usage: fclua COMMAND", out)
    for _, word in ipairs { "run", "check", "init" } do
      assert.matches("\n   " .. word .. " ", out)
    end
    out, status = fclua "run --help"
    assert.equal(0, status)
    assert.matches("%-%-kernel PATH", out)
    assert.matches("%-%-jailer PATH", out)
  end)

  it("takes what follows -- for no option, where no flow's script gets it", function ()
    assert.same({ fclua "init -" }, { fclua "init -- -" })
    assert.matches("PUT /mmds: cannot connect to /nowhere: ", (fclua "api -s /nowhere -- PUT /mmds -5"))
  end)

  for _, case in ipairs {
    { "", "a command is required", "fclua --help" },
    { "rnu", "unknown command 'rnu' (did you mean 'run'?)", "fclua --help" },
    { "run --kernle x", "unknown option '--kernle' (did you mean '--kernel'?)", "fclua run --help" },
    { "run --kernel", "option '--kernel' requires an argument", "fclua run --help" },
    { "run --kernel a --kernel b", "option '--kernel' must be used at most 1 time", "fclua run --help" },
    { "run a b", "too many arguments: 'b'", "fclua run --help" },
    { "run a --ncpus 2 b c -- d", "too many arguments: 'b'", "fclua run --help" },
    { "api GET / -- --x y", "too many arguments: 'y'", "fclua api --help" },
    { "check --kernel x", "unknown option '--kernel'", "fclua check --help" },
    { "init -- -x -y", "too many arguments: '-y'", "fclua init --help" },
    { "guest -- build ''", "a directory expected, got an empty string", "fclua guest --help" },
    { "guest build ''", "a directory expected, got an empty string", "fclua guest --help" },
  } do
    it(("refuses 'fclua %s'"):format(case[1]), function ()
      local out, status = fclua(case[1])
      assert.equal(("fclua: %s\n  help    %s\n"):format(case[2], case[3]), out)
      assert.equal(2, status)
    end)
  end
end)

describe("fclua whose standard output", function ()
  for _, words in ipairs {
    "--version", "--help", "run --help", "check", "init -", "api", "api --markdown", "api GET /version --describe",
  } do
    it(("is full or closed says so: %s"):format(words), function ()
      for where, why in pairs { [">/dev/full"] = "No space left on device", [">&-"] = "[^\n]+" } do
        local out, status = fclua(words .. " " .. where)
        assert.matches("^fclua: standard output: " .. why .. "\n$", out)
        assert.equal(1, status)
      end
    end)
  end

  it("nobody reads ends by SIGPIPE", function ()
    local script = "exec 3> >(:); wait $!; trap - PIPE; scripts/fclua --version >&3; echo $?"
    assert.equal("141\n", (sh("bash -c " .. sh.quote(script))))
  end)
end)

-- libcurl costs megabytes and milliseconds.
describe("fclua without libcurl", function ()
  local PROBE <const> = [[local exit = os.exit
    function os.exit (...)
      io.stdout:flush()
      for line in io.lines "/proc/self/maps" do
        if line:find("libcurl", 1, true) then io.stderr:write("loads libcurl\n") break end
      end
      exit(...)
    end]]
  local function probed (words, first)
    return fclua(words, ("lua5.4 -e %s %s scripts/fclua"):format(sh.quote(PROBE), first or ""))
  end

  it("would be told from with", function ()
    assert.matches("loads libcurl", probed("--version", "-e 'require \"firecracker.core.http\"'"))
  end)

  for _, words in ipairs { "--version", "--help", "run --help", "check", "init -", "run --jailer x" } do
    it("runs " .. words, function ()
      assert.not_matches("loads libcurl", probed(words))
    end)
  end
end)

describe("the launcher", function ()
  local here = sh "pwd":match "[^\n]+"
  local bare = "env -u LUA_PATH -u LUA_CPATH -u LUA_PATH_5_4 -u LUA_CPATH_5_4 "

  for name, command in pairs {
    ["by a path"] = "cd / && %s%s/scripts/fclua check",
    ["inside scripts"] = "cd scripts && %s./fclua check",
    ["by lua5.4"] = "cd scripts && %slua5.4 fclua check",
  } do
    it("runs the tree " .. name, function ()
      local out, status = sh(command:format(bare, here))
      assert.equal(0, status, out)
      assert.matches("fcinit.StartInstance", out)
    end)
  end

  it("runs the tree through a symbolic link, whatever its name", function ()
    sh.tmpdir(function (dir)
      local link = sh.quote(dir .. "/it's")
      local out, status = sh(("ln -s %s/scripts/fclua %s && cd / && %s%s check"):format(here, link, bare, link))
      assert.equal(0, status, out)
      assert.matches(here .. "/lua/firecracker/handlers", out, 1, true)
    end)
  end)

  it("says what to do where there is neither a built tree nor a module", function ()
    sh.tmpdir(function (dir)
      local out, status = sh(("cp scripts/fclua %s && cd / && LUA_PATH=/nowhere LUA_CPATH=/nowhere %s/fclua check")
        :format(dir, dir))
      assert.equal("fclua: the firecracker modules are not installed; in a checkout: run make\n", out)
      assert.equal(1, status)
    end)
  end)
end)
