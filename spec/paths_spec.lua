local bed = require "spec.support.bed"
local paths = require "firecracker.machine.paths"

describe("the files that machines use", function ()
  it("are known as long as the machines are there", function ()
    local path = bed.write(bed.scratch "drive", "")
    local link = bed.scratch "link"
    finally(function ()
      os.remove(path)
      os.remove(link)
    end)
    assert(os.execute(("ln '%s' '%s'"):format(path, link)))
    local function users ()
      local set, n = paths.users(path), 0
      for _ in pairs(set or {}) do n = n + 1 end
      return set and n
    end
    assert.is_nil(paths.users(path))
    local one, other = {}, {}
    paths.note(one, path)
    paths.note(one, path)
    assert.equal(1, users())
    paths.note(other, link)
    assert.equal(2, users())
    assert.is_true(paths.users(path)[other])
    one = nil
    collectgarbage()
    assert.equal(1, users())
    other = nil
    collectgarbage()
    collectgarbage()
    assert.same({ nil, nil, nil }, { paths.users(path), one, other })
    paths.note({}, "/nothing/there")
    assert.is_nil(paths.users "/nothing/there")
  end)
end)
