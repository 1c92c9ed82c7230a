return function() return lunaq.skip_retry("never again") end
