"""The viewer in a real browser: what is recorded is what is seen, and nothing of it runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from router_graph.trajectories.reader import read_runs
from router_graph.trajectories.records import RunRecord
from support.viewer_browser import chromium, drawn_ms, faults, serving, watched
from support.viewer_log import (
    CHANCES,
    EVIL,
    GO_ON,
    LINK,
    QUESTION,
    STEPS,
    make_library,
    record_all,
    recording,
)

NARROW = {"width": 390, "height": 844}


@dataclass(frozen=True)
class Place:
    """A browser, a viewer, and what its log holds."""

    browser: Browser
    address: str
    library: Path
    log: Path
    runs: dict[str, RunRecord]
    """By the name of the policy; of `guide`, the one with the plain question."""

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
    with chromium() as browser, serving(log, cache=folder / "index.sqlite") as address:
        yield Place(browser, address, library, log, runs)


@pytest.fixture
def page(place: Place) -> Iterator[Page]:
    with watched(place.browser, place.address) as page:
        yield page


def rows(page: Page):
    return page.locator(".runs .rows .row:not(.waiting)")


def test_a_run_is_opened_a_step_is_opened_and_left_by_keys_alone(page: Page, place: Place):
    page.goto(place.address)
    expect(rows(page)).to_have_count(4)
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.locator(".row.active")).to_contain_text("6.387 days")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text(QUESTION)
    expect(page.locator(".card")).to_have_count(2)
    page.keyboard.press("Enter")
    expect(page.locator(".panel-head h2")).to_have_text("Step 1 of 2")
    page.keyboard.press("j")
    expect(page.locator(".panel-head h2")).to_have_text("Step 2 of 2")
    page.keyboard.press("Escape")
    expect(page.locator(".panel-head")).to_have_count(0)
    page.keyboard.press("Escape")
    expect(rows(page)).to_have_count(4)
    expect(page.locator(".row.active")).to_contain_text("6.387 days")


def test_back_and_forward_walk_what_was_opened(page: Page, place: Place):
    page.goto(place.address)
    rows(page).nth(2).click()
    page.locator(".card").nth(1).click()
    expect(page.locator(".panel-head h2")).to_have_text("Step 2 of 2")
    page.go_back()
    expect(page.locator(".panel-head")).to_have_count(0)
    page.go_back()
    expect(rows(page)).to_have_count(4)
    page.go_forward()
    expect(page.locator(".card")).to_have_count(2)


def test_right_and_wrong_are_told_in_words(page: Page, place: Place):
    page.goto(place.address)
    expect(page.locator(".verdict.right").first).to_have_attribute("title", "right")
    expect(page.locator(".verdict.wrong")).to_have_attribute("title", "wrong")


def test_the_chances_of_a_step_are_those_of_the_log(page: Page, place: Place):
    page.goto(place.run("guide", 1))
    shown = page.locator(".options tbody tr:not(.masked)")
    expect(shown).to_have_count(len(CHANCES))
    told = shown.evaluate_all(
        "rows => rows.map((row) => [row.querySelector('.target').title, row.querySelector('.chance .number').title])"
    )
    logged = place.runs["guide"].steps[0].step["decision"]["probabilities"]
    assert {key: float(chance) for key, chance in told} == pytest.approx(logged, abs=1e-15)
    expect(page.locator(".options .chosen")).to_contain_text("moons")
    expect(page.locator(".options .chosen")).to_contain_text("61.8 %")


def test_an_option_that_was_not_legal_is_greyed_and_says_why(page: Page, place: Place):
    page.goto(place.run("guide", 1))
    masked = page.locator(".options .masked")
    expect(masked).to_have_count(1)
    expect(masked.locator(".reason")).to_contain_text("excluded from this turn")


def test_what_was_called_has_the_number_that_it_has_among_the_options(page: Page, place: Place):
    page.goto(place.run("guide", 2))
    page.locator(".action").first.wait_for()
    numbers = page.locator(".options .chosen .no").evaluate_all(
        "cells => cells.map((cell) => parseInt(cell.textContent))"
    )
    called = page.locator(".did .chip").evaluate_all(
        "chips => chips.map((chip) => chip.textContent).filter((text) => text.startsWith('option'))"
    )
    assert sorted(called) == sorted(f"option {number}" for number in numbers)


def test_a_table_is_drawn_as_a_table(page: Page, place: Place):
    page.goto(place.run("guide", 1))
    expect(page.locator("table.sheet th")).to_have_text(["moon", "days"])
    expect(page.locator("table.sheet tbody tr").first.locator("td")).to_have_text(["Triton", "5.877"])
    expect(page.locator("table.sheet tbody tr").nth(1).locator("td").first).to_have_text(EVIL)


def test_markup_and_links_in_every_field_of_text_are_text(page: Page, place: Place):
    page.goto(f"{place.address}#/runs?filter=question_id%3Aq2")
    expect(rows(page)).to_have_count(1)
    expect(rows(page).locator(".question")).to_contain_text(EVIL)
    rows(page).first.click()
    expect(page.locator("h1")).to_contain_text(EVIL)
    expect(page.locator(".answer-text").first).to_contain_text(LINK)
    for number, where in ((1, ".thought-text"), (1, ".query"), (2, ".hit strong"), (2, ".passage"), (3, ".passage")):
        page.locator(f"#step-{number}").click()
        expect(page.locator(".panel-head h2")).to_have_text(f"Step {number} of 4")
        expect(page.locator(where).filter(has_text=EVIL).first).to_be_visible()
    assert page.locator("main script, main [onerror], main a[href^=javascript]").count() == 0


def test_a_citation_leads_to_where_the_document_was_found(page: Page, place: Place):
    page.goto(place.run("guide"))
    page.locator(".citations a", has_text="Triton").click()
    expect(page.locator(".panel-head h2")).to_have_text("Step 2 of 4")
    expect(page.locator('[data-hit="texts:triton"]')).to_be_focused()
    expect(page.locator('[data-hit="texts:triton"] .chip')).to_have_text("cited")


def test_the_budget_is_told_in_numbers(page: Page, place: Place):
    page.goto(place.run("guide"))
    gauge = page.locator(".summary .gauge")
    expect(gauge).to_contain_text("$0.0023 of $0.05 spent")
    expect(gauge.locator(".legend")).to_contain_text("$0.048 left")


def test_a_filter_that_is_wrong_is_told_in_place_and_a_right_one_is_kept_in_the_address(place: Place):
    with watched(place.browser, place.address, expected=(400,)) as page:
        page.goto(place.address)
        rows(page).first.wait_for()
        page.keyboard.press("/")
        page.keyboard.type("usd>cheap")
        expect(page.locator(".filter-error")).to_be_visible()
        expect(page.locator(".filter")).to_have_attribute("aria-invalid", "true")
        page.locator(".filter").fill("policy:hasty")
        expect(rows(page)).to_have_count(1)
        expect(page.locator(".filter-error")).to_be_hidden()
        assert page.url.endswith("#/runs?filter=policy%3Ahasty")
        page.reload()
        expect(rows(page)).to_have_count(1)


def test_names_of_fields_are_completed(page: Page, place: Place):
    page.goto(place.address)
    rows(page).first.wait_for()
    page.keyboard.press("/")
    page.keyboard.type("pol")
    expect(page.locator(".completions li").first).to_contain_text("policy:")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    expect(page.locator(".filter")).to_have_value("policy:")


def test_a_heading_sorts_and_says_so(page: Page, place: Place):
    page.goto(place.address)
    page.get_by_role("button", name="Steps").click()
    expect(rows(page).first.locator(".steps")).to_have_text(str(STEPS))
    expect(page.locator("[aria-sort]")).to_have_attribute("aria-sort", "descending")
    page.get_by_role("button", name="Steps").click()
    expect(rows(page).first.locator(".steps")).to_have_text("2")


def test_a_run_that_is_not_there_is_said_in_a_sentence(place: Place):
    with watched(place.browser, place.address, expected=(404,)) as page:
        page.goto(f"{place.address}#/run/nobody")
        expect(page.locator(".problem")).to_be_visible()


def test_an_address_that_names_no_page_shows_the_runs(place: Place):
    with watched(place.browser, place.address) as page:
        for name in ("constructor", "__proto__", "nothing"):
            page.goto(f"{place.address}#/{name}")
            expect(rows(page).first).to_be_visible()
            page.goto("about:blank")


def test_a_saved_view_comes_back_with_its_filter(page: Page, place: Place):
    page.goto(f"{place.address}#/runs?filter=policy%3Aguide&sort=usd")
    page.get_by_role("button", name="Save view").click()
    page.get_by_label("Name").fill("dear ones")
    page.keyboard.press("Enter")
    expect(page.locator(".views select")).to_have_value("dear ones")
    page.goto(place.address)
    page.locator(".views select").select_option("dear ones")
    expect(rows(page)).to_have_count(2)
    page.get_by_role("button", name="Delete view").click()
    expect(page.locator(".views select")).to_be_hidden()


@pytest.mark.parametrize("policy", ["guide", "patient"])
def test_a_narrow_screen_scrolls_in_one_direction_only(place: Place, policy: str):
    with watched(place.browser, place.address, viewport=NARROW) as page:
        for where in (place.address, place.run(policy), place.run(policy, 1), place.run(policy, 2)):
            page.goto(where)
            page.locator(".row.active, .card, .panel-head").locator("visible=true").first.wait_for()
            assert page.evaluate("document.documentElement.scrollWidth") == NARROW["width"]


def test_dark_is_kept_for_the_next_visit(page: Page, place: Place):
    page.goto(place.address)
    rows(page).first.wait_for()
    colour = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(colour)
    page.keyboard.press("d")
    dark = page.evaluate(colour)
    assert dark != light
    page.reload()
    rows(page).first.wait_for()
    assert page.evaluate(colour) == dark


def test_a_long_run_draws_what_is_in_view_and_any_step_can_be_gone_to(page: Page, place: Place):
    page.goto(place.run("patient", STEPS))
    expect(page.locator(".card.active")).to_contain_text("answer")
    assert page.locator(".card").count() < STEPS
    expect(page.locator("[role=option]").first).to_have_attribute("aria-setsize", str(STEPS))


def test_a_run_of_thirty_steps_is_drawn_at_once(place: Place):
    """benchmarks/viewer_draw.py measures it; here the machine may be busy, and the bound is loose."""
    assert min(drawn_ms(place.browser, place.run("patient"), STEPS) for _ in range(3)) < 1500


def test_a_new_run_appears_by_itself_and_one_stays_where_one_was(place: Place):
    with watched(place.browser, place.address) as page:
        page.goto(place.address)
        expect(page.locator(".live")).to_have_text("live")
        rows(page).first.wait_for()
        page.keyboard.press("j")
        before = page.locator(".row.active").inner_text()
        total = int(page.locator(".told").inner_text().split()[0])
        with recording(place.library, place.log) as take:
            take.run("hasty", "What is new?", "q9")
        expect(page.locator(".told")).to_contain_text(f"{total + 1} runs")
        expect(rows(page).first).to_contain_text("What is new?")
        assert page.locator(".row.active").inner_text() == before


def test_a_policy_that_came_into_the_log_can_be_compared_without_loading_anew(place: Place, tmp_path: Path):
    log = tmp_path / "runs"
    with recording(place.library, log) as take, serving(log, cache=tmp_path / "index.sqlite") as address:
        take.run("hasty")
        with watched(place.browser, address) as page:
            page.goto(address)
            expect(rows(page)).to_have_count(1)
            take.run("guide", usd=0.05)
            expect(rows(page)).to_have_count(2)
            page.keyboard.press("c")
            expect(page.locator(".compare .rows .row")).to_contain_text(QUESTION)


def test_a_run_under_way_grows_and_what_was_unfolded_stays(place: Place):
    GO_ON.clear()
    with recording(place.library, place.log) as take, watched(place.browser, place.address) as page:
        running = threading.Thread(target=take.run, args=("held", "What is under way?", "q10"))
        running.start()
        try:
            page.goto(f"{place.address}#/runs?filter=question_id%3Aq10")
            expect(rows(page).locator(".verdict.running")).to_be_visible()
            rows(page).first.click()
            expect(page.locator(".verdicts")).to_have_text("●runningIt is under way")
            page.locator("#step-1").click()
            page.locator(".hit summary").first.click()
            page.locator(".hit summary").first.focus()
        finally:
            GO_ON.set()
        expect(page.locator(".card")).to_have_count(2)
        expect(page.locator(".verdicts")).to_contain_text("It answered")
        expect(page.locator(".panel-head h2")).to_have_text("Step 1 of 2")
        expect(page.locator(".hit details").first).to_have_attribute("open", "")
        expect(page.locator(".hit summary").first).to_be_focused()
        running.join()


def test_an_empty_log_says_how_to_record(place: Place, tmp_path: Path):
    (tmp_path / "runs").mkdir()
    with (
        serving(tmp_path / "runs", cache=tmp_path / "index.sqlite") as address,
        watched(place.browser, address) as page,
    ):
        page.goto(address)
        expect(page.locator(".empty-state")).to_contain_text("polyroute ask")
        assert faults(page) == []


def test_a_token_is_taken_from_the_address_and_leaves_it(place: Place, tmp_path: Path):
    with serving(place.log, token="s3cret%", cache=tmp_path / "index.sqlite") as address:
        with watched(place.browser, address) as page:
            page.goto(f"{address}#token=s3cret%")  # as one types it, the % not encoded
            rows(page).first.wait_for()
            expect(page.locator(".live")).to_have_text("live")
            assert "s3cret" not in page.url
            page.reload()
            rows(page).first.wait_for()
        with watched(place.browser, address, expected=(401,)) as page:
            page.goto(address)
            expect(page.locator(".problem")).to_contain_text("token")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(place: Place, scheme: str):
    with watched(place.browser, place.address, color_scheme=scheme) as page:
        for where, seen in (
            (place.address, ".row"),
            (place.run("guide"), ".card"),
            (place.run("guide", 1), ".options"),
            (place.run("guide", 2), ".hit"),
        ):
            page.goto(where)
            page.locator(seen).first.wait_for()
            assert faults(page) == [], where
        page.keyboard.press("?")
        assert faults(page) == []
