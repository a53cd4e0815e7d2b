-- Open an account, or join it: its limits are set, what it has spent stays.
-- needs: limiting
-- KEYS: the books. ARGV: 1 unused, 2 scope, 3 client, 4 birth if it is made now, 5 incarnation if the books are new,
-- 6 milliseconds to keep it, 7 'set' or 'keep' the limits of one that exists, 8-11 limits ('-' for none), 12 the
-- incarnation and 13 the birth that it must have, or ''.
-- Answers {birth, incarnation, figures}, or {'gone', 1, incarnation}.

local LEASES = KEYS[1] .. ':leases'
local key = KEYS[1] .. ':account:' .. ARGV[2]
local keep = ARGV[6]
local birth = redis.call('HGET', key, 'born')
local incarnation = redis.call('HGET', KEYS[1], 'incarnation')
if ARGV[12] ~= '' and ARGV[12] ~= incarnation or ARGV[13] ~= '' and ARGV[13] ~= birth then
  return {'gone', 1, incarnation}
end

redis.call('HSETNX', KEYS[1], 'incarnation', ARGV[5])
redis.call('PEXPIRE', KEYS[1], keep * 3)
redis.call('ZADD', LEASES, 'NX', '+inf', '')  -- keeps the set, and so its expiry, where nothing is held
redis.call('PEXPIRE', LEASES, keep * 3)

if not birth then
  birth = ARGV[4]
  for _, name in ipairs({'ended', 'ended-before', 'charges', 'charges-before', 'breaches'}) do
    redis.call('UNLINK', KEYS[1] .. ':' .. name .. ':' .. ARGV[2])
  end
  redis.call('HSET', key, 'born', birth, 'l1', '-', 'l2', '-', 'l3', '-', 'l4', '-',
    'r1', 0, 'r2', 0, 'r3', 0, 'r4', 0, 's1', 0, 's2', 0, 's3', 0, 's4', 0)
  set_limits(key, ARGV, 7)
elseif ARGV[7] == 'set' then
  set_limits(key, ARGV, 7)
end
if redis.call('HSETNX', key, 'by:' .. ARGV[3], 0) == 1 then
  redis.call('HINCRBY', key, 'open', 1)
end
redis.call('PEXPIRE', key, keep)
return {birth, redis.call('HGET', KEYS[1], 'incarnation'), spent_figures(key)}
