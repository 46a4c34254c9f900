-- now, header, data, ttl -> 1 created, 0 exists
if done(ARGV[2], ARGV[3]) then return 1 end
if live then return 0 end
return answer(redis.pcall('SET', KEYS[1], ARGV[2] .. ARGV[3], 'PX', ARGV[4]), 1)
