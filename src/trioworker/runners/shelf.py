"""What of deployed scripts is on this machine: the parts that share one cache folder."""

from pathlib import Path
from random import Random

from trioworker.runners.dependencies import DependenciesRunner
from trioworker.runners.deployed import DeployedScripts
from trioworker.runners.packages import Packages
from trioworker.runners.scripts import Scripts
from trioworker.store.scripts import ScriptStore


class Shelf:
    """The deployed scripts of a `store`, whose files are kept in `cache`.

    What is not deployed comes from the folder `scripts_dir`.
    """

    def __init__(self, scripts_dir: Path, store: ScriptStore, cache: Path, rng: Random) -> None:
        cache = Path.cwd() / cache  # scripts are run in folders of their own
        packages = Packages(cache)
        self.scripts = DeployedScripts(Scripts(scripts_dir), store, packages, cache=cache, rng=rng)
        self.dependencies = DependenciesRunner(store, packages, rng)
