"""What is drawn of a run: the picture, the page around it, the trace for Perfetto."""

import itertools
import json
import re
from collections import defaultdict
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec

from sim.crafted import LOST_REPLY, POISON, drawn, lab, written
from sim.lab.timeline import MARKED, Item
from sim.plan import Sizes

SCRIPT = Path(__file__).parent / "lab" / "page" / "draw.js"
VOID = {"meta", "input"}


def bars(items: list[Item], kind: str) -> list[Item]:
    """The bars of one kind, in order."""
    return [item for item in items if item.kind == kind and not item.mark]


def test_the_picture_is_true_to_the_run() -> None:
    """The poisoned batch: a claim of four, a failed commit of three, then one by one."""
    picture = drawn(POISON)
    items = list(picture.items)
    (claim,) = bars(items, "claim")
    failed, refused = bars(items, "commit failed")
    stored = bars(items, "stored")

    assert [len(item.jobs) for item in (claim, failed, refused)] == [4, 3, 1]
    assert sorted(place for item in stored for place in item.jobs) == [0, 1, 2, 3]
    assert len(bars(items, "succeeded")) == 4
    assert claim.from_s <= failed.from_s <= failed.to_s <= refused.from_s <= claim.to_s
    assert all(item.from_s <= item.to_s <= picture.end_s for item in items)
    assert [job.name for job in picture.jobs] == ["01", "02", "03", "04"]


def test_outcomes_are_shown_as_held_until_the_next_try() -> None:
    """From the moment when the worker hears of the failure to that when it tries again."""
    items = list(drawn(LOST_REPLY).items)
    (lost,), (held,), (stored,) = (bars(items, kind) for kind in ("reply lost", "held", "stored"))

    assert lost.to_s == held.from_s < held.to_s == stored.from_s
    assert len(held.jobs) == 3


def test_bars_of_one_row_never_meet() -> None:
    """So that each can be seen, and Perfetto can nest them."""
    plan = msgspec.structs.replace(
        POISON, jobs=("slow", "identity", "ok", "slow", "poison"), sizes=Sizes(workers=2, pull=2)
    )
    picture = drawn(plan)
    rows: defaultdict[tuple[int, int], list[tuple[float, float]]] = defaultdict(list)
    for item in picture.items:
        if not item.mark:
            rows[item.lane, item.row].append((item.from_s, item.to_s))

    assert {picture.lanes[lane].group for lane, _ in rows} == {"worker-0", "worker-1"}
    for row in rows.values():
        assert all(one[1] <= next_[0] for one, next_ in itertools.pairwise(sorted(row)))


def test_whatever_is_drawn_has_a_colour_or_a_sign() -> None:
    """The page knows each kind of mark, and each kind of bar that runs have."""
    script = SCRIPT.read_text("utf-8")
    colours = script[script.index("const BARS") : script.index("const MARKS")]
    signs = script[script.index("const MARKS") : script.index("function sized")]
    items = [*drawn(POISON).items, *drawn(LOST_REPLY).items]
    kinds = {item.kind for item in items if not item.mark}

    assert {sort.value for sort in MARKED} - set(re.findall(r'"([^"]+)": \[', signs)) == set()
    assert kinds - set(re.findall(r'"([^"]+)": "', colours)) == set()


# ---- the page -------------------------------------------------------------------------------


class Tags(HTMLParser):
    """Which elements are open, and which attributes there are."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: set[str] = set()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See `HTMLParser`."""
        self.attributes |= {name for name, _ in attrs}
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """See `HTMLParser`."""
        assert self.open.pop() == tag


def run_in(text: str) -> Any:  # noqa: ANN401 - JSON
    """The run that a page holds."""
    found = re.search(r'id="run">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_show_makes_a_page_that_needs_nothing_else(tmp_path: Path) -> None:
    """It is well-formed, loads nothing, and holds the run as data."""
    ended = lab("show", written(tmp_path), "--out", str(tmp_path / "out"))
    text = (tmp_path / "out" / "crafted.html").read_text("utf-8")
    tags, run = Tags(text), run_in(text)

    assert ended.status == 0
    assert "out/crafted.html" in ended.output
    assert tags.open == []
    assert not {"src", "href"} & tags.attributes
    assert not re.search(r"https?:|url\(|@import|@(title|style|script|run)@", text)
    assert {item["kind"] for item in run["items"]} >= {"claim", "fallback", "refused", "stored"}
    assert run["title"] == "crafted"


def test_no_text_of_a_run_ends_the_element_that_it_is_in(tmp_path: Path) -> None:
    """What looks like a tag is shown as it is."""
    about = "</script><b>bold & @run@"
    lab("show", written(tmp_path, about=about), "--out", str(tmp_path))
    text = (tmp_path / "crafted.html").read_text("utf-8")

    assert Tags(text).open == []
    assert run_in(text)["story_told"] == about


# ---- Perfetto -------------------------------------------------------------------------------


def test_perfetto_gets_a_file_in_its_format(tmp_path: Path) -> None:
    """Bars with a length, moments, a name for every thread, and arrows with both ends."""
    lab("show", written(tmp_path), "--out", str(tmp_path))
    document = json.loads((tmp_path / "crafted.perfetto.json").read_bytes())
    records = document["traceEvents"]
    by_kind = {kind: [record for record in records if record["ph"] == kind] for kind in "XiMsf"}
    named = {(r["pid"], r["tid"]) for r in by_kind["M"] if r["name"] == "thread_name"}

    assert sum(map(len, by_kind.values())) == len(records)
    assert {(r["pid"], r["tid"]) for r in [*by_kind["X"], *by_kind["i"]]} <= named
    assert all(r["dur"] > 0 and r["ts"] >= 0 for r in by_kind["X"])
    assert {r["id"] for r in by_kind["s"]} == {r["id"] for r in by_kind["f"]} != set()
    assert "c1 · 4 claim" in {r["name"] for r in by_kind["X"]}
