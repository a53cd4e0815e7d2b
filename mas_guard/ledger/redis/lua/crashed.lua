-- What crashed holds were charged, and on which accounts.
-- needs: booking, ending
-- KEYS: the books. ARGV: 1 unused, then holds.
-- Answers {hold, four amounts, scopes...} for each that nobody has corrected.

local answer = {}
for at = 2, #ARGV do
  local ended = ending_of('', ARGV[at])
  if ended and ended:sub(1, 1) == 'c' then
    local record = cmsgpack.unpack(ended:sub(2))
    local crashed = {ARGV[at], record[5], record[6], record[7], record[8]}
    for _, key in ipairs(open_accounts(record)) do
      crashed[#crashed + 1] = key:sub(#KEYS[1] + 10)
    end
    answer[#answer + 1] = crashed
  else
    redis.call('DEL', CRASHED .. ARGV[at])  -- its account was closed, or has forgotten it
  end
end
return answer
