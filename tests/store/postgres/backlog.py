"""Queues of a known depth, filled past the store because a million jobs shall take seconds.

Ids are numbers: first the ready jobs of the tag `deep`, then those of `shallow`, then completed
ones, then those in claims. The worker number 1 holds the first `OWN_CLAIMS` claims. A tenth as many
as are ready wait for a slot of one of a thousand keys; those have ids of their own. As many, at
most 100,000, hold a unique key. A tenth as many as are ready are flows under way, of ids of their
own, and as many approvals wait. As many jobs have had children, and steps.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Final, NamedTuple
from uuid import UUID

import psycopg

from tests.database_fixtures import PostgresServer, fresh_database

CLAIM_SIZE: Final = 100
OWN_CLAIMS: Final = 10
SHALLOW: Final = 1_000
WORKER: Final = UUID(int=1)
FIRST_FLOW: Final = 1 << 32


class Depth(NamedTuple):
    """How many rows there are: `ready` of the tag `deep`, `completed`, and `claims` of 100 jobs.

    `vacuumed` says that the server has looked at the tables since; a server that has not, plans
    with a guess.
    """

    name: str
    ready: int
    completed: int
    claims: int
    vacuumed: bool = True

    def ready_ids(self, count: int) -> list[UUID]:
        """Jobs that may be pulled."""
        return [UUID(int=n) for n in range(1, count + 1)]

    def completed_ids(self, count: int) -> list[UUID]:
        """Jobs that are finished."""
        first = 1 + self.ready + SHALLOW
        return [UUID(int=n) for n in range(first, first + count)]

    def held_ids(self, count: int) -> list[UUID]:
        """Jobs in the claims of `WORKER`, claim after claim."""
        assert count <= OWN_CLAIMS * CLAIM_SIZE
        first = 1 + self.ready + SHALLOW + self.completed
        return [UUID(int=n) for n in range(first, first + count)]

    def flow_ids(self, count: int) -> list[UUID]:
        """Flows under way."""
        return [UUID(int=FIRST_FLOW + n) for n in range(1, count + 1)]


def claims_of(count: int) -> list[UUID]:
    """The claims in which the first `count` jobs of `Depth.held_ids` are."""
    return [UUID(int=n) for n in range(1, 2 + (count - 1) // CLAIM_SIZE)]


NEW: Final = Depth("new", 0, 0, 0, vacuumed=False)
EMPTY: Final = Depth("empty", 0, 0, 0)
SMALL: Final = Depth("small", 1_000, 1_000, OWN_CLAIMS)
LARGE: Final = Depth("large", 1_000_000, 1_000_000, 1_000)
DEPTHS: Final[Sequence[Depth]] = (NEW, EMPTY, SMALL, LARGE)

FILL: Final = """
alter table trioworker.job set unlogged;
alter table trioworker.ready set unlogged;
alter table trioworker.job_completed set unlogged;
create function pg_temp.id(n bigint) returns uuid language sql immutable
    return lpad(to_hex(n), 32, '0')::uuid;
insert into trioworker.job (id, kind, path, args, tag)
select pg_temp.id(n), 'noop', 'p', '{}', case when n <= %(ready)s then 'deep' else 'shallow' end
  from generate_series(1, %(ready)s + %(shallow)s + %(completed)s + %(claims)s * %(size)s) as n;
insert into trioworker.ready (id, tag, priority, scheduled_for)
select id, tag, priority, now() - interval '1 hour'
  from trioworker.job where id <= pg_temp.id(%(ready)s + %(shallow)s);
insert into trioworker.job_completed (id, status, attempt, result)
select pg_temp.id(%(ready)s + %(shallow)s + n), 'success', 1, '1'
  from generate_series(1, %(completed)s) as n;
insert into trioworker.job_label (id, label)
select id, 'label ' || (row_number() over ()) %% 10 from trioworker.job_completed limit 100000;
insert into trioworker.job_progress (id, attempt, fraction, note)
select id, 1, 1, '' from trioworker.job_completed limit 100000;
insert into trioworker.worker (id, name, host, pid, mode, tags, ranks, lease_s)
select pg_temp.id(n), 'w', 'h', 1, 'worker', '{deep,shallow}', '{0,0}', 3600
  from generate_series(1, 100) as n;
