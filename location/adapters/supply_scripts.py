"""The scripts of RedisSupply. Each works on the keys of one shard or of one segment, and may be run again."""

from __future__ import annotations

from runtime.redis import Script

KEEP_EPOCH_S = 60  # engine time after the last ping that the epoch of a driver who was taken out is kept
_GHOST_S = 600  # a row so much older than what is written beside it belongs to nobody
_UNUSED_S = 3_600  # wall time after which a segment that nobody writes to is forgotten

SUPERSEDED = b"!"

# keys: whereabouts, seen; arguments: four a driver - id, epoch, segment or "", time of the last ping.
# Answers for each driver SUPERSEDED where a newer writer has the driver, else the segment that the row was in, or "".
PLACE = Script(
    f"""
local ids, answers, places, times = {{}}, {{}}, {{}}, {{}}
for i = 1, #ARGV, 4 do
  ids[#ids + 1] = ARGV[i]
end
for n, held in ipairs(redis.call('HMGET', KEYS[1], unpack(ids))) do
  local i = 4 * n - 3
  local id, epoch, segment = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local now = epoch .. ':' .. segment
  local held_segment = segment
  if now ~= held then
    held_segment = ''
    local held_epoch = -1
    if held then
      local colon = string.find(held, ':', 1, true)
      held_epoch, held_segment = tonumber(string.sub(held, 1, colon - 1)), string.sub(held, colon + 1)
    end
    if held_epoch > tonumber(epoch) then
      held_segment = '!'
    elseif held or segment ~= '' then
      places[#places + 1] = id
      places[#places + 1] = now
      if segment == '' and held_segment ~= '' then
        redis.call('ZINCRBY', KEYS[2], {KEEP_EPOCH_S}, id)
      end
    end
  end
  if segment ~= '' and held_segment ~= '!' then
    times[#times + 1] = ARGV[i + 3]
    times[#times + 1] = id
  end
  answers[n] = held_segment
end
if #places > 0 then
  redis.call('HSET', KEYS[1], unpack(places))
end
if #times > 0 then
  redis.call('ZADD', KEYS[2], unpack(times))
end
return answers
"""
)

# keys: rows of a segment; arguments: how many puts, then two a put - id, epoch and row -, then three a removal - id,
# epoch, time of the last ping: a row goes if it is of this epoch or an older one, and the ping is older than the time.
# Where somebody new stands in the segment, a few of the others are looked at, and go if they are very old.
WRITE = Script(
    f"""
local rows, puts, ids = KEYS[1], 2 * tonumber(ARGV[1]), {{}}
if puts > 0 then
  for i = 2, puts, 2 do
    ids[#ids + 1] = ARGV[i]
  end
  local newer = {{}}
  for n, held in ipairs(redis.call('HMGET', rows, unpack(ids))) do
    local new = ARGV[2 * n + 1]
    if not held or struct.unpack('<d', held) <= struct.unpack('<d', new) then
      newer[#newer + 1] = ARGV[2 * n]
      newer[#newer + 1] = new
    end
  end
  if #newer > 0 and redis.call('HSET', rows, unpack(newer)) > 0 then
    local newest = struct.unpack('<d', newer[2], 33)
    local some = redis.call('HRANDFIELD', rows, 4, 'WITHVALUES')
    for i = 1, #some, 2 do
      if struct.unpack('<d', some[i + 1], 33) < newest - {_GHOST_S} then
        redis.call('HDEL', rows, some[i])
      end
    end
  end
  redis.call('EXPIRE', rows, {_UNUSED_S})
end
for i = puts + 2, #ARGV, 3 do
  local held = redis.call('HGET', rows, ARGV[i])
  if held and struct.unpack('<d', held) <= tonumber(ARGV[i + 1])
    and struct.unpack('<d', held, 33) < tonumber(ARGV[i + 2]) then
    redis.call('HDEL', rows, ARGV[i])
  end
end
return 0
"""
)

# keys: whereabouts, seen; arguments: a time, and how many at most. Forgets who was last seen before, and answers for
# each who stood somewhere their id, epoch and segment.
EXPIRE = Script(
    """
local answers = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '(' .. ARGV[1], 'LIMIT', 0, ARGV[2])) do
  local held = redis.call('HGET', KEYS[1], id)
  redis.call('ZREM', KEYS[2], id)
  redis.call('HDEL', KEYS[1], id)
  if held then
    local colon = string.find(held, ':', 1, true)
    local segment = string.sub(held, colon + 1)
    if segment ~= '' then
      answers[#answers + 1] = {id, string.sub(held, 1, colon - 1), segment}
    end
  end
end
return answers
"""
)
