"""The plan of a run: sizes, workload, and which faults exist at all; drawn from the seed.

Swarm testing (Groce et al., "Swarm Testing", ISSTA 2012): each seed switches whole classes of
faults on and off and draws their rates, for a run with everything on hides what one kind alone
would show. Sizes are drawn small, because tiny pools, queues of one and leases of a second make
rare meetings common.

Rule of this file: a plan is data. It can be printed, edited, shrunk and read back from a scenario
file, and a run follows from plan and seed alone.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from random import Random
from typing import Final

import msgspec

from sim.calls import CALLS
from sim.database.faults import Kind
from sim.database.server import EPOCH
from sim.families import FAMILIES
from sim.flowing import RECOVER, draw_flows, draw_kept
from sim.http_faults import HttpKind
from sim.policies import DRAWN, POLICIES
from sim.streams import Streams
from sim.ticking import Ticking, draw_begins, draw_meddling, draw_schedules
from trioworker.errors import UsageError
from trioworker.model.batching import BatchPolicy, Fallback, Mode
from trioworker.model.tags import Tags

KILL: Final = "worker killed"
PAUSE: Final = "worker paused"
STOP: Final = "worker stopped"
RESTART: Final = "server restarted"
CRASH: Final = "server crashed"
OUTAGE: Final = "server away for long"
STANDBY: Final = "failover to a standby"
CLOCK: Final = "server clock set"
API_KILL: Final = "api killed"
API_PAUSE: Final = "api paused"
API_STOP: Final = "api stopped"
DATABASE_FAULTS: Final = tuple(kind.value for kind in Kind)
HTTP_FAULTS: Final = tuple(kind.value for kind in HttpKind)
EXCHANGE_FAULTS: Final = (*DATABASE_FAULTS, *HTTP_FAULTS)
API_FAULTS: Final = (API_KILL, API_PAUSE, API_STOP)
"""What befalls a server of agents. What is called "server" here alone is the database's."""
WORLD_FAULTS: Final = (
    KILL, PAUSE, STOP, RESTART, CRASH, OUTAGE, STANDBY, CLOCK, *API_FAULTS,
)  # fmt: skip
FAULT_CLASSES: Final = (*EXCHANGE_FAULTS, *WORLD_FAULTS)

HANDS_OVER: Final = "hand over"
"""Its jobs have an effect in a table of their user's, which is committed with them."""
CACHED: Final = "cached"
"""Its jobs take each other's results, if they are equal and not older than `CACHE_TTL_S`."""
CACHE_TTL_S: Final = 2.0
OTHER_KIND: Final = "of another kind"
"""Its jobs are of a kind that no worker runs."""
BY_HAND: Final = "by hand"
"""Its jobs have options that nobody can read, as somebody may write them in SQL."""
CLIMB: Final = "climb"
"""Its jobs tell how far they have come."""
BODIES: Final = (
    "ok", "slow", "raise", "retry", "snooze", "hang", "stubborn", "log", "talk", CLIMB, "label",
    "huge", "poison", "poison number", "cancel itself", HANDS_OVER, "hand over, refused",
    CACHED, "noop", "identity", "deadly", "again", *DRAWN,
    "fail at length", OTHER_KIND, BY_HAND,
)  # fmt: skip
LONG: Final = "long"
"""For stories, in which "slow" might be over too soon: it takes the same time in every run."""
STORIES: Final = (LONG, RECOVER, *CALLS, *POLICIES, *FAMILIES)
"""Bodies that no seed draws."""
LONG_DRAIN_S: Final = 400.0
"""Who waits in a line of slow jobs takes his time, and so does who restarts now and then."""
MEDDLED_S: Final = 10.0
"""How long after the faults people still meddle with schedules."""
AGENTS_RATE_MAX: Final = 0.02
"""A request is several statements: if each failed more often, no outcome would ever get through."""
WITH_AGENTS: Final = 0.25
"""How many of the seeds have agents; the others cost no more than they did without."""
WITH_FAMILIES: Final = 0.25
"""How many of the seeds have jobs with children."""
AGENTS_POLL_S: Final = (1.0, 1.0, 5.0)
"""A request costs a run as much as five statements, and idle workers do little else than poll."""
SHARES: Final = {"deadly": 0.1, "again": 0.1, OTHER_KIND: 0.2, BY_HAND: 0.2, HANDS_OVER: 3.0}
"""How many there are of some bodies, compared with others. Of some one in a run is plenty: a worker
that is always dying does nothing else, and one that restarts is several jobs, with ten seconds
between them. What is handed over is to meet in a commit."""


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """How large everything is. Times in seconds.

    So many `agents` are among the `workers`, the last of them, and so many `apis` serve them.
    """

    workers: int = 2
    agents: int = 0
    apis: int = 1
    jobs: int = 40
    tags: int = 1
    mode: Mode = Mode.AGENT_BATCH
    pull: int = 20
    commit: int = 20
    concurrency: int = 5
    policy: BatchPolicy = BatchPolicy.FULL
    fallback: Fallback = Fallback.PER_JOB
    start_within_s: float = 1.0
    poll_s: float = 1.0
    heartbeat_s: float = 1.0
    lease_s: float = 5.0
    sweep_s: float = 1.0
    grace_s: float = 2.0
    flush_s: float = 2.0
    command_timeout_s: float = 3.0
    reaped_max: int = 3
    retention_s: float | None = None
    drain: bool = False
    report_jobs: bool = True


