"""Usage and complaints in plain words, and the options that need more than a type."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import typer
from typer.core import TyperCommand

_BRACES = re.compile(r"\{(\w+)\}")
_WANTED = re.compile(r"Input should be (.*?)(?:, unable to .*)?")


class PlainCommand(TyperCommand):
    """Usage shows `NAME PATH...`, and a bad option says what it takes, not what the validator behind it is called."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The arguments, those that must be given without braces."""
        return [_BRACES.sub(r"\1", piece) for piece in super().collect_usage_pieces(ctx)]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse; `typer.BadParameter` is raised in plain words."""
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            message = error.message.removeprefix("Value error, ")
            if wanted := _WANTED.fullmatch(message):
                message = f"it must be {wanted.group(1)}."
            error.message = message
            raise


def price(value: float | None) -> float | None:
    """The callback of an option for the price of a search in USD."""
    if value is not None and not 0 <= value < math.inf:
        raise typer.BadParameter(f"it is {value:g}; the price of a search is 0 or more USD.", param_hint="--cost")
    return value


def parse_where(text: str | None) -> dict[str, Any] | None:
    """The filter that an option gives in JSON. Raises `typer.BadParameter`."""
    if text is None:
        return None
    try:
        where = json.loads(text)
    except json.JSONDecodeError as error:
        raise typer.BadParameter(f"it is not JSON ({error}).", param_hint="--where") from None
    if not isinstance(where, dict):
        raise typer.BadParameter('it must be a JSON object, as in {"year": 2020}.', param_hint="--where")
    return where
