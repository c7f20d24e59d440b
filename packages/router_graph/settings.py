"""router.yaml: knowledge bases, pool, policy, limits and rules of a router, in a file.

`settings_live.load_router` opens what it names.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from pydantic import BeforeValidator, ConfigDict, Field

from router_graph.context import RouterContext
from router_graph.errors import RouterError, SettingsError
from router_graph.pool.card import ModelCard
from router_graph.pool.pool_file import PoolFile
from router_graph.rules import Exclusion
from router_graph.settings_file import Place, SettingsFile
from router_graph.validation import Settings

DEFAULT_FILE = "router.yaml"
FILE_VARIABLE = "POLYROUTE_CONFIG"
_KB_FOLDER, _POOL_FILE = "polyroute-kb", "pool.yaml"

VARIABLES: dict[str, Place] = {
    "POLYROUTE_KB": ("knowledge",),
    "POLYROUTE_POOL": ("pool",),
    "POLYROUTE_POLICY": ("policy",),
    "POLYROUTE_PROTOCOL": ("protocol",),
    "POLYROUTE_CHECKPOINTS": ("checkpoints",),
    "POLYROUTE_RUNS": ("runs",),
    "POLYROUTE_MAX_STEPS": ("turn", "max_steps"),
    "POLYROUTE_USD": ("turn", "usd"),
    "POLYROUTE_TOKENS": ("turn", "tokens"),
    "POLYROUTE_SECONDS": ("turn", "seconds"),
    "POLYROUTE_K": ("turn", "k"),
    "POLYROUTE_SEED": ("turn", "seed"),
    "POLYROUTE_EXPLORE": ("turn", "explore"),
}
"""Environment variables that stand above the file, and what they set."""


class KnowledgePart(Settings):
    """Which knowledge bases there are."""

    mistake = SettingsError
    model_config = ConfigDict(use_attribute_docstrings=True)

    location: str = "auto"
    """A folder of knowledge bases, the http://host:port of a Chroma server, `auto` for the folder polyroute-kb beside
    the file, or `none`."""
    only: list[str] | None = None
    """Their names; all that there are, if left out."""


class PoolPart(PoolFile):
    """Which models there are: a pool file, or what else would stand in one."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    file: str | None = None
    """A pool file, `auto` for the pool.yaml beside this file, if there is one, or `none`."""
    models: list[ModelCard] = Field(default_factory=list)  # type: ignore[assignment]
    """The cards, as in a pool file."""

    def problem(self) -> str | None:
        """What is wrong between fields, if anything."""
        if self.file is None:
            return super().problem()
        if self.models or self.fallbacks or self.replies or self.mote:
            return f"it names the file {self.file!r}, and models beside it; they stand in the one or the other."
        return None


class TurnPart(RouterContext):
    """What holds in every turn that does not say otherwise: limits and preferences."""

    @classmethod
    def named(cls, data: Any, problem: str) -> str:
        """The problem alone; the line says where it is."""
        return problem

    def problem(self) -> str | None:
        """What is wrong between fields, if anything."""
        for field in _AT_THE_TOP:
            if getattr(self, field) is not None:
                return f"{field!r} stands at the top of the file, and not under 'turn'."
        return None


_AT_THE_TOP = ("policy", "protocol")


def _part(key: str) -> BeforeValidator:
    """The section that one word stands for."""
    return BeforeValidator(lambda value: {key: value} if isinstance(value, str) else value)


