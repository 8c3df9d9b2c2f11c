"""Options of the simulator's suite: `pytest sim --seeds 0..2000 --minutes 10 --real`."""

import re

import pytest

pytest_plugins = ["tests.database_fixtures"]

QUICK = "0..360"


def pytest_addoption(parser: pytest.Parser) -> None:
    """How much is to be tried."""
    group = parser.getgroup("sim", "the simulator")
    group.addoption(
        "--seeds",
        metavar="A..B",
        type=_seeds,
        default=_seeds(QUICK),
        help=f"which seeds to run, B excluded (default {QUICK})",
    )
    group.addoption(
        "--minutes",
        metavar="M",
        type=float,
        default=None,
        help="go on with further seeds for so many minutes, on all cores",
    )
    group.addoption(
        "--real", action="store_true", help="run the scenarios on a real PostgreSQL as well"
    )
    group.addoption(
        "--histories",
        metavar="N",
        type=int,
        default=None,
        help="how many histories to compare between the model and PostgreSQL",
    )


def _seeds(text: str) -> range:
    match = re.fullmatch(r"(\d+)\.\.(\d+)", text)
    if match is None or int(match[1]) >= int(match[2]):
        raise pytest.UsageError(f"--seeds {text} is no range of seeds; write it as 0..2000")
    return range(int(match[1]), int(match[2]))
