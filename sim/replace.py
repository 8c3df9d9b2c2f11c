"""One thing in the place of another for a while, and then exactly what was there before.

Rule of this file: "exactly" means the owner's own namespace, so that a descriptor comes back as
the same object and a name that was only inherited is gone again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_NOT_OWN: Final = object()


@contextmanager
def replaced(owner: object, name: str, value: object) -> Iterator[None]:
    """`owner.name` is `value` inside the block. The owner is a class, a module or an instance."""
    assert hasattr(owner, name), f"there is no {name} to be replaced"
    before = vars(owner).get(name, _NOT_OWN)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if before is _NOT_OWN:
            delattr(owner, name)
        else:
            setattr(owner, name, before)
