-- Set new limits.
-- needs: limiting
-- KEYS: the books. ARGV: 1 unused, 2 scope, 3 birth, 4-7 limits ('-' for none).
-- Answers the figures, or {'gone', 1, incarnation}.

local key = KEYS[1] .. ':account:' .. ARGV[2]
if redis.call('HGET', key, 'born') ~= ARGV[3] then
  return {'gone', 1, redis.call('HGET', KEYS[1], 'incarnation')}
end
set_limits(key, ARGV, 3)
return spent_figures(key)
