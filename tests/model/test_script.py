"""What a deployed script is, and what it says about itself."""

import pytest

from trioworker.errors import UsageError
from trioworker.model import script as script_module
from trioworker.model.script import (
    file_name,
    install_args,
    language_of,
    lock_in,
    new_script,
    preprocesses,
    version_in,
)

PEP_723 = """#!/usr/bin/env python
# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "requests<3",
#   "rich",
# ]
# ///
import requests
"""


@pytest.mark.parametrize(
    ("language", "text", "requirements"),
    [
        ("python", PEP_723, ("requests<3", "rich")),
        ("python", PEP_723.replace("\n", "\r\n"), ("requests<3", "rich")),
        ("python", "# /// other\n# x = 1\n# ///\n" + PEP_723, ("requests<3", "rich")),
        ("python", "# /// script\n# ///\n# requirements: a", ()),
        ("python", "#!/bin/x\n\n# Says a lot.\n# requirements: a>=1, <2, b[c,d]~=1\n", None),
        ("python", "# requirements: a\n# requirements: b, a,\n", ("a", "b")),
        ("python", "import os\n# requirements: a\n", ()),
        ("node", "// npm: left-pad@1.3.0, @a/b@^2\nimport x", ("left-pad@1.3.0", "@a/b@^2")),
        ("bun", "// npm: a\n// npm: b", ("a", "b")),
        ("deno", "// npm: a", ()),
        ("bash", "# requirements: a", ()),
    ],
)
def test_requirements_are_what_the_text_says(
    language: str, text: str, requirements: tuple[str, ...] | None
) -> None:
    """In a block of inline metadata or in its first comments, in each language's own way."""
    expected = ("a>=1,<2", "b[c,d]~=1") if requirements is None else requirements
    assert new_script("x", text, language=language).requirements == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# /// script\n# x = \n# ///\n", "'a.py': its block `# /// script` is not TOML: "),
        ("# /// script\n# dependencies = 1\n# ///\n", "are a list of texts"),
        (PEP_723 + PEP_723, "it has several blocks `# /// script`; leave one"),
        ("# requirements: --index=x", "the requirement '--index=x' is an option; name a package"),
        ("# requirements: a\x07b", "the requirement 'a\\x07b' will not do"),
        (f"# requirements: {'a' * 501}", "will not do; at most 500 bytes"),
        ("# requirements: " + ",".join(map(str, range(201))), "201 requirements are too many"),
        ("a\x00", "contains a NUL character; a script is text, not a program"),
        ("a\ud800", "is no text that can be stored"),
        ("a" * 101, "is too large: 101 bytes, at most 100; put data elsewhere"),
    ],
)
def test_a_text_that_cannot_be_deployed_is_refused(
    monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    """In a line that says what is wrong with it."""
    monkeypatch.setattr(script_module, "CONTENT_BYTES_MAX", 100 if text == "a" * 101 else 10_000)
    with pytest.raises(UsageError) as caught:
        new_script("a.py", text)
    assert message in str(caught.value)


def test_a_language_is_said_or_named_by_the_path() -> None:
    """And one that nobody knows is refused, with those there are."""
    assert [language_of(path, None) for path in ("a.py", "b/c.mjs", "d.ts")] == [
        "python", "node", "deno",
    ]  # fmt: skip
    assert language_of("a.ts", "bun") == "bun"
    with pytest.raises(UsageError, match=r"the end of 'a\.exe' names no language; known are \.py"):
        language_of("a.exe", None)
    with pytest.raises(UsageError, match="unknown language 'cobol'; one of python, bash"):
        language_of("a.py", "cobol")
    with pytest.raises(UsageError, match="in bash, which cannot be dedicated"):
        new_script("a.sh", "", dedicated=True)


@pytest.mark.parametrize(
    ("path", "language", "name"),
    [
        ("shop/orders.py", "python", "orders.py"),
        ("orders", "python", "orders.py"),
        ("orders.cjs", "node", "orders.cjs"),
        ("orders.py", "node", "orders.py.mjs"),
        ("a/../..", "bash", "script.sh"),
        ("x/", "bash", "script.sh"),
        ("ü b.py", "python", "__b.py"),
        ("a" * 500 + ".py", "python", "a" * 97 + ".py"),
    ],
)
def test_a_file_is_called_after_its_path(path: str, language: str, name: str) -> None:
    """As far as that is a name, and with an end that its interpreter knows."""
    assert file_name(path, language) == name


def test_equal_scripts_have_equal_hashes() -> None:
    """What makes another script of it makes another hash."""
    one = new_script("a.py", "x")
    assert one.hash == new_script("b.py", "x").hash
    others = {
        new_script("a.py", "y").hash,
        new_script("a.py", "x", dedicated=True).hash,
        new_script("a.py", "x", language="bash").hash,
    }
    assert len({one.hash, *others}) == 4


@pytest.mark.parametrize(
    ("suffix", "text", "expected"),
    [
        (".py", "def preprocess(args):", True),
        (".py", "x\nasync  def preprocess (args):", True),
        (".py", " def preprocess(args):", False),
        (".py", "def preprocessed(args):", False),
        (".mjs", "export async function preprocess(args) {", True),
        (".ts", "export const preprocess = (x: any) => x", True),
        (".js", "function preprocess(args) {", False),
        (".sh", "def preprocess(", False),
        (".exe", "def preprocess(", False),
    ],
)
def test_a_preprocess_is_found_at_the_top_of_a_script(
    suffix: str,
    text: str,
    expected: bool,  # noqa: FBT001 - it is given by position
) -> None:
    """Where the script itself would define it."""
    assert preprocesses(suffix, text) is expected


def test_what_jobs_that_install_are_told_and_tell_is_read_again() -> None:
    """And anything else is nothing."""
    assert version_in(install_args(7).decode()) == 7
    assert [version_in(args) for args in ("[]", "{}", '{"version": "a"}', "x")] == [None] * 4
    assert lock_in(b'["a==1"]') == ("a==1",)
    assert [lock_in(result) for result in (b"null", b"[1]", b'{"a": 1}', b"\xff")] == [None] * 4
