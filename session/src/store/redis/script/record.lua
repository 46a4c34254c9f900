-- The first part of every script. It reads the record under KEYS[1]. ARGV[1] is the application's time in
-- milliseconds since the Unix epoch. value.rs documents the layout.
--
-- A Lua number cannot hold 64 bits, so versions are compared for equality only, as bytes. A time is a number:
-- it is exact for the next 280,000 years, and the largest time is still later than all others.
local RECORD, LEASED = 1, 2
local LARGEST = 8388608 + 42

local function moment(bytes, at)
  local a, b, c, d, e, f, g, h = string.byte(bytes, at, at + 7)
  return ((((((a * 256 + b) * 256 + c) * 256 + d) * 256 + e) * 256 + f) * 256 + g) * 256 + h
end

-- Returns an error instead of raising it: on Redis 6, an error raised by `redis.call` loses its code.
local function answer(reply, good)
  if type(reply) == 'table' and reply.err then return reply end
  return good
end

local function set(bytes, ttl)
  if ttl then return redis.pcall('SET', KEYS[1], bytes, 'PX', ttl) end
  return redis.pcall('SET', KEYS[1], bytes, 'KEEPTTL')
end

-- Stores `bytes`, for `ttl` milliseconds or as long as before.
--
-- A server that has reached `maxmemory` refuses the first write of a script if it needs memory. Once a script has
-- made a write that needs none, such as PEXPIRE, the server runs the rest of it, so that it is not executed in
-- part. So a write that is `essential` is never refused.
local function put(bytes, ttl, essential)
  local reply = set(bytes, ttl)
  if essential and type(reply) == 'table' and reply.err and string.find(reply.err, 'OOM', 1, true) then
    local rest = tonumber(ttl or redis.pcall('PTTL', KEYS[1]))
    if rest and rest > 0 then
      redis.pcall('PEXPIRE', KEYS[1], rest)
      reply = set(bytes, ttl)
    end
  end
  return answer(reply, 1)
end

local value = redis.pcall('GET', KEYS[1])
if type(value) == 'table' then return value end

local kind, version, live
if value then
  local magic
  magic, kind = string.byte(value, 1, 2)
  local least = kind == LEASED and 42 or 18
  if magic ~= 0xF5 or #value < least or #value > LARGEST or kind < RECORD or kind > LEASED then return -1 end
  version = string.sub(value, 3, 10)
  live = moment(value, 11) > tonumber(ARGV[1])
end

-- Returns whether this record is stored already: the command was sent before and its reply was lost.
local function done(header, data)
  return value and string.sub(value, 3, 18) == string.sub(header, 3, 18)
    and string.sub(value, kind == LEASED and 43 or 19) == data
end

