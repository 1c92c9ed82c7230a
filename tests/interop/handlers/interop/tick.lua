return {
  cron = { spec = "@every 1h", payload = { n = 1 } },
  run = function() end,
}
