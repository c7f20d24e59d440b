"""Usage and complaints in plain words, and the options that need more than a type."""

from __future__ import annotations

import inspect
import json
import math
import re
import shutil
import textwrap
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

_NARROW = 64
"""Columns below which the help is plain text."""
_BRACES = re.compile(r"\{(\w+)\}")
_WANTED = re.compile(r"Input should be (.*?)(?:, unable to .*)?")


class PlainCommand(TyperCommand):
    """Usage shows `NAME PATH...`, a bad option says what it takes, not what the validator behind it is called, and the
    help ends with examples to paste.

    An example is a paragraph of the command's docstring that begins with `polyroute `, or pipes into it.
    `tests/end_to_end/test_help_examples.py` runs them all.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        told = [part.strip("\n").removeprefix("\b\n") for part in (self.help or "").split("\n\n")]
        shown = [part for part in told if _is_example(part)]
        self.examples = [inspect.cleandoc(part) for part in shown]
        """What can be pasted, a command each; a long one goes on after a backslash."""
        self.help = "\n\n".join(part for part in told if part not in shown)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """The help, and below it the examples, which no width breaks."""
        if narrow := _narrow(formatter):
            super(TyperCommand, self).format_help(ctx, formatter)
            formatter.write("\n")
        else:
            super().format_help(ctx, formatter)
        if self.examples:
            shown = textwrap.indent("\n".join(self.examples), "   ")
            formatter.write(f"{'Example:' if narrow else ' Example:'}\n{shown}\n")

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


class PlainGroup(TyperGroup):
    """A group of commands, whose help fits into a narrow terminal too."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """The help."""
        if _narrow(formatter):
            super(TyperGroup, self).format_help(ctx, formatter)
        else:
            super().format_help(ctx, formatter)


def _narrow(formatter: Any) -> bool:
    """Whether Typer's boxes would leave no room for words; the formatter then keeps to the width that there is."""
    columns = shutil.get_terminal_size().columns
    if columns < _NARROW:
        formatter.width = max(columns - 1, 20)
    return columns < _NARROW


def _is_example(paragraph: str) -> bool:
    return paragraph.lstrip().startswith("polyroute ") or " | polyroute " in paragraph


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
