-- now, owner, end of the lease, four random bytes -> 1 acquired, 0 gone, 2 held
if not live then return 0 end
if kind == LEASED and string.sub(value, 19, 34) ~= ARGV[2] then
  if moment(value, 35) > tonumber(ARGV[1]) then return 2 end
  -- The lease is taken over: assign a greater version. Its upper half increases, and its lower half is random.
  local upper = struct.unpack('>I4', version)
  version = struct.pack('>I4', (upper + 1) % 2 ^ 32) .. ARGV[4]
end
local data = string.sub(value, kind == LEASED and 43 or 19)
local leased = string.char(0xF5, LEASED) .. version .. string.sub(value, 11, 18)
  .. ARGV[2] .. ARGV[3] .. data
return put(leased, nil, true)
