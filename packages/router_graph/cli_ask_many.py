"""Many questions from a file or from stdin: a few side by side, a line of JSON each, in their order."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from pydantic_core import to_jsonable_python

from kb_tools import terminal
from router_graph.cli_ask_run import Conversation, facts
from router_graph.cli_loop import command_loop
from router_graph.errors import QuestionError, RouterError
from router_graph.evaluation.gold import answers_of, needed_of
from router_graph.money import usd

if TYPE_CHECKING:
    from router_graph.settings_live import Router

Question = dict[str, Any]
"""`question`, and `id` where the file gives one; `gold` and `gold_documents` where it says what is right."""


def read_questions(file: Path | None) -> list[Question]:
    """Of a file, or of stdin: one a line, or JSON lines with `question`. Raises `QuestionError`, with the line."""
    name = "stdin" if file is None or str(file) == "-" else str(file)
    try:
        data = sys.stdin.buffer.read() if name == "stdin" else Path(name).read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise QuestionError(f"The file of questions {name!r} cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError:
        raise QuestionError(f"{name} is no text in UTF-8; give one question a line.") from None
    lines = [(number, line.strip()) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    if not lines:
        raise QuestionError(f"There is no question in {name}; give one a line.")
    is_json = name.endswith((".jsonl", ".ndjson")) or all(line.startswith("{") for _, line in lines)
    return [_of_json(line, f"{name}, line {number}") if is_json else {"question": line} for number, line in lines]


def ask_all(router: Router, questions: Sequence[Question], *, out: Path | None, parallel: int, quiet: bool) -> int:
    """Ask them, each in a thread of its own, and write a line for each; how many failed.

    With `out`, those that it has an answer to already are left out, and the others are added to it.
    """
    with _written(out, quiet=quiet) as (write, known):
        left = []
        for one in questions:
            if known[_name(one)]:
                known[_name(one)] -= 1
            else:
                left.append(one)
        if skipped := len(questions) - len(left):
            terminal.note(f"{skipped:,} of {len(questions):,} questions are answered in {out} already.")
        with _progress(len(left)) as advance, command_loop() as loop:
            return loop.run(_ask_all(router, left, write, advance, parallel))


async def _ask_all(
    router: Router, questions: Sequence[Question], write: Callable[[Any], None], advance: Callable[[], None], many: int
) -> int:
    done: dict[int, dict[str, Any]] = {}
    numbers, written, failed, spent = iter(range(len(questions))), 0, 0, 0.0

    async def work() -> None:
        nonlocal written, failed, spent
        this = asyncio.current_task()
        for number in numbers:
            if this is not None and this.cancelling():  # asyncio.wait_for of Python 3.11 can swallow it
                raise asyncio.CancelledError
            done[number] = row = await _ask(router, questions[number])
            failed += "error" in row
            spent += row.get("usd", 0.0)
            while written in done:
                write(done.pop(written))
                written += 1
            advance()

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(many, len(questions))):
                group.create_task(work())
    except ExceptionGroup as failures:  # of writing: a question's own failure is its row
        raise failures.exceptions[0] from None
    counted = f"{len(questions):,} question{'s' * (len(questions) != 1)}"
    terminal.note(f"{f'{failed:,} of {counted} failed' if failed else counted}; {usd(spent)} spent.")
    return failed


async def _ask(router: Router, one: Question) -> dict[str, Any]:
    about = {"id": one["id"]} if "id" in one else {}
    question = str(one["question"])
    try:
        known = {key: one[key] for key in ("gold", "gold_documents") if key in one}  # recorded; no policy sees it
        named = {"question_id": str(one["id"])} if "id" in one else {}
        return {**about, **facts(question, await Conversation(router, about=named | known).ask(question))}
    except RouterError as error:
        problem = str(error)
    except Exception as error:  # of one question; the others are still asked
        problem = f"{type(error).__name__}: {error}"
    return {**about, "question": question, "error": problem}


def _of_json(line: str, where: str) -> Question:
    try:
        data = json.loads(line)
    except ValueError as error:
        raise QuestionError(f"{where} is no JSON ({error}).") from None
    if not isinstance(data, dict) or not isinstance(data.get("question"), str):
        raise QuestionError(f'{where} has no question; a line is {{"question": "…"}}.')
    return {key: data[key] for key in ("id", "question") if key in data} | _gold(data, where)


def _gold(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    """What is right for a line of FlashRAG's form, as a run's metadata has it; empty where the line does not say."""
    metadata = row.get("metadata")
    documents = metadata.get("gold_documents") if isinstance(metadata, dict) else None
    try:
        answers = list(answers_of(row.get("golden_answers") or ()))
        needed_of(documents)
    except TypeError as error:
        raise QuestionError(f"{where}: what is right cannot be read; {error}.") from None
    return ({"gold": answers} if answers else {}) | ({} if documents is None else {"gold_documents": documents})


def _name(one: Mapping[str, Any]) -> str:
    return json.dumps([one.get("id"), one["question"]])


@contextlib.contextmanager
def _written(out: Path | None, *, quiet: bool) -> Iterator[tuple[Callable[[Any], None], Counter[str]]]:
    """What writes a row, and how often each question is answered already."""
    if out is None:
        yield (_print_answer if quiet else lambda row: _line(sys.stdout, row)), Counter()
        return
    known: Counter[str] = Counter()
    torn = False
    if out.exists():
        text = out.read_text(encoding="utf-8", errors="replace")
        torn = bool(text) and not text.endswith("\n")
        for line in text.splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):  # a line that was cut off
                row = json.loads(line)
                known[_name(row)] += "answer" in row
    try:
        file = out.open("a", encoding="utf-8")
    except OSError as error:
        raise QuestionError(f"The results cannot be written to {str(out)!r} ({error.strerror}).") from None
    with file:
        if torn:
            file.write("\n")
        yield lambda row: _line(file, row), known


def _line(file: TextIO, row: Any) -> None:
    file.write(json.dumps(to_jsonable_python(row, inf_nan_mode="null")) + "\n")
    file.flush()


def _print_answer(row: Mapping[str, Any]) -> None:
    if "error" in row:
        terminal.note(row["error"])
    sys.stdout.write(terminal.one_line(" ".join(str(row.get("answer", "")).split())) + "\n")
    sys.stdout.flush()


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Callable[[], None]]:
    """A bar on stderr, with the time left; nothing where that is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("questions"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, redirect_stdout=False, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("questions", total=total)
        yield lambda: bar.advance(task)
