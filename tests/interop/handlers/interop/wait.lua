return function() lunaq.sleep(240) end
