"""The lines of a run, put together. The last word counts: a step that was decided again replaces what came after it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from router_graph.trajectories.damage import LogReport
from router_graph.trajectories.records import Call, Line, RunRecord, StepRecord

if TYPE_CHECKING:  # LangGraph comes with it, which takes long
    from router_graph.state import Observation, Step


def assemble(run_id: str, lines: Sequence[Line], report: LogReport) -> RunRecord:
    """The run of these lines, which are in the order of time.

    A step of a number that was decided already is a retry, or a fork of the thread: it takes the place of that step and
    of all later ones. What was replaced is counted.
    """
    made = _Making(report)
    for line in lines:
        made.add(line)
    return made.record(run_id, lines[0]["at"])


def missing_steps(run: RunRecord) -> list[int]:
    """The numbers of steps whose lines are damaged or lost: what later steps saw cannot be told."""
    numbers = {one.number for one in run.steps}
    return [number for number in range(1, max(numbers, default=0)) if number not in numbers]


class _Making:
    """What is known of a run so far."""

    def __init__(self, report: LogReport) -> None:
        self._report = report
        self._began: Line = {}
        self._decided: dict[int, Line] = {}
        self._observed: dict[tuple[int, int], Observation] = {}
        self._calls: dict[str, Call] = {}
        self._ended: Line = {}
        self._status: Literal["ended", "failed", "open"] = "open"
        self._error = ""
        self._ended_at: float | None = None

    def add(self, line: Line) -> None:
        """The next line."""
        match line["kind"]:
            case "began":
                self._began = line
            case "decided":
                self._decide(line)
            case "observed":
                place = line["number"], line["position"]
                self._report.replaced += place in self._observed
                self._observed[place] = line["observation"]
            case "called":
                if (call := line.get("call")) is not None:
                    self._calls[call["call_id"]] = call
            case "ended":
                self._ended, self._status, self._error, self._ended_at = line, "ended", "", line["at"]
            case "failed":
                self._status, self._error, self._ended_at = "failed", line.get("error", ""), line["at"]

    def _decide(self, line: Line) -> None:
        number = line["step"]["number"]
        for old in [one for one in self._decided if one >= number]:
            self._report.replaced += 1
            del self._decided[old]
        for place in [one for one in self._observed if one[0] >= number]:
            del self._observed[place]
        self._decided[number] = line
        self._ended, self._status, self._error, self._ended_at = {}, "open", "", None

    def record(self, run_id: str, at: float) -> RunRecord:
        """The run as it stands."""
        began, ended = self._began, self._ended
        steps = tuple(self._step(run_id, self._decided[number]) for number in sorted(self._decided))
        self._report.lost += sum(number not in self._decided for number, _ in self._observed)
        self._report.runs += 1
        spent = [part for one in steps for part in _parts(one.step)]
        return RunRecord(
            run_id=run_id,
            at=at,
            question=began.get("question", ""),
            thread_id=began.get("thread", ""),
            parent_id=began.get("parent", ""),
            images=tuple(began.get("images", ())),
            earlier=tuple((role, text) for role, text in began.get("earlier", ())),
            menu=tuple(began.get("menu", ())),
            settings=began.get("settings", {}),
            metadata=began.get("metadata", {}),
            software=began.get("software", {}),
            steps=steps,
            calls=tuple(self._calls.values()),
            status=self._status,
            error=self._error,
            answer=ended.get("answer", ""),
            citations=tuple(ended.get("citations", ())),
            stop_reason=ended.get("stop_reason"),
            usd=ended["usd"] if "usd" in ended else float(sum(one["usd"] for one in spent)),
            tokens=ended["tokens"] if "tokens" in ended else sum(one["tokens"] for one in spent),
            ended_at=self._ended_at,
            is_ours="menu" in began or bool(steps),
        )

    def _step(self, run_id: str, line: Line) -> StepRecord:
        step, number = line["step"], line["step"]["number"]
        came = {str(place[1]): one for place, one in self._observed.items() if place[0] == number}
        observations = {**step.get("observations", {}), **came}
        ordered = dict(sorted(observations.items(), key=lambda one: int(one[0])))
        whole: Step = {**step, "observations": ordered}
        return StepRecord(run_id=run_id, step=whole, at=line["at"], call=line.get("call"))


def _parts(step: Step) -> list[Any]:
    """What has a price in a step."""
    return [step["decision"], *step.get("observations", {}).values()]
