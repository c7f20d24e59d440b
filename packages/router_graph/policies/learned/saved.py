"""Learned policies on disk: JSON that people can read and compare, with what it was learned from."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal, cast, get_args

from router_graph.errors import SettingsError
from router_graph.policies.gate import Gate, Thresholds
from router_graph.policies.learned.competence import ByCompetence
from router_graph.policies.learned.decided import Stage, State
from router_graph.policies.learned.handbook import Book, Competence, Handbook, Place
from router_graph.policies.learned.kinds import Kinds
from router_graph.policies.learned.knn import Knn, Memory
from router_graph.policies.policy import ChoicePolicy

Sort = Literal["handbook", "knn", "gate"]
SORTS: Mapping[str, Sort] = {"handbook": "handbook", "knn": "knn", "gate": "gate"}
VERSION = 1
"""Of the files."""


def save(policy: Handbook | Knn | Gate, path: str | Path, *, learned: Mapping[str, Any] | None = None) -> None:
    """Write it. `learned` goes in with it, where the policy does not know what it was learned from (a gate)."""
    match policy:
        case Handbook(book=book):
            sort: Sort = "handbook"
            facts = _of_book(book)
            told = dict(book.learned)
        case Knn(memory=memory):
            sort = "knn"
            facts = {"neighbours": memory.neighbours, "rows": [list(row) for row in memory.rows]}
            told = dict(memory.learned)
        case Gate():
            sort = "gate"
            at = policy.thresholds
            facts = {"thresholds": {"top": at.top, "margin": at.margin, "words": at.words, "coverage": at.coverage}}
            told = {}
    head: dict[str, Any] = {"policy": sort, "version": VERSION, "learned": {**told, **(learned or {})}}
    if isinstance(policy, ByCompetence):
        head |= {"usd_weight": policy.usd_weight, "draws": policy.draws}
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    part.write_text(_written({**head, **facts}), encoding="utf-8")
    part.replace(path)


def load(path: str | Path, sort: Sort | None = None, *, options: Collection[str] | None = None) -> ChoicePolicy:
    """The policy of a file, of this sort if one is named.

    `options` are the keys of the graph that it is to work in. Raises `SettingsError` where the file is missing or is
    none, and where a handbook or a kNN knows no route of that graph.
    """
    path = Path(path).expanduser()
    told = _read(path)
    given = told.get("policy")
    if given not in SORTS or told.get("version") != VERSION:
        raise SettingsError(
            f"{path} is no learned policy of version {VERSION}; write one with `polyroute train {sort or 'handbook'}`."
        )
    if sort is not None and given != sort:
        raise SettingsError(f"{path} holds a {given}, and no {sort}; name it as {given}:{path}.")
    try:
        policy = _made(told)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SettingsError(
            f"{path} is damaged ({type(error).__name__}: {error}); write it again with `polyroute train {given}`."
        ) from None
    policy.seen = frozenset(map(str, told["learned"].get("marks", ())))
    if options is not None and isinstance(policy, ByCompetence):
        _check(policy, path, options)
    return policy


def learned_of(path: str | Path) -> dict[str, Any]:
    """What a file says that its policy was learned from. Raises `SettingsError`."""
    return dict(_read(Path(path).expanduser()).get("learned") or {})


def _read(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be read ({error.strerror}); give a file that `polyroute train handbook`, `knn` or `gate` "
            "has written."
        ) from None
    except ValueError as error:
        raise SettingsError(f"{path} is no JSON ({error}); write it again with `polyroute train`.") from None
    return told if isinstance(told, dict) else {}


def _made(told: Mapping[str, Any]) -> ChoicePolicy:
    if told["policy"] == "gate":
        at = told["thresholds"]
        return Gate(Thresholds(float(at["top"]), float(at["margin"]), int(at["words"]), float(at["coverage"])))
    how: dict[str, Any] = {"usd_weight": float(told["usd_weight"]), "draws": bool(told["draws"])}
    if told["policy"] == "knn":
        rows = tuple((str(one[0]), _stage(one[1]), str(one[2]), str(one[3]), _quality(one[4])) for one in told["rows"])
        return Knn(Memory(rows, int(told["neighbours"]), told["learned"]), **how)
    kinds = Kinds(tuple(str(word) for word in told["kinds"]))
    pages = {_place(one): Competence(float(one["good"]), int(one["seen"])) for one in told["pages"]}
    if any(not 0 <= one.good <= one.seen for one in pages.values()):
        raise ValueError("a page that cannot be")
    return Handbook(Book(kinds, pages, told["learned"]), **how)


def _of_book(book: Book) -> dict[str, Any]:
    pages = [
        {**state._asdict(), "kind": kind, "option": key, "good": one.good, "seen": one.seen}
        for (state, kind, key), one in sorted(book.pages.items())
    ]
    return {"kinds": list(book.kinds.words), "pages": pages}


def _written(told: Mapping[str, Any]) -> str:
    """JSON, a page or a row on each line: two versions can be compared with `diff`."""
    lines = []
    for key, value in told.items():
        if isinstance(value, list) and value:
            rows = ",\n".join(f"  {json.dumps(one, ensure_ascii=False)}" for one in value)
            lines.append(f" {json.dumps(key)}: [\n{rows}\n ]")
        else:
            lines.append(f" {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _place(page: Mapping[str, Any]) -> Place:
    return State(_stage(page["stage"]), str(page["source"])), str(page["kind"]), str(page["option"])


def _stage(given: Any) -> Stage:
    if given not in get_args(Stage):
        raise ValueError(f"there is no stage {given!r}")
    return cast(Stage, given)


def _quality(given: Any) -> float:
    if not 0 <= (quality := float(given)) <= 1:
        raise ValueError(f"a quality of {quality:g}")
    return quality


def _check(policy: ByCompetence, path: Path, options: Collection[str]) -> None:
    routes = [key for key in policy.options if key != "answer"]
    if routes and not set(routes) & set(options):
        here = ", ".join(sorted(key for key in options if key != "answer")) or "nobody"
        raise SettingsError(
            f"{path} was learned on other sources ({', '.join(sorted(routes))}), and here there is {here}; learn it "
            "from runs of this graph."
        )
