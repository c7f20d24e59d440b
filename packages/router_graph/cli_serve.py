"""`polyroute serve`: the router as a model for any OpenAI client."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from kb_tools.cli_command import PlainCommand
from router_graph import cli_ask_options as options
from router_graph.errors import SettingsError

TOKEN_VARIABLE = "POLYROUTE_TOKEN"


def register(app: typer.Typer) -> None:
    """Put the command into the app."""
    app.command(cls=PlainCommand)(serve)


def serve(
    ctx: typer.Context,
    policy: options.Policy = None,
    offer: Annotated[
        list[str] | None,
        typer.Option(
            "--offer",
            metavar="POLICY",
            help="A policy of a file, or a LiteLLM id, that clients may name too; repeat for more.",
        ),
    ] = None,
    protocol: options.Protocol = None,
    budget_usd: options.BudgetUsd = None,
    budget_tokens: options.BudgetTokens = None,
    seconds: options.Seconds = None,
    max_steps: options.MaxSteps = None,
    k: options.K = None,
    only: options.Only = None,
    exclude: options.Exclude = None,
    record: options.Record = None,
    knowledge: options.Location = None,
    pool: options.Pool = None,
    config: options.Config = None,
    host: Annotated[str, typer.Option(help="Where to listen; elsewhere than on loopback needs a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8010,
    token_env: Annotated[
        str, typer.Option("--token-env", metavar="NAME", help="The variable with the token that clients must send.")
    ] = TOKEN_VARIABLE,
    origin: Annotated[
        list[str] | None, typer.Option("--origin", metavar="URL", help="A web page that may ask; repeat for more.")
    ] = None,
    max_runs: Annotated[
        int, typer.Option("--max-runs", metavar="N", min=1, help="Questions that are answered at once.")
    ] = 64,
    timeout: Annotated[float, typer.Option(metavar="S", min=1, help="The most time for an answer, in seconds.")] = 600,
) -> None:
    """Serve the router to any OpenAI client, as the model `router`.

    polyroute serve --budget-usd 0.05

    Each policy is a model too: `router/gate`. Limits hold for each question; a
    request asks for less in its field `polyroute`, as in {"usd": 0.01}. The
    reply has its sources, its bill and its steps there. Ctrl-C ends.
    """
    from router_graph.serving.server import serve as run

    token = os.environ.get(token_env)
    if not token and token_env != TOKEN_VARIABLE:
        raise SettingsError(f"--token-env names {token_env}, which is not set; set it to the token of your choice.")
    with options.opened(ctx.params) as router:
        run(
            router,
            host=host,
            port=port,
            token=token,
            offer=offer or (),
            origins=origin or (),
            max_runs=max_runs,
            limit_s=timeout,
            ready=lambda address: typer.echo(_how(address, token_env if token else None), err=True),
        )


def _how(address: str, variable: str | None) -> str:
    """The address, and how it is asked."""
    header = f' -H "authorization: Bearer ${variable}"' if variable else ""
    key = f'os.environ["{variable}"]' if variable else '"none"'
    before = "import os; " if variable else ""
    question = '[{"role": "user", "content": "Which moon has an ocean?"}]'
    return f"""\
Serving the router at {address}; Ctrl-C ends.

curl {address}/chat/completions -H "content-type: application/json"{header} \\
  -d '{{"model": "router", "messages": {question}}}'

{before}import openai
client = openai.OpenAI(base_url="{address}", api_key={key})
ask = client.chat.completions.create
reply = ask(model="router", messages={question}, extra_body={{"polyroute": {{"max_steps": 3}}}})
print(reply.choices[0].message.content, reply.polyroute["cost_usd"])"""
