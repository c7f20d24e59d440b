"""Everything that `polyroute doctor` looks at, in the order in which one thing needs the other."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from router_graph.doctor.finding import Finding, mending, ok, problem
from router_graph.errors import RouterError
from router_graph.settings import DEFAULT_FILE, FILE_VARIABLE, RouterFile, Sources, read_settings
from router_graph.settings_file import SettingsFile

RUNS_FOLDER = "runs"
"""Where the commands look for runs if nobody says otherwise."""


@dataclass(frozen=True, slots=True)
class Part:
    """Findings of one kind, under a heading."""

    name: str
    findings: list[Finding]


def examine(config: Path | None, *, offline: bool = False, deep: bool = False, strict: bool = False) -> Iterator[Part]:
    """Each part once it was looked at. Nothing is written, and no model is asked. A check that breaks is a problem of
    its own; where `strict`, it raises."""
    from router_graph.doctor import decider, installation, knowledge, log, machine, models

    def part(name: str, *found: Iterable[Finding]) -> Part:
        return Part(name, [one for findings in found for one in (findings if strict else _safe(findings))])

    yield part("Installation", installation.installation())
    said: list[Sources] = []
    yield part("Settings", _settings(config, said))
    sources = said[0] if said else Sources(RouterFile(), SettingsFile(DEFAULT_FILE, Path(), {}), {})
    settings, location = sources.settings, sources.knowledge_location()
    bases = knowledge.knowledge(location, only=settings.knowledge.only, offline=offline, deep=deep)
    yield part("Knowledge bases", bases, knowledge.embedding())
    yield part("Models", models.models(sources, offline=offline))
    if said:
        yield part("Who decides", decider.decider(sources, location, offline=offline))
    wanted = settings.runs != "none"
    folder = sources.path(("runs",), settings.runs) if wanted else Path(RUNS_FOLDER)
    yield part("Runs", log.log(folder, wanted=wanted, deep=deep))
    places = [folder, Path(), *([Path(location)] if location is not None and "://" not in str(location) else [])]
    yield part("Machine", machine.disk(*places), machine.torch(deep=deep))


def _settings(config: Path | None, said: list[Sources]) -> Iterator[Finding]:
    try:
        sources = read_settings(config)
    except RouterError as error:
        file = Path(config or os.environ.get(FILE_VARIABLE) or DEFAULT_FILE)
        remedy = mending(file) if file.exists() else f"polyroute init {shlex.quote(str(file))}"
        yield problem(str(error).rstrip("."), remedy)
        return
    said.append(sources)
    given = sorted({name for name in sources.said.values() if name})
    if given:
        yield ok(f"Set by the environment: {', '.join(given)}")
    if sources.file.data or Path(sources.file.name).exists():
        yield ok(f"{sources.file.name} is valid")
    else:
        yield ok("No router.yaml here: the defaults hold", "polyroute init")


def _safe(findings: Iterable[Finding]) -> Iterator[Finding]:
    """The findings; whatever breaks while they are looked for becomes the last one."""
    try:
        yield from findings
    except Exception as error:
        what = f"This could not be looked at ({type(error).__name__}: {' '.join(str(error).split())})"
        yield problem(what, "polyroute doctor --debug")
