-- Seconds that never run back. Where the server's clock is set back, the difference is added from then on, so that
-- no lease gets longer. ARGV[1] is '' for the server's clock, else the caller's.

local latest, skew

local function read_clock()
  local saved = redis.call('HMGET', KEYS[1], 'latest', 'skew')
  latest, skew = tonumber(saved[1] or nil), tonumber(saved[2] or 0)
  local now = tonumber(ARGV[1])
  if not now then
    local time = redis.call('TIME')
    now = time[1] + time[2] / 1000000
  end
  return latest and math.max(now + skew, latest) or now, now
end

-- A write, so it comes after all that may be refused. A second is as exact as a lease has to be.
local function advance_clock(now, shown)
  if not latest or now - latest >= 1 then
    redis.call('HSET', KEYS[1], 'latest', now)
  end
  if latest and shown + skew < latest then
    redis.call('HSET', KEYS[1], 'skew', latest - shown)
  end
end
