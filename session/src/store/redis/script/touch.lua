-- now, expected version, expiry, ttl -> 1 a record of that version exists, 0 it does not
if not live or version ~= ARGV[2] then return 0 end
if moment(ARGV[3], 1) <= moment(value, 11) then return 1 end
local set = redis.pcall('SETRANGE', KEYS[1], 10, ARGV[3])
if type(set) == 'table' then return set end
return answer(redis.pcall('PEXPIRE', KEYS[1], ARGV[4]), 1)
