-- The one clock: the server's.
local call, pcall = redis.call, redis.pcall
local floor, ceil = math.floor, math.ceil
local clock = call('TIME')
local now_s = tonumber(clock[1])
local now = now_s + tonumber(clock[2]) / 1e6
