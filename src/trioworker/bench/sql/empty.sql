do $$
begin
    execute (select 'truncate ' || string_agg(format('%I.%I', schemaname, tablename), ', ')
               from pg_tables
              where schemaname in ('trioworker', 'public') and tablename not in ('migration', 'worker', 'agent_token'));
end $$