class Scripted(msgspec.Struct, frozen=True, kw_only=True):
    """A fault of the world at a moment that somebody chose, `for_s` seconds long if it lasts.

    `fault` is its full name, as "worker killed@worker-0#0". `at_s` counts from the beginning, or
    from the moment when the exchange `after` is sent, as "worker-0/commit#0". What one target has
    to suffer of one kind comes one after the other.
    """

    fault: str
    at_s: float = 0.0
    after: str | None = None
    for_s: float | None = None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All that a run follows from, besides the code.

    `faults` are the classes that exist, with their rates: the chance of one exchange for those of
    an exchange, the mean number in the first phase for those of the world. `without` are single
    faults, by name, that do not happen although they would; `exactly` and `script` are faults of an
    exchange and of the world that do happen although nobody drew them; `lasting` says for how many
    seconds those of an exchange delay it, by name. `bodies` are the sorts of jobs, with weights;
    `jobs` names the bodies of all jobs one by one instead, "slow" at the very start or "slow@0.2"
    so many seconds later; they are alike in all else, and one statement enqueues those of a moment.
    So many `cancels` of jobs come when all are enqueued, and so many `cancels_running` of such as
    run just then, while there are faults. `children` is the chance of a job to be the child of one
    before it, `told` that somebody is told how it ends; all of `jobs` are when it is not 0.
    `chaos_s` is how long faults may happen; after that everything must end within `drain_s`.
    `one_stays_dead` leaves the first worker dead for good once it is killed. `limits` are the slots
    of concurrency keys, which some of the drawn jobs have, and all jobs of `jobs` in turn;
    `window_s` is the window of all of them. The `schedules` tick until some time after the chaos;
    `meddling` is what people do to them, as "pause 0@2.5" for the first one, two and a half seconds
    after the beginning, and a change makes one like the next. The server's clock `begins` at a
    moment of the plan. `keys` are how long unique keys are held,
    or "debounce", which some of the drawn jobs have, and all jobs of `jobs` in turn. `ranks` are
    those of the tags, in turn; of each next worker they begin one later. With `own_tags` an agent's
    token leaves out one of the tags, unless nobody might be left who takes it; an `intruder` has a
    token of his own and asks in the names of the agents.
    `labels` is the chance of a job to have labels, `delete_after_s` are times after which jobs are
    deleted, which some of the drawn jobs have, and all jobs of `jobs` in turn. So many times a
    client `requeues` what did not succeed; so many jobs have `followers` of their logs. A `narrow`
    run has some bounds of the product near, as `sim/bounds.py` says. The `flows` are runs, as
    "nested@0.5" for one that begins half a second after the beginning; so many of them are
    cancelled a little later. People decide about what asks them.
    """

    seed: int
    sizes: Sizes = Sizes()
    faults: Mapping[str, float] = {}
    without: Sequence[str] = ()
    exactly: Sequence[str] = ()
    script: Sequence[Scripted] = ()
    lasting: Mapping[str, float] = {}
    jobs: Sequence[str] = ()
    bodies: Mapping[str, float] = msgspec.field(default_factory=lambda: {"ok": 1.0})
    enqueue_s: float = 5.0
    chaos_s: float = 8.0
    drain_s: float = 120.0
    cancels: int = 0
    cancels_running: int = 0
    children: float = 0.0
    one_stays_dead: bool = False
    limits: Sequence[int] = ()
    window_s: float | None = None
    told: float = 0.0
    schedules: Sequence[Ticking] = ()
    meddling: Sequence[str] = ()
    begins: datetime = EPOCH
    keys: Sequence[str] = ()
    ranks: Sequence[int] = ()
    labels: float = 0.0
    delete_after_s: Sequence[float] = ()
    requeues: int = 0
    followers: int = 0
    narrow: bool = False
    own_tags: bool = False
    intruder: bool = False
    flows: Sequence[str] = ()
    flows_cancelled: int = 0


def when_and_what(job: str) -> tuple[float, str]:
    """The second and the body that an entry of `Plan.jobs` names. Raises `UsageError`."""
    body, at, seconds = job.partition("@")
    try:
        at_s = float(seconds) if at else 0.0
    except ValueError:
        at_s = -1.0
    if body not in (*BODIES, *STORIES) or not at_s >= 0:
        raise UsageError(f"'{job}' is no job; write it as 'slow' or 'slow@0.2'")
    return at_s, body


def tags_of(plan: Plan, slot: int) -> Tags:
    """Which tags the worker in a slot serves, and how it ranks them."""
    left_out = _left_out(plan, slot) if slot in slots_of_agents(plan.sizes) else None
    turn, numbers = plan.ranks or (0,), [n for n in range(plan.sizes.tags) if n != left_out]
    names = tuple(f"tag-{number}" for number in numbers)
    return Tags(names, tuple(turn[(number + slot) % len(turn)] for number in numbers))


def commits_at_once(sizes: Sizes) -> int:
    """How many commits a worker may have under way, if it is an agent and for all that we know."""
    return 2 if sizes.agents and sizes.mode.batches else 1


def slots_of_agents(sizes: Sizes) -> range:
    """The slots of the workers without a database."""
    return range(max(0, sizes.workers - sizes.agents), sizes.workers)


def _left_out(plan: Plan, slot: int) -> int | None:
    """The tag that an agent does not take. The first worker takes all, and may stay dead."""
    tags = plan.sizes.tags
    alone = plan.sizes.workers < 3 and plan.one_stays_dead  # noqa: PLR2004 - two more beside it
    if not plan.own_tags or slot == 0 or tags == 1 or alone:
        return None
    return slot % tags


def draw_plan(seed: int) -> Plan:
    """The plan of a seed: every plan that the swarm can draw, sooner or later."""
    rng = Streams(seed).stream("plan")
    plan = Plan(
        seed=seed,
        sizes=_sizes(rng),
        faults=_faults(rng),
        bodies=_bodies(rng),
        enqueue_s=rng.choice((0.0, 2.0, 6.0)),
        chaos_s=rng.choice((4.0, 8.0, 16.0)),
        cancels=rng.choice((0, 0, 1, 5)),
        one_stays_dead=rng.random() < 0.25,  # noqa: PLR2004 - a quarter
        children=rng.choice((0.0, 0.0, 0.3)),
        limits=rng.choice(((), (), (1,), (2,), (1, 3))),
        window_s=rng.choice((None, None, 0.3, 1.0)),
        told=rng.choice((0.0, 0.8)),
        schedules=draw_schedules(rng),
        begins=draw_begins(rng),
        cancels_running=rng.choice((0, 0, 3, 10)),
        keys=rng.choice(((), (), ("unfinished", "queued"), ("unfinished", "period", "debounce"))),
        ranks=rng.choice(((), (0, 5), (3, 0, -2))),
        labels=rng.choice((0.0, 0.0, 0.5)),
        delete_after_s=rng.choice(((), (), (0.0, 1.0))),
        requeues=rng.choice((0, 0, 2, 6)),
        followers=rng.choice((0, 0, 2, 10)),
        narrow=rng.random() < 0.3,  # noqa: PLR2004 - three in ten
    )
    takes_its_time = plan.limits or "again" in plan.bodies
    plan = msgspec.structs.replace(
        plan,
        drain_s=LONG_DRAIN_S if takes_its_time else plan.drain_s,
        meddling=draw_meddling(rng, len(plan.schedules), plan.chaos_s + MEDDLED_S),
    )
    plan = _with_agents(plan, Streams(seed).stream("over HTTP"))
    plan = _with_flows(plan, Streams(seed).stream("flows"))
    return _with_families(plan, Streams(seed).stream("families"))


def _with_flows(plan: Plan, rng: Random) -> Plan:
    """The plan with flows in some seeds. What else it has is drawn as without them."""
    flows = draw_flows(rng, plan.chaos_s)
    if not flows:
        return plan
    faults = dict(plan.faults)
    if rng.random() < 0.5:  # noqa: PLR2004 - half
        # That a commit is in doubt is what the end of a step has to bear, and its flow's with it.
        faults[Kind.LOST_AFTER.value] = AGENTS_RATE_MAX if plan.sizes.agents else 0.06
    if rng.random() < 0.4:  # noqa: PLR2004 - four in ten
        faults[KILL] = 2.0
        flows += draw_kept(rng, plan.chaos_s)
    return msgspec.structs.replace(
        plan,
        flows=flows,
        faults=faults,
        flows_cancelled=rng.choice((0, 0, 1, 3)),
        requeues=max(plan.requeues, rng.choice((0, 4))),
        cancels_running=max(plan.cancels_running, rng.choice((0, 6))),
    )


def _with_families(plan: Plan, rng: Random) -> Plan:
    """The plan with parents and children in some seeds; the others are drawn as without them."""
    if rng.random() >= WITH_FAMILIES:
        return plan
    weight = sum(plan.bodies.values()) / rng.choice((2.0, 5.0, 20.0))
    bodies = {**plan.bodies, **dict.fromkeys(FAMILIES, weight / len(FAMILIES))}
    return msgspec.structs.replace(plan, bodies=bodies, drain_s=LONG_DRAIN_S)


def _with_agents(plan: Plan, rng: Random) -> Plan:
    """The plan with agents in some seeds. What else it has is drawn as without them."""
    if rng.random() >= WITH_AGENTS:
        return plan
    workers = plan.sizes.workers
    sizes = msgspec.structs.replace(
        plan.sizes,
        agents=rng.choice((workers, workers, max(1, workers - 1))),
        apis=rng.choice((1, 2)),
        poll_s=rng.choice(AGENTS_POLL_S),
    )
    bounded = {
        name: rate if name in WORLD_FAULTS else min(rate, AGENTS_RATE_MAX)
        for name, rate in plan.faults.items()
    }
    on_the_way = _drawn_faults(rng, HTTP_FAULTS, API_FAULTS)
    own_tags = rng.random() < 0.5  # noqa: PLR2004 - half
    intruder = rng.random() < 0.25  # noqa: PLR2004 - a quarter
    if sizes.mode.batches and sizes.commit > 1 and on_the_way and rng.random() < 0.5:  # noqa: PLR2004 - half
        # Few requests can be too large, so this is for all plans that have them.
        on_the_way[HttpKind.TOO_LARGE.value] = AGENTS_RATE_MAX
    return msgspec.structs.replace(
        plan,
        sizes=sizes,
        faults={**bounded, **on_the_way},
        own_tags=own_tags,
        intruder=intruder,
    )


def _sizes(rng: Random) -> Sizes:
    lease_s = rng.choice((1.5, 3.0, 5.0, 10.0))
    mode = rng.choice((Mode.AGENT_BATCH,) * 5 + (Mode.WORKER, Mode.STANDALONE))
    return Sizes(
        workers=rng.choice((1, 2, 2, 3, 4)),
        jobs=rng.choice((5, 15, 30, 60, 120)),
        tags=rng.choice((1, 1, 2, 3)),
        mode=mode,
        pull=rng.choice((1, 2, 5, 20, 50)) if mode.batches else 1,
        commit=rng.choice((1, 2, 5, 20, 50)) if mode.batches else 1,
        concurrency=rng.choice((1, 2, 5, 20)),
        policy=rng.choice((BatchPolicy.FULL, BatchPolicy.FULL, BatchPolicy.SIMPLE)),
        fallback=rng.choice((Fallback.PER_JOB, Fallback.PER_JOB, Fallback.BISECT)),
        start_within_s=rng.choice((0.1, 1.0, 5.0)),
        poll_s=rng.choice((0.2, 1.0)),
        heartbeat_s=lease_s / rng.choice((3.0, 6.0)),
        lease_s=lease_s,
        sweep_s=rng.choice((0.5, 2.0)),
        grace_s=rng.choice((0.0, 1.0, 5.0)),
        flush_s=rng.choice((0.5, 5.0)),
        command_timeout_s=rng.choice((1.0, 5.0)),
        reaped_max=rng.choice((1, 1, 3)),
        retention_s=rng.choice((None, None, None, 2.0)),
    )


def _faults(rng: Random) -> dict[str, float]:
    return _drawn_faults(rng, DATABASE_FAULTS, [f for f in WORLD_FAULTS if f not in API_FAULTS])


def _drawn_faults(
    rng: Random, of_exchanges: Sequence[str], of_world: Sequence[str]
) -> dict[str, float]:
    """Which classes exist: each with the same chance, which is drawn, too."""
    share = rng.choice((0.0, 0.15, 0.3, 0.6))
    faults: dict[str, float] = {}
    for name in of_exchanges:
        rate = rng.choice((0.005, 0.02, 0.06))
        if rng.random() < share:
            faults[name] = rate
    for name in of_world:
        mean = rng.choice((0.5, 1.0, 3.0))
        if rng.random() < share:
            faults[name] = mean
    return faults


def _bodies(rng: Random) -> dict[str, float]:
    share = rng.choice((0.2, 0.5, 1.0))
    weights = {name: rng.choice((0.3, 1.0, 3.0)) * SHARES.get(name, 1.0) for name in BODIES}
    return {
        name: weight for name, weight in weights.items() if name == "ok" or rng.random() < share
    }
