-- Set limits ('-' for none) from values[at + 1] on. Without a limit the room counts from 0 down.
local function set_limits(key, values, at)
  local fields, free = {}, ''
  local now = redis.call('HMGET', key, 'l1', 'l2', 'l3', 'l4', 'r1', 'r2', 'r3', 'r4')
  for unit = 1, 4 do
    local limit = values[at + unit]
    free = free .. (limit == '-' and 1 or 0)
    fields[#fields + 1], fields[#fields + 2] = 'l' .. unit, limit
    fields[#fields + 1] = 'r' .. unit
    fields[#fields + 1] = now[4 + unit] + (tonumber(limit) or 0) - (tonumber(now[unit]) or 0)
  end
  redis.call('HSET', key, 'free', free, unpack(fields))
end

-- What `spent` shows.
local function spent_figures(key)
  return table.concat(redis.call('HMGET', key, 'l1', 'l2', 'l3', 'l4', 's1', 's2', 's3', 's4'), ' ')
end
