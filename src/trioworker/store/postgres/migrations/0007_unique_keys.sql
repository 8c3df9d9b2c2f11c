-- 0007: unique and debounced jobs. A key is judged when a job with it is enqueued, by what has
-- become of the job that took it last: no end of a job gives it back, so a crash can keep none.
create table trioworker.unique_key (
    sort     text        not null check (sort in ('unique', 'debounce')),
    key      text        not null check (octet_length(key) between 1 and 2000),
    job      uuid,
    during   text        check (during in ('queued', 'unfinished', 'period')),
    until    timestamptz,
    first_at timestamptz,
    look_at  timestamptz not null default now(),
    primary key (sort, key),
    check ((during is not distinct from 'period') = (until is not null))
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
create index unique_key_look on trioworker.unique_key (look_at);
comment on table trioworker.unique_key is 'Which job took each key last. Whoever asks whether a key is held locks its row first, in the order of sort and key.';
comment on column trioworker.unique_key.until is 'When the period of the key is over.';
comment on column trioworker.unique_key.first_at is 'When the first of the debounced jobs came, in whose place the others are.';
comment on column trioworker.unique_key.look_at is 'When a sweep looks whether anything holds it.';

-- What a job with a key comes to, in the transaction that enqueues it: when it is due, or which job
-- is first and keeps it out. The statements of a volatile function each see what was committed
-- before them, so what is asked after the lock is not older than the lock.
create function trioworker.take_key(
    new_id         uuid,
    sort           text,
    said           jsonb,
    inout due      timestamptz,
    out   first_id uuid
)
language plpgsql volatile
as $$
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
comment on function trioworker.take_key is 'A part of trioworker.enqueue.';

create function trioworker.replace_job(old_id uuid, new_id uuid) returns boolean
language plpgsql volatile
as $$
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
comment on function trioworker.replace_job is 'A part of trioworker.enqueue.';

-- Another parameter makes another function; with both of them a call would fit either.
drop function trioworker.enqueue(text, jsonb, text, text, integer, timestamptz, uuid, jsonb, boolean);
create function trioworker.enqueue(
    path          text,
    args          jsonb       default '{}',
    kind          text        default 'function',
    tag           text        default 'default',
    priority      integer     default 0,
    scheduled_for timestamptz default now(),
    id            uuid        default null,
    options       jsonb       default null,
    awaited       boolean     default false,
    parent        uuid        default null
) returns uuid
language plpgsql volatile
as $$
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
comment on function trioworker.enqueue is
    'Makes a job ready in the caller''s transaction and returns its id. An id that exists already is left as it is. Of a unique job that another one keeps out it is that one''s.';
