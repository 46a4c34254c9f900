-- now -> 1 ended, 0 gone
if not live then return 0 end
return answer(redis.pcall('DEL', KEYS[1]), 1)
