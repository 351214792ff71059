-- What the gateways of a site do together, each step at once. KEYS[1] is the prefix of all keys,
-- ARGV[1] the verb. `gate:ID` lives as long as a gateway does; what a gateway holds is void with it.
local p, verb = KEYS[1], ARGV[1]

local function tell(what)
  local n = redis.call('INCR', p .. ':seq')
  redis.call('XADD', p .. ':log', 'MAXLEN', '~', 1000, n .. '-0', 'd', what)
  return n
end

-- Of a hash of members (`GATE.NUMBER` to a place): where new ones go, and the places of the living. Those
-- of the gates in `void`, names with commas around each, count as dead.
local known = {}
local function members(key, void)
  local all = redis.call('HGETALL', key)
  local at, places = nil, {}
  for i = 1, #all, 2 do
    if all[i] == '@' then
      at = all[i + 1]
    elseif all[i] ~= '!' then
      local gate = string.match(all[i], '^[^.]+')
      if known[gate] == nil then
        known[gate] = redis.call('EXISTS', p .. ':gate:' .. gate) == 1
      end
      if known[gate] and not (void and string.find(void, ',' .. gate .. ',', 1, true)) then
        places[#places + 1] = all[i + 1]
      else
        redis.call('HDEL', key, all[i])
      end
    end
  end
  if #places == 0 then
    redis.call('DEL', key)
    at = nil
  end
  return at, places
end

local function elsewhere(places, place)
  local n = 0
  for _, other in ipairs(places) do
    if other ~= place then n = n + 1 end
  end
  return n
end

local function join(key, member, place)
  redis.call('HSET', key, '@', place, member, place)
  redis.call('HDEL', key, '!')
end

-- Whether a hold has not ended by itself.
local function stands(hold)
  local ends = hold and tonumber(string.match(hold, '^%d+'))
  return ends and (ends == 0 or ends > tonumber(redis.call('TIME')[1]))
end

-- What is stored of a hold, as a table.
local function read(hold)
  local json = string.match(hold, '^%d+\t(.*)$')
  local found, fields = pcall(cjson.decode, json or '')
  return found and type(fields) == 'table' and fields
end

-- Whether two texts are of one hold: a later build may store more of it than gateways of this one tell.
local function same(one, other)
  if one == other then return true end
  local a, b = read(one), read(other)
  if not a or not b then return false end
  for _, field in ipairs({ 'of', 'until', 'since', 'user' }) do
    local x, y = a[field], b[field]
    if x == cjson.null then x = nil end
    if y == cjson.null then y = nil end
    if x ~= y then return false end
  end
  return true
end

if verb == 'claim' then
  local owner, named, version, place, member = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
  for _, key in ipairs({ owner, named }) do
    if stands(redis.call('HGET', p .. ':holds', key)) then return { 'changed' } end
  end
  local moved = redis.call('HGET', p .. ':moves', owner)
  if not moved then
    local other = redis.call('HGET', p .. ':names', named)
    if other then moved = redis.call('HGET', p .. ':moves', other) end
    -- Whoever undoes that move holds the user by its key, which the map does not lead to any more.
    if moved and stands(redis.call('HGET', p .. ':holds', other)) then return { 'changed' } end
  end
  if (moved and string.match(moved, '^%d+') or '0') ~= version then return { 'changed' } end
  for i = 7, #ARGV do
    local at, places = members(p .. ':pin:' .. ARGV[i])
    if at and at ~= place then return { 'at', at } end
    if elsewhere(places, place) > 0 then return { 'leaving' } end
  end
  for i = 7, #ARGV do join(p .. ':pin:' .. ARGV[i], member, place) end
  return { 'ok' }

elseif verb == 'leave' then
  for i = 3, #ARGV do
    redis.call('HDEL', ARGV[i], ARGV[2])
    members(ARGV[i])
  end
  return { 'ok' }

elseif verb == 'send' then
  local place, most, turned = ARGV[2], 0, false
  for i = 4, #ARGV do
    local key = p .. ':pin:' .. ARGV[i]
    local at, places = members(key)
    local left = elsewhere(places, place)
    if left > most then most = left end
    if at and at ~= place then
      redis.call('HSET', key, '@', place)
      if left > 0 then turned = true end
    end
  end
  if turned then tell(ARGV[3]) end
  return { 'ok', tostring(most) }

elseif verb == 'clear' then
  local left, new = { 'ok' }, {}
  for i = 2, #ARGV do
    local key = p .. ':pin:' .. ARGV[i]
    local _, places = members(key)
    if #places > 0 then
      left[#left + 1] = ARGV[i]
      if redis.call('HSETNX', key, '!', '1') == 1 then new[#new + 1] = ARGV[i] end
    end
  end
  if #new > 0 then tell(cjson.encode({ clear = new })) end
  return left

elseif verb == 'order' or verb == 'heal' then
  if verb == 'heal' then
    -- From a gateway that has seen more than is there: the store came back without its data, or with older.
    local seen = ARGV[2]
    if tonumber(redis.call('GET', p .. ':seq') or '0') >= tonumber(seen) then return { 'no' } end
    redis.call('SET', p .. ':seq', seen)
    -- What was taken back since is not to come back with it.
    for _, kind in ipairs({ 'moves', 'names', 'drains', 'weights', 'holds' }) do
      redis.call('DEL', p .. ':' .. kind)
    end
  end
  -- What the order goes by has to stand as the gateway believes: another one may have been quicker.
  for i = 3, #ARGV, 4 do
    local kind, field, hold, version = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
    if kind == 'if' then
      local moved = redis.call('HGET', p .. ':moves', field)
      local stored = redis.call('HGET', p .. ':holds', field) or ''
      -- One that has ended by itself, by the one clock of the store, is as none.
      if not same(stored, hold) and (stands(stored) or stands(hold))
        or (moved and string.match(moved, '^%d+') or '') ~= version then
        return { 'stale' }
      end
    end
  end
  for i = 3, #ARGV, 4 do
    local kind, field, value, name = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
    if kind == 'if' then
      -- Looked at above.
    elseif kind == 'move' or kind == 'unmove' then
      local old = redis.call('HGET', p .. ':moves', field)
      local before = old and string.match(old, '^%d+\t([^\t]*)\t')
      if before and redis.call('HGET', p .. ':names', before) == field then
        redis.call('HDEL', p .. ':names', before)
      end
      if kind == 'move' then
        redis.call('HSET', p .. ':moves', field, value)
        redis.call('HSET', p .. ':names', name, field)
      else
        redis.call('HDEL', p .. ':moves', field)
      end
    elseif value == '' then
      redis.call('HDEL', p .. ':' .. kind, field)
    else
      redis.call('HSET', p .. ':' .. kind, field, value)
    end
  end
  -- A number of which nothing is told: whoever has not put this there reads all of it.
  if verb == 'heal' then return { 'ok', tostring(redis.call('INCR', p .. ':seq')) } end
  return { 'ok', tostring(tell(ARGV[2])) }

elseif verb == 'beat' then
  if redis.call('PEXPIRE', p .. ':gate:' .. ARGV[2], ARGV[4]) == 0 then return { 'lost' } end
  local seq = tonumber(redis.call('GET', p .. ':seq') or '0')
  local last = tonumber(ARGV[3])
  local answer = { 'ok' }
  if seq < last then return { 'lost' } end
  if seq > last then
    local entries = redis.call('XRANGE', p .. ':log', (last + 1) .. '-0', '+', 'COUNT', ARGV[5])
    if #entries == 0 or entries[1][1] ~= (last + 1) .. '-0' then return { 'lost' } end
    for _, entry in ipairs(entries) do answer[#answer + 1] = entry[2][2] end
  end
  return answer

elseif verb == 'places' then
  local answer = { 'ok' }
  for i = 2, #ARGV do
    local at = members(p .. ':pin:' .. ARGV[i])
    if at then
      answer[#answer + 1] = ARGV[i]
      answer[#answer + 1] = at
    end
  end
  return answer

elseif verb == 'join' or verb == 'orders' then
  if verb == 'join' then
    redis.call('SET', p .. ':gate:' .. ARGV[2], '1', 'PX', ARGV[3])
    -- What a mover that died has left.
    local holds = redis.call('HGETALL', p .. ':holds')
    for i = 1, #holds, 2 do
      if not stands(holds[i + 1]) then redis.call('HDEL', p .. ':holds', holds[i]) end
    end
  end
  local answer = { redis.call('GET', p .. ':seq') or '0' }
  for _, kind in ipairs({ 'moves', 'names', 'drains', 'weights', 'holds' }) do
    local all = redis.call('HGETALL', p .. ':' .. kind)
    for i = 1, #all, 2 do
      answer[#answer + 1] = kind
      answer[#answer + 1] = all[i]
      answer[#answer + 1] = all[i + 1]
    end
  end
  return answer

elseif verb == 'bury' then
  for i = 2, #ARGV do redis.call('DEL', p .. ':gate:' .. ARGV[i]) end
  return { 'ok' }

elseif verb == 'restore' then
  local conflicts, void = { 'ok' }, ARGV[2]
  for i = 3, #ARGV, 3 do
    local owner, member, place = ARGV[i], ARGV[i + 1], ARGV[i + 2]
    local key = p .. ':pin:' .. owner
    members(key)
    local asked = redis.call('HEXISTS', key, '!') == 1
    -- What this gateway held by another name is held anew now, or has left unheard.
    local at = members(key, void)
    -- Asked to leave, or to go elsewhere, while this gateway could not hear it.
    if asked then
      conflicts[#conflicts + 1] = owner
      conflicts[#conflicts + 1] = ''
    elseif at and at ~= place then
      conflicts[#conflicts + 1] = owner
      conflicts[#conflicts + 1] = at
    end
    redis.call('HSETNX', key, '@', place)
    redis.call('HSET', key, member, place)
  end
  return conflicts

elseif verb == 'secret' then
  redis.call('SET', p .. ':secret', ARGV[2], 'NX')
  return { 'ok', redis.call('GET', p .. ':secret') }

elseif verb == 'failed' then
  local key, now = p .. ':failed', redis.call('TIME')
  if ARGV[4] ~= '' then
    redis.call('XADD', key, 'MAXLEN', '~', 5000, '*', 'g', ARGV[2], 'd', ARGV[4])
    redis.call('EXPIRE', key, 86400)
  end
  local answer = { 'ok' }
  for _, entry in ipairs(redis.call('XRANGE', key, ARGV[3], '+', 'COUNT', 100)) do
    local at = tonumber(string.match(entry[1], '^%d+')) / 1000
    local fields = entry[2]
    answer[#answer + 1] = entry[1]
    answer[#answer + 1] = tostring(math.max(0, math.floor(tonumber(now[1]) - at)))
    answer[#answer + 1] = fields[2] == ARGV[2] and '' or fields[4]
  end
  return answer

elseif verb == 'enter' or verb == 'room' then
  for i = 3, #ARGV, 2 do
    local _, places = members(ARGV[i])
    -- Who was entered already, by a gateway that came back in between, is not in its own way.
    local others = #places - redis.call('HEXISTS', ARGV[i], ARGV[2])
    if others >= tonumber(ARGV[i + 1]) then return { 'full', tostring((i - 3) / 2) } end
  end
  if verb == 'enter' then
    for i = 3, #ARGV, 2 do redis.call('HSET', ARGV[i], ARGV[2], '1') end
  end
  return { 'ok' }

elseif verb == 'enter-again' then
  for i = 2, #ARGV, 2 do redis.call('HSET', ARGV[i + 1], ARGV[i], '1') end
  return { 'ok' }
end
return { 'unknown' }
