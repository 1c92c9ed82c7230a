return { max_retry = 5, run = function() error("on purpose") end }
