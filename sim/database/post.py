"""The way between clients and server: what is sent arrives later.

Rule of this file: what arrives in the moment in which it was sent comes in any order, before or
after what others do in that moment. What takes time comes when nobody has anything left to do, and
then at once. A task for each message would cost more than most statements do.
"""

from collections.abc import Callable
from functools import partial
from random import Random
from typing import NoReturn

import trio

from sim.clock import VirtualClock

Message = Callable[[], object]
"""What happens when it arrives."""


class Post:
    """Carries messages. `rng` decides in which order those of one moment arrive."""

    def __init__(self, rng: Random) -> None:
        clock = trio.lowlevel.current_clock()
        assert isinstance(clock, VirtualClock), "messages travel in virtual time"
        self._clock = clock
        self._rng = rng
        self._here: list[Message] = []
        self._on_their_way = 0
        self._closed = False
        self._sleeper: trio.lowlevel.Task | None = None

    @property
    def now_s(self) -> float:
        """Virtual seconds: `trio.current_time()`, without the way through Trio."""
        return self._clock.now_s

    def send(self, message: Message, after_s: float) -> None:
        """Let `message` arrive in so many seconds: never before the next turn of the loop."""
        if after_s > 0:
            self._on_their_way += 1
            self._clock.call_at(self._clock.now_s + after_s, partial(self._land, message))
        else:
            self._here.append(message)
            self._wake()

    def close(self) -> None:
        """`run` returns as soon as nothing is on its way."""
        self._closed = True
        self._wake()

    async def run(self) -> None:
        """Deliver what takes no time, until closed. Raises what any message raises."""
        while self._here or self._on_their_way or not self._closed:
            if self._here:
                await trio.lowlevel.checkpoint()
            else:
                await self._sleep()
            here, self._here = self._here, []
            if len(here) > 1:
                self._rng.shuffle(here)
            for message in here:
                message()

    def _land(self, message: Message) -> None:
        """Deliver at once: time has just passed, so that nobody else has anything to do."""
        self._on_their_way -= 1
        try:
            message()
        except BaseException as error:  # noqa: BLE001 - not in the middle of Trio's loop
            self._here.append(partial(_fail, error))
        if self._here or self._closed:
            self._wake()

    async def _sleep(self) -> None:
        self._sleeper = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(self._give_up)

    def _give_up(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self._sleeper = None
        return trio.lowlevel.Abort.SUCCEEDED

    def _wake(self) -> None:
        if self._sleeper is not None:
            sleeper, self._sleeper = self._sleeper, None
            trio.lowlevel.reschedule(sleeper)


def _fail(error: BaseException) -> NoReturn:
    raise error
