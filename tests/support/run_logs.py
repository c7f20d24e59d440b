"""Lines of runs for tests of the log: made by hand, drawn at random, and of a real graph."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from router_graph import Answer, RouteToKB, create_router
from router_graph.state import Left
from router_graph.trajectories.damage import LogReport
from router_graph.trajectories.reader import read_runs
from router_graph.trajectories.recorder import Recorder
from router_graph.trajectories.records import Line, RunRecord
from router_graph.trajectories.writer import RunWriter
from support.routing import Script, Shelf
from support.views import hit, option

MENU = [option("kb:books"), option("kb:tables"), option("llm:fast", usd=0.01), option("answer")]
ASK = {"kind": "kb", "kb": "books", "query": "Who wrote Dune?"}
SAY = {"kind": "answer", "text": "Frank Herbert [books:1]"}


def began(run: str, at: float = 0.0, **facts: Any) -> Line:
    told = {"thread": "t", "question": "Who wrote Dune?", "images": [], "earlier": [], "menu": MENU}
    told |= {"settings": {"seed": 0}, "metadata": {"question_id": "q1"}, "software": {"polyroute": "0"}}
    return line("began", run, at, **{**told, **facts})


def decided(run: str, number: int, at: float = 0.0, *, actions: Iterable[Any] = (ASK,), **facts: Any) -> Line:
    call = facts.pop("call", None)
    step = {
        "id": f"{run}/{number}",
        "number": number,
        "thought": f"Step {number}.",
        "reply": f"<think>Step {number}.</think>",
        "actions": list(actions),
        "decision": {**DECISION, **facts},
        "observations": {},
    }
    return line("decided", run, at, step=step, call=call, number=number)


def observed(run: str, number: int, position: int = 0, at: float = 0.0, text: str = "Herbert wrote it.") -> Line:
    return line("observed", run, at, number=number, position=position, observation=seen(hit(text)))


def ended(run: str, at: float = 0.0, **facts: Any) -> Line:
    told = {"answer": "Frank Herbert", "citations": [], "stop_reason": "answered", "usd": 0.03, "tokens": 40}
    return line("ended", run, at, **{**told, **facts})


def line(kind: str, run: str, at: float, **facts: Any) -> Line:
    made: Line = {"v": 1, "kind": kind, "run": run, "at": float(at), **facts}  # type: ignore[assignment,typeddict-item]
    return made


def seen(*hits: Any, status: str = "ok", text: str = "") -> dict[str, Any]:
    return {"status": status, "text": text, "hits": list(hits), "served": "kb:books"} | {
        "usd": 0.001,
        "tokens": 5,
        "seconds": 0.25,
    }


def policy_call(reply: str = "<think>Step 1.</think>", **tokens: Any) -> dict[str, Any]:
    """A call of a policy's model, with its tokens."""
    block = {"prompt_ids": [1, 2, 3], "completion_ids": [4, 5], "logprobs": [-0.5, -0.125]}
    block |= {"logprob_kind": "processed", "model": "m", "tokenizer": "t", **tokens}
    prompt = [{"role": "system", "content": "Choose."}, {"role": "human", "content": "Who wrote Dune?"}]
    return {"call_id": "c1", "node": "think", "is_policy": True, "model": "tiny", "prompt": prompt, "reply": reply} | {
        "tool_calls": [],
        "input_tokens": 3,
        "output_tokens": 2,
        "seconds": 0.5,
        "error": "",
        "sampling": {"temperature": 1.0},
        "tokens": block,
    }


DECISION: dict[str, Any] = {
    "policy": "tiny",
    "version": "1",
    "protocol": "tags",
    "probabilities": {"kb:books": 0.7, "kb:tables": 0.1, "answer": 0.2},
    "propensity": 0.7,
    "masked": {"llm:fast": "too dear"},
    "left": Left(steps=5, usd=None, tokens=None, seconds=None),
    "forced": None,
    "problem": "",
    "replay_id": "r",
    "served": "",
    "usd": 0.002,
    "tokens": 7,
    "seconds": 0.125,
}


def whole_run(run: str = "r1", at: float = 0.0, *, steps: int = 2, **facts: Any) -> list[Line]:
    """A run that ended: it looked something up, and then answered."""
    lines = [began(run, at, **facts)]
    for number in range(1, steps):
        lines += [decided(run, number, at + number, call=policy_call()), observed(run, number, at=at + number + 0.5)]
    return [*lines, decided(run, steps, at + steps, actions=[SAY], propensity=0.2), ended(run, at + steps + 1)]


def write(folder: Path, lines: Iterable[Line], **options: Any) -> Path:
    """Write the lines into a shard, and give its path."""
    with RunWriter(folder, sync="never", **options) as writer:
        for one in lines:
            assert writer.write(one), writer.problem
        path = writer.path
    assert path is not None
    return path


def runs_in(source: Any, report: LogReport | None = None) -> list[RunRecord]:
    return list(read_runs(source, report=report or LogReport()))


