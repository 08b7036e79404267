--- Words that several models share.
-- @module firecracker.api.models.words

local words = {}

local LONGEST <const> = 1022 - #"DELETE /network-interfaces/ HTTP/1.1"   -- what fits into the line of a request

--- A field that identifies a device: the VMM takes letters, digits and `_`.
-- @tparam string name
-- @tparam string doc
-- @treturn table field
function words.id (name, doc)
  return { name = name, type = "string", required = true, pattern = "^[A-Za-z0-9_]+$",
           expected = "letters, digits and '_' expected", max_bytes = LONGEST, doc = doc }
end

--- A field of a rate limiter.
-- @tparam string name
-- @tparam string doc
-- @treturn table field
function words.limiter (name, doc)
  return { name = name, type = "table", model = "RateLimiter", nullable = true, doc = doc }
end

--- The name of a tap device: what the kernel takes.
-- @tparam string name
-- @tparam string doc
-- @treturn table field
function words.tap (name, doc)
  return { name = name, type = "string", required = true, max_bytes = 15, pattern = "^[^/%s]+$",
           expected = "name of a tap device expected", doc = doc }
end

return words
