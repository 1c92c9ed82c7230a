return function() return lunaq.discard("not wanted") end
