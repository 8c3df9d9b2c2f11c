-- name: lock_flows_of
-- rows: many
-- does: locks the outermost flows that the jobs $1 are, are nested in, or are steps of
-- locks: their rows in flow_state, in id order
select id from trioworker.flow_state
 where id = any (array(
       select known.root
         from unnest($1::uuid[]) as asked (id)
        cross join lateral (
           select array(
               select asked.id union all select job.parent from trioworker.job where job.id = asked.id
           ) as ids offset 0
         ) as kin
        cross join lateral (
           select state.root from trioworker.flow_state as state where state.id = any (kin.ids) offset 0
         ) as known
 ))
 order by id for update
