import re
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mote_backend.errors import InputError
from mote_backend.ftri.expert_table import ExpertTable
from mote_backend.ftri.greedy import Search, Step
from mote_backend.ftri.intervals import Estimate
from mote_backend.ftri.measure import Measured
from mote_backend.ftri.selection import Selection
from mote_backend.mask import ExpertMask
from mote_backend.report.page import text
from mote_backend.report.report import report, save_report
from mote_backend.verdict.rules import Check, Rules
from mote_backend.verdict.verdict import Example, Forced, PanelResult, Point, Verdict

HALF = Estimate(0.5, 0.4, 0.6, 96)
MASK = ExpertMask(off=frozenset({(0, 1), (1, 2)}), name="<b>mask</b>")
EVIL = "<script>alert(1)</script>\"'&\x1b[2J\u202e"


def expert_table(name="A", layers=(4, 3)):
    size = sum(layers)
    rates = np.linspace(0, 1, size)
    return ExpertTable(
        a=name, b="B", n_a=64, n_b=64, digest_a="a", digest_b="b", at="last", experts=layers, rate_a=rates,
        rate_b=rates[::-1], low=rates - 1, high=rates, p=rates, q=rates, stability=rates, gate_a=rates,
        gate_b=np.full(size, np.nan), chance=0.2, stability_top=10, seed=0, notes=(name,), versions={"torch": "2"},
    )  # fmt: skip


def verdict(said="ok"):
    panel = PanelResult(said, said, "f", HALF, HALF, HALF)
    return Verdict(
        word="partly", checks=(Check("effect", "partly", said),), goal="less", behaviour=panel, benign=panel,
        curve=(Point(0, HALF), Point(1, HALF, (0.4, 0.6)), Point(2, HALF, (0.4, 0.6))), random_control=said,
        beyond=HALF, others=(panel,), right=panel,
        forced=Forced("m", 2, panel, (0.1,), HALF),
        perplexity=(10.0, 11.0), examples=(Example(said, said, said, said, 1.0, None),), mask=MASK.id,
        mask_json=MASK.to_json(),
        order=((0, 1), (1, 2)), draws=2, seed=0, rules=Rules(), versions={"torch": said},
    )  # fmt: skip


def selection(said="ok"):
    step = Step((0, 1), Measured(0.4, 0.1), 0.6, 5)
    return Selection(
        MASK, ((0, 1),), step.measured, step.measured, (step,), said, ((0, 1),), Search(), frozenset(), 0.1
    )


VOID = {"meta", "rect", "line", "circle", "polyline", "polygon"}


class Reader(HTMLParser):
    """Collects the tags, their attributes and the text; sees that tags are closed as they were opened."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.data, self.open = [], [], [], []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.data.append(data)


def whole(said="ok"):
    return report(
        title=said, experts=expert_table(said), verdict=verdict(said), selection=selection(said), command=said,
        facts={said: said},
    )  # fmt: skip


def test_the_page_shows_all_that_was_found():
    read = Reader(whole())
    shown = " ".join(read.data)
    headings = ("Behaviour by experts switched", "Forced on instead", "Experts by layer", "How the mask was chosen")
    for words in (*headings, "Replies", "What this rests on", "partly", MASK.id, "Perplexity", "not told"):
        assert words in shown
    assert read.tags.count("svg") == 2


def test_the_page_asks_for_nothing_from_elsewhere_and_runs_nothing():
    read = Reader(whole())
    assert not {"script", "link", "img", "iframe", "object", "a", "form"} & set(read.tags)
    assert not [name for name, _ in read.attributes if name in ("src", "href", "srcset") or name.startswith("on")]
    assert "default-src 'none'" in dict(read.attributes)["content"] or "default-src 'none'" in whole()
    assert not re.search(r"url\(|@import|https?:", whole())


@settings(max_examples=25, deadline=None)
@given(st.one_of(st.just(EVIL), st.text(min_size=1, max_size=40)))
def test_nothing_that_was_said_becomes_markup_or_steers_a_terminal(said):
    page = whole(said)
    assert Reader(page).tags == Reader(whole()).tags
    assert all(one.isprintable() or one in "\n\t" for one in page)


def test_odd_characters_are_named_and_others_kept():
    assert text("a\x1bb\u202ec") == "a⟨U+001B⟩b⟨U+202E⟩c"
    assert text("é 日本 <&>") == "é 日本 &lt;&amp;&gt;"


@pytest.mark.parametrize(
    "parts", [{"experts": expert_table()}, {"verdict": verdict()}, {"experts": expert_table(), "mask": MASK}]
)
def test_a_part_alone_makes_a_page(parts):
    Reader(report(title="t", **parts))


def test_nothing_makes_no_page():
    with pytest.raises(InputError, match="nothing to report"):
        report(title="t")


def test_a_page_of_a_large_model_stays_small():
    assert len(report(title="t", experts=expert_table(layers=(256,) * 58))) < 4_000_000


def test_it_is_written_as_utf8_or_says_why_not(tmp_path):
    save_report(tmp_path / "r.html", whole("日本 \ud800"))
    assert "日本" in (tmp_path / "r.html").read_text(encoding="utf-8")
    with pytest.raises(InputError, match="cannot be written"):
        save_report(tmp_path / "no" / "r.html", "")


def test_the_heat_map_is_a_png_too(tmp_path):
    pytest.importorskip("matplotlib")
    from mote_backend.report.png import save_heat_map

    save_heat_map(tmp_path / "map.png", expert_table("$x$ _a_"), [(0, 1)])
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
