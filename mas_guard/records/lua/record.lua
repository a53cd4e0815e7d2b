-- Where the records of a kind lie, how one is read, and which time it is.
-- A record is '<version> <made> <written> <until>', a line feed and its value. ARGV[1] is '' for the server's clock,
-- else the caller's, in seconds.

local MADE, UNTIL, RECORD, DONE = KEYS[1] .. ':made', KEYS[1] .. ':until', KEYS[1] .. ':record:', KEYS[1] .. ':done:'
local HEAD = 100  -- bytes; what stands before the value is shorter

local function seconds(number)
  return string.format('%.6f', number)
end

local function read_clock()
  local now = tonumber(ARGV[1])
  if not now then
    local time = redis.call('TIME')
    now = time[1] + time[2] / 1000000
  end
  return now
end

-- Version and making time of a record as text begins with it; 0 where there is none, or its time is over.
local function stands(text, now)
  local version, made, ends = string.match(text, '^(%d+) (%S+) %S+ (%S+)\n')
  if not version or tonumber(ends) <= now then
    return 0, nil
  end
  return tonumber(version), made
end

-- What a command answered that was executed before and is sent once more, because its reply was lost.
local function answered_before(token)
  local answer = redis.call('GET', DONE .. token)
  if answer then
    redis.call('PEXPIRE', DONE .. token, ARGV[3])  -- a write, for which WAIT waits
  end
  return answer
end
