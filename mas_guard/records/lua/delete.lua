-- Forget a record, or only one of the expected version.
-- needs: record
-- KEYS: the kind. ARGV: 1 the caller's clock or '', 2 token, 3 milliseconds to remember that, 4 key, 5 expected version
-- or '' for any.
-- Answers '1', or '' where there was none.

local token, key, expected = ARGV[2], ARGV[4], ARGV[5]
local before = answered_before(token)
if before then
  return before
end
local version = stands(redis.call('GETRANGE', RECORD .. key, 0, HEAD), read_clock())
if version == 0 or expected ~= '' and tonumber(expected) ~= version then
  return ''
end
redis.call('UNLINK', RECORD .. key)
redis.call('ZREM', MADE, key)
redis.call('ZREM', UNTIL, key)
redis.call('SET', DONE .. token, '1', 'PX', ARGV[3])
return '1'
