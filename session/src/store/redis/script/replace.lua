-- now, header, data, ttl, expected version, whether a lease stays (1 or 0)
-- -> 1 replaced, 0 gone, or the value of the current record
if done(ARGV[2], ARGV[3]) then return 1 end
if not live then return 0 end
if version ~= ARGV[5] then return value end
local header = ARGV[2]
if kind == LEASED and ARGV[6] == '1' and moment(value, 35) > tonumber(ARGV[1]) then
  header = string.char(0xF5, LEASED) .. string.sub(header, 3) .. string.sub(value, 19, 42)
end
return answer(redis.pcall('SET', KEYS[1], header .. ARGV[3], 'PX', ARGV[4]), 1)
