-- now, expected version, expiry, ttl -> 1 there, 0 gone
if not live then return 0 end
if version ~= ARGV[2] or moment(ARGV[3], 1) <= moment(value, 11) then return 1 end
local set = redis.pcall('SETRANGE', KEYS[1], 10, ARGV[3])
if type(set) == 'table' then return set end
return answer(redis.pcall('PEXPIRE', KEYS[1], ARGV[4]), 1)
