"""The site builds without a network, fetches nothing from elsewhere, and its pages and their search work as files."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).parents[2]
CHROMIUM = Path("/usr/bin/chromium")
QUIET = """--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
--disable-component-update --disable-sync""".split()
FETCHED = re.compile(
    r"<(?:script|img|iframe|source|video|audio|embed)\b[^>]*\bsrc=[\"']?(?:https?:)?//"
    r"|<link\b(?![^>]*\brel=[\"']?canonical)[^>]*\bhref=[\"']?(?:https?:)?//"
    r"|@import|url\([\"']?(?:https?:)?//"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM} to look at the pages with")
    with sync_playwright() as player:
        chromium = player.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield chromium
        chromium.close()


def test_no_page_fetches_anything_from_elsewhere(site: Path) -> None:
    pages = [*site.rglob("*.html"), *site.rglob("*.css")]
    assert len(pages) > 30
    found = {str(page.relative_to(site)): FETCHED.findall(page.read_text(encoding="utf-8")) for page in pages}
    assert not {page: what for page, what in found.items() if what}


def test_formulas_are_drawn_without_a_script_and_none_is_left_as_text(site: Path) -> None:
    formulas = {page.name: page.read_text(encoding="utf-8") for page in (site / "explanation").glob("*.html")}
    assert sum(text.count("<math") for text in formulas.values()) > 60
    assert not [name for name, text in formulas.items() if "ELUMROF" in text or re.search(r"\\(frac|sum|mathrm)", text)]


def test_commands_settings_and_public_names_are_in_the_reference(site: Path) -> None:
    def text(name: str) -> str:
        return (site / "reference" / f"{name}.html").read_text(encoding="utf-8")

    assert all(
        f'id="polyroute-{name}"' in text("cli") for name in ("ask", "kb-add", "train-rft", "mote-select", "eval")
    )
    assert "--budget-usd" in text("cli")
    assert (
        "max_steps" in text("settings") and "POLYROUTE_USD" in text("settings") and "api_key_env" in text("pool-file")
    )
    import kb_tools
    import mote_backend
    import router_graph

    for package, page in ((router_graph, "router-graph"), (kb_tools, "kb-tools"), (mote_backend, "mote-backend")):
        shown = set(re.findall(r'id="[\w.]*?(\w+)"', text(f"api-{page}")))
        assert not set(package.__all__) - shown - {"route_after_think"}


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_pages_opened_as_files_work_with_no_network_and_no_error(mode: str, site: Path, browser: Browser) -> None:
    context = browser.new_context(color_scheme=mode, viewport={"width": 390, "height": 800})  # type: ignore[arg-type]
    context.route(re.compile(r"^https?:"), lambda route: route.abort())
    page, problems = context.new_page(), list[str]()
    page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("requestfailed", lambda request: problems.append(request.url))
    for name in ("index.html", "explanation/off-policy.html"):
        page.goto((site / name).as_uri())
        assert page.locator("article h1").count() == 1
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.goto((site / "index.html").as_uri())
    dark = page.evaluate("document.body.getAttribute('data-md-color-scheme')") == "slate"
    assert dark == (mode == "dark")
    _search(page, "propensity")
    assert problems == []
    context.close()


def _search(page: Page, words: str) -> None:
    page.locator("label[for=__search]").first.click()
    page.locator("input.md-search__input").press_sequentially(words)
    page.locator(".md-search-result__link").first.wait_for(timeout=10_000)
