"""trioworker: a job worker for PostgreSQL that works in batches, written on Trio.

What there is stands in `trioworker.api`, and is imported when it is first asked for: the program
`trioworker` has to be ready for Ctrl-C before it imports anything large.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trioworker.api import *  # noqa: F403 - all that it names
    from trioworker.api import __all__ as __all__
else:

    def __getattr__(name: str) -> object:
        return getattr(import_module("trioworker.api"), name)

    def __dir__() -> list[str]:
        return [*globals(), *import_module("trioworker.api").__all__]
