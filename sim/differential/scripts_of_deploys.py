"""Scripts about deployed scripts, and about what they make of arguments."""

from collections.abc import Mapping
from typing import Any, Final

from sim.differential.history import BEGIN, COMMIT, ROLLBACK, History
from sim.differential.played import J1, J2, job, play, scene

REQUIRES: Final = '["a"]'


def deploy(hash_: str, requirements: str = REQUIRES) -> tuple[Any, ...]:
    """A version of a script."""
    return ("deploy_script", "a.py", hash_, "python", False, hash_, requirements, "me")


# fmt: off
DEPLOY_SCRIPTS: Final[Mapping[str, History]] = {
    "a version keeps to the lock of the one before that requires the same": play(
        {}, (0, *deploy("h1")), (0, *deploy("h1")), (0, "store_locks", ["a.py"], [1], ['["a==1"]']),
        (0, *deploy("h2")), (0, *deploy("h3", "[]")), (0, *deploy("h4")),
        (0, "newest_scripts", ["a.py", "b.py"]), (0, "read_script", "a.py", 2),
        (0, "list_scripts", "a.py", 9), (0, "list_scripts", None, 9),
    ),
    "two deploy at once": play(
        {}, (0, BEGIN), (0, *deploy("h1")), (1, *deploy("h2")), (0, COMMIT), (1, *deploy("h2")),
        (0, BEGIN), (0, *deploy("h3")), (1, BEGIN), (1, *deploy("h3")), (0, ROLLBACK), (1, COMMIT),
        (0, "list_scripts", "a.py", 9),
    ),
    "two lock the same versions": play(
        {}, (0, *deploy("h1")), (0, *deploy("h2")), (0, BEGIN),
        (0, "store_locks", ["a.py", "a.py"], [2, 1], ['["a==2"]', '["a==1"]']),
        (1, "store_locks", ["a.py"], [1], ['["a==3"]']), (0, COMMIT),
        (0, "list_scripts", "a.py", 9),
    ),
    "arguments are made, and made anew": play(
        scene(job(1), job(2)), (0, "store_preprocessed", [J1, J2], ["[1]", "[2]"]),
        (0, "store_preprocessed", [J1], ["[3]"]), (0, "preprocessed_args", J1),
        (0, "delete_jobs", [J1]), (0, "preprocessed_args", J1), (0, "preprocessed_args", J2),
    ),
}
# fmt: on
