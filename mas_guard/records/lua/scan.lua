-- A piece of the records of a kind, the newest made first.
-- needs: record
-- KEYS: the kind. ARGV: 1 the caller's clock or '', 2 the making time to go on from, '+inf' to begin, 3 how many to look
-- at, 4 what their keys begin with, 5 bytes after which the piece ends, then the keys made at that time that were seen.
-- Answers {the making time to go on from or '' at the end, the keys made then that were seen, key, record, key, ...}.

local from, prefix = ARGV[2], ARGV[4]
local seen, seen_then = {}, {}
for at = 6, #ARGV do
  seen[ARGV[at]] = true
  seen_then[#seen_then + 1] = ARGV[at]
end
local now = read_clock()
local most = tonumber(ARGV[3]) + #seen_then
local found = redis.call('ZREVRANGEBYSCORE', MADE, from, '-inf', 'WITHSCORES', 'LIMIT', 0, most)
local answer, bytes, at = {'', seen_then}, 0, 1
while at < #found and bytes <= tonumber(ARGV[5]) do
  local key, made = found[at], found[at + 1]
  if not (made == from and seen[key]) then
    if made ~= from then
      from, seen_then = made, {}
    end
    seen_then[#seen_then + 1] = key
    if string.sub(key, 1, #prefix) == prefix then
      local text = redis.call('GET', RECORD .. key)
      if text and stands(text, now) > 0 then
        answer[#answer + 1] = key
        answer[#answer + 1] = text
        bytes = bytes + #text
      end
    end
  end
  at = at + 2
end
if at < #found or #found == 2 * most then
  answer[1], answer[2] = from, seen_then
end
return answer
