-- What the migrations make, on every version of PostgreSQL; a test compares it.
-- `python -m tests.store.postgres.schema_dump` writes it anew.
--
-- The migrations it was made with. One that was released never changes: the next one mends it.
-- 0001 jobs_ready_claims 6a0e21154db2a398375b206e2bbfbb39
-- 0002 enqueue_function f91edffe0854ab8913dce806e2e668da
-- 0003 unsuccessful_jobs a1cac006b4c2314d00e66a5d6aa2db3c
-- 0004 parents_and_attempts fd5247093756fd059c448808d34548a9
-- 0005 limits a1e7dc7fd2328d4f0ba05f56529db6a2
-- 0006 schedules de08dc001bdd59063190f1400c850889
-- 0007 unique_keys 3044464c812c19642c56b83de6d6b2e8
-- 0008 labels_and_deletion e93922fd457c40cbca6a0c86d4f476e1
-- 0009 result_cache 0051e96064c89dfb75cc0330e5357bc2
-- 0010 ranks 1a0e4bb3c56095b8e1ece8ab47e27b23
-- 0011 progress 36f5e983f75669e8d8a7eb6524bf1447
-- 0012 agents 47344a25a5025b466633ac40426a7177
-- 0013 flushes 4bbc54d0591b64f1365cfc5727292c76
-- 0014 flows 2e0448604d0b1117b00d38f67c365991
-- 0015 children_and_steps 0d2833398550ba77816cf15ccf490bcf
-- 0016 same_worker d9717be12b1afbe678bbe81701a61271
-- 0017 scripts 471a2a8f509e4d6ee90099558a648323

CREATE SCHEMA trioworker;

CREATE FUNCTION trioworker.enqueue(path text, args jsonb DEFAULT '{}'::jsonb, kind text DEFAULT 'function'::text, tag text DEFAULT 'default'::text, priority integer DEFAULT 0, scheduled_for timestamp with time zone DEFAULT now(), id uuid DEFAULT NULL::uuid, options jsonb DEFAULT NULL::jsonb, awaited boolean DEFAULT false, parent uuid DEFAULT NULL::uuid) RETURNS uuid
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_variable
declare
    new_id uuid := coalesce(id, trioworker.new_id());
    slots integer;
    due timestamptz := coalesce(scheduled_for, now());
    first_id uuid;
