-- What changes on the accounts of a hold. A record is {ends, sent, around, output, four amounts, then scope and birth
-- of each account}; `around` holds the ids of the waiting asks that the hold encloses.

local ENDS, SENT, AROUND, ACCOUNTS = 1, 2, 3, 9
local HOLD, LEASES = KEYS[1] .. ':hold:', KEYS[1] .. ':leases'
local ZERO = {0, 0, 0, 0}

local function amounts_of(record)
  return {record[5], record[6], record[7], record[8]}
end

-- What may come back: a call that was sent stays counted, whatever it turns out to cost.
local function returnable(record)
  return record[SENT] == 1 and {record[5], 0, 0, record[8]} or amounts_of(record)
end

local function minus(amounts, less)
  return {amounts[1] - less[1], amounts[2] - less[2], amounts[3] - less[3], amounts[4] - less[4]}
end

-- A server whose memory is full refuses a script's first write, unless that is one which frees memory. What books a fact
-- begins with such a one, so that it is booked all the same.
local function even_where_memory_is_full(key)
  redis.call('HDEL', key, '')
end

-- Add to room and settled. Answers the figures that `spent` shows, or false for another account of that name.
local function book(key, birth, room, settled)
  local now = redis.call('HMGET', key, 'born', 'r1', 'r2', 'r3', 'r4', 's1', 's2', 's3', 's4', 'l1', 'l2', 'l3', 'l4')
  if now[1] ~= birth then
    return false
  end
  local s1, s2, s3, s4 = now[6] + settled[1], now[7] + settled[2], now[8] + settled[3], now[9] + settled[4]
  redis.call('HSET', key, 'r1', now[2] + room[1], 'r2', now[3] + room[2], 'r3', now[4] + room[3], 'r4', now[5] + room[4],
    's1', s1, 's2', s2, 's3', s3, 's4', s4)
  return string.format('%s %s %s %s %.0f %.0f %.0f %.0f', now[10], now[11], now[12], now[13], s1, s2, s3, s4)
end

-- Add to fields named by a letter: 'c' calls that were sent, 'k' what is stuck, 'x' what was charged for crashed calls.
local function add(key, letter, amounts, sign)
  for unit = 1, 4 do
    if amounts[unit] ~= 0 then
      redis.call('HINCRBY', key, letter .. unit, sign * amounts[unit])
    end
  end
end

-- The keys of the record's accounts that are still the ones it was held on.
local function open_accounts(record)
  local open = {}
  for at = ACCOUNTS, #record, 2 do
    local key = KEYS[1] .. ':account:' .. record[at]
    if redis.call('HGET', key, 'born') == record[at + 1] then
      open[#open + 1] = key
    end
  end
  return open
end
