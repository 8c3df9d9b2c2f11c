"""`simulate()`: the same run everywhere, told when it cannot end, and nothing left changed."""

import gc
import inspect
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

import pytest
import trio
from trio._core import _run

from sim import trio_inside
from sim.determinism import Stuck, TooSlow, simulate
from sim.probe_determinism import SCENES, SEEDS, cancelled_tasks, trace_hash
from sim.traps import TRAPS, Trap
from sim.trio_patch import PATCHES, PROCESS, Patch, Process
from trioworker.errors import UsageError

ROOT: Final = Path(__file__).parents[1]
T = TypeVar("T")
Hashes = dict[str, list[str]]


def run(main: Callable[[], Awaitable[T]], *, seed: int = 1, wall_limit_s: float = 60) -> T:
    """A run with room for everything that is not meant to fail."""
    return simulate(main, seed=seed, horizon_s=100, wall_limit_s=wall_limit_s)


def probe(number: int, *options: str) -> Hashes:
    """The hashes of all scenes from a new process, with its own heap and hash seed."""
    printed = subprocess.run(
        [sys.executable, "-m", "sim.probe_determinism", str(number), *options],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": str(number)},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    hashes: Hashes = json.loads(printed)
    return hashes


# ---- the same run ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hashes_of_20() -> list[Hashes]:
    """What 20 processes saw, every other one with Hypothesis imported; two at a time."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda n: probe(n, *["--hypothesis"] if n % 2 else []), range(1, 21)))


def test_a_seed_gives_one_run(hashes_of_20: list[Hashes]) -> None:
    """Twenty processes with scrambled heaps and other hash seeds agree on every event."""
    first, *others = hashes_of_20
    assert list(first) == [scene.__name__ for scene in SCENES]
    assert [first] * 19 == others


def test_seeds_give_different_runs(hashes_of_20: list[Hashes]) -> None:
    """Another seed is another run."""
    per_seed = list(zip(*hashes_of_20[0].values(), strict=True))
    assert len(per_seed) == len(set(per_seed)) == len(SEEDS)


@pytest.mark.parametrize(
    ("part", "scenes"),
    [
        ("seed", {"cancelled_tasks", "idle_waiters", "pipeline"}),
        ("flag", {"idle_waiters"}),
        ("CancelStatus.__attrs_post_init__", {"abort_callbacks", "sibling_scopes"}),
        ("Nursery.__init__", {"child_tasks"}),
        ("Nursery.child_tasks", {"child_tasks"}),
        ("Deadlines.add", {"equal_deadlines"}),
    ],
)
def test_every_part_is_needed(part: str, scenes: set[str]) -> None:
    """Without this part processes disagree, so the twenty would have shown it.

    What is left to chance can fall alike in two of them: another pair is asked, up to the twenty.
    """
    seen: list[Hashes] = []
    agreeing = scenes
    with ThreadPoolExecutor(2) as pool:
        for number in range(1, 21, 2):
            pair = (number, number + 1)
            seen += pool.map(lambda n: probe(n, "--without", part), pair)
            agreeing = {scene for scene in agreeing if len({str(h[scene]) for h in seen}) == 1}
            if not agreeing:
                return
    pytest.fail(f"twenty processes without {part} agree on {agreeing}")


def test_runs_leave_nothing_for_the_next() -> None:
    """Within one process the order of the runs makes no difference."""
    pairs = [(scene, seed) for scene in SCENES for seed in SEEDS]
    forwards = [trace_hash(scene, seed) for scene, seed in pairs]
    backwards = [trace_hash(scene, seed) for scene, seed in reversed(pairs)]
    assert forwards == backwards[::-1]


def test_many_seeds_give_many_schedules() -> None:
    """The seed decides the order in which tasks run, not only what streams are drawn from it."""
    assert len({trace_hash(cancelled_tasks, seed) for seed in range(30)}) == 30


def test_time_is_virtual() -> None:
    """A run begins at 0 and jumps; no garbage is collected in it."""

    async def main() -> tuple[float, float, bool]:
        start_s = trio.current_time()
        await trio.sleep(90)
        return start_s, trio.current_time(), gc.isenabled()

    assert run(main, wall_limit_s=30) == (0, 90, False)


# ---- put back -------------------------------------------------------------------------------


def state() -> list[object]:
    """Everything that a run may change, down to the identity of what stands where."""
    owners = [*(patch.owner for patch in PATCHES), *(trap.owner for trap in TRAPS), _run]
    places = [(name, id(value)) for owner in owners for name, value in vars(owner).items()]
    return [places, vars(_run)["_r"].getstate(), gc.isenabled(), sys.get_asyncgen_hooks()]


def _module(place: Patch | Trap) -> str | None:
    """Which module made what stands there now."""
    found = inspect.getattr_static(place.owner, place.name)
    return getattr(getattr(found, "fget", found), "__module__", None)


async def returns() -> None:
    """Ends as it should."""
    await trio.sleep(1)


async def raises() -> None:
    """Ends with an exception of its own."""
    raise KeyError("mine")


async def is_stuck() -> None:
    """Has to be ended."""
    await trio.sleep_forever()


@pytest.mark.parametrize("main", [returns, raises, is_stuck])
def test_everything_is_put_back(main: Callable[[], Awaitable[None]]) -> None:
    """After a run that returned, raised or was ended all is exactly as it was before."""
    gc.enable()
    before = state()
    with suppress(KeyError, Stuck):
        run(main)
    assert before == state()
    # Asked once more, because a run before this one may have left it all in place.
    ours = {"sim.traps", "sim.trio_patch"}
    assert ours.isdisjoint(_module(patch) for patch in PATCHES)
    assert ours.isdisjoint(_module(trap) for trap in TRAPS)


def test_a_run_within_a_run_is_refused() -> None:
    """There is one patched Trio in a process; the outer run goes on undisturbed."""

    async def main() -> float:
        with pytest.raises(RuntimeError, match="one run at a time"):
            run(returns)
        await trio.sleep(5)
        return trio.current_time()

    assert run(main) == 5


def test_another_trio_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was proved of one version is not assumed of another: one line says what to install."""
    monkeypatch.setattr(trio, "__version__", "0.99.0")
    with pytest.raises(
        UsageError, match=r"^[^\n]*0\.99\.0 is installed; pip install trio==[\d.]+$"
    ):
        run(returns)


def test_a_changed_trio_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when only one attribute that is patched or read is missing."""
    monkeypatch.setattr(trio_inside, "USED", ((_run.Task, ("_no_such",)),))
    with pytest.raises(UsageError, match=r"^[^\n]*has no Task\._no_such[^\n]*$"):
        run(returns)


def test_the_pinned_trio_is_the_known_one() -> None:
    """pyproject.toml installs for us what the simulator checks for."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    assert f"trio=={trio_inside.KNOWN_TRIO}" in groups["dev"]


# ---- how a run ends -------------------------------------------------------------------------


async def _raise(*errors: Exception) -> None:
    async with trio.open_nursery() as outer, trio.open_nursery() as inner:
        for error in errors:
            (outer if error is errors[-1] else inner).start_soon(_raise_one, error)


async def _raise_one(error: Exception) -> None:
    raise error


def test_an_exception_comes_out_as_itself() -> None:
    """The groups that Trio's nurseries wrap around a single exception are taken off."""
    error = ValueError("mine")
    with pytest.raises(ValueError, match="mine") as caught:
        run(lambda: _raise(error))
    assert caught.value is error
    assert caught.value.__context__ is None


def test_two_exceptions_stay_a_group() -> None:
    """Nothing is chosen among several failures."""
    with pytest.raises(ExceptionGroup):
        run(lambda: _raise(ValueError("one"), ValueError("two")))


def test_a_stuck_run_says_who_waits_where() -> None:
    """A run that would spin for ever ends at its horizon, with names and lines."""

    async def main() -> None:
        process = Process("worker 1")
        PROCESS.set(process)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever, name="the client")
            await trio.sleep(1)
            process.pause()

    with pytest.raises(Stuck) as caught:
        run(main)
    told = str(caught.value)
    assert told.startswith(
        "not over after 100 virtual seconds; waiting: main (sim.test_determinism:"
    )
    assert "the client" in told
    assert told.endswith("; paused: worker 1")


