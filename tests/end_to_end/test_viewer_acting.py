"""What can be done in the viewer, in a real browser: label, ask, fork, compare, export."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from mote_backend.fingerprint import Fingerprint
from mote_backend.ftri.expert_table import ExpertTable
from router_graph import load_router
from router_graph.trajectories.reader import read_runs
from router_graph.trajectories.records import RunRecord
from router_training.rewards.saved import save
from router_training.rewards.scoring import RewardRecord
from support.viewer_browser import chromium, faults, serving, watched
from support.viewer_log import EVIL, QUESTION, make_library, record_all

ASKED = "Which moon does the table have?"
PARTS = {"right": -1.0, "cost": -0.125, "evidence": 0.5}
LAYERS, EXPERTS = 3, 8


@dataclass(frozen=True)
class Place:
    """A browser, a viewer with a router, and what its log held at first."""

    browser: Browser
    address: str
    runs: dict[str, RunRecord]

    def run(self, policy: str, step: int | None = None) -> str:
        """The address of a run, or of a step."""
        return f"{self.address}#/run/{self.runs[policy].run_id}" + (f"/{step}" if step else "")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("viewer")
    library, log = folder / "kb", folder / "runs"
    make_library(library)
    record_all(library, log)
    runs = {run.settings["policy"]: run for run in read_runs(log) if EVIL not in run.question}
    scored = RewardRecord(runs["hasty"].run_id, 2, sum(PARTS.values()), PARTS, "verifiable-0")
    save([scored], log / "rewards" / "verifiable-0.jsonl")
    (folder / "mote").mkdir()
    experts().save(folder / "mote" / "quiet.json")
    (folder / "router.yaml").write_text("knowledge: kb\nturn: {usd: 0.05, exclude: ['kb:closed']}\n", encoding="utf-8")
    with (
        load_router(folder / "router.yaml") as router,
        chromium() as browser,
        serving(log, router=router, mote=folder / "mote", cache=folder / "index.sqlite") as address,
    ):
        yield Place(browser, address, runs)


def experts() -> ExpertTable:
    """A table whose difference grows from expert to expert."""
    model = Fingerprint("tiny_moe", (EXPERTS,) * LAYERS, (2,) * LAYERS, "w")
    zero = dict.fromkeys("rate_b low high p q stability gate_a gate_b".split(), np.zeros(LAYERS * EXPERTS))
    facts = {"digest_a": "x", "digest_b": "y", "at": "last", "chance": 0.25, "stability_top": 2, "seed": 0}
    rates = np.arange(LAYERS * EXPERTS) / 100
    sizes = (EXPERTS,) * LAYERS
    return ExpertTable(a="a", b="b", n_a=4, n_b=5, experts=sizes, model=model, rate_a=rates, **zero, **facts)


@pytest.fixture
def page(place: Place) -> Iterator[Page]:
    with watched(place.browser, place.address) as page:
        yield page


def asked(page: Page, place: Place) -> str:
    """The id of a run that was asked for in the page, and has ended."""
    page.goto(f"{place.address}#/ask")
    page.get_by_label("Question").fill(ASKED)
    page.locator("#field-max_steps").fill("3")
    page.keyboard.press("Control+Enter")
    expect(page.locator("h1")).to_have_text(ASKED)
    expect(page.locator(".verdicts")).not_to_contain_text("under way")
    expect(page.locator(".card").first).to_be_visible()
    return re.findall(r"#/run/([^/?]+)", page.url)[0]


def test_a_picture_is_drawn_as_a_picture(page: Page, place: Place):
    page.goto(place.run("guide", 2))
    picture = page.locator('[data-hit="charts:orbits"] img')
    assert picture.evaluate("async (picture) => { await picture.decode(); return picture.naturalWidth; }") == 120


def test_a_step_is_labelled_by_a_key_and_the_label_is_taken_back_by_the_same_key(page: Page, place: Place):
    page.goto(place.run("hasty", 2))
    expect(page.locator(".panel-head h2")).to_have_text("Step 2 of 2")
    page.keyboard.press("b")
    expect(page.get_by_role("button", name="Bad")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#step-2 .chip.bad")).to_be_visible()
    page.keyboard.press("b")
    expect(page.get_by_role("button", name="Bad")).to_have_attribute("aria-pressed", "false")


def test_what_would_have_been_better_is_told_with_its_words(page: Page, place: Place):
    page.goto(place.run("hasty", 2))
    expect(page.locator(".panel-head h2")).to_have_text("Step 2 of 2")
    page.keyboard.press("B")
    dialog = page.locator("dialog")
    expect(dialog.locator("input[value='kb:closed']")).to_be_disabled()
    dialog.locator("input[value='kb:texts']").check()
    dialog.get_by_label("With these words").fill("Triton")
    dialog.get_by_label("Note").fill("Read on.")
    assert faults(page) == []
    dialog.get_by_role("button", name="Keep").click()
    expect(page.locator(".labels")).to_contain_text("better: texts Triton")
    expect(page.locator(".labels")).to_contain_text("Read on.")


def test_rewards_are_drawn_by_component_with_their_signs(page: Page, place: Place):
    page.goto(place.run("hasty", 2))
    told = page.locator("table.rewards tr")
    expect(told).to_have_text(["verifiable−0.625", "right−1", "cost−0.125", "evidence+0.5"])
    right, evidence = told.nth(1).locator(".axis span"), told.nth(3).locator(".axis span")
    assert right.bounding_box()["width"] == pytest.approx(2 * evidence.bounding_box()["width"], abs=1)
    assert right.bounding_box()["x"] < evidence.bounding_box()["x"]


def test_a_cell_of_the_heat_map_is_told_in_text_by_the_keys(page: Page, place: Place):
    page.goto(f"{place.address}#/mote/quiet")
    page.locator("canvas").focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
    expect(page.locator(".cell-told")).to_have_text("Layer 1, expert 2: 0.1")
    assert faults(page) == []


def test_a_question_is_asked_and_its_run_is_followed_to_its_end(page: Page, place: Place):
    run = asked(page, place)
    expect(page.locator(".limits")).to_contain_text("of 3 steps")
    page.goto(place.address)
    expect(page.locator(".runs .rows .row").first).to_contain_text(ASKED)
    expect(page.locator(f'.row a[href="#/run/{run}"]')).to_have_count(1)


def test_a_run_that_waits_for_a_person_is_allowed_on(page: Page, place: Place):
    page.goto(f"{place.address}#/ask")
    page.get_by_label("Question").fill("What do the charts show?")
    page.locator("#field-ask_above_usd").fill("0.001")
    page.locator("#field-route").select_option("kb:charts")
    page.locator("#field-max_steps").fill("1")
    page.get_by_role("button", name="Ask", exact=True).click()
    box = page.locator(".waits")
    expect(box).to_contain_text("It wants to ask charts")
    expect(box).to_contain_text("$0.002. May it?")
    assert faults(page) == []
    box.get_by_role("button", name="Allow").click()
    expect(box).to_have_count(0)
    expect(page.locator(".verdicts")).not_to_contain_text("under way")


def test_a_step_is_forked_and_goes_on_from_there(page: Page, place: Place):
    run = asked(page, place)
    page.goto(f"{place.address}#/run/{run}/1")
    expect(page.locator(".panel-head h2")).to_contain_text("Step 1")
    page.keyboard.press("f")
    dialog = page.locator("dialog")
    dialog.locator("input[value='kb:texts']").check()
    dialog.get_by_label("With these words").fill("storms")
    assert faults(page) == []
    dialog.get_by_role("button", name="Fork and go on").click()
    expect(page.locator(".verdicts")).to_contain_text("forked at step 1")
    expect(page.locator("#step-1 q")).to_have_text("storms")
    page.keyboard.press("c")
    expect(page.locator(".pair.differs .card").nth(1)).to_contain_text("storms")


def test_two_policies_are_compared_and_opened_where_they_first_differ(page: Page, place: Place):
    page.goto(f"{place.address}#/compare?a=guide&b=hasty")
    expect(page.get_by_role("button", name="A wins 1")).to_be_visible()
    page.get_by_role("button", name="B wins 0").click()
    expect(page.locator(".empty-state")).to_be_visible()
    page.get_by_role("button", name="A wins 1").click()
    expect(page.locator(".compare .rows .row")).to_contain_text(QUESTION)
    assert faults(page) == []
    page.locator(".compare .rows .row").click()
    expect(page.locator(".folded")).to_have_text("1 step the same, before they differ")
    expect(page.locator(".pair.differs .card").first).to_contain_text("texts")
    expect(page.locator(".pair.differs .card").nth(1)).to_contain_text("answer")
    page.locator(".folded").click()
    expect(page.locator(".versus .card").first).to_contain_text("moons")
    assert faults(page) == []


def test_an_exported_file_shows_the_same_run_and_asks_nobody(page: Page, place: Place, tmp_path: Path):
    page.goto(place.run("guide", 1))
    page.locator("table.options").wait_for()
    cards, options = page.locator(".cards").inner_text(), page.locator("table.options").inner_text()
    with page.expect_download() as saving:
        page.get_by_role("button", name="Export").click()
    file = tmp_path / "run.html"
    saving.value.save_as(file)
    with watched(place.browser, file.as_uri()) as alone:
        alone.goto(file.as_uri())
        expect(alone.locator("h1")).to_have_text(QUESTION)
        alone.keyboard.press("Enter")
        alone.locator("table.options").wait_for()
        assert alone.locator(".cards").inner_text() == cards
        assert alone.locator("table.options").inner_text() == options
        assert alone.get_by_role("button", name="Fork").count() == 0
        assert faults(alone) == []


def test_no_page_is_wider_than_a_narrow_screen(place: Place):
    sides = f"#/compare/{place.runs['guide'].run_id}/{place.runs['hasty'].run_id}"
    with watched(place.browser, place.address, viewport={"width": 390, "height": 844}) as page:
        for where, seen in (
            ("#/ask", "#question"),
            ("#/compare", ".compare .rows .row"),
            (sides, ".pair"),
            ("#/mote/quiet", "canvas"),
        ):
            page.goto(place.address + where)
            page.locator(seen).first.wait_for()
            assert page.evaluate("document.documentElement.scrollWidth") == 390, where


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(place: Place, scheme: str):
    sides = f"#/compare/{place.runs['guide'].run_id}/{place.runs['hasty'].run_id}"
    with watched(place.browser, place.address, color_scheme=scheme) as page:
        for where, seen in (
            ("#/ask", "#question"),
            ("#/compare?a=guide&b=hasty", ".compare .rows .row"),
            (sides, ".pair.differs table.options"),
            ("#/mote/quiet", "canvas"),
        ):
            page.goto(place.address + where)
            page.locator(seen).first.wait_for()
            assert faults(page) == [], where
