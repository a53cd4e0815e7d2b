-- How an account stands.
-- KEYS: the books. ARGV: 1 unused, 2 scope, 3 birth.
-- Answers {fields, breaches}, or {'gone', 1, incarnation}.

local key = KEYS[1] .. ':account:' .. ARGV[2]
if redis.call('HGET', key, 'born') ~= ARGV[3] then
  return {'gone', 1, redis.call('HGET', KEYS[1], 'incarnation')}
end
local breaches = redis.call('LRANGE', KEYS[1] .. ':breaches:' .. ARGV[2], 0, -1)
for at, packed in ipairs(breaches) do
  breaches[at] = cmsgpack.unpack(packed)
end
return {
  redis.call('HMGET', key, 'l1', 'l2', 'l3', 'l4', 'r1', 'r2', 'r3', 'r4', 's1', 's2', 's3', 's4', 'x1', 'x2', 'x3', 'x4',
    'halted'),
  breaches,
}
