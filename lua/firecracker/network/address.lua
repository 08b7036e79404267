--- IPv4, IPv6 and MAC addresses as text and as bytes.
-- An address is a string of 4 or 16 bytes in network order, so that `<` and `==` compare it and `#` tells its family.
-- A network is `{ address =, prefix = }`; its address may have host bits, as that of an interface has.
-- @module firecracker.network.address

local address = {}

local function ipv4 (text)
  local parts = { text:match "^(%d+)%.(%d+)%.(%d+)%.(%d+)$" }
  for i, part in ipairs(parts) do
    -- a leading zero is octal to some readers
    if #part > 3 or tonumber(part) > 255 or (#part > 1 and part:sub(1, 1) == "0") then
      return nil
    end
    parts[i] = string.char(part)
  end
  return #parts == 4 and table.concat(parts) or nil
end

-- One side of "::" as bytes; the last two groups may be an IPv4 address.
local function groups (text, last)
  if text == "" then
    return ""
  end
  local bytes = {}
  for group, separator in (text .. ":"):gmatch "([^:]*)(:)" do
    bytes[#bytes + 1] = group:find "^%x%x?%x?%x?$" and string.pack(">I2", tonumber(group, 16))
      or separator and last and #bytes == select(2, text:gsub(":", "")) and ipv4(group) or false
    if not bytes[#bytes] then
      return nil
    end
  end
  return table.concat(bytes)
end

local function ipv6 (text)
  local head, tail = text:match "^(.-)::(.*)$"
  if not head then
    local all = groups(text, true)
    return all and #all == 16 and all or nil
  elseif tail:find("::", 1, true) then
    return nil
  end
  head, tail = groups(head, false), groups(tail, true)
  if not head or not tail or #head + #tail > 14 then
    return nil
  end
  return head .. ("\0"):rep(16 - #head - #tail) .. tail
end

--- Read an address.
-- @tparam string text
-- @treturn ?string 4 or 16 bytes; nil for what is none. No zone (`%eth0`), no shortened IPv4
function address.parse (text)
  if #text > 45 then
    return nil
  end
  return text:find(":", 1, true) and ipv6(text) or ipv4(text)
end

-- RFC 5952: lower case, the first of the longest runs of two or more zero groups shortened.
local function format6 (bytes)
  local words = { string.unpack(">I2I2I2I2I2I2I2I2", bytes) }
  local best, length, from = 0, 1, nil
  for i = 1, 9 do
    if i <= 8 and words[i] == 0 then
      from = from or i
    elseif from then
      if i - from > length then
        best, length = from, i - from
      end
      from = nil
    end
  end
  for i = 1, 8 do
    words[i] = ("%x"):format(words[i])
  end
  if best == 0 then
    return table.concat(words, ":", 1, 8)
  end
  return table.concat(words, ":", 1, best - 1) .. "::" .. table.concat(words, ":", best + length, 8)
end

--- Write an address.
-- @tparam string bytes
-- @treturn string text
function address.format (bytes)
  return #bytes == 16 and format6(bytes) or ("%d.%d.%d.%d"):format(bytes:byte(1, 4))
end

--- Read a network, `10.0.0.2/24`.
-- @tparam string text
-- @treturn ?table `{ address =, prefix = }`
function address.cidr (text)
  local head, prefix = text:match "^(.*)/(%d%d?%d?)$"
  local bytes = head and address.parse(head)
  if not bytes or tonumber(prefix) > #bytes * 8 or prefix:find "^0%d" then
    return nil
  end
  return { address = bytes, prefix = math.tointeger(tonumber(prefix)) }
end

--- The mask of a prefix.
-- @tparam int prefix
-- @tparam int size bytes of an address: 4 or 16
-- @treturn string bytes
function address.mask (prefix, size)
  local full = prefix // 8
  return ("\255"):rep(full) .. (full < size and string.char(0xff << (8 - prefix % 8) & 0xff) or "") .. ("\0"):rep(size - full - 1)
end

local function combine (a, b, fn)
  local bytes = {}
  for i = 1, #a do
    bytes[i] = string.char(fn(a:byte(i), b:byte(i)) & 0xff)
  end
  return table.concat(bytes)
end

--- The first address of a network: its host bits cleared.
-- @tparam table network
-- @treturn string bytes
function address.first (network)
  return combine(network.address, address.mask(network.prefix, #network.address), function (a, m) return a & m end)
end

--- The last address of a network: its host bits set.
-- @tparam table network
-- @treturn string bytes
function address.last (network)
  return combine(network.address, address.mask(network.prefix, #network.address), function (a, m) return a | ~m end)
end

--- The next address.
-- @tparam string bytes
-- @treturn ?string nil after the last there is
function address.next (bytes)
  local head, trail = bytes:match "^(.-)(\255*)$"
  if head == "" then
    return nil
  end
  return head:sub(1, -2) .. string.char(head:byte(-1) + 1) .. ("\0"):rep(#trail)
end

--- Tell whether a network holds an address.
-- @tparam table network
-- @tparam string bytes
-- @treturn boolean
function address.contains (network, bytes)
  return #bytes == #network.address and address.first { address = bytes, prefix = network.prefix } == address.first(network)
end

--- Read a MAC address.
-- @tparam string text `06:00:AC:10:00:02`
-- @treturn ?string 6 bytes
function address.mac (text)
  if #text ~= 17 or not text:find "^%x%x:%x%x:%x%x:%x%x:%x%x:%x%x$" then
    return nil
  end
  return (text:gsub("(%x%x):?", function (digits) return string.char(tonumber(digits, 16)) end))
end

return address
