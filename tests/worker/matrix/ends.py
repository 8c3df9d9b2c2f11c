"""How a job can end, and how that is brought about.

    end        its function                     beside that
    ---------  -------------------------------  ------------------------------------------------
    success    returns
    failure    raises, each time
    cancel     hangs                            all jobs are cancelled once they run
    timeout    hangs, each time                 it has less time than that takes
    killed     returns                          a worker is killed that had claimed all jobs
    fell back  returns                          their commit is refused because of another job
    unheard    returns                          their commit takes effect, its answer is lost
    refused    returns what cannot be stored

Rule of this file: an end knows no sort. What a sort makes of it is for the sort to say.
"""

import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import trio

from tests.worker.harness import until
from tests.worker.matrix.functions import How
from tests.worker.matrix.scene import Gathering, Scene, Unheard
from tests.worker.matrix.sorts import PLAIN, Sort

OTHERS: Final = 1_000
"""From this copy on jobs are here for the sake of those of the matrix."""


@dataclass(frozen=True, kw_only=True)
class End:
    """An end. What it leaves is as the sort says of this end, or of the one that it is `like`."""

    name: str
    how: How
    bring_about: Callable[[Scene], Awaitable[None]] = Scene.drain
    out_of_time: bool = False
    like: str = ""

    def words(self, sort: Sort) -> str:
        """What is stored of a sort that has ended so."""
        said: str = getattr(sort, self.like or self.name)
        return said


async def cancel_all(scene: Scene) -> None:
    """All at once, when all that may run does; of a family only the parent is asked for."""
    wanted = [id_ for id_, name in scene.names.items() if name.job != "child"]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.drain)
        await until(scene.all_are_running)
        await scene.client.cancel(wanted, "enough")


async def kill_first(scene: Scene) -> None:
    """A worker of the same mode dies with all jobs in its hands; its lease is not waited for."""
    program = [sys.executable, "-m", "tests.worker.matrix.victim", scene.rig.url, scene.way.name]
    victim = await trio.lowlevel.open_process(program)
    try:
        await until(lambda: scene.rig.counts()["ready"] == 0)
    finally:
        victim.send_signal(signal.SIGKILL)
        with trio.CancelScope(shield=True):
            await victim.wait()
    scene.rig.do("update trioworker.worker set lost_at = now()")
    await scene.drain()


async def put_poison_beside(scene: Scene) -> None:
    """One of another job's, which is as simple as can be, in the same batch if there is one."""
    await scene.enqueue(PLAIN, "at once", copy=OTHERS, priority=1)
    await scene.enqueue(PLAIN, "poison", copy=OTHERS + 1)
    await scene.drain(Gathering(scene) if scene.way.mode.batches else None)


async def lose_answers(scene: Scene) -> None:
    """Whoever commits has to find out what became of it."""
    await scene.drain(Unheard(scene.rig.database, now_s=trio.current_time))


FELL_BACK: Final = End(
    name="fell back", how="return", bring_about=put_poison_beside, like="success"
)
ENDS: Final = (
    End(name="success", how="return"),
    End(name="failure", how="raise"),
    End(name="cancel", how="hang", bring_about=cancel_all),
    End(name="timeout", how="hang", out_of_time=True),
    End(name="killed", how="return", bring_about=kill_first),
    FELL_BACK,
    End(name="unheard", how="return", bring_about=lose_answers, like="success"),
    End(name="refused", how="poison"),
)
