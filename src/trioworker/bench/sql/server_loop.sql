-- The worker's own two statements, looped where no line and no client is in the way: what the
-- server can do. As in the worker, the pull's commit does not wait for the disk, the results' does.
do $loop$
declare
    my_worker constant uuid := '@worker@';
    my_size constant integer := @size@;
    my_claim uuid;
    my_ids uuid[];
    my_attempts integer[];
    my_results text[];
    my_ages float8[];
    my_durations integer[];
    my_row record;
begin
    loop
        my_claim := gen_random_uuid();
        my_ids := '{}';
        my_attempts := '{}';
        perform set_config('synchronous_commit', 'off', true);
        for my_row in
            @pull@
        loop
            my_ids := my_ids || my_row.id;
            my_attempts := my_attempts || my_row.attempt;
        end loop;
        commit;
        exit when cardinality(my_ids) = 0;

        my_results := array_fill('null'::text, array[cardinality(my_ids)]);
        my_ages := array_fill(0.001::float8, array[cardinality(my_ids)]);
        my_durations := array_fill(0, array[cardinality(my_ids)]);
        for my_row in
            @commit@
        loop
            raise exception 'job % was not stored', my_row;
        end loop;
        commit;
    end loop;
end
$loop$
