"""The demo's app: what a user's own app looks like, with one job that keeps a core busy."""

import ast
from collections import Counter
from pathlib import Path
from typing import TypedDict

from trioworker.app import App

app = App()


class Counts(TypedDict):
    """What is in one source file."""

    lines: int
    functions: int
    classes: int


@app.job(flavour="process")
def count_source(file: str) -> Counts:
    """Parse one Python file. A file that is not valid Python is a failed job, as it should be."""
    source = Path(file).read_bytes()
    kinds = Counter(type(node) for node in ast.walk(ast.parse(source, file)))
    return {
        "lines": len(source.splitlines()),
        "functions": kinds[ast.FunctionDef] + kinds[ast.AsyncFunctionDef],
        "classes": kinds[ast.ClassDef],
    }
