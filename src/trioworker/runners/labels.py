"""The labels that one attempt gives its job while it runs."""

from collections.abc import Iterator

from trioworker.errors import UsageError
from trioworker.model.options import LABELS_MAX, check_label


class Labels:
    """Up to `LABELS_MAX` texts, in order, each once. Safe to add to from any thread."""

    __slots__ = ("_labels",)

    def __init__(self) -> None:
        self._labels: dict[str, None] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._labels))

    def add(self, label: str) -> None:
        """Add one. Raises `UsageError` when it will not do, or when there are too many."""
        check_label(label)
        if label not in self._labels and len(self._labels) >= LABELS_MAX:
            raise UsageError(f"more labels than {LABELS_MAX}: {label!r} is one too many")
        self._labels[label] = None
