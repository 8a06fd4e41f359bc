"""The changes of a job's record, each one script that Redis runs whole. The keys are those of service.jobs.record."""

from typing import Final

PREFIX: Final = "inphase:"
_EVENTS_KEPT: Final = 256


def job_key(job_id: str) -> str:
    """The hash of a job."""
    return f"{PREFIX}job:{job_id}"


COMMON: Final = f"""
local function now()
    local t = redis.call('TIME')
    return string.format('%d.%06d', t[1], t[2])
end
local function job(id) return '{PREFIX}job:' .. id end
local function event(id, kind, data, reason)
    redis.call('XADD', job(id) .. ':events', 'MAXLEN', '~', {_EVENTS_KEPT}, '*', 'kind', kind, 'data', data, 'reason', reason)
end
local function move(id, to, reason)
    local old = redis.call('HMGET', job(id), 'state', 'sequence', 'priority')
    if old[1] then redis.call('ZREM', '{PREFIX}jobs:' .. old[1], id) end
    redis.call('ZREM', '{PREFIX}waiting:' .. old[3], id)
    redis.call('ZADD', '{PREFIX}jobs:' .. to, old[2], id)
    redis.call('HSET', job(id), 'state', to, 'reason', reason)
    if to == 'queued' then
        redis.call('ZADD', '{PREFIX}waiting:' .. old[3], old[2], id)
    elseif to ~= 'running' then
        local t = now()
        redis.call('HSET', job(id), 'finished', t)
        redis.call('ZADD', '{PREFIX}finished', t, id)
        local fingerprint = redis.call('HGET', job(id), 'fingerprint')
        if to == 'succeeded' and fingerprint and fingerprint ~= '' then
            redis.call('HSET', '{PREFIX}fingerprints', fingerprint, id)
        end
    end
    event(id, 'state', to, reason)
end
local function is_current(id, attempt)
    local held = redis.call('HMGET', job(id), 'state', 'attempt')
    return held[1] == 'running' and held[2] == attempt
end
"""

