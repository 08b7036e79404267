-- Copying without holes and merging, on the file systems that are here: the tests' own directory and /dev/shm, a tmpfs.
-- A small tmpfs of ours, in a mount namespace, runs full.

local core = require "firecracker.core"
local fds = require "spec.support.fds"
local host = require "spec.support.host"
local sh = require "spec.support.sh"

local files = core.files
local MIB <const> = 1 << 20

for _, place in ipairs { "/tmp", "/dev/shm" } do
  describe("sparse in " .. place, function ()
    local dir

    before_each(function ()
      fds.remember()
      dir = sh("mktemp -d -p " .. place):match "^(/%S+)\n$"
    end)
    after_each(function ()
      sh("rm -rf " .. sh.quote(dir))
      fds.compare()
    end)

    -- A file of a size, holes but for the pieces: offset -> text.
    local function make (name, size, pieces)
      local path = dir .. "/" .. name
      assert(select(2, sh(("truncate -s %d %s"):format(size, path))) == 0)
      local file <close> = assert(io.open(path, "r+"))
      for at, text in pairs(pieces) do
        file:seek("set", at)
        file:write(text)
      end
      return path
    end

    local function read (path)
      local file <close> = assert(io.open(path, "rb"))
      return file:read "a"
    end

    local function used (path)
      return tonumber((sh("stat -c %b " .. path))) * 512
    end

    -- To the end.
    local function finish (copy, most)
      local _ <close> = copy
      for _ = 1, 10000 do
        local done, err = copy:step(most)
        if assert(done ~= nil, err) and done then
          return
        end
      end
      error "it does not end"
    end

    it("copies what is there, and no hole", function ()
      local from = make("from", 64 * MIB + 17, { [0] = "first", [8 * MIB] = ("x"):rep(3 * MIB), [64 * MIB + 10] = "last" })
      for _, sync in ipairs { false, true } do
        local to = ("%s/to-%s"):format(dir, sync)
        finish(assert(files.copy(from, to, 384, sync)))
        assert.is_true(read(from) == read(to))
        assert.is_true(used(to) <= used(from) + MIB, "it grew")
        assert.equal("600 " .. 64 * MIB + 17 .. "\n", (sh("stat -c '%a %s' " .. to)))
      end
    end)

    it("copies nothing, holes alone, and one byte", function ()
      for size, pieces in pairs { [0] = {}, [5 * MIB] = {}, [1] = { [0] = "x" } } do
        local from, to = make("from" .. size, size, pieces), dir .. "/to" .. size
        finish(assert(files.copy(from, to)))
        assert.is_true(read(from) == read(to))
      end
    end)

    it("goes in steps", function ()
      local from = make("from", 8 * MIB, { [0] = ("a"):rep(2 * MIB), [5 * MIB] = ("b"):rep(2 * MIB) })
      local to = dir .. "/to"
      local copy <close> = assert(files.copy(from, to))
      local steps = 0
      repeat
        local done = copy:step(MIB // 2)
        steps = steps + 1
      until done
      assert.is_true(steps >= 8 or used(to) == used(from))    -- one where the file system shares blocks
      assert.is_true(read(from) == read(to))
    end)

    it("merges: data over what is there, zeros as well, holes leave it", function ()
      local base = make("base", 16 * MIB, { [0] = ("b"):rep(16 * MIB) })
      local diff = make("diff", 16 * MIB, {
        [4096] = ("d"):rep(4096), [2 * MIB] = ("\0"):rep(4096), [16 * MIB - 4096] = ("e"):rep(4096) })
      finish(assert(files.merge(diff, base)), 4096)
      local text = read(base)
      assert.equal(16 * MIB, #text)
      assert.is_true(text == ("b"):rep(4096) .. ("d"):rep(4096) .. ("b"):rep(2 * MIB - 8192) .. ("\0"):rep(4096)
        .. ("b"):rep(14 * MIB - 8192) .. ("e"):rep(4096))
    end)

    it("merges random pages as reading and writing page by page would", function ()
      local PAGES <const>, seed = 512, os.time()
      math.randomseed(seed)
      local function random_pages (share)
        local pages = {}
        for page = 0, PAGES - 1 do
          if math.random() < share then
            pages[page * 4096] = string.char(math.random(0, 255)):rep(4096)
          end
        end
        return pages
      end
      for round = 1, 5 do
        local under, over = random_pages(0.5), random_pages(0.3)
        local base, diff = make("base" .. round, PAGES * 4096, under), make("diff" .. round, PAGES * 4096, over)
        local expected = {}
        for page = 0, PAGES - 1 do
          expected[#expected + 1] = over[page * 4096] or under[page * 4096] or ("\0"):rep(4096)
        end
        finish(assert(files.merge(diff, base)), math.random(512, 100000))
        assert.is_true(read(base) == table.concat(expected), "seed " .. seed)
      end
    end)

    it("refuses what is no regular file, what is there, other sizes, itself", function ()
      local from, other = make("from", 8192, { [0] = "x" }), make("other", 4096, {})
      sh(("mkfifo %s/fifo; ln -s %s/nothing %s/link"):format(dir, dir, dir))
      for _, case in ipairs {
        { "ENOENT", "cannot open DIR/absent: No such file or directory", files.copy, dir .. "/absent", dir .. "/to" },
        { "EINVAL", "DIR is not a regular file", files.copy, dir, dir .. "/to" },
        { "EINVAL", "DIR/fifo is not a regular file", files.copy, dir .. "/fifo", dir .. "/to" },
        { "EEXIST", "cannot make file DIR/other: File exists", files.copy, from, other },
        { "EEXIST", "cannot make file DIR/link: File exists", files.copy, from, dir .. "/link" },
        { "ENOENT", "cannot make file DIR/no/to: No such file or directory", files.copy, from, dir .. "/no/to" },
        { "EINVAL", "DIR/from has 8192 bytes, DIR/other 4096", files.merge, from, other },
        { "EINVAL", "DIR/from and DIR/from are one file", files.merge, from, from },
        { "EINVAL", "DIR/fifo is not a regular file", files.merge, from, dir .. "/fifo" },
        { "ENOENT", "cannot open DIR/absent: No such file or directory", files.merge, from, dir .. "/absent" },
      } do
        local copy, err = case[3](case[4], case[5])
        assert.is_nil(copy)
        assert.same({ case[1], case[2] }, { err.errno, (err.message:gsub(dir:gsub("%p", "%%%0"), "DIR")) })
      end
      assert.is_nil(io.open(dir .. "/to"))
    end)

    it("notices a source that becomes shorter", function ()
      local from = make("from", 4 * MIB, { [0] = ("x"):rep(4 * MIB) })
      local base = make("base", 4 * MIB, {})
      local copy <close> = assert(files.merge(from, base))
      assert.is_false(copy:step(4096))
      sh("truncate -s 1M " .. from)
      local done, err
      repeat
        done, err = copy:step(MIB)
      until done ~= false
      assert.same({ nil, "EIO" }, { done, err.errno })
      sh("truncate -s 4M " .. from)
      from = make("gaps", 4 * MIB, { [0] = ("x"):rep(4096), [3 * MIB] = ("x"):rep(4096) })
      local gaps <close> = assert(files.copy(from, dir .. "/whole"))
      assert.is_false(gaps:step(4096))
      sh("truncate -s 1M " .. from)     -- what was behind the hole looks like the rest of it
      repeat
        done, err = gaps:step(MIB)
      until done ~= false
      assert.same({ nil, "EIO" }, { done, err.errno })
    end)

    it("is closed twice, and then steps no more", function ()
      local copy = assert(files.copy(make("from", 1, { [0] = "x" }), dir .. "/to"))
      copy:close()
      copy:close()
      assert.has_error(function () copy:step() end, "calling 'step' on bad self (closed copy)")
      assert.has_error(function () files.copy "x" end)
    end)
  end)
end

describe("sparse", function ()
  it("syncs files and directories", function ()
    assert.is_true(files.sync "/tmp")
    local ok, err = files.sync "/no/such"
    assert.is_nil(ok)
    assert.equal("ENOENT", err.errno)
  end)

  it("copies between file systems #root", function ()
    sh.tmpdir(function (dir)
      local shm = sh("mktemp -d -p /dev/shm"):match "^(/%S+)\n$"
      finally(function () sh("rm -rf " .. shm) end)
      sh(("truncate -s 32M %s/from && printf hello | dd of=%s/from bs=1M seek=20 conv=notrunc 2>/dev/null"):format(dir, dir))
      local copy <close> = assert(files.copy(dir .. "/from", shm .. "/to"))
      while not copy:step() do end
      local _, status = sh(("cmp %s/from %s/to"):format(dir, shm))
      assert.equal(0, status)
      assert.is_true(tonumber((sh(("stat -c %%b %s/to"):format(shm)))) * 512 <= MIB)
      -- and merges, zeros as well
      sh(("head -c 65536 /dev/zero | tr '\\0' b >%s/base; truncate -s 64K %s/diff"):format(shm, dir))
      local diff <close> = assert(io.open(dir .. "/diff", "r+"))
      for page, letter in pairs { [3] = "d", [9] = "\0" } do
        diff:seek("set", page * 4096)
        diff:write(letter:rep(4096))
      end
      diff:close()
      local merge <close> = assert(files.merge(dir .. "/diff", shm .. "/base"))
      while not merge:step(5000) do end
      local out <close> = assert(io.open(shm .. "/base"))
      local b = ("b"):rep(4096)
      assert.is_true(out:read "a" == b:rep(3) .. ("d"):rep(4096) .. b:rep(5) .. ("\0"):rep(4096) .. b:rep(6))
    end)
  end)

  it("tells of a full disk #root", function ()
    sh.tmpdir(function (dir)
      local out, status = host(("cd %s; dd if=/dev/urandom of=big bs=1M count=8 2>/dev/null; mkdir small; " ..
        "unshare -m sh -c 'mount -t tmpfs -o size=2m none small; \"$@\"' -"):format(sh.quote(dir)), [[
        local files = require "firecracker.core".files
        local copy = assert(files.copy("big", "small/to"))
        local done, err
        repeat done, err = copy:step(1 << 20) until done ~= false
        print(done, err.errno, err.message)]])
      assert.equal(0, status, out)
      assert.matches("^nil\tENOSPC\tcannot %a+: No space left on device\n$", out)
    end)
  end)

  it("takes back what it could not finish, and lets other tasks move #root", function ()
    local fc = require "firecracker"
    local sparse = require "firecracker.sparse"
    sh.tmpdir(function (dir)
      sh(("dd if=/dev/urandom of=%s/from bs=1M count=64 2>/dev/null"):format(dir))
      fc.run(function ()
        local moved = 0
        local other = fc.spawn(function () while true do moved = moved + 1; fc.sleep(0) end end)
        assert(sparse.copy(dir .. "/from", dir .. "/to", { mode = 420 }))
        assert.is_true(moved >= 4)
        other:cancel()
        pcall(other.wait, other)
        assert.equal("644\n", (sh(("stat -c %%a %s/to"):format(dir))))

        local task = fc.spawn(sparse.copy, dir .. "/from", dir .. "/again")
        fc.sleep(0)
        task:cancel()
        local ok, err = task:wait()
        assert.is_nil(ok)
        assert.equal("cancelled", err.code)
        assert.is_nil(io.open(dir .. "/again"))

        ok, err = sparse.copy(dir .. "/from", dir .. "/to")
        assert.is_nil(ok)
        assert.equal("EEXIST", err.errno)
        assert.is_nil((sparse.merge(dir .. "/from", dir .. "/absent")))
        assert.equal("from to\n", (sh(("cd %s; echo *"):format(dir))))
      end)
    end)
  end)
end)
