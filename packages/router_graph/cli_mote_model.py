"""Which model a `polyroute mote` command is about, and how it is loaded."""

from __future__ import annotations

from typing import Annotated, Any

import typer

Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A folder, a name on the hub, or a tiny one that comes along: `planted`, `planted:bilingual`.",
        show_default=False,
    ),
]
Dtype = Annotated[str, typer.Option(help="A torch dtype such as bfloat16; auto: the checkpoint's own.")]
Device = Annotated[
    str | None, typer.Option(help="Such as cpu or cuda:1; auto: spread over all there is.", show_default=False)
]
Trust = Annotated[bool, typer.Option("--trust-remote-code", help="Let code that comes with the model run.")]


def loaded(model: str, dtype: str, device: str | None, trust: bool) -> tuple[Any, Any]:
    """The model and its tokenizer."""
    from mote_backend.chat.loading import Source, load, without_bars_in_logs

    without_bars_in_logs()
    return load(Source(model, dtype=dtype, device=device, trust_remote_code=trust))
