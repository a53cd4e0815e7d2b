-- End a hold that cost nothing; where the end of its lease charged it, take that back.
-- needs: booking, ending
-- KEYS: the books. ARGV: 1 unused, 2 hold, 3 its first account's scope or '', 4 milliseconds to remember it, 5 'unsent'
-- to leave a hold that was sent.
-- Answers 1 where that changed something.

local id, scope = ARGV[2], ARGV[3]
local found = redis.call('GET', HOLD .. id)
if found then
  local record = cmsgpack.unpack(found)
  if ARGV[5] == 'unsent' and record[SENT] == 1 then
    return 0
  end
  end_hold(id, record, ZERO, 'r', ARGV[4])
  return 1
end
local ended = ARGV[5] ~= 'unsent' and ending_of(scope, id)
if ended and ended:sub(1, 1) == 'c' then
  correct(id, cmsgpack.unpack(ended:sub(2)), ZERO, 'r', ARGV[4])
  return 1
end
return 0
