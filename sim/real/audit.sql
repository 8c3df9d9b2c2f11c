-- What lets a test read afterwards who changed what, in which transaction. A crash takes these rows
-- along with the transaction that wrote them, as it should.

create schema sim;

-- `started` tells the server before a crash from the one after it: the transaction id of what a crash
-- undid is given away again. `number` orders the changes of a transaction, and never comes twice.
create table sim.change (
    number      bigint      generated always as identity primary key,
    transaction xid8        not null default pg_current_xact_id(),
    started     timestamptz not null default pg_postmaster_start_time(),
    actor       text        not null default coalesce(current_setting('sim.actor', true), ''),
    changed     text        not null,
    before      jsonb,
    after       jsonb
);

-- Triggers are given the columns that hold JSON: as text, they are what sim/database/rows.py says.
create function sim.note_change() returns trigger
language plpgsql
as $$
declare
    document text;
    before   jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) end;
    after    jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) end;
    content  text;
begin
    foreach document in array coalesce(tg_argv, '{}') loop
        if before is not null then
            execute format('select ($1).%I::text', document) into content using old;
            before := before || jsonb_build_object(document, content);
        end if;
        if after is not null then
            execute format('select ($1).%I::text', document) into content using new;
            after := after || jsonb_build_object(document, content);
        end if;
    end loop;
    insert into sim.change (changed, before, after) values (tg_table_name, before, after);
    return null;
end
$$;

-- An error that the server itself answers with, of whatever code.
create function sim.fail(code text, message text) returns void
language plpgsql
as $$
begin
    raise exception using errcode = code, message = message;
end
$$;

do $$
declare
    watched   text;
    documents text;
begin
    for watched in
        select table_name from information_schema.tables where table_schema = 'trioworker'
    loop
        select string_agg(quote_literal(column_name), ', ') into documents
          from information_schema.columns
         where table_schema = 'trioworker' and table_name = watched and data_type = 'jsonb';
        execute format(
            'create trigger note_change after insert or update or delete on trioworker.%I'
            ' for each row execute function sim.note_change(%s)', watched, documents);
    end loop;
end
$$;

-- The table of a user, with what the jobs of bodies have handed over: sim/database/user_table.py.
create table sim.effect (
    number    bigint  generated always as identity primary key,
    job       uuid    not null,
    attempt   integer not null,
    execution integer not null check (execution > 0),
    said      jsonb   not null,
    marks     float8[] not null
);

create trigger note_change after insert or update or delete on sim.effect
    for each row execute function sim.note_change('said');
