-- 0002: enqueue from any driver, inside the caller's own transaction: what is rolled back was never
-- asked for. Both functions run with the caller's own rights on our tables.

-- uuidv7() came with PostgreSQL 18; this is the same on all versions, so that schemas are too. The
-- 12 bits after the milliseconds are their fraction, so ids of one session sort as they were made.
create function trioworker.new_id() returns uuid
language sql volatile parallel safe
as $$
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
comment on function trioworker.new_id() is 'A UUIDv7: sorts by the time it was made.';

create function trioworker.enqueue(
    path          text,
    args          jsonb       default '{}',
    kind          text        default 'function',
    tag           text        default 'default',
    priority      integer     default 0,
    scheduled_for timestamptz default now(),
    id            uuid        default null,
    options       jsonb       default null,
    awaited       boolean     default false
) returns uuid
language plpgsql volatile
as $$
#variable_conflict use_variable
declare
    new_id uuid := coalesce(id, trioworker.new_id());
begin
    insert into trioworker.job (id, kind, path, args, tag, priority, options, awaited)
    values (new_id, kind, path, args, tag, priority, options, awaited)
        on conflict on constraint job_pkey do nothing;
    if found then
        insert into trioworker.ready (id, tag, priority, scheduled_for)
        values (new_id, tag, priority, coalesce(scheduled_for, now()));
        -- A hint; the same one twice in a transaction is sent once.
        perform pg_notify('trioworker_ready', tag);
    end if;
    return new_id;
end
$$;
comment on function trioworker.enqueue is
    'Makes a job ready in the caller''s transaction and returns its id. An id that exists already is left as it is.';
