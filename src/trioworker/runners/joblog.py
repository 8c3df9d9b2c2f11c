"""The bounded text that one attempt of a job may write.

A job that prints without end costs a fixed amount of memory: the beginning is kept, because it
says what was run, and the end, because it says what went wrong; the middle is counted.

The beginning may be stored while the attempt runs, piece by piece: a piece is offered, and counts
as stored once it is accepted; until then it grows. What is left is the last piece, which is stored
with the outcome.

What else an attempt is given goes the same way: who takes care of its children, and the folder that
it shares with other steps of its flow.
"""

from collections import deque
from pathlib import Path
from typing import Final

from trioworker.errors import UsageError
from trioworker.model.job import ARGS_BYTES_MAX
from trioworker.runners.labels import Labels
from trioworker.runners.telling import Telling
from trioworker.runners.workflow import Workflow

LOG_CHARS_MAX: Final = 64 * 1024


class JobLog:
    """Collects text up to `chars_max` characters, half for the beginning, half for the end."""

    __slots__ = (
        "_accepted", "_dropped", "_head", "_head_room", "_offered", "_tail", "_tail_chars",
        "_tail_max", "chunk", "labels", "preprocessed", "progress", "shared",
        "workflow",
    )  # fmt: skip

    def __init__(self, chars_max: int = LOG_CHARS_MAX) -> None:
        self._head: list[str] = []
        self._offered = 0
        self._accepted = 0
        self.chunk = 0
        self.labels = Labels()
        self.progress = Telling()
        self.preprocessed: str | None = None
        self.workflow: Workflow | None = None
        self.shared: Path | None = None
        self._head_room = chars_max // 2
        self._tail: deque[str] = deque()
        self._tail_chars = 0
        self._tail_max = chars_max - chars_max // 2
        self._dropped = 0

    def write(self, text: str) -> None:
        """Append `text`. NUL characters, which PostgreSQL cannot store, become U+FFFD."""
        if not text:
            return
        text = text.replace("\x00", "\ufffd")
        if self._head_room:
            self._head.append(text[: self._head_room])
            rest = text[self._head_room :]
            self._head_room -= len(self._head[-1])
            text = rest
        if text:
            self._append_tail(text)

    def keep_preprocessed(self, made: bytes) -> None:
        """What the job's script has made of its arguments, as JSON. Raises `UsageError`."""
        if len(made) > ARGS_BYTES_MAX:
            raise UsageError(
                f"the preprocessed arguments have {len(made):,} bytes and are not stored; at most"
                f" {ARGS_BYTES_MAX:,}"
            )
        self.preprocessed = made.decode("utf-8", "replace")

    def text(self) -> str:
        """All that is kept, with one line in the middle that says how much is not."""
        return self._from(0)

    def rest(self) -> str:
        """The same without the pieces that were accepted; it is the piece `chunk`."""
        return self._from(self._accepted)

    def offer(self) -> str:
        """What the beginning has grown by since the last piece that was accepted: `chunk`.

        Other threads may write meanwhile. It is text that PostgreSQL takes, whatever was written:
        what others have said goes with it.
        """
        self._offered = len(self._head)
        return _storable("".join(self._head[self._accepted : self._offered]))

    def accept(self) -> None:
        """What was offered last is stored, what was told of the progress among it."""
        self.progress.accept()
        if self._accepted < self._offered:
            self._accepted = self._offered
            self.chunk += 1

    def _from(self, start: int) -> str:
        head, tail = "".join(self._head[start:]), "".join(self._tail)
        if not self._dropped:
            return _storable(head + tail)
        return _storable(f"{head}\n… {self._dropped:,} characters left out …\n{tail}")

    def _append_tail(self, text: str) -> None:
        self._tail.append(text)
        self._tail_chars += len(text)
        while self._tail_chars > self._tail_max:
            excess = self._tail_chars - self._tail_max
            oldest = self._tail.popleft()
            if len(oldest) > excess:
                self._tail.appendleft(oldest[excess:])
            cut = min(excess, len(oldest))
            self._tail_chars -= cut
            self._dropped += cut


def _storable(text: str) -> str:
    """`text` with a ? for each half of a character, of which UTF-8 has none."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
