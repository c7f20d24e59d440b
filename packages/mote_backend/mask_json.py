"""A mask's JSON as text and as Python: readable for people, and read strictly, for it may come from anywhere."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from mote_backend.errors import MaskError, shown


def parsed(text: str, said: str = "The mask") -> Any:
    """JSON as Python; MaskError, which begins with `said`, for what is none or gives one key twice."""
    try:
        return json.loads(text, object_pairs_hook=_once)
    except MaskError as error:
        raise MaskError(f"{said} {error}") from None
    except ValueError as error:
        raise MaskError(f"{said} is no JSON: {error}.") from None
    except RecursionError:
        raise MaskError(f"{said} is no JSON that can be read: it nests too deeply.") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise MaskError(f"gives {shown(twice)} twice; give it once, for only one of the two would count.")
    return read


def by_layer(experts: Iterable[tuple[int, int]]) -> dict[str, list[int]]:
    """Experts by layer, in order."""
    layers: dict[str, list[int]] = {}
    for layer, expert in sorted(experts):
        layers.setdefault(str(layer), []).append(expert)
    return layers


def experts_in(given: Any, key: str) -> frozenset[Any]:
    """Pairs (layer, expert), their parts unchecked; MaskError if `given` has another form."""
    if given is None:
        return frozenset()
    if isinstance(given, Mapping):
        try:
            return frozenset((_number(layer), expert) for layer, experts in given.items() for expert in experts)
        except (TypeError, ValueError):
            pass
    elif isinstance(given, Iterable) and not isinstance(given, str):
        with contextlib.suppress(TypeError):
            return frozenset(tuple(one) if isinstance(one, list) else one for one in given)
    raise MaskError(f'{key!r} is {shown(given)}; it is written as {{"layer": [experts]}}, such as {{"3": [1, 5]}}.')


def _number(key: Any) -> int:
    """The layer or expert that a key of JSON names. One way to write it, or two keys could name the same."""
    number = int(key)
    if str(number) != str(key):
        raise ValueError
    return number


def biases_in(given: Any) -> frozenset[Any]:
    """Triples (layer, expert, bias), their parts unchecked; MaskError if `given` has another form."""
    if given is None:
        return frozenset()
    if isinstance(given, Mapping):
        try:
            return frozenset(
                (_number(layer), _number(expert), value)
                for layer, experts in given.items()
                for expert, value in experts.items()
            )
        except (AttributeError, TypeError, ValueError):
            pass
    elif isinstance(given, Iterable) and not isinstance(given, str):
        with contextlib.suppress(TypeError):
            return frozenset(tuple(one) for one in given)
    raise MaskError(
        f'\'bias\' is {shown(given)}; it is written as {{"layer": {{"expert": number}}}}, such as {{"3": {{"1": -2}}}}.'
    )


def pretty(data: Mapping[str, Any]) -> str:
    """JSON with an object's objects broken into lines, and what is in them kept on one."""
    lines = []
    for key, value in data.items():
        if isinstance(value, dict) and value:
            inner = ",\n".join(
                f"    {json.dumps(one)}: {json.dumps(two, ensure_ascii=False)}" for one, two in value.items()
            )
            lines.append(f"  {json.dumps(key)}: {{\n{inner}\n  }}")
        else:
            lines.append(f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"
