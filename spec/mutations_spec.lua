-- That `make mutate` can change what it is to change: the changes themselves, and their specs, are its own matter.

local lfs = require "lfs"

describe("the list of lines whose breaking must be noticed", function ()
  for _, mutation in ipairs(dofile "spec/mutations.lua") do
    local what, path, old, new, specs = table.unpack(mutation)

    it("fits the tree: " .. what, function ()
      local file <close> = assert(io.open(path, "rb"))
      local text = file:read "a"
      local first, last = text:find(old, 1, true)
      assert.is_truthy(first, "the text is not in " .. path)
      assert.is_nil(text:find(old, last + 1, true), "the text is twice in " .. path)
      assert.not_equal(old, new)
      for spec in specs:gmatch "%f[%S][^-]%S*" do
        assert.is_truthy(lfs.attributes(spec, "mode"), spec)
      end
    end)
  end
end)
