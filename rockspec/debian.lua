-- LUAROCKS_CONFIG for machines without a rock server: Debian's own packages count as the rocks they hold.
--   LUAROCKS_CONFIG=rockspec/debian.lua luarocks --lua-version 5.4 --local make
-- Needs: apt-get install luarocks lua5.4 liblua5.4-dev libcurl4-openssl-dev libcjson-dev libmnl-dev lua-argparse gcc
rocks_provided = { argparse = "0.7.1-1" }
