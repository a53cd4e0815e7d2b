-- Say that live holds enclose a waiting ask, so that they cannot end before it is answered; or that it is answered.
-- needs: booking
-- KEYS: the books. ARGV: 1 unused, 2 ask, 3 'waits' or 'left', then the holds.

local waits = ARGV[3] == 'waits'
for at = 4, #ARGV do
  local found = redis.call('GET', HOLD .. ARGV[at])
  if found then
    local record = cmsgpack.unpack(found)
    local around = record[AROUND]
    local was = next(around)
    around[ARGV[2]] = waits or nil
    local is = next(around)
    if (was ~= nil) ~= (is ~= nil) then
      for _, key in ipairs(open_accounts(record)) do
        add(key, 'k', returnable(record), waits and 1 or -1)
      end
    end
    redis.call('SET', HOLD .. ARGV[at], cmsgpack.pack(record), 'KEEPTTL')
  end
end
return 1
