"""A run as one HTML file that needs nothing else: the viewer's own pages with the data in them, without secrets.

What may run in it is named by its hash, so that a text of the run that got into the page as code would not.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from router_graph.trajectories.cut import each_text
from router_graph.trajectories.redact import Secrets
from router_graph.trajectories.shards import as_json
from router_graph.viewer.bundle import parts_of, with_parts


def one_file(static: Path, about: Mapping[str, Any], run: Mapping[str, Any]) -> str:
    """The page of one run. Keys, tokens, passwords and e-mail addresses in any of its texts are taken out."""
    parts = parts_of(static)
    if "</script" in parts.script or "</style" in parts.style:
        raise ValueError("The viewer's own files hold an end tag, which would end them in a page.")
    policy = (
        f"default-src 'none'; script-src '{_hash(parts.script)}'; style-src '{_hash(parts.style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    data = as_json(without_secrets({"about": about, "run": run})).decode().replace("<", "\\u003c")
    head = f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n<style>{parts.style}</style>\n'
    end = f'<script type="application/json" id="data">{data}</script>\n<script type="module">{parts.script}</script>\n'
    return with_parts(parts.page, head, end)


def about_export() -> dict[str, Any]:
    """What the pages of a file have to know: nothing of this machine, and nothing that needs a server."""
    can = {"ask": False, "fork": False, "label": False}
    facts: dict[str, Any] = {"version": version_here(), "log": "", "runs": 1, "damaged": 0, "can": can}
    return {**facts, "indexing": None, "router": None, "policies": [], "mote": [], "fields": []}


def version_here() -> str:
    """Of polyroute; empty where it runs from a folder."""
    try:
        return version("polyroute")
    except PackageNotFoundError:
        return ""


def without_secrets(data: Any) -> Any:
    """The same, with every text redacted, and whole what stands under the name of a secret."""
    secrets = Secrets(emails=True)
    return each_text(data, secrets, secrets.hides)


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
