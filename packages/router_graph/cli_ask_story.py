"""A run while it goes, on stderr: each thought, each route and what came back, and below them what is under way."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from kb_tools.terminal import one_line
from router_graph.money import usd

if TYPE_CHECKING:  # LangGraph comes with it, which takes long
    from router_graph.state import Observation

_THOUGHT, _QUERY, _RESULT = 400, 200, 160
"""Characters that are shown of each."""
_TITLES = 4


class Story:
    """Prints the events of a run as they come. In a terminal, a last line shows what is being waited for."""

    def __init__(self, *, shown: bool = True) -> None:
        self._console = Console(stderr=True, highlight=False, markup=False, emoji=False)
        self._shown = shown
        self._usd = 0.0
        self._waiting: list[str] = []
        self._said = ""
        # Rich would send what is printed to stdout meanwhile to stderr as well.
        self._live = Live(
            console=self._console, transient=True, redirect_stdout=False, redirect_stderr=False, refresh_per_second=10
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def tell(self, event: Mapping[str, Any]) -> None:
        """Show an event of `router_graph.events`."""
        if not self._shown:
            return
        match event["type"]:
            case "turn":
                self._usd = 0.0
                self._go_live()
            case "step":
                self._waiting, self._said = ["the policy"], ""
            case "token":
                before = "" if event["again"] else self._said
                self._said = (before + event["text"])[-_RESULT:]
            case "problem":
                self._print(f"   ! {_cut(event['text'], _RESULT)}")
            case "decision":
                self._decision(event)
            case "observation":
                self._observation(event)
            case "answer":
                self._waiting = []
                self._live.stop()  # between turns the terminal is the user's
        self._refresh()

    def approve(self, call: Mapping[str, Any]) -> bool | str:
        """Ask whoever sits at the terminal whether a call may be made."""
        if not (sys.stdin.isatty() and self._console.is_terminal):
            return "nobody is there to be asked"
        self._live.stop()
        most = usd(float(call["usd_at_most"]))
        self._print(f"   ? {call['target']} may cost up to {most}: {_cut(call['query'], _QUERY)}")
        try:
            said = self._console.input("     Ask it? [y/N] ", markup=False)
        except EOFError:
            said = ""
        self._go_live()
        return said.strip().lower() in ("y", "yes")

    def _decision(self, event: Mapping[str, Any]) -> None:
        decision, actions = event["decision"], event["actions"]
        self._usd += decision["usd"]
        thought = _cut(event["thought"], _THOUGHT) or f"{_cut(decision['policy'], _RESULT)} decides."
        self._print(f"{event['number']:>2}. {thought}", style="bold")
        self._waiting = []
        asked: dict[tuple[str, str], list[str]] = {}
        for action in actions:
            match action["kind"]:
                case "kb" | "llm":
                    key = f"{action['kind']}:{action.get('kb') or action.get('model')}"
                    self._waiting.append(key)
                    asked.setdefault((action["query"], action.get("linked", "")), []).append(key)
                case "note":
                    self._print(f"    · {_cut(action['text'], _QUERY) or 'it has enough.'}")
                case "malformed":
                    self._print(f"    ! {_cut(action['problem'], _RESULT)}")
        for (query, source), keys in asked.items():
            linked = f" ({_cut('linked from ' + source, _RESULT)})" if source else ""
            self._print(f"    → {_cut(', '.join(keys), _RESULT)}: {_cut(query, _QUERY)}{linked}")

    def _observation(self, event: Mapping[str, Any]) -> None:
        observation: Observation = event["observation"]
        self._usd += observation["usd"]
        if event["target"] in self._waiting:
            self._waiting.remove(event["target"])
        line = Text(f"    ← {_cut(event['target'], _RESULT)}: {came_back(observation)}")
        cost = f", {usd(observation['usd'])}" if observation["usd"] else ""
        line.append(f"  ({observation['seconds']:.2f} s{cost}{self._so_far('; ')})", style="dim")
        served = observation["served"]
        if served and served != event["target"]:
            line.append(f"  {_cut(served, _RESULT)} answered for it", style="dim")
        self._console.print(line, soft_wrap=not self._console.is_terminal)

    def _so_far(self, before: str) -> str:
        return f"{before}{usd(self._usd)} so far" if self._usd else ""

    def _print(self, text: str, style: str | None = None) -> None:
        self._console.print(Text(text, style=style or ""), soft_wrap=not self._console.is_terminal)

    def _go_live(self) -> None:
        if self._shown and self._console.is_terminal:
            self._live.start()

    def _refresh(self) -> None:
        if not self._live.is_started:
            return
        if not self._waiting:
            self._live.update(Text(""))
            return
        waiting = ", ".join(self._waiting)
        said = f": {self._said}" if self._said and waiting == "the policy" else ""
        width = max(20, self._console.width - 30)
        text = f"waiting for {one_line(waiting)}{_tail(said, width)}{self._so_far('  ')}"
        self._live.update(Spinner("dots", Text(text, style="dim", no_wrap=True, overflow="ellipsis")))


def came_back(observation: Observation) -> str:
    """What came of a route, in a line."""
    hits, status = observation["hits"], observation["status"]
    if hits:
        titles = [_cut(hit["title"] or hit["doc_id"], 60) for hit in hits[:_TITLES]]
        more = f"; {len(hits) - _TITLES} more" if len(hits) > _TITLES else ""
        return f"{len(hits)} document{'' if len(hits) == 1 else 's'}: {'; '.join(titles)}{more}"
    if status == "ok":
        first = next((line for line in observation["text"].splitlines() if line.strip()), "")
        return _cut(first, _RESULT)
    if status == "empty" and not observation["text"]:
        return "nothing was found"
    return f"{status}: {_cut(observation['text'], 2 * _RESULT)}"


def _cut(text: str, most: int) -> str:
    text = one_line(" ".join(text.split()))
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _tail(text: str, most: int) -> str:
    text = one_line(" ".join(text.split()))
    return text[-most:] if len(text) > most else text
