"""What is left of an evaluation: JSON for programs, Markdown and a page with pictures for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from router_graph.evaluation.comparing import as_json
from router_graph.evaluation.evaluating import Evaluation
from router_graph.evaluation.page import page
from router_graph.evaluation.tables import HEADINGS, escaped, markdown

FILES = ("results.json", "results.md", "results.html")


def write(done: Evaluation, folder: Path) -> None:
    """Write all of it into the folder."""
    told = {
        "suite": done.name,
        "title": done.title,
        "metric": done.metric,
        "cost": done.cost,
        **done.about,
        "facts": dict(done.facts),
        "notes": list(done.notes),
        "policies": [as_json(row) for row in done.rows],
        "published": [asdict(one) for one in done.published],
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILES[0]).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    (folder / FILES[1]).write_text(section(done), encoding="utf-8")
    (folder / FILES[2]).write_text(page(done), encoding="utf-8")


def section(done: Evaluation) -> str:
    """The evaluation as a section of a document in Markdown."""
    table = markdown(done.rows, done.metric, done.cost, published=done.published)
    metric, cost = (HEADINGS.get(name, name) for name in (done.metric, done.cost))
    return (
        f"## {escaped(done.title)}\n\n{about_line(done.about)} {done.about['side_by_side']} questions side by side; "
        f"{metric} decides; cost: {cost}.\n\n{table}\n" + "".join(f"- {escaped(note)}\n" for note in done.notes)
    )


def about_line(about: Mapping[str, Any]) -> str:
    """The command and the versions."""
    versions = ", ".join(f"{name} {one}" for name, one in about["versions"].items())
    return f"`{about['command']}`\n\nPython {about['python']}, {versions}."
