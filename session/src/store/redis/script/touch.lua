-- now, expected version, expiry, ttl -> 1 a record of that version exists, 0 it does not
if not live or version ~= ARGV[2] then return 0 end
if moment(ARGV[3], 1) <= moment(value, 11) then return 1 end
-- In this order, so that a full server runs both: see `put`.
local prolonged = redis.pcall('PEXPIRE', KEYS[1], ARGV[4])
if type(prolonged) == 'table' then return prolonged end
return answer(redis.pcall('SETRANGE', KEYS[1], 10, ARGV[3]), 1)
