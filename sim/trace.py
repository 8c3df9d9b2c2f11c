"""The trace of a run: everything that happened, in order, and its hash.

Rule of this file: what is hashed has no address, no wall clock and no order of a set in it. Times
are hashed with all their digits.
"""

from collections.abc import Callable, Iterator
from functools import cache
from hashlib import blake2b
from typing import Final

import msgspec

from sim.happenings import Happening
from trioworker.events import Event

VERSION: Final = 1
"""Changes when traces of before cannot be compared with those of now."""
CHECKPOINT_EVERY: Final = 100

_encode = msgspec.json.Encoder(enc_hook=str).encode
Listener = Callable[[Happening], None]


class Trace:
    """Collects happenings, hashes them as they come, and passes them on to listeners.

    `checkpoints` has the hash after every `CHECKPOINT_EVERY` happenings, so that two runs can be
    compared without keeping both.
    """

    def __init__(self) -> None:
        self.happenings: list[Happening] = []
        self.checkpoints: list[str] = []
        self.listeners: list[Listener] = []
        self._hash = blake2b(digest_size=16)

    def __len__(self) -> int:
        return len(self.happenings)

    def __iter__(self) -> Iterator[Happening]:
        return iter(self.happenings)

    def add(self, at_s: float, actor: str, event: Event) -> None:
        """Something happened."""
        happening = Happening(at_s, actor, event)
        self.happenings.append(happening)
        self._hash.update(line_of(happening))
        if len(self.happenings) % CHECKPOINT_EVERY == 0:
            self.checkpoints.append(self._hash.hexdigest())
        for listener in self.listeners:
            listener(happening)

    @property
    def digest(self) -> str:
        """The hash of all so far."""
        return self._hash.hexdigest()


def line_of(happening: Happening) -> bytes:
    """A happening as one line of JSON, the same for the same happening in every process."""
    at_s, actor, event = happening
    return b'{"at_s":%s,%s%s}\n' % (repr(at_s).encode(), _who(actor, type(event)), _encode(event))


@cache
def _who(actor: str, what: type[Event]) -> bytes:
    return b'"actor":%s,"what":%s,"event":' % (_encode(actor), _encode(what.__name__))


def first_difference(one: Trace, other: Trace) -> int | None:
    """The place of the first happening in which two traces differ; None when they are equal."""
    pairs = zip(one.happenings, other.happenings, strict=False)
    for place, (mine, theirs) in enumerate(pairs):
        if line_of(mine) != line_of(theirs):
            return place
    return None if len(one) == len(other) else min(len(one), len(other))