begin
    if jsonb_typeof(options -> 'retry') <> 'null'
       and not coalesce((options #>> '{retry,attempts}')::numeric >= 1,
                        options #> '{retry,forever}' = 'true', false) then
        raise exception 'a retry policy has attempts, at least 1, or is forever, as {"retry": {"attempts": 5}}'
            using errcode = 'check_violation';
    end if;
    if jsonb_typeof(options -> 'limit') = 'object' then
        slots := options #>> '{limit,slots}';
        if slots is null or slots < 1 then
            raise exception 'a limit of % jobs would let none run; at least 1', coalesce(slots, 0)
                using errcode = 'check_violation';
        end if;
    end if;
    if jsonb_typeof(options -> 'unique') = 'object' then
        if jsonb_typeof(options -> 'debounce') = 'object' then
            raise exception 'a job is unique or debounced, not both; drop one of the two'
                using errcode = 'check_violation';
        end if;
        select * into due, first_id
          from trioworker.take_key(new_id, 'unique', options -> 'unique', due);
    elsif jsonb_typeof(options -> 'debounce') = 'object' then
        select * into due, first_id
          from trioworker.take_key(new_id, 'debounce', options -> 'debounce', due);
    end if;
    if first_id is not null then
        return first_id;
    end if;
    insert into trioworker.job (id, kind, path, args, tag, priority, options, awaited, parent)
    values (new_id, kind, path, args, tag, priority, options, awaited, parent)
        on conflict on constraint job_pkey do nothing;
    if found and jsonb_typeof(options -> 'limit') = 'object' then
        -- No key is locked in a transaction that may be long: a worker looks for the slot.
        insert into trioworker.waiting (id, reason, key, priority, scheduled_for, fresh)
        values (new_id, 'limit', coalesce(nullif(options #>> '{limit,key}', ''), path), priority,
                due, true);
        perform pg_notify('trioworker_ready', tag);
    elsif found then
        insert into trioworker.ready (id, tag, priority, scheduled_for)
        values (new_id, tag, priority, due);
        -- A hint; the same one twice in a transaction is sent once.
        perform pg_notify('trioworker_ready', tag);
    end if;
    return new_id;
end
$$;

COMMENT ON FUNCTION trioworker.enqueue(path text, args jsonb, kind text, tag text, priority integer, scheduled_for timestamp with time zone, id uuid, options jsonb, awaited boolean, parent uuid) IS 'Makes a job ready in the caller''s transaction and returns its id. An id that exists already is left as it is. Of a unique job that another one keeps out it is that one''s.';

CREATE FUNCTION trioworker.new_id() RETURNS uuid
    LANGUAGE sql PARALLEL SAFE
    AS $$
select encode(
         set_byte(
           set_byte(
             overlay(uuid_send(gen_random_uuid()) placing
                     substring(int8send(micros / 1000) from 3) from 1 for 6),
             6, 112 + (micros % 1000 * 4096 / 1000 / 256)::integer),
           7, (micros % 1000 * 4096 / 1000 % 256)::integer),
         'hex')::uuid
  from (select (extract(epoch from clock_timestamp()) * 1000000)::bigint as micros) as clock
$$;

COMMENT ON FUNCTION trioworker.new_id() IS 'A UUIDv7: sorts by the time it was made.';

CREATE FUNCTION trioworker.replace_job(old_id uuid, new_id uuid) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_variable
declare
    freed text;
begin
    with taken as (
        delete from trioworker.ready where id = old_id returning attempt, reaped
    ),
    released as (
        delete from trioworker.waiting where id = old_id returning attempt, reaped
    )
    insert into trioworker.job_completed (id, status, error, attempt, reaped)
    select old_id, 'canceled',
           jsonb_build_object('name', 'Replaced', 'message', 'replaced by job ' || new_id), attempt,
           reaped
      from (select * from taken union all select * from released) as unstarted;
    if not found then
        return false;
    end if;
    -- As after any end that nobody is told of: labels, and when the job is deleted. What is not as it
    -- should be, because somebody wrote it by hand, is passed over, as everywhere.
    insert into trioworker.job_label (id, label)
    select old_id, label
      from trioworker.job
     cross join lateral jsonb_array_elements_text(case
           when jsonb_typeof(options -> 'labels') = 'array' then options -> 'labels' end) as label
     where job.id = old_id and octet_length(label) between 1 and 200
        on conflict do nothing;
    insert into trioworker.expiry (id, at)
    select old_id, now() + after_s * interval '1 second'
      from trioworker.job
     cross join lateral (select case when jsonb_typeof(options -> 'delete_after_s') = 'number'
                                then (options ->> 'delete_after_s')::float8 end as after_s) as asked
     where job.id = old_id and after_s between 0 and 315360000
        on conflict do nothing;
    delete from trioworker.slot where id = old_id returning key into freed;
    -- A worker looks who may have the slot: no key of a limit is locked here, and of those in line
    -- only the last, which nobody is to pass over in the meantime.
    update trioworker.waiting set fresh = true
     where id = (
           select following.id from trioworker.waiting as following
            where following.key = freed
            order by following.priority, following.scheduled_for desc, following.id desc
            limit 1 for update skip locked
     );
    perform pg_notify('trioworker_done', old_id::text)
       from trioworker.job where job.id = old_id and job.awaited;
    return true;
end
$$;

COMMENT ON FUNCTION trioworker.replace_job(old_id uuid, new_id uuid) IS 'A part of trioworker.enqueue.';

CREATE FUNCTION trioworker.take_key(new_id uuid, sort text, said jsonb, INOUT due timestamp with time zone, OUT first_id uuid) RETURNS record
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_variable
declare
    wanted text := said ->> 'key';
    during text := coalesce(said ->> 'during', 'unfinished');
    held trioworker.unique_key;
    period interval := (said ->> 'period_s')::float8 * interval '1 second';
    delay interval := (said ->> 'delay_s')::float8 * interval '1 second';
    queued boolean;
    began_at timestamptz := now();
begin
    if wanted is null or octet_length(wanted) not between 1 and 500 then
        raise exception 'a % job needs a key of 1 to 500 bytes, as {"%": {"key": "…"}}', sort, sort
            using errcode = 'check_violation';
    elsif sort = 'unique' and (during not in ('queued', 'unfinished', 'period')
                               or (during = 'period') <> coalesce(period > '0 s', false)) then
        raise exception 'a unique key is held during queued, unfinished, or a period of period_s seconds'
            using errcode = 'check_violation';
    elsif coalesce(said ->> 'on_conflict', 'keep') not in ('keep', 'replace', 'raise') then
        raise exception 'a second job with a unique key is to keep, replace, or raise'
            using errcode = 'check_violation';
    elsif sort = 'debounce' and not coalesce(delay > '0 s', false) then
        raise exception 'a debounced job needs a delay, as {"debounce": {"delay_s": 5}}'
            using errcode = 'check_violation';
    end if;
    insert into trioworker.unique_key (sort, key) values (sort, wanted)
        on conflict on constraint unique_key_pkey do update set key = excluded.key where false;
    if exists (select from trioworker.job where job.id = new_id) then
        return;
    end if;
    loop
        select * into held from trioworker.unique_key as known
         where known.sort = sort and known.key = wanted;
        queued := exists (select from trioworker.ready where ready.id = held.job)
               or exists (select from trioworker.waiting where waiting.id = held.job);
        exit when held.job is null or not case
            when held.until is not null then held.until > now()
            when queued then true
            when held.during = 'unfinished'
            then exists (select from trioworker.job where job.id = held.job)
             and not exists (select from trioworker.job_completed as done where done.id = held.job)
            else false end;
        if not queued or (sort = 'unique' and said ->> 'on_conflict' is distinct from 'replace') then
            if sort = 'unique' and said ->> 'on_conflict' = 'raise' then
                raise exception 'the unique key % is held by job %', quote_literal(wanted), held.job
                    using errcode = 'unique_violation';
            end if;
            first_id := held.job;
            return;
        end if;
        if trioworker.replace_job(held.job, new_id) then
            began_at := coalesce(held.first_at, began_at);
            exit;
        end if;
        -- Somebody has claimed or ended it in the meantime: its key is judged anew.
    end loop;
    if sort = 'debounce' then
        due := greatest(due, least(
            now() + delay, began_at + (said ->> 'max_wait_s')::float8 * interval '1 second'));
    end if;
    update trioworker.unique_key as known
       set job = new_id, during = case when sort = 'unique' then during end,
           until = now() + period, first_at = case when sort = 'debounce' then began_at end,
           look_at = greatest(now() + period, now() + interval '60 s')
     where known.sort = sort and known.key = wanted;
end
$$;

COMMENT ON FUNCTION trioworker.take_key(new_id uuid, sort text, said jsonb, INOUT due timestamp with time zone, OUT first_id uuid) IS 'A part of trioworker.enqueue.';

CREATE TABLE trioworker.agent_token (
    id uuid NOT NULL,
    worker_group text NOT NULL,
    tags text[] NOT NULL,
    ranks smallint[] NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by text NOT NULL,
    expires_at timestamp with time zone,
    revoked_at timestamp with time zone,
    CONSTRAINT agent_token_check CHECK ((cardinality(ranks) = cardinality(tags))),
    CONSTRAINT agent_token_tags_check CHECK ((cardinality(tags) > 0)),
    CONSTRAINT agent_token_worker_group_check CHECK (((octet_length(worker_group) >= 1) AND (octet_length(worker_group) <= 120)))
);

COMMENT ON TABLE trioworker.agent_token IS 'Tokens that were made for agents, what they say, and whether they still count; not the tokens themselves.';

CREATE TABLE trioworker.cancel_request (
    id uuid NOT NULL,
    reason text NOT NULL,
    requested_at timestamp with time zone DEFAULT now() NOT NULL
);

COMMENT ON TABLE trioworker.cancel_request IS 'Running jobs that somebody wants stopped; the worker reads it with its heartbeat.';

CREATE TABLE trioworker.claim (
    id uuid NOT NULL,
    worker uuid NOT NULL,
    ids uuid[] NOT NULL,
    attempts integer[] NOT NULL,
    reaped smallint[] NOT NULL,
    claimed_at timestamp with time zone DEFAULT now() NOT NULL,
    flushed integer DEFAULT 0 NOT NULL,
    CONSTRAINT claim_check CHECK (((cardinality(ids) = cardinality(attempts)) AND (cardinality(ids) = cardinality(reaped)))),
    CONSTRAINT claim_ids_check CHECK ((cardinality(ids) > 0))
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='200', autovacuum_vacuum_cost_delay='0');
ALTER TABLE ONLY trioworker.claim ALTER COLUMN ids SET STORAGE EXTERNAL;
ALTER TABLE ONLY trioworker.claim ALTER COLUMN attempts SET STORAGE EXTERNAL;
ALTER TABLE ONLY trioworker.claim ALTER COLUMN reaped SET STORAGE EXTERNAL;

COMMENT ON TABLE trioworker.claim IS 'One row per batch: what one pull took for one worker. Lease unit and fence at once.';

COMMENT ON COLUMN trioworker.claim.flushed IS 'The last flush of what its running jobs have said that was stored: an earlier one comes too late.';

CREATE TABLE trioworker.concurrency (
    key text NOT NULL,
    slots integer NOT NULL,
    window_s double precision,
    said_at timestamp with time zone NOT NULL,
    look_at timestamp with time zone,
    CONSTRAINT concurrency_key_check CHECK (((octet_length(key) >= 1) AND (octet_length(key) <= 1000))),
    CONSTRAINT concurrency_slots_check CHECK ((slots >= 1)),
    CONSTRAINT concurrency_window_s_check CHECK ((window_s > (0)::double precision))
)
WITH (fillfactor='50', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='1000');

COMMENT ON TABLE trioworker.concurrency IS 'The limit of each concurrency key, while anything has to do with it. Whoever counts slots locks its row first, in key order.';

COMMENT ON COLUMN trioworker.concurrency.said_at IS 'Since when the newest enqueue says this limit.';

COMMENT ON COLUMN trioworker.concurrency.look_at IS 'When time alone may let a job in: one becomes due, or a window has passed.';

CREATE TABLE trioworker.decision (
    job uuid NOT NULL,
    by text NOT NULL,
    approved boolean NOT NULL,
    form jsonb NOT NULL,
    decided_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT decision_by_check CHECK (((octet_length(by) >= 1) AND (octet_length(by) <= 200)))
);

COMMENT ON TABLE trioworker.decision IS 'What people have said of approvals, each of them once.';

CREATE TABLE trioworker.expiry (
    id uuid NOT NULL,
    at timestamp with time zone NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='1000');

COMMENT ON TABLE trioworker.expiry IS 'When everything about an ended job is deleted.';

CREATE TABLE trioworker.flow (
    path text NOT NULL,
    version integer NOT NULL,
    definition jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by text DEFAULT ''::text NOT NULL,
    CONSTRAINT flow_path_check CHECK (((octet_length(path) >= 1) AND (octet_length(path) <= 1000))),
    CONSTRAINT flow_version_check CHECK ((version >= 1))
);

COMMENT ON TABLE trioworker.flow IS 'Definitions of flows; a run keeps to the version that was the newest when it began.';

CREATE TABLE trioworker.flow_state (
    id uuid NOT NULL,
    root uuid NOT NULL,
    path text NOT NULL,
    version integer NOT NULL,
    state jsonb NOT NULL,
    attempt integer NOT NULL,
    reaped smallint NOT NULL,
    worker uuid,
    began_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT flow_state_attempt_check CHECK ((attempt >= 1)),
    CONSTRAINT flow_state_reaped_check CHECK ((reaped >= 0))
)
WITH (fillfactor='50', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='1000', autovacuum_vacuum_cost_delay='0');

COMMENT ON TABLE trioworker.flow_state IS 'Flows under way, and how far they are. Who moves one holds the row of its root, the outermost. worker is the one that runs all steps, if one is to.';

CREATE TABLE trioworker.job (
    id uuid NOT NULL,
    kind text NOT NULL,
    path text NOT NULL,
    args jsonb NOT NULL,
    tag text NOT NULL,
    priority smallint DEFAULT 0 NOT NULL,
    options jsonb,
    awaited boolean DEFAULT false NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by text DEFAULT ''::text NOT NULL,
    parent uuid,
    CONSTRAINT job_kind_check CHECK ((kind = ANY (ARRAY['function'::text, 'script'::text, 'noop'::text, 'identity'::text, 'flow'::text, 'approval'::text, 'dependencies'::text]))),
    CONSTRAINT job_limit_check CHECK (
CASE
    WHEN (jsonb_typeof((options -> 'limit'::text)) = 'object'::text) THEN (
    CASE
        WHEN ((options #>> '{limit,slots}'::text[]) ~ '^[1-9][0-9]{0,9}$'::text) THEN (((options #>> '{limit,slots}'::text[]))::bigint <= 2147483647)
        ELSE false
    END AND
    CASE jsonb_typeof((options #> '{limit,window_s}'::text[]))
        WHEN 'number'::text THEN ((((options #>> '{limit,window_s}'::text[]))::numeric > (0)::numeric) AND (((options #>> '{limit,window_s}'::text[]))::numeric <= (1000000000)::numeric))
        WHEN 'null'::text THEN true
        ELSE (NOT ((options -> 'limit'::text) ? 'window_s'::text))
    END AND (octet_length(COALESCE((options #>> '{limit,key}'::text[]), ''::text)) <= 1000))
    ELSE true
END),
    CONSTRAINT job_options_check CHECK ((jsonb_typeof(options) = 'object'::text)),
    CONSTRAINT job_path_check CHECK (((octet_length(path) >= 1) AND (octet_length(path) <= 1000))),
    CONSTRAINT job_priority_check CHECK (((priority >= '-1000'::integer) AND (priority <= 1000))),
    CONSTRAINT job_tag_check CHECK (((octet_length(tag) >= 1) AND (octet_length(tag) <= 120)))
);

COMMENT ON TABLE trioworker.job IS 'What was asked, immutable; kept beside the completion until retention takes both.';

CREATE TABLE trioworker.job_attempt (
    id uuid NOT NULL,
    attempt integer NOT NULL,
    error jsonb NOT NULL,
    worker uuid,
    started_at timestamp with time zone,
    duration_ms integer
);

COMMENT ON TABLE trioworker.job_attempt IS 'Attempts that failed, or were lost with their worker, and were followed by another; the last one is in job_completed.';

CREATE TABLE trioworker.job_completed (
    id uuid NOT NULL,
    status text NOT NULL,
    result jsonb,
    error jsonb,
    worker uuid,
    attempt integer NOT NULL,
    reaped smallint DEFAULT 0 NOT NULL,
    started_at timestamp with time zone,
    completed_at timestamp with time zone DEFAULT now() NOT NULL,
    duration_ms integer,
    CONSTRAINT job_completed_status_check CHECK ((status = ANY (ARRAY['success'::text, 'failure'::text, 'canceled'::text, 'skipped'::text])))
);

COMMENT ON TABLE trioworker.job_completed IS 'What is finished, once per job.';

CREATE TABLE trioworker.job_label (
    id uuid NOT NULL,
    label text NOT NULL,
    CONSTRAINT job_label_label_check CHECK (((octet_length(label) >= 1) AND (octet_length(label) <= 200)))
);

COMMENT ON TABLE trioworker.job_label IS 'Labels of jobs that have ended, stored with their completion.';

CREATE TABLE trioworker.job_log (
    id uuid NOT NULL,
    attempt integer NOT NULL,
    chunk integer NOT NULL,
    text text NOT NULL
);

COMMENT ON TABLE trioworker.job_log IS 'Bounded text that jobs wrote, per attempt.';

CREATE TABLE trioworker.job_preprocessed (
    id uuid NOT NULL,
    args jsonb NOT NULL
);

COMMENT ON TABLE trioworker.job_preprocessed IS 'The arguments that a script has made of those that its job was given.';

CREATE TABLE trioworker.job_progress (
    id uuid NOT NULL,
    attempt integer NOT NULL,
    fraction double precision NOT NULL,
    note text NOT NULL,
    told_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT job_progress_fraction_check CHECK (((fraction >= (0)::double precision) AND (fraction <= (1)::double precision))),
    CONSTRAINT job_progress_note_check CHECK ((octet_length(note) <= 500))
)
WITH (fillfactor='50', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='1000');

COMMENT ON TABLE trioworker.job_progress IS 'What a job has told last of its progress, by the attempt that told it.';

CREATE TABLE trioworker.job_step (
    job uuid NOT NULL,
    name text NOT NULL,
    result jsonb NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT job_step_name_check CHECK (((octet_length(name) >= 1) AND (octet_length(name) <= 200)))
);

COMMENT ON TABLE trioworker.job_step IS 'What steps of functions have returned; a later attempt of the job takes it from here.';

CREATE TABLE trioworker.migration (
    number integer NOT NULL,
    name text NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE trioworker.parent (
    id uuid NOT NULL,
    tries integer NOT NULL,
    since timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT parent_tries_check CHECK ((tries >= 1))
);

COMMENT ON TABLE trioworker.parent IS 'Jobs that have enqueued children, which of their tries did so last, and since when.';

CREATE TABLE trioworker.ready (
    id uuid NOT NULL,
    tag text NOT NULL,
    priority smallint NOT NULL,
    scheduled_for timestamp with time zone NOT NULL,
    attempt integer DEFAULT 1 NOT NULL,
    reaped smallint DEFAULT 0 NOT NULL,
    CONSTRAINT ready_attempt_check CHECK ((attempt >= 1)),
    CONSTRAINT ready_reaped_check CHECK ((reaped >= 0))
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='5000', autovacuum_vacuum_insert_scale_factor='0.2', autovacuum_analyze_scale_factor='0.2', autovacuum_vacuum_cost_delay='0');

COMMENT ON TABLE trioworker.ready IS 'May be pulled now or when due.';

CREATE TABLE trioworker.result_cache (
    key text NOT NULL,
    job uuid NOT NULL,
    result jsonb NOT NULL,
    stored_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    CONSTRAINT result_cache_key_check CHECK (((octet_length(key) >= 1) AND (octet_length(key) <= 200)))
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='1000');

COMMENT ON TABLE trioworker.result_cache IS 'The newest result of jobs that let equal ones take it, until the last of them asks it to be no older.';

CREATE TABLE trioworker.schedule (
    name text NOT NULL,
    definition jsonb NOT NULL,
    paused boolean DEFAULT false NOT NULL,
    last_tick timestamp with time zone,
    pending uuid,
    decided_until timestamp with time zone DEFAULT now() NOT NULL,
    look_at timestamp with time zone DEFAULT now(),
    failures integer DEFAULT 0 NOT NULL,
    problem text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT schedule_definition_check CHECK ((jsonb_typeof(definition) = 'object'::text)),
    CONSTRAINT schedule_failures_check CHECK ((failures >= 0)),
    CONSTRAINT schedule_name_check CHECK (((octet_length(name) >= 1) AND (octet_length(name) <= 200)))
)
WITH (fillfactor='70', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='1000');

COMMENT ON TABLE trioworker.schedule IS 'What is enqueued again and again, and up to which tick it has been.';

CREATE TABLE trioworker.script (
    path text NOT NULL,
    version integer NOT NULL,
    hash text NOT NULL,
    language text NOT NULL,
    dedicated boolean NOT NULL,
    content text NOT NULL,
    requirements jsonb NOT NULL,
    lock jsonb,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by text DEFAULT ''::text NOT NULL,
    CONSTRAINT script_content_check CHECK ((octet_length(content) <= 4194304)),
    CONSTRAINT script_language_check CHECK (((octet_length(language) >= 1) AND (octet_length(language) <= 50))),
    CONSTRAINT script_lock_check CHECK ((jsonb_typeof(lock) = 'array'::text)),
    CONSTRAINT script_path_check CHECK (((octet_length(path) >= 1) AND (octet_length(path) <= 1000))),
    CONSTRAINT script_requirements_check CHECK ((jsonb_typeof(requirements) = 'array'::text)),
    CONSTRAINT script_version_check CHECK ((version >= 1))
);

COMMENT ON TABLE trioworker.script IS 'Deployed scripts; the newest version of a path counts. lock has the exact versions of its packages, once a job has found them.';

CREATE TABLE trioworker.slot (
    id uuid NOT NULL,
    key text NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='1000');

COMMENT ON TABLE trioworker.slot IS 'Jobs that count against a limit: those in ready or in a claim that have one.';

CREATE TABLE trioworker.spent_slot (
    key text NOT NULL,
    free_at timestamp with time zone NOT NULL,
    slots bigint NOT NULL,
    CONSTRAINT spent_slot_slots_check CHECK ((slots >= 1))
);

COMMENT ON TABLE trioworker.spent_slot IS 'Slots that their jobs have left and that stay taken until their window has passed.';

CREATE TABLE trioworker.unique_key (
    sort text NOT NULL,
    key text NOT NULL,
    job uuid,
    during text,
    until timestamp with time zone,
    first_at timestamp with time zone,
    look_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT unique_key_check CHECK (((NOT (during IS DISTINCT FROM 'period'::text)) = (until IS NOT NULL))),
    CONSTRAINT unique_key_during_check CHECK ((during = ANY (ARRAY['queued'::text, 'unfinished'::text, 'period'::text]))),
    CONSTRAINT unique_key_key_check CHECK (((octet_length(key) >= 1) AND (octet_length(key) <= 2000))),
    CONSTRAINT unique_key_sort_check CHECK ((sort = ANY (ARRAY['unique'::text, 'debounce'::text])))
)
WITH (fillfactor='70', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='1000');

COMMENT ON TABLE trioworker.unique_key IS 'Which job took each key last. Whoever asks whether a key is held locks its row first, in the order of sort and key.';

COMMENT ON COLUMN trioworker.unique_key.until IS 'When the period of the key is over.';

COMMENT ON COLUMN trioworker.unique_key.first_at IS 'When the first of the debounced jobs came, in whose place the others are.';

COMMENT ON COLUMN trioworker.unique_key.look_at IS 'When a sweep looks whether anything holds it.';

CREATE TABLE trioworker.waiting (
    id uuid NOT NULL,
    reason text NOT NULL,
    until timestamp with time zone,
    attempt integer DEFAULT 1 NOT NULL,
    reaped smallint DEFAULT 0 NOT NULL,
    since timestamp with time zone DEFAULT now() NOT NULL,
    key text,
    priority smallint,
    scheduled_for timestamp with time zone,
    fresh boolean DEFAULT false NOT NULL,
    CONSTRAINT waiting_attempt_check CHECK ((attempt >= 1)),
    CONSTRAINT waiting_reaped_check CHECK ((reaped >= 0)),
    CONSTRAINT waiting_turn_check CHECK (((key IS NULL) OR ((priority IS NOT NULL) AND (scheduled_for IS NOT NULL))))
);

COMMENT ON TABLE trioworker.waiting IS 'May not be pulled yet; reason says what ends it.';

COMMENT ON COLUMN trioworker.waiting.key IS 'The concurrency key that it waits for.';

COMMENT ON COLUMN trioworker.waiting.fresh IS 'Enqueued in a transaction of somebody else''s, which locks no key: nobody has looked yet whether there is a slot for it.';

CREATE TABLE trioworker.worker (
    id uuid NOT NULL,
    name text NOT NULL,
    host text NOT NULL,
    pid integer NOT NULL,
    mode text NOT NULL,
    tags text[] NOT NULL,
    lease_s real NOT NULL,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    last_heartbeat timestamp with time zone DEFAULT now() NOT NULL,
    lost_at timestamp with time zone,
    stopped_at timestamp with time zone,
    jobs_done bigint DEFAULT 0 NOT NULL,
    jobs_failed bigint DEFAULT 0 NOT NULL,
    jobs_running integer DEFAULT 0 NOT NULL,
    ranks smallint[] NOT NULL,
    token uuid,
    CONSTRAINT worker_check CHECK ((cardinality(ranks) = cardinality(tags))),
    CONSTRAINT worker_lease_s_check CHECK ((lease_s > (0)::double precision))
)
WITH (fillfactor='50', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='200');

COMMENT ON TABLE trioworker.worker IS 'One row per worker process; it outlives the claims, so that none is orphaned.';

COMMENT ON COLUMN trioworker.worker.token IS 'The token that first used this id, which belongs to it from then on; null for a worker with a database.';

ALTER TABLE ONLY trioworker.agent_token
    ADD CONSTRAINT agent_token_pkey PRIMARY KEY (id);

ALTER TABLE ONLY trioworker.cancel_request
    ADD CONSTRAINT cancel_request_pkey PRIMARY KEY (id);

ALTER TABLE ONLY trioworker.claim
    ADD CONSTRAINT claim_pkey PRIMARY KEY (id);

ALTER TABLE ONLY trioworker.concurrency
    ADD CONSTRAINT concurrency_pkey PRIMARY KEY (key);

ALTER TABLE ONLY trioworker.decision
    ADD CONSTRAINT decision_pkey PRIMARY KEY (job, by);

ALTER TABLE ONLY trioworker.expiry
    ADD CONSTRAINT expiry_pkey PRIMARY KEY (id);

ALTER TABLE ONLY trioworker.flow
    ADD CONSTRAINT flow_pkey PRIMARY KEY (path, version);

ALTER TABLE ONLY trioworker.flow_state
    ADD CONSTRAINT flow_state_pkey PRIMARY KEY (id);

ALTER TABLE ONLY trioworker.job_attempt
    ADD CONSTRAINT job_attempt_pkey PRIMARY KEY (id, attempt);

ALTER TABLE ONLY trioworker.job_completed
    ADD CONSTRAINT job_completed_pkey PRIMARY KEY (id);

ALTER TABLE ONLY trioworker.job_label
    ADD CONSTRAINT job_label_pkey PRIMARY KEY (id, label);

ALTER TABLE ONLY trioworker.job_log
    ADD CONSTRAINT job_log_pkey PRIMARY KEY (id, attempt, chunk);

ALTER TABLE ONLY trioworker.job
    ADD CONSTRAINT job_pkey PRIMARY KEY (id);

ALTER TABLE ONLY trioworker.job_preprocessed
    ADD CONSTRAINT job_preprocessed_pkey PRIMARY KEY (id);

ALTER TABLE ONLY trioworker.job_progress
    ADD CONSTRAINT job_progress_pkey PRIMARY KEY (id);

ALTER TABLE ONLY trioworker.job_step
    ADD CONSTRAINT job_step_pkey PRIMARY KEY (job, name);

ALTER TABLE ONLY trioworker.migration
    ADD CONSTRAINT migration_pkey PRIMARY KEY (number);

ALTER TABLE ONLY trioworker.parent
    ADD CONSTRAINT parent_pkey PRIMARY KEY (id);

ALTER TABLE ONLY trioworker.ready
    ADD CONSTRAINT ready_pkey PRIMARY KEY (id);

ALTER TABLE ONLY trioworker.result_cache
    ADD CONSTRAINT result_cache_pkey PRIMARY KEY (key);

ALTER TABLE ONLY trioworker.schedule
    ADD CONSTRAINT schedule_pkey PRIMARY KEY (name);

ALTER TABLE ONLY trioworker.script
    ADD CONSTRAINT script_pkey PRIMARY KEY (path, version);

ALTER TABLE ONLY trioworker.slot
    ADD CONSTRAINT slot_pkey PRIMARY KEY (id);

ALTER TABLE ONLY trioworker.spent_slot
    ADD CONSTRAINT spent_slot_pkey PRIMARY KEY (key, free_at);

ALTER TABLE ONLY trioworker.unique_key
    ADD CONSTRAINT unique_key_pkey PRIMARY KEY (sort, key);

ALTER TABLE ONLY trioworker.waiting
    ADD CONSTRAINT waiting_pkey PRIMARY KEY (id);

ALTER TABLE ONLY trioworker.worker
    ADD CONSTRAINT worker_pkey PRIMARY KEY (id);

CREATE INDEX claim_worker ON trioworker.claim USING btree (worker);

CREATE INDEX concurrency_look ON trioworker.concurrency USING btree (look_at) WHERE (look_at IS NOT NULL);

CREATE INDEX expiry_at ON trioworker.expiry USING btree (at);

CREATE INDEX flow_state_worker ON trioworker.flow_state USING btree (worker, root) WHERE (worker IS NOT NULL);

CREATE INDEX job_completed_at ON trioworker.job_completed USING brin (completed_at);

CREATE INDEX job_completed_foreign ON trioworker.job_completed USING btree (completed_at) WHERE ((get_byte(uuid_send(id), 6) >> 4) <> 7);

CREATE INDEX job_completed_unsuccessful ON trioworker.job_completed USING btree (id) WHERE (status <> 'success'::text);

CREATE INDEX job_label_newest ON trioworker.job_label USING btree (label, id);

CREATE INDEX job_parent ON trioworker.job USING btree (parent) WHERE (parent IS NOT NULL);

CREATE INDEX ready_pull ON trioworker.ready USING btree (tag, priority DESC, scheduled_for, id);

CREATE INDEX result_cache_expiry ON trioworker.result_cache USING btree (expires_at);

CREATE INDEX schedule_look ON trioworker.schedule USING btree (look_at) WHERE (look_at IS NOT NULL);

CREATE INDEX slot_key ON trioworker.slot USING btree (key);

CREATE INDEX unique_key_look ON trioworker.unique_key USING btree (look_at);

CREATE INDEX waiting_fresh ON trioworker.waiting USING btree (id) WHERE fresh;

CREATE INDEX waiting_turn ON trioworker.waiting USING btree (key, priority DESC, scheduled_for, id) WHERE (key IS NOT NULL);

CREATE INDEX waiting_undecided ON trioworker.waiting USING btree (until, id) WHERE (key IS NULL);