class RouterFile(Settings):
    """What a router.yaml may hold. Raises `SettingsError`."""

    mistake = SettingsError
    model_config = ConfigDict(use_attribute_docstrings=True, title="router.yaml")

    knowledge: Annotated[KnowledgePart, _part("location")] = KnowledgePart()
    """Which knowledge bases there are: a location, or `location` and `only`."""
    pool: Annotated[PoolPart, _part("file")] = PoolPart(file="auto")
    """Which models there are: a pool file, or `models`, `fallbacks`, `retries` and `replies`."""
    policy: str | None = None
    """Who decides: `heuristic`, `gate`, `fanout`, …, the name of a model of the pool, or a LiteLLM id such as
    openai/gpt-4o-mini. Left out: `heuristic` where there are knowledge bases, else `cheapest`."""
    protocol: str | None = None
    """How the policy is spoken to: `tags`, `router_r1`, `r1_router` or `tool_calls`."""
    advice: str | None = None
    """What a policy that is a language model should know about whom to ask, in a paragraph: it reads it at every step.
    A policy that was trained in a protocol of its own does not. `polyroute train reflect --write` finds it."""
    descriptions: dict[str, str] = Field(default_factory=dict)
    """What a policy reads of a source, by its key: of `kb:NAME` in place of its description, of `llm:NAME` in place of
    its card's strengths."""
    turn: TurnPart = TurnPart()
    """Limits and preferences of every question."""
    exclusions: list[Exclusion] = Field(default_factory=list)
    """Which knowledge bases must never meet which models."""
    checkpoints: str = "none"
    """Where threads are kept: `none`, `memory`, or the path of an SQLite file."""
    runs: str = "none"
    """The folder that each run is recorded in, to learn from, or `none`."""


@dataclass(frozen=True)
class Sources:
    """The settings that hold, and where each was said."""

    settings: RouterFile
    file: SettingsFile
    said: Mapping[Place, str]
    """Who says what the file does not: the variable, or nothing for an argument."""

    def where(self, place: Place) -> str:
        """What to put before a message about a place; empty for an argument."""
        for n in range(len(place), 0, -1):
            if place[:n] in self.said:
                return self.said[place[:n]]
        return self.file.where(place)

    def of_file(self, place: Place) -> bool:
        """Whether the file says what holds there, or nobody does."""
        return not any(place[:n] in self.said for n in range(1, len(place) + 1))

    def sentence(self, place: Place, problem: str) -> str:
        """The problem with the file and line, or the variable, before it."""
        where = self.where(place)
        return self.file.hidden(f"{where}: {problem}" if where else problem)

    def path(self, place: Place, text: str) -> Path:
        """A path as it is meant: relative to the file that says it, else to the working directory."""
        path = Path(text).expanduser()
        return self.file.folder / path if self.of_file(place) else path

    def knowledge_location(self) -> str | Path | None:
        """A folder of knowledge bases, or the address of a Chroma server; None where there shall be none."""
        location = self.settings.knowledge.location
        if location == "none":
            return None
        if location == "auto":
            return self.file.folder / _KB_FOLDER
        return location if "://" in location else self.path(("knowledge",), location)

    def pool_path(self) -> Path | None:
        """The pool file; None where there is none, or the models stand in the settings themselves."""
        file = self.settings.pool.file
        if file is None or file == "none":
            return None
        if file == "auto":
            path = self.file.folder / _POOL_FILE
            return path if path.exists() else None
        return self.path(("pool",), file)


def read_settings(path: str | Path | None = None, **arguments: Any) -> Sources:
    """The settings that hold: arguments over environment over file. None is no argument.

    `path` is the file; else POLYROUTE_CONFIG, else router.yaml of the working directory, if there is one. `arguments`
    are fields of `RouterFile` and of `RouterContext`. Raises `SettingsError`, which names the line, or the variable.
    """
    file = _file(path)
    data, said = dict(file.data), dict[Place, str]()
    given: list[tuple[Place, Any, str]] = [
        (place, value, name) for name, place in VARIABLES.items() if (value := os.environ.get(name))
    ]
    given += [(_place(name), value, "") for name, value in arguments.items() if value is not None]
    for place, value, name in given:
        if place[0] == "turn" and isinstance(data.get("turn", {}), dict):
            data["turn"] = {**data.get("turn", {}), place[-1]: value}
        elif place[0] == "turn":
            continue  # the file's mistake is told below
        else:
            data[str(place[0])] = value
        said[place] = name
    unchecked = Sources(RouterFile(), file, said)
    _check(RouterFile, data, (), unchecked)
    return Sources(RouterFile.model_validate(data), file, said)


