local core = require "firecracker.core"
local driver = require "spec.support.reactor"
local fds = require "spec.support.fds"
local sh = require "spec.support.sh"

describe("a watch", function ()
  setup(function () assert(core.watch.open("/", "x")):close() end)    -- one inotify descriptor serves all
  before_each(fds.remember)
  after_each(function ()
    driver.fired()
    fds.compare()
  end)

  local function make (path)
    assert(io.open(path, "w")):close()
  end

  local function open (...)
    return assert(core.watch.open(...))
  end

  it("has seen a name that was there before, whatever it is", function ()
    sh.tmpdir(function (dir)
      make(dir .. "/file")
      sh(("cd %s && mkdir directory && ln -s /no/such link"):format(dir))
      for _, name in ipairs { "file", "directory", "link" } do
        local watch <close> = open(dir, name)
        assert.is_true(watch:appeared())
        assert.same({ watch:key() }, driver.fired())
      end
    end)
  end)

  for how, command in pairs {
    created = "touch name", ["moved in"] = "touch other; mv other name", ["linked in"] = "touch other; ln other name",
    ["made as a FIFO"] = "mkfifo name", ["made as a directory"] = "mkdir name",
    ["bound as a socket"] = "python3 -SEc 'import socket; socket.socket(socket.AF_UNIX).bind(\"name\")'",
  } do
    it("sees a name that is " .. how, function ()
      sh.tmpdir(function (dir)
        local watch <close> = open(dir, "name")
        assert.same({}, driver.fired())
        assert.is_false(watch:appeared())
        sh("cd " .. dir .. " && " .. command)
        assert.same({ watch:key() }, driver.fired())
        assert.is_true(watch:appeared())
      end)
    end)
  end

  it("sees no other name, none below and none that goes", function ()
    sh.tmpdir(function (dir)
      sh("cd " .. dir .. " && mkdir sub && touch old")
      local watch <close> = open(dir, "name")
      sh("cd " .. dir .. " && touch name2 nam sub/name; rm old; echo >name2")
      assert.same({}, driver.fired())
      assert.is_false(watch:appeared())
    end)
  end)

  it("shares a directory with others, and leaves it to them when it closes", function ()
    sh.tmpdir(function (dir)
      local a, b, also_a = open(dir, "a"), open(dir, "b"), open(dir, "a")
      make(dir .. "/a")
      assert.same({ also_a:key(), a:key() }, driver.fired())
      a:close()
      also_a:close()
      make(dir .. "/b")
      assert.same({ b:key() }, driver.fired())
      b:close()
    end)
  end)

  it("leaves nothing in the kernel when the last of a directory closes", function ()
    local function watched ()
      local n = 0
      for fd, target in pairs(fds.all()) do
        if target == "anon_inode:inotify" then
          local info <close> = assert(io.open("/proc/self/fdinfo/" .. fd))
          n = n + select(2, info:read "a":gsub("inotify wd", ""))
        end
      end
      return n
    end
    sh.tmpdir(function (dir)
      local before = watched()
      local a, b = open(dir, "a"), open(dir, "b")
      assert.equal(before + 1, watched())
      a:close()
      assert.equal(before + 1, watched())
      b:close()
      b:close()
      assert.equal(before, watched())
    end)
  end)

  it("closed with something untold tells it no more", function ()
    sh.tmpdir(function (dir)
      local watch = open(dir, "name")
      make(dir .. "/name")
      core.reactor():step(core.now())
      watch:close()
      assert.is_nil(core.reactor():fired())
    end)
  end)

  it("of a directory that is gone stays silent and closes", function ()
    sh.tmpdir(function (dir)
      sh("mkdir " .. dir .. "/sub")
      local watch = open(dir .. "/sub", "name")
      sh(("rmdir %s/sub; mkdir %s/sub; touch %s/sub/name"):format(dir, dir, dir))
      assert.same({}, driver.fired())
      watch:close()
    end)
  end)

  it("loses nothing when more happens than the kernel keeps", function ()
    sh.tmpdir(function (dir)
      local limit = assert(io.open "/proc/sys/fs/inotify/max_queued_events")
      local n = limit:read "n"
      limit:close()
      if n > 100000 then
        return pending(("the kernel keeps %d events"):format(n))
      end
      local watch <close> = open(dir, "name")
      local from, to = dir .. "/from", dir .. "/to"
      make(from)
      for _ = 1, n + 10 do
        assert(os.rename(from, to))
        from, to = to, from
      end
      make(dir .. "/name")
      assert.same({ watch:key() }, driver.fired())
      assert.is_true(watch:appeared())
    end)
  end)

  it("fails by what is wrong with the directory", function ()
    local function fails (directory)
      local watch, err = core.watch.open(directory, "x")
      assert.is_nil(watch)
      return err.errno .. ": " .. err.message
    end
    assert.equal("ENOENT: cannot watch directory /no/such: No such file or directory", fails "/no/such")
    assert.equal("ENOTDIR: cannot watch directory /etc/passwd: Not a directory", fails "/etc/passwd")
    local _, err = core.watch.open("/", ("x"):rep(300))
    assert.equal("ENAMETOOLONG", err.errno)
  end)

  it("refuses a name that can never appear, and raises when closed", function ()
    for _, name in ipairs { "", "a/b", "/" } do
      assert.has_error(function () core.watch.open("/", name) end,
        "bad argument #2 to 'open' (one name without a slash expected)")
    end
    local watch = open("/", "x")
    watch:close()
    for _, method in ipairs { "key", "appeared" } do
      assert.error_matches(function () watch[method](watch) end, "%(closed watch%)$")
    end
  end)
end)
