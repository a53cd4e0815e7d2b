-- Leave an account; the last who leaves it makes it forgotten.
-- KEYS: the books. ARGV: 1 unused, 2 scope, 3 birth, 4 client.
-- Answers how many still have it open.

local key = KEYS[1] .. ':account:' .. ARGV[2]
if redis.call('HGET', key, 'born') ~= ARGV[3] then
  return 0
end
local left = redis.call('HINCRBY', key, 'open', 0 - redis.call('HDEL', key, 'by:' .. ARGV[4]))
if left == 0 then
  redis.call('UNLINK', key)
  for _, name in ipairs({'ended', 'ended-before', 'charges', 'charges-before', 'breaches'}) do
    redis.call('UNLINK', KEYS[1] .. ':' .. name .. ':' .. ARGV[2])
  end
end
return left
