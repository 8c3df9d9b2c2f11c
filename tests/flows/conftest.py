"""What the tests of flows share with those of the worker."""

from tests.worker.conftest import short_folder

__all__ = ["short_folder"]