def router_schema() -> dict[str, Any]:
    """The JSON schema of router.yaml, for editors. Numbers may be written as `${VARIABLE}` too."""
    schema = RouterFile.model_json_schema()
    for field in _AT_THE_TOP:
        del schema["$defs"]["TurnPart"]["properties"][field]
    sections = schema["properties"]
    for field in ("knowledge", "pool"):
        about = {key: sections[field].pop(key) for key in ("description", "default") if key in sections[field]}
        sections[field] = {**about, "anyOf": [{"type": "string"}, {"$ref": f"#/$defs/{field.title()}Part"}]}
    del sections["pool"]["default"], sections["knowledge"]["default"], sections["turn"]["default"]
    loosened: dict[str, Any] = _loosened(schema)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **loosened}


def _file(path: str | Path | None) -> SettingsFile:
    named = path or os.environ.get(FILE_VARIABLE)
    if named is None and not Path(DEFAULT_FILE).exists():
        return SettingsFile(DEFAULT_FILE, Path(), {})
    return SettingsFile.read(named or DEFAULT_FILE)


def _place(argument: str) -> Place:
    if argument in RouterFile.model_fields:
        return (argument,)
    if argument in RouterContext.model_fields:
        return ("turn", argument)
    raise SettingsError(f"{argument!r} is no setting of a router.")


def _check(model: type[Settings], data: Any, place: Place, sources: Sources) -> None:
    """Validate what is inside first, so that a mistake is found in the smallest part that has it."""
    for name, field in model.model_fields.items():
        inner = next(_settings_in(field.annotation), None)
        value = data.get(name)
        if inner is None or value is None:
            continue
        is_list, is_map = (get_origin(field.annotation) is kind for kind in (list, dict))
        entries: list[tuple[Place, Any]] = [((), value)]
        if is_list and isinstance(value, list):
            entries = [((n,), one) for n, one in enumerate(value)]
        elif is_map and isinstance(value, dict):
            entries = [((key,), one) for key, one in value.items()]
        for inside, one in entries:
            at: Place = (*place, name, *inside)
            if isinstance(one, dict):
                _check(inner, one, at, sources)
            elif is_list or not isinstance(one, str):
                raise SettingsError(sources.sentence(at, f"{name!r} holds keys and values, and not {one!r}."))
    try:
        model.model_validate(data)
    except RouterError as error:
        where, problem = _inside(error), str(error)
        if not place and len(where) == 1 and where[0] in RouterContext.model_fields and "no known key" in problem:
            problem = f"{where[0]!r} is a limit or preference of a turn; put it under 'turn:'."
        raise SettingsError(sources.sentence((*place, *where), problem)) from None


def _settings_in(annotation: Any) -> Iterator[type[Settings]]:
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        yield annotation
    for one in get_args(annotation):
        yield from _settings_in(one)


def _inside(error: RouterError) -> Place:
    """Where in its model the problem is that `Settings` put into a sentence."""
    from pydantic import ValidationError

    if not isinstance(error.__context__, ValidationError):
        return ()
    found = error.__context__.errors(include_url=False)
    return tuple(min(found, key=lambda one: one["type"] != "extra_forbidden")["loc"])


def _loosened(node: Any) -> Any:
    if isinstance(node, list):
        return [_loosened(one) for one in node]
    if not isinstance(node, dict):
        return node
    if node.get("type") in ("integer", "number", "boolean"):
        about = {key: value for key, value in node.items() if key in ("title", "description", "default")}
        strict = {key: value for key, value in node.items() if key not in about}
        return {**about, "anyOf": [strict, {"type": "string", "pattern": r"\$\{.+\}"}]}
    return {key: _loosened(value) for key, value in node.items()}
