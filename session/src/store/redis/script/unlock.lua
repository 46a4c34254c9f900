-- 0, owner -> 1 released, 0 not held
if kind ~= LEASED or string.sub(value, 19, 34) ~= ARGV[2] then return 0 end
local free = string.char(0xF5, RECORD) .. string.sub(value, 3, 18) .. string.sub(value, 43)
return put(free, nil, true)
