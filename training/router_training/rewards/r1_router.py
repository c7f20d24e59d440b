"""R1-Router's reward of a step, for its Step-GRPO (arXiv 2505.22095, since renamed MoRE; `reward_score/step.py`): how
near the step comes to what a teacher did at the same place.

It teaches to imitate: a better search than the teacher's is punished. `verifiable` pays for what a step really found.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from router_graph.actions import Note, action_from_dict
from router_graph.evaluation.answers import bare
from router_graph.evaluation.gold import Gold
from router_graph.evaluation.metrics import normalize_answer
from router_graph.state import Step
from router_graph.trajectories.records import RunRecord
from router_graph.view import found
from router_training.errors import ConfigError, DataError
from router_training.rewards.facts import answer_of, before, fault, step_of, taken
from router_training.rewards.gold import Questions
from router_training.rewards.reward import Score, StepReward, digest
from router_training.rewards.similarity import Similarity, by_words

NOBODY = "none"
"""What the paper's policy writes as sub-question and as source when it has enough."""
_SHORT = 5


@dataclass(frozen=True, slots=True)
class Taught:
    """What a teacher did at a place: one sub-question to one source, both `NOBODY` where it stopped."""

    query: str
    target: str


class Teacher:
    """What a teacher did, by question and number of the step."""

    def __init__(self, taught: Mapping[tuple[str, int], Taught]) -> None:
        self._taught = dict(taught)

    def __len__(self) -> int:
        return len(self._taught)

    @classmethod
    def of_runs(cls, runs: Iterable[RunRecord], questions: Questions | None = None) -> Teacher:
        """The steps of the runs whose answer has every word of a right one, as the paper chose its teacher's.

        The first such run of a question counts. Raises `DataError` where there is none.
        """
        taught: dict[tuple[str, int], Taught] = {}
        questions, known = questions or Questions(), set[str]()
        for run in runs:
            good = run.status == "ended" and recall(bare(run.answer, run.citations), questions.of(run).answers) == 1.0
            if not good or run.question_id in known:
                continue
            known.add(run.question_id)
            for one in run.steps:
                if (did := chosen(one.step)) is not None:
                    taught[run.question_id, one.number] = did
        if not taught:
            raise DataError("No run of the teacher ends with a right answer; give a log in which at least one does.")
        return cls(taught)

    def at(self, run: RunRecord, number: int) -> Taught | None:
        """What the teacher did at this step of the run's question; None where it did nothing there."""
        return self._taught.get((run.question_id, number))

    @property
    def fingerprint(self) -> str:
        """Names what it did."""
        return digest({f"{n} {question}": [did.query, did.target] for (question, n), did in self._taught.items()})


@dataclass(frozen=True, slots=True)
class R1Router(StepReward):
    """`query_weight` · similarity to the teacher's sub-question + (1 − `query_weight`) · whether exactly its source was
    asked; 0 for a reply that is no action. An answer is paid by `answer_score`, where the teacher stopped too. Raises
    `ConfigError`.

    Steps at which the teacher did nothing, or nothing single, have no score.
    """

    name = "r1_router"

    teacher: Teacher
    similarity: Similarity = field(default=by_words, compare=False)
    similarity_name: str = "by_words"
    """Names the similarity in the version: scores by another embedding are others."""
    query_weight: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.query_weight <= 1:
            raise ConfigError(f"query_weight is a number from 0 to 1, and not {self.query_weight!r}.")
        if self.similarity is not by_words and self.similarity_name == "by_words":
            raise ConfigError("Give the similarity a name, as in similarity_name='bge-m3': it is part of the version.")

    @property
    def parameters(self) -> Mapping[str, object]:
        """All that a score depends on."""
        return {
            "rules": 2,
            "query_weight": self.query_weight,
            "similarity": self.similarity_name,
            "teacher": self.teacher.fingerprint,
        }

    def of_step(self, run: RunRecord, number: int, gold: Gold) -> Score | None:
        """The score, with `query` and `match`, or `answer`, as its parts."""
        step = step_of(run, number).step
        if fault(run, step):
            return Score(number, 0.0, {"format": -1.0})
        taught = self.teacher.at(run, number)
        if (said := answer_of(step)) is not None:  # whatever the teacher said there: to stop is not to be right
            right = answer_score(bare(said, found(before(run, number))), gold.answers)
            return Score(number, right, {"answer": right})
        if taught is None:
            return None
        targets = _targets(step)
        queries = list(dict.fromkeys(route.query for route, _ in taken(step))) or [NOBODY]
        alike = max(self.similarity(query, taught.query) for query in queries)
        match = float(targets == [taught.target])
        total = self.query_weight * alike + (1.0 - self.query_weight) * match
        return Score(number, total, {"query": alike, "match": match})


def chosen(step: Step) -> Taught | None:
    """What a step did, as the paper has it; None for what it has no word for, such as several sources at once."""
    routes = [route for route, _ in taken(step)]
    if len(routes) == 1:
        return Taught(routes[0].query, routes[0].target)
    stops = any(isinstance(one, Note) and one.enough for one in map(action_from_dict, step.get("actions", ())))
    return Taught(NOBODY, NOBODY) if not routes and (stops or answer_of(step) is not None) else None


def answer_score(answer: str, golds: Iterable[str]) -> float:
    """The paper's rule for answers, by recall alone: 1 or 0 for one right answer of up to 5 words, or several of them;
    how much of it is there for a longer one.

    For comparison only: whoever repeats the question, or says everything, is right by it.
    """
    golds = list(golds)
    found = recall(answer, golds)
    if len(golds) == 1 and len(golds[0].split()) > _SHORT:
        return found
    return float(found == 1.0)


def recall(answer: str, golds: Iterable[str]) -> float:
    """How many of the words of the right answer stand in this one, for the right answer that it fits best by F1."""
    best = (0.0, 0.0)
    ours = Counter(normalize_answer(answer).split())
    for gold in golds:
        theirs = Counter(normalize_answer(gold).split())
        common = (ours & theirs).total()
        if common:
            fit = 2 * common / (ours.total() + theirs.total())
            best = (fit, common / theirs.total()) if fit > best[0] else best  # of equals the first, as in the code
    return best[1]


def _targets(step: Step) -> list[str]:
    return list(dict.fromkeys(route.target for route, _ in taken(step))) or [NOBODY]
