"""Python and the packages that this one needs, by what their metadata says: nothing is imported."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Iterator
from importlib import metadata

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from router_graph.doctor.finding import Finding, ok, problem, warning

PACKAGE = "polyroute"
EXTRAS = {
    "embed": "polyroute kb add, kb search and ask over knowledge bases (MiniLM, the default embedding)",
    "mote": "polyroute mote, and the policies local:FOLDER",
    "train": "polyroute train, and runs compact",
    "agents": "RouterMiddleware and create_agent",
    "serve": "langgraph dev",
}
"""What each extra brings; those of developers are left out."""
_PYTHON = ">=3.11"


def installation() -> Iterator[Finding]:
    """Is what is installed what is needed?"""
    yield python(sys.version_info[:3])
    try:
        needed = metadata.requires(PACKAGE) or []
        version = metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        yield problem(f"{PACKAGE} is not installed, only its files are there", "pip install -e .")
        return
    faults = list(_lacking(needed, extra=""))
    yield from (problem(what, f"pip install {shlex.quote(str(one))}") for one, what in faults)
    if not faults:
        yield ok(f"polyroute {version}, with all the packages that it needs")
    known = metadata.metadata(PACKAGE).get_all("Provides-Extra") or []
    for extra, brings in EXTRAS.items():
        if extra not in known:
            yield warning(f"What is installed knows no extra {extra}: it is older than its files", "pip install -e .")
            continue
        lacking = list(_lacking(needed, extra=extra))
        if not lacking:
            yield ok(f"The extra {extra}: {brings}")
            continue
        yield warning(
            f"The extra {extra} is not whole ({'; '.join(what for _, what in lacking)}); it brings {brings}",
            f"pip install 'polyroute[{extra}]'",
        )


def python(version: Iterable[int]) -> Finding:
    """Is this Python new enough?"""
    try:
        wanted = str(metadata.metadata(PACKAGE).json.get("requires_python") or _PYTHON)
    except metadata.PackageNotFoundError:
        wanted = _PYTHON
    have = ".".join(map(str, version))
    try:
        if have in SpecifierSet(wanted):
            return ok(f"Python {have}")
    except InvalidSpecifier:
        return ok(f"Python {have}")
    return problem(f"Python {have} is here, and {wanted} is needed", "python3.12 -m venv .venv")


def _lacking(needed: Iterable[str], *, extra: str) -> Iterator[tuple[Requirement, str]]:
    """The requirements of an extra, or of the package itself, that do not hold, and why."""
    for text in needed:
        try:
            one = Requirement(text)
        except InvalidRequirement:
            continue
        if one.marker is not None and not one.marker.evaluate({"extra": extra}):
            continue
        if extra and one.marker is None:
            continue
        one.marker = None
        try:
            have = metadata.version(one.name)
        except metadata.PackageNotFoundError:
            yield one, f"{one.name} is missing"
            continue
        if not one.specifier.contains(have, prereleases=True):
            yield one, f"{one.name} is {have}, and {one.specifier} is needed"
