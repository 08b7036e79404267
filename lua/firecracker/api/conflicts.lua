--- What some releases refuse together, though they have each of it.
-- One record each: `section` that is refused, beside `other`.`field` being `value`; `before` which release. What later ones
-- do was not seen: they have the word themselves.
-- @module firecracker.api.conflicts

return {
  { section = "balloon", other = "machine_config", field = "huge_pages", value = "2M", before = "1.13" },
}
