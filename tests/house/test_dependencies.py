"""Nothing is depended on without a written reason."""

import re
import tomllib

from tests.house.tidy import ROOT


def test_every_dependency_has_its_reason_and_every_reason_its_dependency() -> None:
    """`docs/dependencies.md` has one line for each dependency of pyproject.toml, and no other."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [
        *pyproject["project"]["dependencies"],
        *(d for extra in pyproject["project"]["optional-dependencies"].values() for d in extra),
        *(d for group in pyproject["dependency-groups"].values() for d in group),
    ]
    page = (ROOT / "docs/dependencies.md").read_text()

    explained = re.findall(r"^\| `([\w-]+)` \| .+ \|$", page, re.MULTILINE)

    # A name may be wanted twice: open for those who install us, pinned for our own checks.
    assert sorted(explained) == sorted({re.split(r"[^\w-]", line)[0] for line in wanted})
