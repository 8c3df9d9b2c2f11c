-- 0010: the ranks of a worker's tags; of those of a higher rank it takes jobs first.
alter table trioworker.worker add column ranks smallint[] not null default '{}';
update trioworker.worker set ranks = array_fill(0::smallint, array[cardinality(tags)]);
alter table trioworker.worker
    alter column ranks drop default,
    add check (cardinality(ranks) = cardinality(tags));
