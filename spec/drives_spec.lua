local config = require "firecracker.config"
local drives = require "firecracker.drives"

describe("lists of drives", function ()
  it("begin with the root drive and grow", function ()
    local list = drives.root("/img/root.ext4", { is_read_only = true, partuuid = "0eaa91a0-01" })
    assert.equal(list, drives.add(list, "/img/data", { cache_type = "Writeback", rate_limiter = { ops = { size = 1, refill_time = 1 } } }))
    drives.add(list, "/img/more", { drive_id = "drive3" })
    drives.add(list, "/img/last")
    assert.same({
      { drive_id = "rootfs", path_on_host = "/img/root.ext4", is_root_device = true, is_read_only = true, partuuid = "0eaa91a0-01" },
      { drive_id = "drive1", path_on_host = "/img/data", is_root_device = false, is_read_only = false, cache_type = "Writeback",
        rate_limiter = { ops = { size = 1, refill_time = 1 } } },
      { drive_id = "drive3", path_on_host = "/img/more", is_root_device = false, is_read_only = false },
      { drive_id = "drive2", path_on_host = "/img/last", is_root_device = false, is_read_only = false },
    }, list)
    assert.same(list, config.check { drives = list }.drives)
  end)

  it("may hold what is wrong: the check of the configuration finds it", function ()
    for _, wrong in ipairs { {}, { path_on_host = "/a" }, "/a" } do
      local list = drives.add({ wrong }, "/b")
      assert.equal("drive1", list[2].drive_id)
      local ok, err = pcall(config.check, { drives = list })
      assert.is_false(ok)
      assert.matches("^config.drives%[1%]", err.message)
    end
  end)

  it("need no root drive, and refuse at the caller's line", function ()
    assert.equal("drive1", drives.add({}, "x")[1].drive_id)
    for message, call in pairs {
      ["drives.root: path expected, got nil"] = function () drives.root() end,
      ["drives.add: list expected, got string"] = function () drives.add("x") end,
      ["drives.add: options: table expected, got boolean"] = function () drives.add({}, "x", true) end,
    } do
      local ok, err = pcall(call)
      assert.is_false(ok)
      assert.equal(message, err.message)
      assert.matches("drives_spec%.lua:%d+$", err.where)
    end
  end)
end)
