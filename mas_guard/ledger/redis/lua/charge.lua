-- Book what was spent without a hold, once per id.
-- needs: booking, ending
-- KEYS: the books. ARGV: 1 unused, 2 charge, 3-6 amounts, 7 milliseconds to keep everything from now on, then scope and birth of each account.
-- Answers how many accounts it was booked on, or {'gone', level, incarnation}: then nothing was booked.

local used = {tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])}
local accounts = {}
for at = 8, #ARGV, 2 do
  local key = KEYS[1] .. ':account:' .. ARGV[at]
  if redis.call('HGET', key, 'born') ~= ARGV[at + 1] then
    return {'gone', (at - 6) / 2, redis.call('HGET', KEYS[1], 'incarnation')}
  end
  accounts[#accounts + 1], accounts[#accounts + 2] = key, ARGV[at + 1]
end
if noted('charges', ARGV[8], ARGV[2]) then
  return 0
end
even_where_memory_is_full(accounts[1])
for at = 1, #accounts, 2 do
  book(accounts[at], accounts[at + 1], minus(ZERO, used), used)
  redis.call('PEXPIRE', accounts[at], ARGV[7])
end
redis.call('PEXPIRE', KEYS[1], ARGV[7] * 3)
note('charges', ARGV[8], ARGV[2], '', ARGV[7])
return #accounts / 2
