-- End leases that are over, at most ARGV[2] of them.
-- needs: clock, booking, ending
-- KEYS: the books. ARGV: 1 the caller's clock or '', 2 how many at most, 3 milliseconds to remember them.
-- Answers {how many were looked at, seconds until the next one ends or ''}.

local now, shown = read_clock()
local over = redis.call('ZRANGEBYSCORE', LEASES, '-inf', now, 'LIMIT', 0, ARGV[2])
for _, id in ipairs(over) do
  local found = redis.call('GET', HOLD .. id)
  if found then
    local record = cmsgpack.unpack(found)
    if record[SENT] == 1 then
      local amounts = amounts_of(record)
      local keys, _, remembered = end_hold(id, record, amounts, 'c' .. found, ARGV[3])
      for _, key in ipairs(keys) do
        add(key, 'x', amounts, 1)
      end
      if remembered then
        redis.call('SET', CRASHED .. id, record[ACCOUNTS], 'PX', ARGV[3])
      end
    else
      end_hold(id, record, ZERO, 'l' .. found, ARGV[3])
    end
  else
    redis.call('ZREM', LEASES, id)
  end
end
if redis.call('EXISTS', KEYS[1]) == 1 then
  advance_clock(now, shown)
end
local first = redis.call('ZRANGE', LEASES, 0, 0, 'WITHSCORES')
local ends = tonumber(first[2] or '+inf')
return {#over, ends < math.huge and tostring(ends - now) or ''}
