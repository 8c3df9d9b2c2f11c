"""What a request can be refused with: a status and one clear sentence.

Rule of this file: the sentence is all that the sender learns, so it mends what an honest one did
wrong and helps nobody else.
"""

from collections.abc import Mapping
from typing import ClassVar


class HttpError(Exception):
    """A request is refused with `status` and `sentence`."""

    status: ClassVar[int] = 400
    headers: ClassVar[Mapping[str, str]] = {}

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class Unauthorised(HttpError):
    """Nobody knows who sends this: the token or the key is missing, or will not do."""

    status = 401
    headers: ClassVar[Mapping[str, str]] = {"WWW-Authenticate": "Bearer"}


class Forbidden(HttpError):
    """Whoever sends this may not do it; sibling: `Unauthorised`."""

    status = 403
