"""The options that the commands of `polyroute mote` share, and what of them can be checked before a model is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_PROMPTS = "A .txt file (a prompt a line), a .jsonl file, or a grid such as 'What happened {time} in {place}?'."

Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A folder, a name on the hub, or a tiny one that comes along: `planted`, `planted:bilingual`.",
        show_default=False,
    ),
]
MaskFile = Annotated[Path, typer.Argument(metavar="MASK", help="The JSON file of a mask.", show_default=False)]
Target = Annotated[str, typer.Argument(metavar="TARGET", help=f"Prompts that show it. {_PROMPTS}", show_default=False)]
Other = Annotated[
    str,
    typer.Argument(
        metavar="OTHER",
        help="Harmless prompts, in the same forms. To `report`, a `reply` beside each in a .jsonl file is the right "
        "one; without, the reply must not change.",
        show_default=False,
    ),
]
Values = Annotated[
    list[str] | None,
    typer.Option(
        "--values", metavar="NAME=A,B", help="Values of a grid's placeholder; may be repeated.", show_default=False
    ),
]
System = Annotated[str | None, typer.Option(help="A system message before each prompt.", show_default=False)]
Raw = Annotated[bool, typer.Option("--raw", help="Give the prompts as they are, without the chat template.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Prompts in a forward pass.")]
Seed = Annotated[int, typer.Option(help="Of all that is drawn: half-samples, prompts, random masks, intervals.")]
Dtype = Annotated[str, typer.Option(help="A torch dtype such as bfloat16; auto: the checkpoint's own.")]
Device = Annotated[
    str | None, typer.Option(help="Such as cpu or cuda:1; auto: spread over all there is.", show_default=False)
]
Trust = Annotated[bool, typer.Option("--trust-remote-code", help="Let code that comes with the model run.")]
Masks = Annotated[
    Path | None, typer.Option("--masks", metavar="FOLDER", help="A folder of named masks.", show_default=False)
]
AsJSON = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]

KEPT = ".selection"
"""How the file ends in which `select` keeps, beside the mask, how it was chosen: not as a mask does."""


def in_a_folder(file: Path | None) -> Path | None:
    """Where a result goes, checked before the work that it is the result of."""
    if file is not None and file.is_dir():
        raise typer.BadParameter(f"{file} is a folder; name a file in it.")
    if file is not None and file.suffix == KEPT:
        raise typer.BadParameter(f"{file} ends in {KEPT}, as the files do that `select` puts beside its masks.")
    if file is not None and not file.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {file.parent}; make it first.")
    return file
