--- The release of this library.
-- @module firecracker.version
-- @field major breaking changes
-- @field minor additions
-- @field patch corrections
-- @field string the three joined by dots

local version = { major = 0, minor = 1, patch = 0 }
version.string = ("%d.%d.%d"):format(version.major, version.minor, version.patch)

return version
