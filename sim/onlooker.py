"""Somebody who sees which jobs run, as on a dashboard."""

from collections.abc import Sequence
from uuid import UUID

from sim.happenings import (
    BodyEnded,
    BodyStarted,
    Happening,
    WorkerCrashed,
    WorkerExited,
    WorkerKilled,
)


class Onlooker:
    """Looks at happenings as they come."""

    def __init__(self) -> None:
        self._running: dict[UUID, str] = {}

    @property
    def running(self) -> Sequence[UUID]:
        """The jobs that run now, those that began first in front."""
        return list(self._running)

    def see(self, happening: Happening) -> None:
        """Look at one happening."""
        match happening.event:
            case BodyStarted(job=job):
                self._running[job] = happening.actor
            case BodyEnded(job=job):
                self._running.pop(job, None)
            case WorkerKilled() | WorkerCrashed() | WorkerExited():
                running = self._running.items()
                self._running = {job: at for job, at in running if at != happening.actor}
