-- Write a record where it has the expected version, and forget a few whose time is over.
-- needs: record
-- KEYS: the kind. ARGV: 1 the caller's clock or '', 2 token, 3 milliseconds to remember that, 4 key, 5 expected version
-- or '' for any, 6 milliseconds to keep it, 7 value, 8 how many to forget.
-- Answers '<version> <made> <written>', or '' where the version is another one.

local token, key, expected, keep = ARGV[2], ARGV[4], ARGV[5], tonumber(ARGV[6])
local before = answered_before(token)
if before then
  return before
end
local now = read_clock()
local version, made = stands(redis.call('GETRANGE', RECORD .. key, 0, HEAD), now)
if expected ~= '' and tonumber(expected) ~= version then
  return ''
end
local over = redis.call('ZRANGEBYSCORE', UNTIL, '-inf', now, 'LIMIT', 0, ARGV[8])
local indexed = redis.call('PTTL', MADE)

local ends = seconds(now + keep / 1000)
local answer = string.format('%.0f %s %s', version + 1, made or seconds(now), seconds(now))
for _, name in ipairs(over) do
  redis.call('ZREM', UNTIL, name)
  if name ~= key or keep <= 0 then
    redis.call('ZREM', MADE, name)
    redis.call('UNLINK', RECORD .. name)
  end
end
if keep > 0 then
  redis.call('SET', RECORD .. key, answer .. ' ' .. ends .. '\n' .. ARGV[7], 'PX', ARGV[6])
  redis.call('ZADD', UNTIL, ends, key)
  if version == 0 then
    redis.call('ZADD', MADE, now, key)
  end
  if indexed < keep then  -- the index lives as long as the longest of its records
    redis.call('PEXPIRE', MADE, ARGV[6])
    redis.call('PEXPIRE', UNTIL, ARGV[6])
  end
elseif version > 0 then
  redis.call('ZREM', UNTIL, key)
  redis.call('ZREM', MADE, key)
  redis.call('UNLINK', RECORD .. key)
end
redis.call('SET', DONE .. token, answer, 'PX', ARGV[3])
return answer
