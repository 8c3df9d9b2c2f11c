"""How a flow looks, and that no text in it can be taken for a part of the drawing."""

import json
import re
from collections.abc import Sequence
from typing import Any, Final

import pytest
from hypothesis import given

from tests.docs.pages import page
from tests.flows.corpus_cases import cases
from tests.model.flow_drawing import flows
from trioworker.model.flow import Flow, flow_of
from trioworker.model.flow_picture import picture
from trioworker.model.flow_plan import plan_of
from trioworker.model.flow_steps import SORTS

NODE: Final = re.compile(r"\bs_(\w+?)(?=\[|\{|\()")
LINE: Final = re.compile(
    r"""\ +(end
    |subgraph\ \w+\["[^"]*"\]
    |\w+(\(|\[|\{)[^"]*"[^"]*"[^"]*
    |\w+\ (-->|--\ "[^"]*"\ -->|-\.\ "[^"]*"\ \.->)\ \w+(\(\["[^"]*"\]\))?)""",
    re.VERBOSE,
)


def drawn(flow: Flow) -> Sequence[str]:
    """The lines of its picture."""
    first, *lines = picture(flow).splitlines()
    assert first == "flowchart TD"
    return lines


@given(flows())
def test_each_step_is_drawn_once(flow: dict[str, Any]) -> None:
    """And every box that is opened is closed."""
    read = flow_of(json.dumps(flow))
    lines = drawn(read)
    nodes = [found for line in lines for found in NODE.findall(line.partition(" -")[0])]
    assert sorted(nodes) == sorted(plan_of(read).spots)
    words = [line.split()[0] for line in lines]
    assert words.count("subgraph") == words.count("end")


@pytest.mark.parametrize("name", cases())
def test_every_line_is_of_a_known_form(name: str) -> None:
    """With all text in quotes."""
    for line in drawn(flow_of(json.dumps(cases()[name].flow))):
        assert LINE.fullmatch(line), line


def test_text_is_escaped_and_cut() -> None:
    """What a user wrote is shown as text."""
    condition = "input.a == 'x\"]-->end' || input.b < `3` || input.c == '" + "y" * 50 + "'"
    step = {"type": "noop", "id": "end", "skip_if": condition}
    (line,) = (line for line in drawn(flow_of(json.dumps({"steps": [step]}))) if "skipped" in line)
    assert line == (
        '    s_end("end: nothing<br/>skipped if'
        " input.a == 'x#quot;]--#gt;end' || input.b #lt; #96;3#96; || input.c…\")"
    )


def test_the_pictures_in_the_docs_are_drawn_by_the_model() -> None:
    """docs/flows.md shows each flow and then what it looks like, with every sort of step."""
    kinds = {"json", "mermaid"}
    blocks = [block for block in page("docs/flows.md").blocks if block.language in kinds]
    shown, pictures = blocks[::2], blocks[1::2]
    for block, drawing in zip(shown, pictures, strict=True):
        assert (block.language, drawing.language) == ("json", "mermaid")
        assert drawing.text.rstrip("\n") == picture(flow_of(block.text)), block.text
    steps = [plan_of(flow_of(block.text)).spots.values() for block in shown]
    assert {type(spot.step) for spots in steps for spot in spots} == {*SORTS.values()}
