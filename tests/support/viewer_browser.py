"""A Chromium that watches what a page does, and a viewer to point it at."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, sync_playwright
from starlette.applications import Starlette
from starlette.routing import Mount

from router_graph.viewer.app import viewer_app

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
SERIOUS = {"serious", "critical"}
AXE = """async () => (await axe.run(document, {resultTypes: ["violations"]})).violations
    .map(({id, impact, nodes}) => ({id, impact, where: nodes.map((node) => node.target + ": " + node.html)}))"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """The system's Chromium; the test is skipped where there is none."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("there is no Chromium on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def serving(log: Path, **options: Any) -> Iterator[str]:
    """The viewer of a log on a free port; its address, `/app/` included."""
    pages = viewer_app(log, **options)
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(Starlette(routes=[Mount("/app", pages)]), log_level="critical", timeout_graceful_shutdown=0)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/app/"
    server.should_exit = True
    thread.join(5)
    pages.state.viewer.close()
    listener.close()


@contextmanager
def watched(browser: Browser, address: str, **options: Any) -> Iterator[Page]:
    """A page of its own. It asks nobody but the viewer, runs nothing of a document, and complains of nothing.

    `expected` in `options`: statuses that the server may answer, as a missing run's 404; the console tells of them.
    """
    expected = options.pop("expected", ())
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
    page = context.new_page()
    page.set_default_timeout(10_000)
    told: list[str] = []
    asked: list[str] = []
    page.on("console", lambda one: told.append(one.text) if one.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    yield page
    hacked = page.evaluate("window.hacked")
    context.close()
    known = [f"status of {status} " for status in expected]
    assert [one for one in told if not any(part in one for part in known)] == []
    assert [one for one in asked if not one.startswith((address, "data:", "blob:"))] == []
    assert hacked is None


def faults(page: Page) -> list[dict[str, Any]]:
    """What axe-core finds that is serious or critical."""
    page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8"))
    return [one for one in page.evaluate(AXE) if one["impact"] in SERIOUS]


def drawn_ms(browser: Browser, address: str, cards: int) -> float:
    """Milliseconds from the navigation to the address of a run until its last card is painted, with an empty cache."""
    context = browser.new_context(viewport={"width": 1280, "height": 6000})
    page = context.new_page()
    page.add_init_script(_CLOCK % cards)
    page.goto(address)
    took = float(page.evaluate("window.drawn"))
    context.close()
    return took


_CLOCK = """
window.drawn = new Promise((resolve) => new MutationObserver((_, watching) => {
  if (document.querySelectorAll(".card").length < %d) return;
  watching.disconnect();
  requestAnimationFrame(() => requestAnimationFrame(() => resolve(performance.now())));
}).observe(document, { childList: true, subtree: true }));
"""
"""Two frames after the last card came into the document, it is on the screen."""
