-- How a hold ends, and what is remembered of it: 's' settled (then whether it was late, and its breaches), 'r' released,
-- 'c' charged as crashed or 'l' lapsed unsent (then its record, so that a late settle can put it right).

local REMEMBERED = 10000
local CRASHED = KEYS[1] .. ':crashed:'

-- Write an id down; the older half is forgotten whenever there are REMEMBERED new ones.
local function note(name, scope, id, value, milliseconds)
  local key = KEYS[1] .. ':' .. name .. ':' .. scope
  redis.call('HSET', key, id, value)
  local size = redis.call('HLEN', key)
  if size == 1 then
    redis.call('PEXPIRE', key, milliseconds)
  elseif size >= REMEMBERED then
    redis.call('RENAME', key, KEYS[1] .. ':' .. name .. '-before:' .. scope)
    redis.call('HSET', KEYS[1] .. ':account:' .. scope, 'aged', 1)
  end
end

local function noted(name, scope, id)
  return redis.call('HGET', KEYS[1] .. ':' .. name .. ':' .. scope, id)
    or redis.call('HGET', KEYS[1] .. ':' .. name .. '-before:' .. scope, id)
end

-- What is remembered of an ended hold by its first account; of a crashed one anybody finds which that is.
local function ending_of(scope, id)
  if scope == '' then
    scope = redis.call('GET', CRASHED .. id) or ''
  end
  return scope ~= '' and noted('ended', scope, id)
end

-- Book on all accounts of a hold that are open. Answers their keys, their figures, and whether the first is open.
local function book_all(record, room, settled)
  local keys, figures, first = {}, {}, false
  for at = ACCOUNTS, #record, 2 do
    local key = KEYS[1] .. ':account:' .. record[at]
    local told = book(key, record[at + 1], room, settled)
    if told then
      keys[#keys + 1], figures[#figures + 1] = key, told
      first = first or at == ACCOUNTS
    end
  end
  return keys, figures, first
end

-- End a live hold: what it held comes back, `settled` is booked, and `value` is remembered. Answers the keys of the
-- open accounts, their figures, and whether the first is open, which remembers it.
local function end_hold(id, record, settled, value, milliseconds)
  redis.call('DEL', HOLD .. id)  -- first, because it frees memory: so it is done where that is full
  redis.call('ZREM', LEASES, id)
  local keys, figures, first = book_all(record, minus(amounts_of(record), settled), settled)
  local sent, around = record[SENT] == 1, next(record[AROUND])
  if sent or around then
    for _, key in ipairs(keys) do
      if sent then
        add(key, 'c', {0, record[6], record[7], 0}, -1)
      end
      if around then
        add(key, 'k', returnable(record), -1)
      end
    end
  end
  if first then
    note('ended', record[ACCOUNTS], id, value, milliseconds)
  end
  return keys, figures, first
end

-- Put right what the end of its lease booked for a hold.
local function correct(id, record, settled, value, milliseconds)
  local charged = record[SENT] == 1 and amounts_of(record) or ZERO
  local difference = minus(settled, charged)
  redis.call('DEL', CRASHED .. id)  -- first, as above
  local keys, figures, first = book_all(record, minus(ZERO, difference), difference)
  for _, key in ipairs(keys) do
    add(key, 'x', charged, -1)
  end
  if first then
    note('ended', record[ACCOUNTS], id, value, milliseconds)
  end
  return keys, figures
end
