"""A recipe: the settings of a training run from a YAML file, and what the command line says otherwise."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import Field, ValidationError

from router_graph.errors import RouterError
from router_graph.settings_file import Place, SettingsFile
from router_graph.validation import Settings
from router_training.errors import ConfigError
from router_training.trainers.config import OfflineConfig, Part

S = TypeVar("S", bound=Settings)
_KEY = re.compile(r"'([\w.-]+)' is (?:no known key|missing)|([\w.]+)(?: is |: )")
"""How a mistake of `Settings` names the key that it is about."""


class Split(Part):
    """Which questions are kept back, to judge the policy by. A question's side depends on its text and the seed."""

    held_out: float = Field(default=0.2, ge=0, lt=1)
    """The share of the questions; 0 for none."""
    seed: int = Field(default=0, ge=0)


class OfflineRecipe(OfflineConfig):
    """Of a policy that is trained from a log."""

    split: Split = Split()


@dataclass(frozen=True)
class _Told:
    file: SettingsFile
    overrides: Mapping[Place, str]

    def sentence(self, place: Place, problem: str) -> str:
        """The problem, and whose it is: the argument's, or a line of the file."""
        for n in range(len(place), 0, -1):
            if place[:n] in self.overrides:
                return f"{self.overrides[place[:n]]}: {problem}"
        inside = [text for one, text in self.overrides.items() if one[: len(place)] == place]
        if place and inside:
            return f"{inside[0]}: {problem}"
        return f"{self.file.where(place)}: {problem}" if self.file.name else problem


def read_recipe(
    kind: type[S], path: str | Path | None = None, overrides: Sequence[str] = (), *, method: str | None = None
) -> S:
    """Settings of this kind: the file's, for which arguments such as "data.most_tokens=512" say otherwise.

    `method` is the one that is asked for, where the settings have an objective. Raises `ConfigError`: one sentence,
    with the nearest key where one is not known, and the file's line where there is one.
    """
    file = SettingsFile("", Path(), {})
    if path is not None:
        try:
            file = SettingsFile.read(path)
        except RouterError as error:
            raise ConfigError(str(error).replace("; polyroute init writes one", "")) from None
    data, said = deepcopy(file.data), dict[Place, str]()
    for text in overrides:
        place, value = parsed(text)
        _put(data, place, value, text)
        said[place] = text
    told = _Told(file, said)
    if method is not None:
        _set_method(data, method, told)
    _check(kind, data, (), told)
    return kind.model_validate(data)


def parsed(text: str) -> tuple[Place, Any]:
    """`data.most_tokens=512` as its place and its value, which is read as YAML. Raises `ConfigError`."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    key, equals, written = text.partition("=")
    place: Place = tuple(key.strip().split("."))
    if not equals or not all(place):
        raise ConfigError(f"{text!r} sets nothing; write KEY=VALUE, as in data.most_tokens=512.")
    try:
        return place, YAML(typ="safe", pure=True).load(written)
    except (YAMLError, ValueError, RecursionError):
        raise ConfigError(
            f"{text!r}: {written!r} is no value in YAML; put text with special signs in quotes."
        ) from None


def near(given: str, known: Sequence[str]) -> str:
    """The end of a sentence about a name that is not known."""
    close = difflib.get_close_matches(given, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"there is {', '.join(known)}."


def _put(data: dict[str, Any], place: Place, value: Any, text: str) -> None:
    for key in place[:-1]:
        inner = data.setdefault(str(key), {})
        if not isinstance(inner, dict):
            raise ConfigError(f"{text!r}: {key} is a value, and holds no keys.")
        data = inner
    data[str(place[-1])] = value


def _set_method(data: dict[str, Any], method: str, told: _Told) -> None:
    objective = data.setdefault("objective", {})
    if isinstance(objective, dict) and (given := objective.setdefault("method", method)) != method:
        problem = f"it is for {given!r}, and {method!r} was asked for; run `polyroute train {given}`, or change it."
        raise ConfigError(told.sentence(("objective", "method"), problem))


def _check(kind: type[Settings], data: Any, place: Place, told: _Told) -> None:
    """Validate what is inside first, so that a mistake is found in the smallest part that has it."""
    for name, field in kind.model_fields.items():
        value = data.get(name)
        inner = _inner(field.annotation, value)
        if inner is None or value is None:
            continue
        if not isinstance(value, dict):
            problem = f"{name!r} holds keys and values, and not {value!r:.60}."
            raise ConfigError(told.sentence((*place, name), problem))
        _check(inner, value, (*place, name), told)
    try:
        kind.model_validate(data)
    except (ConfigError, RouterError, ValidationError) as error:
        problem, where = _problem(error)
        raise ConfigError(told.sentence((*place, *where), problem)) from None


def _inner(annotation: Any, value: Any) -> type[Settings] | None:
    """The settings that a field holds; of several, those of the method that the value names."""
    kinds = list(dict.fromkeys(_settings_in(annotation)))
    if len(kinds) < 2:
        return kinds[0] if kinds else None
    named = value.get("method") if isinstance(value, dict) else None
    return next((one for one in kinds if one.model_fields["method"].default == named), None)


def _settings_in(annotation: Any) -> Iterator[type[Settings]]:
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        yield annotation
    for one in get_args(annotation):
        yield from _settings_in(one)


def _problem(error: BaseException) -> tuple[str, Place]:
    """What is wrong in a sentence, and which key it names within what was validated."""
    problem = str(error)
    if isinstance(error, ValidationError):
        problem = str(error.errors(include_url=False)[0]["msg"]).removeprefix("Value error, ")
    key = _KEY.match(problem)
    return problem, () if key is None else tuple((key[1] or key[2]).split("."))
