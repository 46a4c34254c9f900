-- now, header, data, ttl, whether a full server must accept it (1 or 0) -> 1 created, 0 exists
if done(ARGV[2], ARGV[3]) then return 1 end
if live then return 0 end
return put(ARGV[2] .. ARGV[3], ARGV[4], ARGV[5] == '1')
