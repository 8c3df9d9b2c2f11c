"""What a script requires, as its own text says.

Rule of this file: pure; it finds and checks, and installs nothing. Python says it in a block of
inline metadata (PEP 723) or in a first comment line, JavaScript in one:

    # requirements: requests>=2, rich
    // npm: left-pad@1.3.0, @scope/name@^2
"""

import re
import tomllib
from collections.abc import Iterable, Sequence
from typing import Any, Final

from trioworker.errors import UsageError

REQUIREMENTS_MAX: Final = 200
REQUIREMENT_BYTES_MAX: Final = 500

_BLOCK: Final = re.compile(
    r"^# /// (?P<kind>[a-zA-Z0-9-]+)[ \t]*\r?\n"
    r"(?P<lines>(?:^#(?: [^\n]*)?\r?\n)*?)"
    r"^# ///[ \t]*\r?$",
    re.MULTILINE,
)
_PYTHON_LINE: Final = re.compile(r"#[ \t]*requirements:(?P<all>.*)")
_NPM_LINE: Final = re.compile(r"//[ \t]*npm:(?P<all>.*)")
_GOES_ON: Final = ("<", ">", "=", "!", "~", ";")
"""With what a piece begins that belongs to the requirement before it: `a>=1, <2`."""


def requirements_of(language: str, content: str) -> tuple[str, ...]:
    """The requirements of a script, in its order. Raises `UsageError` when they will not do.

    Languages that have their own way to say it, or none, require nothing here.
    """
    if language == "python":
        named = _of_block(content)
        if named is None:
            named = _split(_of_lines(content, "#", _PYTHON_LINE))
    elif language in {"node", "bun"}:
        named = [one for line in _of_lines(content, "//", _NPM_LINE) for one in line.split(",")]
    else:
        return ()
    return _checked(named)


def _of_block(content: str) -> Sequence[str] | None:
    """What the block `script` of inline metadata says; None when there is none."""
    blocks = [found for found in _BLOCK.finditer(content) if found["kind"] == "script"]
    if not blocks:
        return None
    if len(blocks) > 1:
        raise UsageError("it has several blocks `# /// script`; leave one")
    lines = (line.removeprefix("#").removeprefix(" ") for line in blocks[0]["lines"].splitlines())
    try:
        said: Any = tomllib.loads("\n".join(lines)).get("dependencies", [])
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"its block `# /// script` is not TOML: {error}") from None
    if not isinstance(said, list) or not all(isinstance(one, str) for one in said):
        raise UsageError("the dependencies in its block `# /// script` are a list of texts")
    return said


def _of_lines(content: str, comment: str, pattern: re.Pattern[str]) -> Sequence[str]:
    """What stands behind the mark, in the comments that the text begins with."""
    found = []
    for line in content.splitlines():
        text = line.strip()
        if text and not text.startswith((comment, "#!")):
            break
        if match := pattern.fullmatch(text):
            found.append(match["all"])
    return found


def _split(lines: Iterable[str]) -> Sequence[str]:
    """The requirements of lines, whose commas may also stand within one: `a[b,c]>=1, <2`."""
    found: list[str] = []
    for line in lines:
        begun = False
        for piece in line.split(","):
            text = piece.strip()
            inside = begun and found[-1].count("[") > found[-1].count("]")
            if begun and (inside or text.startswith(_GOES_ON)):
                found[-1] = f"{found[-1]},{text}"
            else:
                found.append(text)
                begun = True
    return found


def _checked(named: Iterable[str]) -> tuple[str, ...]:
    """Each once, without empty ones."""
    requirements = tuple(dict.fromkeys(filter(None, (one.strip() for one in named))))
    if len(requirements) > REQUIREMENTS_MAX:
        raise UsageError(
            f"{len(requirements)} requirements are too many; at most {REQUIREMENTS_MAX}"
        )
    for one in requirements:
        if one.startswith("-"):
            raise UsageError(f"the requirement {one[:80]!r} is an option; name a package")
        if not one.isprintable() or len(one.encode()) > REQUIREMENT_BYTES_MAX:
            raise UsageError(
                f"the requirement {one[:80]!r} will not do; at most {REQUIREMENT_BYTES_MAX} bytes,"
                " on one line"
            )
    return requirements
