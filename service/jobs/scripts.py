"""The changes of a job's record, each one script that Redis runs whole. The keys are those of service.jobs.record."""

from typing import Final

PREFIX: Final = "inphase:"
EVENTS: Final = f"{PREFIX}events"  # what happens to all jobs
ENDED: Final = f"{PREFIX}ended"  # how long jobs took, by how they ended: what Records.durations reads
SECONDS: Final = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
WEBHOOKS: Final = f"{PREFIX}webhooks"  # jobs whose end is still to be told, see service.webhooks.outbox
_EVENTS_KEPT: Final = 256
ALL_EVENTS_KEPT: Final = 8192


def job_key(job_id: str) -> str:
    """The hash of a job."""
    return f"{PREFIX}job:{job_id}"


COMMON: Final = f"""
local function now()
    local t = redis.call('TIME')
    return string.format('%d.%06d', t[1], t[2])
end
local function job(id) return '{PREFIX}job:' .. id end
local function tell_all(id, owner, proposal, kind, data, reason, by)
    redis.call('XADD', '{EVENTS}', 'MAXLEN', '~', {ALL_EVENTS_KEPT}, '*', 'job', id, 'owner', owner,
        'proposal', proposal or '', 'kind', kind, 'data', data, 'reason', reason, 'by', by)
end
local function event(id, kind, data, reason, by)
    by = by or ''
    redis.call('XADD', job(id) .. ':events', 'MAXLEN', '~', {_EVENTS_KEPT}, '*', 'kind', kind, 'data', data, 'reason', reason, 'by', by)
    local held = redis.call('HMGET', job(id), 'owner', 'proposal')
    tell_all(id, held[1] or '', held[2], kind, data, reason, by)
end
local function pending(key) return '{PREFIX}pending:' .. key end
local function why_cancelled(id)
    local why = redis.call('HGET', job(id), 'cancel_reason')
    return (why and why ~= '') and 'cancelled on request: ' .. why or 'cancelled on request'
end
local function move(id, to, reason)
    local old = redis.call('HMGET', job(id), 'state', 'sequence', 'priority', 'key', 'cancelled_by', 'webhook')
    if old[1] then redis.call('ZREM', '{PREFIX}jobs:' .. old[1], id) end
    redis.call('ZREM', '{PREFIX}waiting:' .. old[3], id)
    redis.call('ZREM', '{PREFIX}unread:' .. old[3], id)
    redis.call('ZADD', '{PREFIX}jobs:' .. to, old[2], id)
    redis.call('HSET', job(id), 'state', to, 'reason', reason)
    if old[4] and old[4] ~= '' then
        local waits = to == 'accepted' or to == 'reading' or to == 'queued'
        redis.call(waits and 'SADD' or 'SREM', pending(old[4]), id)
    end
    if to == 'queued' then
        redis.call('HSET', job(id), 'queued', now())
        redis.call('ZADD', '{PREFIX}waiting:' .. old[3], old[2], id)
    elseif to == 'accepted' then
        redis.call('ZADD', '{PREFIX}unread:' .. old[3], old[2], id)
    elseif to ~= 'running' and to ~= 'reading' then
        local t = now()
        redis.call('HSET', job(id), 'finished', t)
        redis.call('ZADD', '{PREFIX}finished', t, id)
        local took = t - redis.call('HGET', job(id), 'created')
        local bucket = '+Inf'
        for _, most in ipairs({{{", ".join(map(str, SECONDS))}}}) do
            if took <= most then bucket = tostring(most) break end
        end
        redis.call('HINCRBY', '{ENDED}', to .. ':' .. bucket, 1)
        redis.call('HINCRBYFLOAT', '{ENDED}', to .. ':sum', string.format('%.6f', took))
        if old[6] and old[6] ~= '' then redis.call('ZADD', '{WEBHOOKS}', t, id) end
        local fingerprint = redis.call('HGET', job(id), 'fingerprint')
        if to == 'succeeded' and fingerprint and fingerprint ~= '' then
            redis.call('HSET', '{PREFIX}fingerprints', fingerprint, id)
        end
    end
    event(id, 'state', to, reason, to == 'cancelled' and old[5] or '')
end
local function is_current(id, attempt)
    local held = redis.call('HMGET', job(id), 'state', 'attempt')
    return held[1] == 'running' and held[2] == attempt
end
local function is_read_by(id, reader)
    local held = redis.call('HMGET', job(id), 'state', 'reader')
    return held[1] == 'reading' and held[2] == reader
end
local function revise(id, kind, result, final)
    local held = redis.call('HGET', job(id), 'revisions')
    local list = held and cjson.decode(held) or {{}}
    list[#list + 1] = {{number = #list + 1, kind = kind, result = result, final = final, made = tonumber(now())}}
    redis.call('HSET', job(id), 'revisions', cjson.encode(list))
    event(id, 'revision', cjson.encode({{number = #list, kind = kind, final = final}}), '')
end
local function begin_reading(id, reader)
    redis.call('HINCRBY', job(id), 'reads', 1)
    redis.call('HSET', job(id), 'reader', reader)
    redis.call('ZADD', '{PREFIX}readers', now(), reader)
    move(id, 'reading', '')
end
local function forget(id)
    local held = redis.call('HMGET', job(id), 'state', 'owner', 'series', 'fingerprint', 'slot', 'proposal', 'key')
    redis.call('DEL', job(id), job(id) .. ':events')
    redis.call('ZREM', '{PREFIX}jobs', id)
    redis.call('ZREM', '{PREFIX}jobs:owner:' .. held[2], id)
    if held[6] and held[6] ~= '' then redis.call('ZREM', '{PREFIX}jobs:proposal:' .. held[6], id) end
    if held[7] and held[7] ~= '' then redis.call('SREM', pending(held[7]), id) end
    if held[3] and held[3] ~= '' then redis.call('ZREM', '{PREFIX}jobs:series:' .. held[3], id) end
    if held[4] and redis.call('HGET', '{PREFIX}fingerprints', held[4]) == id then
        redis.call('HDEL', '{PREFIX}fingerprints', held[4])
    end
    redis.call('ZREM', '{PREFIX}jobs:' .. held[1], id)
    redis.call('ZREM', '{PREFIX}finished', id)
    redis.call('ZREM', '{WEBHOOKS}', id)
    if held[5] and held[5] ~= '' and redis.call('HGET', held[5], 'job') == id then redis.call('DEL', held[5]) end
    tell_all(id, held[2], held[6], 'removed', '{{}}', '', '')
end
"""