def record_real_runs(folder: Path, *questions: str, says: str = "It is here.", **options: Any) -> list[dict[str, Any]]:
    """Ask a real graph; what each run ended with."""
    books, tables = Shelf("books", ["Dune is by Herbert.", "two"]), Shelf("tables")
    script = Script(
        [RouteToKB("books", "Who?"), RouteToKB("tables", "Who?")], RouteToKB("books", "When?"), Answer(says)
    )
    graph = create_router([books, tables], policy=script)
    with Recorder(folder, **options) as recorder:
        config = {"callbacks": [recorder], "metadata": {"question_id": "q7"}}
        results = [graph.invoke({"question": one}, config=config) for one in questions]
        assert not recorder.lost and not recorder.writer.dropped
    return results


_texts = st.text(alphabet=st.characters(codec="utf-8"), max_size=30)
_numbers = st.floats(allow_nan=False, allow_infinity=False)
_small = st.integers(0, 2**31 - 1)
_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | _numbers | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=6,
)
_hits = st.fixed_dictionaries(
    {
        **dict.fromkeys(("kb", "doc_id", "title", "text"), _texts),
        "score": _numbers,
        "metadata": st.dictionaries(_texts, _json, max_size=2),
    }
)
_observations = st.fixed_dictionaries(
    {
        "status": st.sampled_from(["ok", "empty", "failed", "refused", "declined", "repeated"]),
        "text": _texts,
        "hits": st.lists(_hits, max_size=2),
        "served": _texts,
        "usd": _numbers.map(abs),
        "tokens": _small,
        "seconds": _numbers.map(abs),
    }
)
_actions = st.one_of(
    st.fixed_dictionaries({"kind": st.just("kb"), "kb": _texts, "query": _texts}, optional={"k": st.integers(1, 9)}),
    st.fixed_dictionaries({"kind": st.just("llm"), "model": _texts, "query": _texts}),
    st.fixed_dictionaries({"kind": st.just("answer"), "text": _texts}),
    st.fixed_dictionaries({"kind": st.just("malformed"), "problem": _texts}),
)
_logprobs = st.floats(max_value=0.0, allow_infinity=False)
_tokens = st.fixed_dictionaries(
    {
        "prompt_ids": st.lists(_small, max_size=4),
        "completion_ids": st.lists(_small, max_size=4),
        "logprobs": st.none() | st.lists(_logprobs, max_size=4),
        "logprob_kind": st.sampled_from(["processed", "raw", None]),
        "model": _texts,
        "tokenizer": _texts,
    }
)
_calls = st.fixed_dictionaries(
    {
        "call_id": _texts,
        "node": _texts,
        "is_policy": st.booleans(),
        "model": _texts,
        "prompt": st.lists(st.fixed_dictionaries({"role": _texts, "content": _texts | st.lists(_json)}), max_size=2),
        "reply": _texts,
        "tool_calls": st.lists(st.dictionaries(_texts, _json, max_size=2), max_size=1),
        "input_tokens": _small,
        "output_tokens": _small,
        "seconds": _numbers.map(abs),
        "error": _texts,
        "sampling": st.dictionaries(_texts, _json, max_size=2),
        "tokens": st.none() | _tokens,
    }
)
_decisions = st.fixed_dictionaries(
    {
        **dict.fromkeys(("policy", "version", "protocol", "problem", "replay_id", "served"), _texts),
        "probabilities": st.none() | st.dictionaries(_texts, _numbers, max_size=3),
        "propensity": st.none() | st.floats(0, 1),
        "masked": st.dictionaries(_texts, _texts, max_size=2),
        "left": st.fixed_dictionaries({"steps": _small, "usd": st.none() | _numbers, "tokens": st.none() | _small}),
        "forced": st.none() | st.sampled_from(["steps", "usd"]),
        "usd": _numbers.map(abs),
        "tokens": _small,
        "seconds": _numbers.map(abs),
    }
)


@st.composite
def drawn_runs(draw: st.DrawFn) -> list[Line]:
    """All lines of one run, in their order, with anything that a line may hold."""
    run = draw(st.uuids()).hex
    at = draw(st.floats(0, 2e9))
    menu = [option(key) for key in draw(st.lists(_texts, max_size=3, unique=True))]
    earlier = draw(st.lists(st.tuples(st.sampled_from(["human", "ai"]), _texts), max_size=2))
    facts = {name: draw(st.dictionaries(_texts, _json, max_size=2)) for name in ("settings", "metadata")}
    images = draw(st.lists(_texts, max_size=2))
    lines = [began(run, at, question=draw(_texts), menu=menu, earlier=earlier, images=images, **facts)]
    for number in range(1, draw(st.integers(0, 3)) + 1):
        actions = draw(st.lists(_actions, max_size=3))
        one = decided(run, number, at + number, actions=actions, call=draw(st.none() | _calls), **draw(_decisions))
        if draw(st.booleans()):
            one["step"]["shadow"] = draw(st.dictionaries(_texts, _json, max_size=2))
        one["step"]["thought"], one["step"]["reply"] = draw(_texts), draw(_texts)
        lines.append(one)
        for position in range(len(actions)):
            if draw(st.booleans()):
                came = draw(_observations)
                place = {"number": number, "position": position, "observation": came}
                lines.append(line("observed", run, at + number + 0.5, **place))
    if draw(st.booleans()):
        lines.append(line("called", run, at + 8, call=draw(_calls)))
    if draw(st.booleans()):
        lines.append(ended(run, at + 9, answer=draw(_texts), usd=draw(_numbers), tokens=draw(_small)))
    elif draw(st.booleans()):
        lines.append(line("failed", run, at + 9, error=draw(_texts)))
    return lines