def test_shields_do_not_keep_a_stuck_run() -> None:
    """Neither the shield where it hangs nor the one around its cleanup."""

    async def main() -> None:
        try:
            with trio.CancelScope(shield=True):
                await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep_forever()

    with pytest.raises(Stuck):
        run(main)


def test_an_orderly_cleanup_is_let_finish() -> None:
    """Shields hold for a while after the horizon."""
    cleaned = []

    async def main() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(10)
                cleaned.append(trio.current_time())

    with pytest.raises(Stuck):
        run(main)
    assert cleaned == [110]


def test_what_fails_in_the_unwinding_is_the_cause() -> None:
    """A stuck run is called stuck, whatever its cleanup runs into."""

    async def main() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise KeyError("in the cleanup")

    with pytest.raises(Stuck) as caught:
        run(main)
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_failure_beside_a_paused_process_comes_out() -> None:
    """The nursery of the failure waits for the paused; it is still the failure that is told."""

    async def main() -> None:
        process = Process("worker 1")

        async def work() -> None:
            PROCESS.set(process)
            await trio.sleep_forever()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(work)
            await trio.sleep(1)
            process.pause()
            raise KeyError("an oracle's finding")

    with pytest.raises(KeyError) as caught:
        run(main)
    assert "paused: worker 1" in caught.value.__notes__[0]


def test_nobody_pauses_a_run_that_is_ended() -> None:
    """A process whose cleanup would pause it, or be paused by another's, still unwinds."""

    async def main() -> None:
        process = Process("worker 1")
        PROCESS.set(process)
        try:
            await trio.sleep_forever()
        finally:
            process.pause()
            with trio.CancelScope(shield=True):
                await trio.sleep(1)

    with pytest.raises(Stuck):
        run(main)


@pytest.mark.parametrize("shield", [False, True])
def test_a_run_without_progress_is_too_slow(*, shield: bool) -> None:
    """Where virtual time stands still the limit in wall time ends the run."""

    async def main() -> None:
        await trio.sleep(7)
        with trio.CancelScope(shield=shield):
            while True:
                await trio.lowlevel.checkpoint()

    with pytest.raises(TooSlow, match=r"^at 7 virtual seconds after 0\.1 s of wall time$"):
        run(main, wall_limit_s=0.1)
