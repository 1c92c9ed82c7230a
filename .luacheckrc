-- What a handler may use, and nothing else: luacheck handlers lib
max_line_length = 80
local function library(names)
  local fields = {}
  for name in names:gmatch("%S+") do
    fields[name] = {}
  end
  return { fields = fields }
end
local handler = {
  _G = {}, _VERSION = {}, assert = {}, collectgarbage = {}, error = {},
  getmetatable = {}, ipairs = {}, load = {}, next = {}, pairs = {},
  pcall = {}, print = {}, rawequal = {}, rawget = {}, rawlen = {},
  rawset = {}, require = {}, select = {}, setmetatable = {}, tonumber = {},
  tostring = {}, type = {}, xpcall = {},
  string = library("byte char find format gmatch gsub len lower match pack "
    .. "packsize rep reverse sub unpack upper"),
  table = library("concat insert move pack remove sort unpack"),
  utf8 = library("char charpattern codepoint codes len offset"),
  math = { other_fields = true },
  coroutine = library("close create isyieldable resume running status wrap "
    .. "yield"),
  os = library("clock date difftime time"),
  db = { other_fields = true },
  json = { other_fields = true },
  log = library("debug error info warn"),
  lunaq = library("discard env now retry_after skip_retry sleep snooze uuid"),
  queue = { other_fields = true },
}
stds.handler = { read_globals = handler }
std = "handler"
