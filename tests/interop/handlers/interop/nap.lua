return function() lunaq.sleep(0.01) end
