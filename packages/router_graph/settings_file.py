"""A YAML file as people write it: what it says, in which line, with `${VARIABLE}` replaced."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from router_graph.errors import SettingsError

Place = tuple[str | int, ...]
"""Keys and positions, from the top of the file."""

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_MOST_BYTES, _MOST_VALUES, _DEEPEST = 2**20, 20_000, 50
_SHORTEST_SECRET = 6
"""Characters; what is shorter is no secret, and stands by chance in many a sentence."""


class FromEnvironment(str):
    """A text with values of environment variables in it: whoever prints its `repr` prints their names."""

    written: str
    """How it stands in the file."""

    def __new__(cls, text: str, written: str) -> Self:
        """The text that it comes to, and how it is written."""
        made = super().__new__(cls, text)
        made.written = written
        return made

    def __repr__(self) -> str:
        return repr(self.written)


@dataclass(frozen=True)
class SettingsFile:
    """What a file says, and where."""

    name: str
    """As messages call it."""
    folder: Path
    data: dict[str, Any]
    lines: Mapping[Place, int] = field(default_factory=dict)
    """From 1, of each key and each entry of a list."""

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Raises `SettingsError` with the file's name, and the line where there is one."""
        path = Path(path)
        try:
            data, lines = _parsed(_text(path))
            data = _filled(data, lines)
        except _LineError as error:
            raise SettingsError(f"{path}, line {error.line}: {error}") from None
        except SettingsError as error:
            raise SettingsError(f"{path}: {error}") from None
        return cls(str(path), path.parent, data, lines)

    def where(self, place: Place) -> str:
        """The file and the line of a place, or of what is around it."""
        known = next((place[:n] for n in range(len(place), 0, -1) if place[:n] in self.lines), None)
        return self.name if known is None else f"{self.name}, line {self.lines[known]}"

    def hidden(self, text: str) -> str:
        """The text with what came from the environment called by its variable."""
        for value in _from_environment(self.data):
            for found in _VARIABLE.finditer(value.written):
                secret = os.environ.get(found[1], "")
                if len(secret) >= _SHORTEST_SECRET:
                    text = text.replace(secret, f"${{{found[1]}}}")
        return text


class _LineError(Exception):
    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line = line


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise SettingsError("there is no such file; polyroute init writes one.") from None
    except OSError as error:
        raise SettingsError(f"it cannot be read ({error.strerror}).") from None
    if len(data) > _MOST_BYTES:
        raise SettingsError(f"it has {len(data):,} bytes; a file of settings has at most {_MOST_BYTES:,}.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SettingsError("it is no text in UTF-8.") from None


def _parsed(text: str) -> tuple[dict[str, Any], dict[Place, int]]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        yaml = YAML(typ="safe", pure=True)
        node = yaml.compose(text)
        lines = dict(_lines(node, ())) if node is not None else {}
        data = YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        problem = str(error.problem).split(" with value")[0]  # a key that stands twice: what it holds says nothing
        mark = error.problem_mark or error.context_mark
        raise _LineError(1 if mark is None else mark.line + 1, f"this is no YAML: {problem}.") from None
    except YAMLError as error:
        raise SettingsError(f"it is no YAML ({' '.join(str(error).split())}).") from None
    except (RecursionError, ValueError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())
        raise SettingsError(f"it cannot be read as YAML ({why}).") from None
    if data is None:
        return {}, {}
    if not isinstance(data, dict):
        what = "a list" if isinstance(data, list) else "one value"
        raise SettingsError(f"it holds {what}, and not keys as in `policy: heuristic`.")
    return data, lines


def _lines(node: Any, place: Place) -> Iterator[tuple[Place, int]]:
    """The line of each key and entry. Raises `SettingsError` where aliases make the file larger than it looks."""
    from ruamel.yaml.nodes import MappingNode, SequenceNode

    left, seen = [(node, place)], 0
    while left:
        node, place = left.pop()
        children: list[tuple[Any, Any, Place]] = []
        if isinstance(node, MappingNode):
            children = [(key, value, (*place, _key(key))) for key, value in node.value]
        elif isinstance(node, SequenceNode):
            children = [(value, value, (*place, n)) for n, value in enumerate(node.value)]
        for marked, value, inner in children:
            yield inner, marked.start_mark.line + 1
            left.append((value, inner))
        seen += len(children)
        if len(place) > _DEEPEST:
            raise SettingsError(f"it is nested more than {_DEEPEST} deep; no settings are.")
        if seen > _MOST_VALUES:
            raise SettingsError(f"it holds more than {_MOST_VALUES:,} values; no settings need as many.")


def _key(node: Any) -> str:
    return node.value if isinstance(node.value, str) else "?"


def _filled(data: dict[str, Any], lines: Mapping[Place, int]) -> dict[str, Any]:
    def fill(value: Any, place: Place) -> Any:
        if isinstance(value, dict):  # a key with nothing behind it is left out
            return {str(key): fill(one, (*place, str(key))) for key, one in value.items() if one is not None}
        if isinstance(value, list):
            return [fill(one, (*place, n)) for n, one in enumerate(value)]
        return _replaced(value, place) if isinstance(value, str) and "${" in value else value

    def _replaced(text: str, place: Place) -> str:
        def value_of(found: re.Match[str]) -> str:
            value = os.environ.get(found[1]) or found[2]
            if value is None:
                problem = f"the environment variable {found[1]} is not set; set it, or write ${{{found[1]}:-…}}."
                raise _LineError(
                    next((lines[place[:n]] for n in range(len(place), 0, -1) if place[:n] in lines), 1), problem
                )
            return value

        return FromEnvironment(_VARIABLE.sub(value_of, text), text)

    return {str(key): fill(value, (str(key),)) for key, value in data.items() if value is not None}


def _from_environment(value: Any) -> Iterator[FromEnvironment]:
    if isinstance(value, FromEnvironment):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _from_environment(one)
