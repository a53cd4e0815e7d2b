-- Refuse every further hold on an account, or let them be taken again.
-- KEYS: the books. ARGV: 1 unused, 2 scope, 3 birth, 4 'halt' or 'lift'.
-- Answers 1, or {'gone', 1, incarnation}.

local key = KEYS[1] .. ':account:' .. ARGV[2]
if redis.call('HGET', key, 'born') ~= ARGV[3] then
  return {'gone', 1, redis.call('HGET', KEYS[1], 'incarnation')}
end
redis.call('HDEL', key, 'halted')  -- in any case: where memory is full, a first write must be one that frees some
if ARGV[4] == 'halt' then
  redis.call('HSET', key, 'halted', 1)
end
return 1