insert into trioworker.claim (id, worker, ids, attempts, reaped)
select pg_temp.id(n), pg_temp.id(case when n <= %(own)s then 1 else 2 + n %% 99 end),
       array(select pg_temp.id(%(ready)s + %(shallow)s + %(completed)s + (n - 1) * %(size)s + m)
               from generate_series(1, %(size)s) as m),
       array_fill(1, array[%(size)s]), array_fill(0::smallint, array[%(size)s])
  from generate_series(1, %(claims)s) as n;
insert into trioworker.concurrency (key, slots, said_at)
select 'key ' || n, 1, now() from generate_series(1, 1000) as n where %(ready)s > 1000 or n <= 10;
insert into trioworker.slot (id, key)
select gen_random_uuid(), key from trioworker.concurrency;
with limited as materialized (
    select trioworker.new_id() as id, key
      from trioworker.concurrency cross join generate_series(1, 100) as n
),
defined as (
    insert into trioworker.job (id, kind, path, args, tag)
    select id, 'noop', 'p', '{}', 'limited' from limited
)
insert into trioworker.waiting (id, reason, key, priority, scheduled_for)
select id, 'limit', key, 0, now() - interval '1 hour' from limited;
insert into trioworker.flow (path, version, definition)
select 'p ' || n, 1, '{}' from generate_series(1, 10) as n;
with under_way as materialized (
    select pg_temp.id(%(flows)s + n) as id, 'p ' || n %% 10 as path
      from generate_series(1, greatest(1000, %(ready)s / 10)) as n
),
defined as (
    insert into trioworker.job (id, kind, path, args, tag)
    select id, 'flow', path, '{}', 'flows' from under_way
)
insert into trioworker.flow_state (id, root, path, version, state, attempt, reaped)
select id, id, path, 1, '{}', 1, 0 from under_way;
with asked as materialized (
    select trioworker.new_id() as id
      from generate_series(1, greatest(1000, %(ready)s / 10)) as n
),
defined as (
    insert into trioworker.job (id, kind, path, args, tag)
    select id, 'approval', 'p', '{}', 'approvals' from asked
),
said as (
    insert into trioworker.decision (job, by, approved, form)
    select id, 'somebody', true, '{}' from asked
)
insert into trioworker.waiting (id, reason, until)
select id, 'approval', now() + interval '1 hour' from asked;
insert into trioworker.parent (id, tries)
select pg_temp.id(n), 1 from generate_series(1, greatest(1000, %(ready)s / 10)) as n;
insert into trioworker.job_step (job, name, result)
select id, 'step ' || n, '1' from trioworker.parent cross join generate_series(1, 3) as n;
insert into trioworker.unique_key (sort, key, job, during)
select 'unique', 'key ' || n, pg_temp.id(n), 'unfinished'
  from generate_series(1, least(%(ready)s, 100000)) as n;
"""


def fill(url: str, depth: Depth) -> None:
    """Put the rows of `depth` into the migrated database at `url`."""
    with psycopg.connect(url, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
        if depth.ready:
            sizes = {"shallow": SHALLOW, "size": CLAIM_SIZE, "own": OWN_CLAIMS, "flows": FIRST_FLOW}
            connection.execute(FILL, depth._asdict() | sizes)
        if depth.vacuumed:
            connection.execute("vacuum analyze")


def queues(
    server_of: Callable[[int], PostgresServer], template_of: Callable[[int], str]
) -> Iterator[Callable[[int, Depth], str]]:
    """`queue_of(18, LARGE)`: the address of a queue of that depth, filled when first asked for."""
    filled: dict[tuple[int, Depth], str] = {}
    with ExitStack() as stack:

        def queue_of(version: int, depth: Depth) -> str:
            if (version, depth) not in filled:
                database = fresh_database(server_of(version), template_of(version))
                url = stack.enter_context(database)
                fill(url, depth)
                filled[version, depth] = url
            return filled[version, depth]

        yield queue_of
