-- Hold what an ask wants on all its accounts; where that does not fit, hold nothing and answer with all figures.
-- needs: clock
-- KEYS: the books. ARGV: 1 the caller's clock or '', 2 hold, 3 client, 4 'try', or 'look' to grant nothing, 5 numbers as
-- doubles: grants that this client has seen on the first account, lease, milliseconds to keep a live hold after it,
-- milliseconds to keep everything from now on or 0, output, four amounts, what the first account must keep of each, 1 for
-- one that halted accounts let through, how many accounts; then scope and birth of each account, then the holds of the calls around.
-- Answers the client's grants on the first account; {'known', over, output, amounts...} for a live hold; {'spent'};
-- {'gone', level, incarnation}; {'behind', grants}; {'figures', due, one per account, one per call around}.

local books, id, fits = KEYS[1], ARGV[2], ARGV[4] == 'try'
local seen, lease, hold_kept, kept, output, n1, n2, n3, n4, k1, k2, k3, k4, passes, levels = struct.unpack('<ddddddddddddddd', ARGV[5])
local need, keep = {n1, n2, n3, n4}, {k1, k2, k3, k4}
local mark, grants, aged = 'by:' .. ARGV[3], 0, false
local keys, rooms = {}, {}

for level = 1, levels do
  local key = books .. ':account:' .. ARGV[4 + 2 * level]
  local found = redis.call('HMGET', key, 'born', 'free', 'r1', 'r2', 'r3', 'r4', mark, 'aged', 'halted')
  if found[1] ~= ARGV[5 + 2 * level] then
    return {'gone', level, redis.call('HGET', books, 'incarnation')}
  end
  if level == 1 then
    grants, aged = tonumber(found[7]) or 0, found[8]
    if grants < seen then
      return {'behind', grants}
    end
  end
  if found[9] and passes == 0 then
    fits = false
  end
  local room = {}
  for unit = 1, 4 do
    room[unit] = found[2 + unit] - need[unit]
    if need[unit] > 0 and string.byte(found[2], unit) == 48 then
      if room[unit] < (level == 1 and keep[unit] or 0) then
        fits = false
      end
    end
  end
  keys[level], rooms[level] = key, room
end

local hold, ended = books .. ':hold:' .. id, books .. ':ended:' .. ARGV[6]
local before = redis.call('HGET', ended, id) or aged and redis.call('HGET', books .. ':ended-before:' .. ARGV[6], id)
if before and string.byte(before) ~= 108 then  -- an 'l', lapsed unsent, may be taken anew
  return {'spent'}
end

local now, shown = read_clock()
local ends = now + lease
if fits then
  local record = cmsgpack.pack({ends, 0, {}, output, n1, n2, n3, n4, unpack(ARGV, 6, 5 + 2 * levels)})
  if redis.call('SET', hold, record, 'PX', math.ceil(lease * 1000) + hold_kept, 'NX') then
    for level = 1, levels do
      local room = rooms[level]
      if level == 1 then
        redis.call('HSET', keys[1], 'r1', room[1], 'r2', room[2], 'r3', room[3], 'r4', room[4], mark, grants + 1)
      else
        redis.call('HSET', keys[level], 'r1', room[1], 'r2', room[2], 'r3', room[3], 'r4', room[4])
      end
    end
    redis.call('ZADD', books .. ':leases', ends, id)
    if before then
      redis.call('HDEL', ended, id)
      redis.call('HDEL', books .. ':ended-before:' .. ARGV[6], id)
    end
    advance_clock(now, shown)
    if kept > 0 then
      redis.call('PEXPIRE', books, kept * 3)
      redis.call('PEXPIRE', books .. ':leases', kept * 3)
      for level = 1, levels do
        redis.call('PEXPIRE', keys[level], kept)
        for _, name in ipairs({'ended', 'ended-before', 'charges', 'charges-before', 'breaches'}) do
          redis.call('PEXPIRE', books .. ':' .. name .. ':' .. ARGV[4 + 2 * level], kept)
        end
      end
    end
    return grants + 1
  end
end

local known = redis.call('GET', hold)
if known then
  local record = cmsgpack.unpack(known)
  return {'known', record[1] <= now and 1 or 0, record[4], record[5], record[6], record[7], record[8]}
end

local first = redis.call('ZRANGE', books .. ':leases', 0, 0, 'WITHSCORES')
local answer = {'figures', tonumber(first[2] or '+inf') <= now and 1 or 0}
for level = 1, levels do
  answer[#answer + 1] = redis.call('HMGET', keys[level], 'l1', 'l2', 'l3', 'l4', 'r1', 'r2', 'r3', 'r4',
    's1', 's2', 's3', 's4', 'c2', 'c3', 'k1', 'k2', 'k3', 'k4', 'halted')
end
for at = 6 + 2 * levels, #ARGV do
  local around = redis.call('GET', books .. ':hold:' .. ARGV[at])
  local record = around and cmsgpack.unpack(around)
  answer[#answer + 1] = record and {ARGV[at], record[2], next(record[3]) and 1 or 0, record[5], record[6], record[7],
    record[8], unpack(record, 9)} or {ARGV[at]}
end
return answer
