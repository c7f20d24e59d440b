"""`polyroute mote`: models with switchable experts, from the command line. Results go to stdout, the rest to stderr."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kb_tools.cli import HELP
from kb_tools.cli_command import PlainCommand, PlainGroup
from mote_backend.errors import MaskError
from router_graph import cli_mote_find, cli_mote_report
from router_graph.cli_mote_mask import app as mask_app
from router_graph.cli_mote_model import chat_model, loaded
from router_graph.cli_mote_options import AsJSON, Device, Dtype, Masks, Model, Trust

if TYPE_CHECKING:
    from mote_backend.chat.chat_mote import ChatMoTE
    from mote_backend.mask import ExpertMask
    from mote_backend.mask_book import MaskBook

app = typer.Typer(
    cls=PlainGroup,
    name="mote",
    help="Find the experts behind a behaviour of a Mixture-of-Experts model, and switch them.",
    no_args_is_help=True,
    context_settings=HELP,
    pretty_exceptions_enable=False,
)
app.add_typer(mask_app, name="mask")

Mask = Annotated[
    str | None,
    typer.Option("--mask", metavar="MASK", help="A file of a mask, or the name of one in --masks.", show_default=False),
]

_USAGE = "/mask MASK switches experts, /mask alone none; /quit or Ctrl-D ends."


@app.command(cls=PlainCommand)
def families(as_json: AsJSON = False) -> None:
    """List the Mixture-of-Experts families of the installed transformers, and which of them can be masked.

    polyroute mote families
    """
    from kb_tools import terminal
    from mote_backend.family_list import families as listed

    found = listed()
    if as_json:
        told = [{"family": one.name, "supported": one.supported, "reason": one.reason} for one in found]
        terminal.print_json([{**row, "note": one.note} for row, one in zip(told, found, strict=True)])
        return
    rows = [(one.name, "yes" if one.supported else "no", one.reason or one.note or "") for one in found]
    terminal.print_rows(["family", "can be masked", "note"], rows, most=len(rows))
    terminal.note(f"{sum(one.supported for one in found)} of {len(found)} can be masked.")


@app.command(cls=PlainCommand)
def inspect(
    model: Model, dtype: Dtype = "auto", device: Device = None, trust: Trust = False, as_json: AsJSON = False
) -> None:
    """Show where a model keeps its routers, and prove that masks reach them.

    polyroute mote inspect planted
    """
    from kb_tools import terminal
    from mote_backend.steering import Steering

    steering = Steering(loaded(model, dtype, device, trust)[0])
    sites = [
        {"layer": one.layer, "router": one.name, "kind": one.kind, "experts": one.experts, "top_k": one.top_k}
        for one in steering.sites
    ]
    if as_json:
        unmaskable = [{"router": name, "reason": reason} for name, reason in steering.unmaskable]
        terminal.print_json({"model": steering.fingerprint.to_json(), "routers": sites, "unmaskable": unmaskable})
        return
    terminal.console().print(f"{steering.fingerprint}, weights {steering.fingerprint.weights or 'unknown'}")
    terminal.print_rows(list(sites[0]), [list(one.values()) for one in sites], most=len(sites))
    for name, reason in steering.unmaskable:
        terminal.note(f"No mask reaches {name}: it {reason}.")


cli_mote_find.register(app)  # here, so that --help lists the commands in the order in which they are used
cli_mote_report.register(app)


@app.command(cls=PlainCommand)
def chat(
    model: Model,
    mask: Mask = None,
    masks: Masks = None,
    temperature: Annotated[float, typer.Option(min=0, help="0 takes the most likely token.")] = 0.0,
    max_tokens: Annotated[int, typer.Option(min=1, help="Most tokens of a reply.")] = 512,
    seed: Annotated[int | None, typer.Option(help="Equal seeds give equal replies.", show_default=False)] = None,
    dtype: Dtype = "auto",
    device: Device = None,
    trust: Trust = False,
) -> None:
    """Talk to the model; /mask MASK switches (a file or a name), /mask alone switches nothing, /quit ends.

    echo 'what happened in 1903 in belmar' | polyroute mote chat planted --mask examples/masks/answers.json
    """
    import sys

    from kb_tools import terminal

    talk = chat_model(model, masks, dtype, device, trust, temperature=temperature, max_tokens=max_tokens, seed=seed)
    chosen = _meant(talk, mask)
    history: list[tuple[str, str]] = []
    if sys.stdin.isatty():
        terminal.note(_USAGE)
    while (line := _line()) is not None:
        if line == "/quit":
            return
        if line == "/mask" or line.startswith("/mask "):
            try:
                chosen = _meant(talk, line.removeprefix("/mask").strip() or None)
                terminal.note(f"The mask {chosen.title} switches {_experts(chosen)}." if chosen else "No mask.")
            except MaskError as error:
                terminal.note(str(error))
            continue
        if line.startswith("/"):
            terminal.note(f"There is no {line.split()[0]}. {_USAGE}")
            continue
        if not line:
            continue
        history.append(("user", line))
        reply = ""
        for piece in talk.stream(history, mote_mask=chosen):
            reply += piece.text
            sys.stdout.write(terminal.plain(piece.text))
            sys.stdout.flush()
        sys.stdout.write("\n")
        history.append(("assistant", reply))


@app.command(cls=PlainCommand)
def serve(
    model: Model,
    masks: Masks = None,
    only_named: Annotated[bool, typer.Option("--only-named", help="Allow no mask but those of --masks.")] = False,
    name: Annotated[str | None, typer.Option(help="What clients call the model.", show_default=False)] = None,
    host: Annotated[str, typer.Option(help="Where to listen; elsewhere than on loopback needs a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8000,
    max_batch: Annotated[int, typer.Option(min=1, help="Most requests that run together.")] = 32,
    dtype: Dtype = "auto",
    device: Device = None,
    trust: Trust = False,
) -> None:
    """Serve the model to any OpenAI client; `mote_mask` in a request's body, or the model NAME:MASK, switches experts.

    The token that clients must send, if any, is read from POLYROUTE_MOTE_TOKEN.

    polyroute mote serve planted --masks examples/masks --only-named
    """
    import os

    from kb_tools import terminal
    from mote_backend.serving.server import serve as run

    served = chat_model(model, masks, dtype, device, trust, only_named=only_named, max_batch=max_batch)
    called = name or Path(model).name.removeprefix("planted:")
    run(
        {called: served},
        host=host,
        port=port,
        token=os.environ.get("POLYROUTE_MOTE_TOKEN"),
        ready=lambda url: terminal.note(f"Serving {_served(called, served)} at {url}; Ctrl-C ends."),
    )


def _served(name: str, model: ChatMoTE) -> str:
    return ", ".join([name, *(f"{name}:{mask}" for mask in _book(model))])


def _book(model: ChatMoTE) -> MaskBook:
    from mote_backend.mask_book import MaskBook

    assert isinstance(model.mask_book, MaskBook)
    return model.mask_book


def _meant(talk: ChatMoTE, mask: str | None) -> ExpertMask | None:
    """The mask of this file or name, once it is known to fit the model; the model is loaded for it."""
    from mote_backend.mask import ExpertMask

    fingerprint = talk.engine().steering.fingerprint
    if mask is None:
        return None
    meant = ExpertMask.load(mask) if mask.endswith(".json") else _book(talk).resolve(mask)
    if meant is not None:
        meant.check(fingerprint)
    return meant


def _experts(mask: ExpertMask) -> str:
    return "1 expert" if len(mask) == 1 else f"{len(mask)} experts"


def _line() -> str | None:
    import sys

    if sys.stdin.isatty():
        try:
            return input("> ").strip()
        except EOFError:
            return None
    line = sys.stdin.readline()
    return line.strip() if line else None
