return { timeout = "5m", run = function() lunaq.sleep(240) end }
