-- now, header, data, ttl, whether a full server must accept it (1 or 0), expected version, whether a lease stays
-- (1 or 0) -> 1 replaced, 0 gone, or the value of the current record
if done(ARGV[2], ARGV[3]) then return 1 end
if not live then return 0 end
if version ~= ARGV[6] then return value end
local header = ARGV[2]
if kind == LEASED and ARGV[7] == '1' and moment(value, 35) > tonumber(ARGV[1]) then
  header = string.char(0xF5, LEASED) .. string.sub(header, 3) .. string.sub(value, 19, 42)
end
local bytes = header .. ARGV[3]
return put(bytes, ARGV[4], ARGV[5] == '1' or #bytes <= #value)
