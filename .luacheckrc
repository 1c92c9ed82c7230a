-- What a handler may use: luacheck handlers lib
std = "lua54"
max_line_length = 80
local modules = { "db", "json", "log", "lunaq", "queue" }
files["handlers"] = { read_globals = modules }
files["lib"] = { read_globals = modules }
files["tests/interop/handlers"] = { read_globals = modules }
