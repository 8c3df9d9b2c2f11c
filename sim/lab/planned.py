"""A plan in a few lines, for people."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from sim.plan import EXCHANGE_FAULTS, Plan, Sizes, tags_of
from sim.ticking import Ticking
from trioworker.cli.output import counted


def planned(plan: Plan) -> list[str]:
    """Who works, on what, in which bounds, against which faults: a line each."""
    return [
        _workers(plan.sizes),
        _jobs(plan),
        *_schedules(plan),
        *_flows(plan),
        _times_of(plan.sizes),
        _against(plan),
    ]


def _workers(sizes: Sizes) -> str:
    workers = counted(sizes.workers, "worker")
    if sizes.agents:
        servers = counted(sizes.apis, "server")
        workers += f", {counted(sizes.agents, 'agent')} of {servers} among them,"
    return (
        f"{workers} in {sizes.mode}: pull {sizes.pull},"
        f" commit {sizes.commit}, concurrency {sizes.concurrency},"
        f" fallback {sizes.fallback}, policy {sizes.policy}"
    )


def _times_of(sizes: Sizes) -> str:
    return (
        f"lease {sizes.lease_s:g} s, heartbeat {sizes.heartbeat_s:.3g} s,"
        f" sweep {sizes.sweep_s:g} s, poll {sizes.poll_s:g} s,"
        f" grace {sizes.grace_s:g} s, flush {sizes.flush_s:g} s,"
        f" command timeout {sizes.command_timeout_s:g} s; reaped at most {sizes.reaped_max} times"
    )


def _against(plan: Plan) -> str:
    return f"faults for {plan.chaos_s:g} s: {', '.join(_faults(plan)) or 'none'}"


def _jobs(plan: Plan) -> str:
    tags = _tags(plan)
    if plan.jobs:
        return f"{counted(len(plan.jobs), 'job')} on {tags} at once: {_times(plan.jobs)}"
    cancelled = plan.cancels + plan.cancels_running
    cancels = f", {counted(cancelled, 'cancellation')}" if cancelled else ""
    bodies = ", ".join(_weighted(plan.bodies))
    jobs = counted(plan.sizes.jobs, "job")
    return f"{jobs} on {tags} over about {plan.enqueue_s:g} s{cancels}: {bodies}"


def _tags(plan: Plan) -> str:
    tags = counted(plan.sizes.tags, "tag")
    if not plan.ranks or plan.sizes.tags == 1:
        return tags
    workers = (", ".join(tags_of(plan, slot).shown()) for slot in range(plan.sizes.workers))
    return f"{tags} ({'; '.join(dict.fromkeys(workers))})"


def _schedules(plan: Plan) -> Iterator[str]:
    if plan.schedules:
        each = "; ".join(map(_ticking, plan.schedules))
        done = f"; {', '.join(plan.meddling)}" if plan.meddling else ""
        yield f"{counted(len(plan.schedules), 'schedule')} from {plan.begins}: {each}{done}"


def _flows(plan: Plan) -> Iterator[str]:
    if plan.flows:
        cancelled = plan.flows_cancelled
        cancels = f"; {counted(cancelled, 'cancellation')}" if cancelled else ""
        yield f"{counted(len(plan.flows), 'flow')}: {', '.join(plan.flows)}{cancels}"


def _ticking(one: Ticking) -> str:
    once = f"at {one.at_s:g} s" if one.at_s is not None else f"every {one.every_s:g} s"
    times = f"'{one.cron}' in {one.timezone}" if one.cron is not None else once
    deadline = f", deadline {one.deadline_s:g} s" if one.deadline_s is not None else ""
    return f"{one.body} {times}, overlap {one.overlap}, catch up {one.catch_up}{deadline}"


def _times(names: Sequence[str]) -> str:
    return ", ".join(f"{name} x{n}" if n > 1 else name for name, n in Counter(names).items())


def _weighted(weights: Mapping[str, float]) -> Iterator[str]:
    for name, weight in weights.items():
        yield name if weight == 1 else f"{name} x{weight:g}"


def _faults(plan: Plan) -> Iterator[str]:
    for name, rate in plan.faults.items():
        if name in EXCHANGE_FAULTS:
            yield f"{name} {rate:.1%}"
        else:
            yield f"{name} about {'once' if rate == 1 else f'{rate:g} times'}"
    yield from plan.exactly
    for scripted in plan.script:
        after = f" after {scripted.after}" if scripted.after else ""
        yield f"{scripted.fault} at {scripted.at_s:g} s{after}"
    if plan.without:
        yield f"but without {', '.join(plan.without)}"
    if plan.one_stays_dead:
        yield "the first worker stays dead once killed"
