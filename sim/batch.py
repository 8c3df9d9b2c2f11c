"""Many seeds on all cores, and what is worth knowing of each.

Rule of this file: a worker process runs whole seeds, one after the other, and sends back a small
summary; a run that breaks down is a finding like any other, with its seed.
"""

import gc
import multiprocessing
import os
import signal
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from typing import Final

import msgspec

from sim.counters import count
from sim.plan import draw_plan
from sim.run import Result, run
from sim.trace import Trace, first_difference, line_of

AHEAD: Final = 4
"""How many seeds a core has waiting, so that none waits for us."""
CRASHED: Final = "a run that ends"


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one seed. `findings` are lines of text; `cpu_s` is what the process computed."""

    seed: int
    findings: Sequence[str]
    states: Mapping[str, int]
    jobs: int
    happenings: int
    virtual_s: float
    cpu_s: float
    digest: str


class Totals(msgspec.Struct):
    """Sums over a batch of summaries."""

    runs: int = 0
    jobs: int = 0
    virtual_s: float = 0.0
    cpu_s: float = 0.0
    states: Counter[str] = msgspec.field(default_factory=Counter)
    failed: dict[int, Sequence[str]] = msgspec.field(default_factory=dict)
    digests: dict[int, str] = msgspec.field(default_factory=dict)

    def add(self, summary: Summary) -> None:
        """One more seed."""
        self.runs += 1
        self.jobs += summary.jobs
        self.virtual_s += summary.virtual_s
        self.cpu_s += summary.cpu_s
        self.states.update(summary.states)
        self.digests[summary.seed] = summary.digest
        if summary.findings:
            self.failed[summary.seed] = summary.findings


def summary_of(seed: int) -> Summary:
    """Run one seed; whatever it raises is a finding."""
    plan = draw_plan(seed)
    started_s = time.process_time()
    try:
        result = run(plan)
    except Exception as error:  # noqa: BLE001 - a run that breaks down is what we look for
        last = "".join(traceback.format_exception(error)[-2:]).strip()
        result = Result(plan, Trace(), [], 0.0)
        findings = [f"{CRASHED}: {last}"]
    else:
        findings = [str(finding) for finding in result.findings]
    return Summary(
        seed=seed,
        findings=findings,
        states=count(result.trace),
        jobs=plan.sizes.jobs,
        happenings=len(result.trace),
        virtual_s=result.virtual_s,
        cpu_s=time.process_time() - started_s,
        digest=result.trace.digest,
    )


def summaries(seeds: Iterable[int], *, cores: int | None = None) -> Iterator[Summary]:
    """A summary of each seed as it comes, in no order; `seeds` is read no further than need be."""
    cores = cores or os.cpu_count() or 1
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(cores, mp_context=spawn, initializer=_settle) as pool:
        waiting = iter(seeds)
        try:
            with deaf_to_ctrl_c():
                running = {pool.submit(summary_of, seed) for seed in islice(waiting, cores * AHEAD)}
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                running |= {pool.submit(summary_of, seed) for seed in islice(waiting, len(done))}
                yield from (future.result() for future in done)
        finally:
            pool.shutdown(cancel_futures=True)


def _settle() -> None:
    """Garbage is collected before each run and at no other time; what was imported stays."""
    gc.collect()
    gc.freeze()
    gc.disable()


@contextmanager
def deaf_to_ctrl_c() -> Iterator[None]:
    """Processes that are started in here do not hear it: who started them ends them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def again(seed: int, digest: str) -> str | None:
    """Run a seed that another process has run; how its trace differs, None when it has `digest`."""
    if run(draw_plan(seed)).trace.digest == digest:
        return None
    return twice(seed) or f"seed {seed}: every time the same here, and not so in another process"


def twice(seed: int) -> str | None:
    """Run a seed two times; the first happening in which the traces differ, None for none."""
    one, other = run(draw_plan(seed)).trace, run(draw_plan(seed)).trace
    if one.digest == other.digest:
        return None
    place = first_difference(one, other)
    assert place is not None
    lines = [
        line_of(trace.happenings[place]).decode().strip() if place < len(trace) else "(the end)"
        for trace in (one, other)
    ]
    return f"seed {seed}, happening {place}: first {lines[0]}, then {lines[1]}"
