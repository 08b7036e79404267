-- Texts of addresses, against those that the kernel's tools and RFC 4291, 5952 take for right and wrong.
local address = require "firecracker.network.address"

local function hex (bytes)
  return bytes and (bytes:gsub(".", function (c) return ("%02x"):format(c:byte()) end))
end

local function format_cidr (network)
  return ("%s/%d"):format(address.format(network.address), network.prefix)
end

describe("an address", function ()
  it("of IPv4 is read and written", function ()
    for text, bytes in pairs { ["0.0.0.0"] = "00000000", ["10.0.0.2"] = "0a000002", ["255.255.255.255"] = "ffffffff" } do
      assert.equal(bytes, hex(address.parse(text)))
      assert.equal(text, address.format(address.parse(text)))
    end
    for _, text in ipairs { "", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.04", "1.2.3.4 ", "a.b.c.d", "1..2.3", "-1.2.3.4",
                            "1.2.3.4/24", "1.2.3.1e1", "0x1.2.3.4", "1.2.3.4\n", "1.2.3.4\0", "1000.1.1.1" } do
      assert.is_nil(address.parse(text), text)
    end
  end)

  it("of IPv6 is read in every form and written in one", function ()
    local zero = ("0"):rep(32)
    for text, want in pairs {
      ["::"] = { zero, "::" }, ["::1"] = { ("0"):rep(31) .. "1", "::1" }, ["1::"] = { "0001" .. ("0"):rep(28), "1::" },
      ["2001:DB8:0:0:1:0:0:1"] = { "20010db8000000000001000000000001", "2001:db8::1:0:0:1" },
      ["2001:db8::1:0:0:1"] = { "20010db8000000000001000000000001", "2001:db8::1:0:0:1" },
      ["2001:0db8:0000:1:1:1:1:1"] = { "20010db8000000010001000100010001", "2001:db8:0:1:1:1:1:1" },
      ["1:2:3:4:5:6:7::"] = { "00010002000300040005000600070000", "1:2:3:4:5:6:7:0" },
      ["::2:3:4:5:6:7:8"] = { "00000002000300040005000600070008", "0:2:3:4:5:6:7:8" },
      ["::ffff:10.0.0.1"] = { "00000000000000000000ffff0a000001", "::ffff:a00:1" },
      ["1:2:3:4:5:6:10.0.0.1"] = { "0001000200030004000500060a000001", "1:2:3:4:5:6:a00:1" },
      ["fd00:0:0:1::"] = { "fd00000000000001" .. ("0"):rep(16), "fd00:0:0:1::" },
    } do
      assert.equal(want[1], hex(address.parse(text)), text)
      assert.equal(want[2], address.format(address.parse(text)))
    end
    for _, text in ipairs { ":", ":::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1::2::3", "::1:2:3:4:5:6:7:8", "12345::", "g::",
      "1:2:3:4:5:6:7:",
                            ":1:2:3:4:5:6:7", "::1.2.3", "1.2.3.4::", "::1.2.3.4:1", "fe80::1%eth0", "::1/64", "1:2:3:4:5:6:7:1.2.3.4",
                            "[::1]", "::01.2.3.4", "10.0.0.1::1" } do
      assert.is_nil(address.parse(text), text)
    end
  end)

  it("of a MAC is read", function ()
    assert.equal("0600ac100002", hex(address.mac "06:00:AC:10:00:02"))
    for _, text in ipairs { "", "06:00:AC:10:00", "06:00:AC:10:00:0", "06-00-AC-10-00-02", "06:00:AC:10:00:02:", "0g:00:AC:10:00:02",
                            "6:0:AC:10:00:0002" } do
      assert.is_nil(address.mac(text), text)
    end
  end)

  it("with a prefix gives its network", function ()
    local network = assert(address.cidr "10.1.2.3/20")
    assert.equal("10.1.2.3/20", format_cidr(network))
    assert.equal("10.1.0.0", address.format(address.first(network)))
    assert.equal("10.1.15.255", address.format(address.last(network)))
    assert.equal("255.255.240.0", address.format(address.mask(20, 4)))
    assert.is_true(address.contains(network, address.parse "10.1.15.255"))
    assert.is_false(address.contains(network, address.parse "10.1.16.0"))
    assert.is_false(address.contains(network, address.parse "::1"))
    local six = assert(address.cidr "fd00::5/65")
    assert.equal("fd00::", address.format(address.first(six)))
    assert.equal("fd00::7fff:ffff:ffff:ffff", address.format(address.last(six)))
    for prefix, mask in pairs { [0] = "0.0.0.0", [1] = "128.0.0.0", [8] = "255.0.0.0", [31] = "255.255.255.254",
      [32] = "255.255.255.255" } do
      assert.equal(mask, address.format(address.mask(prefix, 4)))
    end
    assert.equal(("ff"):rep(16), hex(address.mask(128, 16)))
    for _, text in ipairs { "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "::/129", "10.0.0.0/-1", "10.0.0.0/08", "/24", "10.0.0.0/24/24",
      "10.0.0.0/ 4" } do
      assert.is_nil(address.cidr(text), text)
    end
  end)

  it("has a next one", function ()
    for text, want in pairs { ["10.0.0.1"] = "10.0.0.2", ["10.0.0.255"] = "10.0.1.0", ["fd00::ffff"] = "fd00::1:0" } do
      assert.equal(want, address.format(address.next(address.parse(text))))
    end
    assert.is_nil(address.next(address.parse "255.255.255.255"))
  end)

  -- What is taken is written and read back as the same; nothing raises.
  it("survives mutation", function ()
    local seeds = { "10.0.0.2/24", "255.255.255.255/32", "fd00::1/64", "2001:db8:0:0:1::1/128", "::ffff:10.0.0.1/96", "06:00:AC:10:00:02" }
    local alphabet = "0123456789abcdefg.:/ %-\0\n\255"
    local seed = math.random(1 << 30)
    math.randomseed(seed)
    local taken = 0
    for _ = 1, 40000 do
      local text = seeds[math.random(#seeds)]
      for _ = 1, math.random(3) do
        local at, what = math.random(#text + 1), math.random(3)
        local byte = math.random(#alphabet)
        text = text:sub(1, at - 1) .. (what > 1 and alphabet:sub(byte, byte) or "") .. text:sub(at + (what < 3 and 1 or 0))
      end
      local ok, problem = pcall(function ()
        local network, plain = address.cidr(text), address.parse(text)
        address.mac(text)
        if network then
          taken = taken + 1
          assert(format_cidr(address.cidr(format_cidr(network))) == format_cidr(network), "another text")
          assert(address.first(network) <= network.address and network.address <= address.last(network), "outside of itself")
          assert(address.contains(network, network.address), "not in itself")
        end
        assert(not plain or address.parse(address.format(plain)) == plain, "another address")
      end)
      assert(ok, ("seed %d: %q: %s"):format(seed, text, problem))
    end
    assert.is_true(taken > 1000)
  end)
end)