# create and finish answer as before when they are sent again: redis-py repeats a call whose answer was lost.
SCRIPTS: Final = {
    "create": f"""
local id, document, priority, owner, state, reason, result, fingerprint, slot, request, kept_s, series, scan = unpack(ARGV)
local held = redis.call('HMGET', job(id), 'document', 'attempt')
if held[1] then
    if held[1] == document and held[2] == '0' then return {{'created', id}} else return {{'exists', id}} end
end
if slot ~= '' then
    local earlier = redis.call('HMGET', slot, 'request', 'job')
    if earlier[1] and redis.call('EXISTS', job(earlier[2])) == 1 then
        if earlier[1] == request then return {{'replayed', earlier[2]}} else return {{'conflict', earlier[2]}} end
    end
    redis.call('HSET', slot, 'request', request, 'job', id)
    redis.call('EXPIRE', slot, kept_s)
end
if series ~= '' then
    local scans = '{PREFIX}series:' .. series .. ':jobs'
    local taken = redis.call('HGET', scans, scan)
    if taken then return {{'replayed', taken}} end
    if redis.call('EXISTS', '{PREFIX}series:' .. series) == 0 or redis.call('HGET', '{PREFIX}series:' .. series, 'cancelled') then
        return {{'cancelled', id}}
    end
    redis.call('HSET', scans, scan, id)
end
local sequence = redis.call('INCR', '{PREFIX}sequence')
redis.call('HSET', job(id), 'document', document, 'priority', priority, 'owner', owner, 'sequence', sequence,
    'attempt', 0, 'deliveries', 0, 'created', now(), 'message', id, 'result', result,
    'fingerprint', fingerprint, 'series', series)
redis.call('ZADD', '{PREFIX}jobs', sequence, id)
redis.call('ZADD', '{PREFIX}jobs:owner:' .. owner, sequence, id)
if series ~= '' then redis.call('ZADD', '{PREFIX}jobs:series:' .. series, sequence, id) end
move(id, state, reason)
return {{'created', id}}
""",
    "assign": """
if redis.call('EXISTS', job(ARGV[1])) == 1 then redis.call('HSET', job(ARGV[1]), 'message', ARGV[2]) end
""",
    "claim": """
local id, message, worker, most = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local held = redis.call('HMGET', job(id), 'state', 'message', 'cancel', 'deliveries', 'blame')
if held[2] ~= message or (held[1] ~= 'queued' and held[1] ~= 'running') then return false end
if held[3] then
    move(id, 'cancelled', 'cancelled on request')
    return false
end
if tonumber(held[4]) >= most then
    local blame = held[5] and ' (' .. held[5] .. ')' or ''
    move(id, 'failed', 'poisoned: the job ended its worker process ' .. held[4] .. ' times' .. blame .. '; it is not tried again')
    return false
end
redis.call('HINCRBY', job(id), 'deliveries', 1)
redis.call('HSET', job(id), 'worker', worker, 'started', now())
redis.call('HDEL', job(id), 'progress')
local attempt = redis.call('HINCRBY', job(id), 'attempt', 1)
move(id, 'running', '')
return attempt
""",
    "progress": """
local id, attempt, progress = ARGV[1], ARGV[2], ARGV[3]
if not is_current(id, attempt) then return 0 end
redis.call('HSET', job(id), 'progress', progress)
event(id, 'progress', progress, '')
return 1
""",
    "finish": """
local id, attempt, to, reason, document, result = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
if not is_current(id, attempt) then
    local held = redis.call('HMGET', job(id), 'state', 'attempt', 'result')
    if held[1] == to and held[2] == attempt and held[3] == result then return 1 else return 0 end
end
redis.call('HSET', job(id), 'result', result)
if document ~= '' then redis.call('HSET', job(id), 'document', document) end
move(id, to, reason)
return 1
""",
    "release": """
local id, attempt, blame = ARGV[1], ARGV[2], ARGV[3]
if not is_current(id, attempt) then return 0 end
if blame == '' then redis.call('HINCRBY', job(id), 'deliveries', -1) else redis.call('HSET', job(id), 'blame', blame) end
move(id, 'queued', '')
return 1
""",
    "cancel": """
local id = ARGV[1]
local state = redis.call('HGET', job(id), 'state')
if state == 'queued' then
    move(id, 'cancelled', 'cancelled on request')
    return 'cancelled'
elseif state == 'running' then
    redis.call('HSETNX', job(id), 'cancel', now())
end
return state
""",
    "remove": f"""
local id = ARGV[1]
local held = redis.call('HMGET', job(id), 'state', 'owner', 'series', 'fingerprint')
if not held[1] or held[1] == 'queued' or held[1] == 'running' then return 0 end
redis.call('DEL', job(id), job(id) .. ':events')
redis.call('ZREM', '{PREFIX}jobs', id)
redis.call('ZREM', '{PREFIX}jobs:owner:' .. held[2], id)
if held[3] and held[3] ~= '' then redis.call('ZREM', '{PREFIX}jobs:series:' .. held[3], id) end
if held[4] and redis.call('HGET', '{PREFIX}fingerprints', held[4]) == id then
    redis.call('HDEL', '{PREFIX}fingerprints', held[4])
end
redis.call('ZREM', '{PREFIX}jobs:' .. held[1], id)
redis.call('ZREM', '{PREFIX}finished', id)
return 1
""",
    "announce": f"""
redis.call('ZREMRANGEBYSCORE', '{PREFIX}workers', '-inf', '(' .. string.format('%.6f', now() - ARGV[2]))
redis.call('ZADD', '{PREFIX}workers', now(), ARGV[1])
""",
    "present": f"""
return redis.call('ZRANGEBYSCORE', '{PREFIX}workers', string.format('%.6f', now() - ARGV[1]), '+inf')
""",
}
