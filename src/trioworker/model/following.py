"""How somebody who follows a log sees what is new in it: pieces that come, grow and are replaced.

Rule of this file: pure. The last piece may grow until it is whole; a run that is put off and comes
again writes the pieces of its attempt anew.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from trioworker.model.state import JobLogText


class Piece(NamedTuple):
    """A piece of what one attempt wrote, as it is stored."""

    attempt: int
    chunk: int
    text: str


class Following:
    """What one follower has seen. `attempt` and `chunk` are the piece from which on to look."""

    def __init__(self) -> None:
        self.attempt = 0
        self.chunk = 0
        self._seen = ""

    def news(self, pieces: Sequence[Piece]) -> Iterator[JobLogText]:
        """What is new in the `pieces` from the one on that was looked from, in order.

        When that has become another one, the attempt is heard anew from its first piece: at once if
        these begin with it, else the next look does.
        """
        if self._seen and not any(self._continues(piece) for piece in pieces):
            begins_later = self.chunk > 0
            self.chunk, self._seen = 0, ""
            if begins_later:
                return
        for piece in pieces:
            known = len(self._seen) if self._continues(piece) else 0
            self.attempt, self.chunk, self._seen = piece
            if len(piece.text) > known:
                yield JobLogText(piece.attempt, piece.text[known:])

    def _continues(self, piece: Piece) -> bool:
        same = (piece.attempt, piece.chunk) == (self.attempt, self.chunk)
        return same and piece.text.startswith(self._seen)