# create and finish answer as before when they are sent again: redis-py repeats a call whose answer was lost.
SCRIPTS: Final = {
    "create": f"""
local id, document, priority, asked, slot, request, kept_s, series, scan, reader, most, webhook, owner, proposal, key, request_id, traceparent = unpack(ARGV)
local held = redis.call('HMGET', job(id), 'document', 'attempt')
if held[1] then
    if held[1] == document and held[2] == '0' then return {{'created', id}} else return {{'exists', id}} end
end
if slot ~= '' then
    local earlier = redis.call('HMGET', slot, 'request', 'job')
    if earlier[1] and redis.call('EXISTS', job(earlier[2])) == 1 then
        if earlier[1] == request then return {{'replayed', earlier[2]}} else return {{'conflict', earlier[2]}} end
    end
end
if most ~= '' then
    local waiting = redis.call('SCARD', pending(key))
    if waiting >= tonumber(most) then return {{'quota', tostring(waiting)}} end
end
if slot ~= '' then
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
    'attempt', 0, 'deliveries', 0, 'created', now(), 'message', id, 'series', series,
    'slot', slot, 'proposal', proposal, 'key', key, 'webhook', webhook, 'request_id', request_id, 'traceparent', traceparent)
redis.call('ZADD', '{PREFIX}jobs', sequence, id)
redis.call('ZADD', '{PREFIX}jobs:owner:' .. owner, sequence, id)
if proposal ~= '' then redis.call('ZADD', '{PREFIX}jobs:proposal:' .. proposal, sequence, id) end
if series ~= '' then redis.call('ZADD', '{PREFIX}jobs:series:' .. series, sequence, id) end
if asked ~= '' then
    redis.call('HSET', job(id), 'asked', asked)
    move(id, 'accepted', '')
    if reader ~= '' then begin_reading(id, reader) end
else
    move(id, 'queued', '')
end
return {{'created', id}}
""",
    "take": """
local id, reader, most = ARGV[1], ARGV[2], tonumber(ARGV[3])
if is_read_by(id, reader) then return 1 end
local held = redis.call('HMGET', job(id), 'state', 'cancel', 'reads')
if held[1] ~= 'accepted' then return 0 end
if held[2] then
    move(id, 'cancelled', why_cancelled(id))
    return 0
end
if tonumber(held[3] or 0) >= most then
    move(id, 'failed', 'reading it has ended the service ' .. most .. ' times: the file may be damaged; it is not tried again')
    return 0
end
begin_reading(id, reader)
return 1
""",
    "give_back": """
local id, reader = ARGV[1], ARGV[2]
if not is_read_by(id, reader) then return 0 end
redis.call('HINCRBY', job(id), 'reads', -1)
move(id, 'accepted', '')
return 1
""",
    "reclaim": f"""
local oldest = string.format('%.6f', now() - ARGV[1])
local found = 0
for _, id in ipairs(redis.call('ZRANGE', '{PREFIX}jobs:reading', 0, -1)) do
    local reader = redis.call('HGET', job(id), 'reader')
    local spoke = redis.call('ZSCORE', '{PREFIX}readers', reader)
    if not spoke or tonumber(spoke) < tonumber(oldest) then
        move(id, 'accepted', '')
        found = found + 1
    end
end
redis.call('ZREMRANGEBYSCORE', '{PREFIX}readers', '-inf', '(' .. oldest)
return found
""",
    "queue": """
local id, reader, document, fingerprint, first, queue, message, channel, word = unpack(ARGV)
if not is_read_by(id, reader) then
    return redis.call('HGET', job(id), 'document') == document and 1 or 0
end
redis.call('HSET', job(id), 'document', document, 'fingerprint', fingerprint)
if redis.call('HGET', job(id), 'cancel') then
    move(id, 'cancelled', why_cancelled(id))
    return 0
end
if first ~= '' then revise(id, 'network', first, false) end
move(id, 'queued', '')
-- as Dramatiq's dispatch.lua puts a message into its queue; the first one of a job bears its id
redis.call('HSET', queue .. '.msgs', id, message)
redis.call('RPUSH', queue, id)
redis.call('PUBLISH', channel, word)
return 1
""",
    "conclude": """
local id, reader, to, reason, document, fingerprint, kind, result = unpack(ARGV)
if not is_read_by(id, reader) then
    local held = redis.call('HMGET', job(id), 'state', 'result')
    if held[1] == to and (held[2] or '') == result then return 1 else return 0 end
end
if redis.call('HGET', job(id), 'cancel') then
    move(id, 'cancelled', why_cancelled(id))
    return 0
end
redis.call('HSET', job(id), 'result', result, 'fingerprint', fingerprint)
if document ~= '' then redis.call('HSET', job(id), 'document', document) end
if result ~= '' then revise(id, kind, result, true) end
move(id, to, reason)
return 1
""",
    "promise": """
if redis.call('EXISTS', job(ARGV[1])) == 0 then return 0 end
redis.call('HSET', job(ARGV[1]), 'promised', 1)
return 1
""",
    "discard": """
local id, reader, reason = unpack(ARGV)
if not is_read_by(id, reader) then return 0 end
if redis.call('HGET', job(id), 'promised') then
    move(id, 'failed', reason)
    return 0
end
forget(id)
return 1
""",
    "assign": """
if redis.call('EXISTS', job(ARGV[1])) == 1 then redis.call('HSET', job(ARGV[1]), 'message', ARGV[2]) end
""",
    "claim": """
local id, message, worker, most = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local held = redis.call('HMGET', job(id), 'state', 'message', 'cancel', 'deliveries', 'blame')
if held[2] ~= message or (held[1] ~= 'queued' and held[1] ~= 'running') then return false end
if held[3] then
    move(id, 'cancelled', why_cancelled(id))
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
    "revise": """
local id, attempt, result = ARGV[1], ARGV[2], ARGV[3]
if not is_current(id, attempt) then return 0 end
local held = redis.call('HGET', job(id), 'revisions')
for _, revision in ipairs(held and cjson.decode(held) or {}) do
    if revision.result == result then return 1 end
end
revise(id, 'refined', result, false)
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
if result ~= '' then revise(id, 'refined', result, true) end
if to == 'cancelled' and redis.call('HGET', job(id), 'cancel') then reason = why_cancelled(id) end
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
    "cancel": f"""
local id, reason, by = ARGV[1], ARGV[2], ARGV[3]
local state = redis.call('HGET', job(id), 'state')
if state and state ~= 'succeeded' and state ~= 'failed' and state ~= 'cancelled' then
    -- to take away comes first, and takes nothing: a script that has begun to write goes on without memory
    redis.call('ZREM', '{PREFIX}finished', id)
    if reason ~= '' then redis.call('HSETNX', job(id), 'cancel_reason', reason) end
    if by ~= '' then redis.call('HSETNX', job(id), 'cancelled_by', by) end
end
if state == 'queued' or state == 'accepted' then
    move(id, 'cancelled', why_cancelled(id))
    return 'cancelled'
elseif state == 'running' or state == 'reading' then
    redis.call('HSETNX', job(id), 'cancel', now())
end
return state
""",
    "remove": """
local state = redis.call('HGET', job(ARGV[1]), 'state')
if state ~= 'succeeded' and state ~= 'failed' and state ~= 'cancelled' then return 0 end
forget(ARGV[1])
return 1
""",
    "announce": f"""
local names = '{PREFIX}' .. ARGV[2]
if ARGV[3] then redis.call('ZREMRANGEBYSCORE', names, '-inf', '(' .. string.format('%.6f', now() - ARGV[3])) end
redis.call('ZADD', names, now(), ARGV[1])
""",
    "present": f"""
return redis.call('ZRANGEBYSCORE', '{PREFIX}workers', string.format('%.6f', now() - ARGV[1]), '+inf')
""",
}
