local text = require "firecracker.text"

describe("text.closest", function ()
  local names = { "boot_source", "drives", "machine_config", "vsock", "fcinit.StartVMM", "fcinit.AddVsocks", "id" }
  local cases = {
    { "drves", "drives", "a letter missing" },
    { "drivess", "drives", "a letter too many" },
    { "drivas", "drives", "a letter wrong" },
    { "vsokc", "vsock", "two letters swapped" },
    { "boot-source", "boot_source", "a hyphen for an underscore" },
    { "BootSource", "boot_source", "camel case" },
    { "fcinit.start_vmm", "fcinit.StartVMM", "snake case" },
    { "StartVMM", "fcinit.StartVMM", "a part of the name" },
    { "machine", "machine_config", "the beginning of the name" },
    { "all_the_drives", "drives", "more than the name" },
    { "if", "id", "one wrong in a short word" },
    { "kernel", nil, "nothing like it" },
    { "ab", nil, "too short to guess" },
    { "d.i", nil, "no pattern" },
    { 42, nil, "a number" },
  }
  for _, case in ipairs(cases) do
    it(("takes %s for %s: %s"):format(case[1], case[2], case[3]), function ()
      assert.equal(case[2], text.closest(case[1], names))
    end)
  end

  it("prefers the closer name to the earlier one", function ()
    assert.equal("smt", text.closest("smtt", { "smtxx", "smt", "smtab" }))
  end)

  it("prefers the name itself to one with two letters swapped", function ()
    assert.equal("acb", text.closest("acb", { "abc", "acb" }))
  end)

  it("prefers a slip to a part of a longer name", function ()
    assert.equal("level", text.closest("leve", { "aleves", "level" }))
  end)

  it("does not depend on the order of the list", function ()
    assert.equal("cat", text.closest("zat", { "rat", "cat" }))
    assert.equal("cat", text.closest("zat", { "cat", "rat" }))
  end)
end)

describe("text.suggest", function ()
  it("words the guess", function ()
    assert.equal(" (did you mean 'drives'?)", text.suggest("drvies", { "drives" }))
  end)

  it("is empty without one", function ()
    assert.equal("", text.suggest("kernel", { "drives" }))
  end)
end)
