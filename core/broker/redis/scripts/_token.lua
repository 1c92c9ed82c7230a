-- Whose lease a score is: lunaq's token hides in the fraction; 0 = Go's.
local function token_of(score)
  return floor(score % 1 * 2097152 + 0.5)
end
-- The score of a lease of ms milliseconds from now.  Hand it on as a number:
-- turned into text by Lua it would lose the token.
local function lease_score(ms, token)
  return ceil(now + ms / 1000) + token / 2097152
end
