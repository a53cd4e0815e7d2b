-- End a hold with what was used, or put right what the end of its lease booked.
-- needs: booking, ending
-- KEYS: the books. ARGV: 1 unused, 2 hold, 3 its first account's scope or '', 4 used and milliseconds
-- to remember it, as doubles.
-- Answers the figures of its accounts where it used no more than it held, else {known, late, breaches, figures...}:
-- known is -1 where there is no trace of it; breaches is a list of unit, held, used.

local id, scope = ARGV[2], ARGV[3]
local u1, u2, u3, u4, keep = struct.unpack('<ddddd', ARGV[4])
local used = {u1, u2, u3, u4}
local found = redis.call('GET', HOLD .. id)
local ended = not found and ending_of(scope, id)
local kind = ended and ended:sub(1, 1)
local record, late

if found then
  record, late = cmsgpack.unpack(found), 0
elseif kind == 's' then
  local answer = ended == 's' and {0, {}} or cmsgpack.unpack(ended:sub(2))
  return {1, answer[1], answer[2]}
elseif kind == 'c' or kind == 'l' then
  record, late = cmsgpack.unpack(ended:sub(2)), 1
else
  return {kind and 0 or -1, 0, {}}
end

local held = kind == 'l' and ZERO or amounts_of(record)
local breaches = {}
for unit = 1, 4 do
  if used[unit] > held[unit] then
    breaches[#breaches + 1], breaches[#breaches + 2], breaches[#breaches + 3] = unit, held[unit], used[unit]
  end
end

local value = late == 0 and #breaches == 0 and 's' or 's' .. cmsgpack.pack({late, breaches})
local keys, figures = (found and end_hold or correct)(id, record, used, value, keep)
if #breaches > 0 then
  for _, key in ipairs(keys) do
    local list = KEYS[1] .. ':breaches:' .. key:sub(#KEYS[1] + 10)
    for at = 1, #breaches, 3 do
      redis.call('RPUSH', list, cmsgpack.pack({id, breaches[at], breaches[at + 1], breaches[at + 2]}))
    end
    redis.call('LTRIM', list, -1000, -1)
    redis.call('PEXPIRE', list, keep)
  end
end
-- Where an account is closed, the figures would not tell which is whose.
local told = #figures * 2 == #record - 8 and table.concat(figures, ' ') or ''
return value == 's' and told or {1, late, breaches, told}
