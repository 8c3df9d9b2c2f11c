"""What of deployed scripts is on this machine: the parts that share one cache folder."""

from pathlib import Path
from random import Random

from trioworker.runners.dependencies import DependenciesRunner
from trioworker.runners.deployed import DeployedScripts, Library
from trioworker.runners.packages import Packages
from trioworker.runners.scripts import Scripts


class Shelf:
    """The deployed scripts of a `library`, whose files are kept in `cache`.

    What is not deployed comes from the folder `scripts_dir`.
    """

    def __init__(self, scripts_dir: Path, library: Library, cache: Path, rng: Random) -> None:
        packages = Packages(cache)
        self.scripts = DeployedScripts(
            Scripts(scripts_dir), library, packages, cache=cache, rng=rng
        )
        self.dependencies = DependenciesRunner(library, packages, rng)
