"""The parts of the demo: which jobs there are."""

import shutil
import sysconfig
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from trioworker.ids import new_id
from trioworker.model.job import Kind, NewJob
from trioworker.model.options import JobOptions

SCRIPTS_DIR: Final = Path(__file__).parent / "scripts"
DEDICATED_JOBS: Final = 5_000
NOT_OURS_TO_COUNT: Final = frozenset({"site-packages", "dist-packages", "__pycache__"})


@dataclass(frozen=True)
class Part:
    """Jobs that are alike: `path` is run once for each of `arguments`."""

    title: str
    kind: Kind
    path: str
    arguments: Sequence[object]

    @property
    def tag(self) -> str:
        """Jobs of the demo have tags of their own, so that it takes no others."""
        return f"demo:{self.path}"

    def jobs(self) -> Iterable[NewJob]:
        """The jobs, under new ids."""
        options = JobOptions(dedicated=self.kind == "script")
        for arguments in self.arguments:
            yield NewJob(
                id=new_id(),
                kind=self.kind,
                path=self.path,
                args=msgspec.json.encode(arguments),
                tag=self.tag,
                options=options,
            )


def parts() -> Iterable[Part]:
    """Those that this machine can run."""
    files = [{"file": str(file)} for file in standard_library()]
    yield Part("source files", "function", "count_source", files)
    numbers = [{"number": number} for number in range(DEDICATED_JOBS)]
    yield Part("Python script", "script", "identity.py", numbers)
    if shutil.which("node"):
        yield Part("Node script", "script", "identity.mjs", numbers)


def standard_library() -> Sequence[Path]:
    """The source files of this Python's own library, its tests included."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    return sorted(
        file
        for file in folder.rglob("*.py")
        if NOT_OURS_TO_COUNT.isdisjoint(file.relative_to(folder).parts)
    )
