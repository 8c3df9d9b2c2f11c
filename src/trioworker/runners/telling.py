"""What one attempt tells of its progress while it runs.

Rule of this file: only the newest counts. To tell is an assignment, from any thread; whoever stores
it asks for it when there is time, so that a loop may tell as often as it likes.
"""

from trioworker.model.progress import Progress


class Telling:
    """`newest` is what was told last. It is offered until it is accepted, and stored by then."""

    __slots__ = ("_accepted", "_offered", "newest")

    def __init__(self) -> None:
        self.newest: Progress | None = None
        self._offered: Progress | None = None
        self._accepted: Progress | None = None

    def tell(self, progress: Progress) -> None:
        """It has come so far."""
        self.newest = progress

    def offer(self) -> Progress | None:
        """What was told last, unless it is what was accepted last."""
        self._offered = self.newest
        return None if self._offered == self._accepted else self._offered

    def accept(self) -> None:
        """What was offered last is stored."""
        self._accepted = self._offered
