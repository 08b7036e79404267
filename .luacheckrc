std = "lua54"
max_line_length = 140
exclude_files = { "build", "lua_modules" }
files["spec"] = { std = "+busted" }
files["rockspec/debian.lua"] = { allow_defined_top = true, ignore = { "131" } }
