-- Say that a call is being sent, and when it counts as crashed.
-- needs: clock, booking
-- KEYS: the books. ARGV: 1 the caller's clock or '', 2 hold, 3 lease, 4 milliseconds to keep it after that.
-- Answers 1, or 0 where the hold has ended.

local found = redis.call('GET', HOLD .. ARGV[2])
local record = found and cmsgpack.unpack(found)
local now, shown = read_clock()
if not record or record[ENDS] <= now then
  return 0
end
if record[SENT] == 0 then
  local calls = {0, record[6], record[7], 0}
  for _, key in ipairs(open_accounts(record)) do
    add(key, 'c', calls, 1)
    if next(record[AROUND]) then
      add(key, 'k', calls, -1)  -- a sent call cannot come back, stuck or not
    end
  end
end
record[SENT], record[ENDS] = 1, now + ARGV[3]
redis.call('SET', HOLD .. ARGV[2], cmsgpack.pack(record), 'PX', math.ceil(ARGV[3] * 1000) + ARGV[4])
redis.call('ZADD', LEASES, record[ENDS], ARGV[2])
advance_clock(now, shown)
return 1
