--- Names on the host that derive from a machine's id: by them whoever finds one knows whose it is.
-- @module firecracker.network.names

local names = {}

-- Eight digits that stand for an id: itself where it is made of them, else its FNV-1a hash.
local function digits (id)
  if id:find "^%x%x%x%x%x%x%x%x$" then
    return id:lower()
  end
  local hash = 0x811c9dc5
  for i = 1, #id do
    hash = (hash ~ id:byte(i)) * 0x01000193 & 0xffffffff
  end
  return ("%08x"):format(hash)
end

--- The tap of the interface at a position: `fc1c0ffee5t0`.
-- @tparam string id
-- @tparam int i from 1
-- @treturn string at most 15 bytes
function names.tap (id, i)
  return ("fc%st%d"):format(digits(id), i - 1)
end

--- The way out of a namespace of the machine's own, its end on the host: `fc1c0ffee5u`.
-- @tparam string id
-- @treturn string
function names.uplink (id)
  return ("fc%su"):format(digits(id))
end

--- The namespace: `fc-ID`.
-- @tparam string id
-- @treturn string
function names.namespace (id)
  return "fc-" .. id
end

--- nftables' table: `fc-ID`.
-- @tparam string id
-- @treturn string
function names.table (id)
  return "fc-" .. id
end

return names
