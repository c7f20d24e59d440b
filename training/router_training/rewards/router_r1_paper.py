"""Router-R1's reward exactly as its code computes it (arXiv 2506.09033; `verl/trainer/main_ppo.py` and
`verl/utils/reward_score/qa_em.py` of its repository), to reproduce and to compare. Train with `router_r1` instead.

It judges the whole text of a run, what models said included, by rules of its own, which are not those of the parser
that runs it; a colon in a query or a tag in what a model says costs the policy −1. Prompts, the router's own tokens
and failed calls are free. A cost is measured against the last 1,000, so that scores depend on their order.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import sqrt

import numpy as np
from langchain_core.messages import AIMessage

from router_graph.evaluation.gold import Gold
from router_graph.evaluation.metrics import exact_match, normalize_answer
from router_graph.pool.tokens import estimate
from router_graph.protocols.router_r1 import RouterR1 as Grammar
from router_graph.protocols.text import unescape
from router_graph.state import Observation
from router_graph.trajectories.records import RunRecord
from router_graph.view import View
from router_training.errors import ConfigError, DataError
from router_training.rewards.facts import taken
from router_training.rewards.reward import WHOLE_RUN, RunReward, Score
from router_training.rewards.router_r1 import BAD_FORMAT, Metric, check_metric

IsModel = Callable[[str], bool]
"""Whether a name, in small letters and without space at its ends, is a model's."""
_TAGS = ("search", "think", "answer", "information")
_BLOCK = re.compile(r"<(search|answer|think|information)>(.*?)</\1>", re.DOTALL)
_ACTION = re.compile(r"<(search|answer)>(.*?)</\1>", re.DOTALL)
_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_IN_WHOLE = frozenset({"yes", "no", "noanswer"})
_TOLD = re.compile(r"(?<=<information>)[^<]*")
_WINDOW = 1000


def format_of(text: str, is_model: IsModel) -> float:
    """−1 or 0, for all that a run wrote and was told (`format_reward`)."""
    blocks = [(tag, body.strip()) for tag, body in _BLOCK.findall(text)]
    count = {tag: sum(one == tag for one, _ in blocks) for tag in _TAGS}
    stripped = text.strip()
    good = (
        bool(blocks)
        and all(text.count(f"<{tag}>") == text.count(f"</{tag}>") for tag in _TAGS)
        and not any(f"<{end}{tag}>" in body for _, body in blocks for tag in _TAGS for end in ("", "/"))
        and not any(tag == "think" and body in ("", "...") for tag, body in blocks)
        and count["answer"] == 1
        and count["think"] > 0
        and count["search"] == count["information"]
        and stripped.startswith("<think>")
        and stripped.endswith("</answer>")
        and all(_is_search(body, is_model) and not _names_itself(body) for tag, body in blocks if tag == "search")
    )
    return 0.0 if good else BAD_FORMAT


def calls_of(text: str, is_model: IsModel) -> int:
    """How many searches count as calls (`route_count`): those before the first that is none."""
    count = 0
    for tag, body in _ACTION.findall(text):
        if tag == "search" and not _is_search(body.strip(), is_model):
            return count
        count += tag == "search"
    return count


class RollingCost:
    """The normaliser of costs, with its window (`normalize_reward`)."""

    def __init__(self) -> None:
        self._window: deque[float] = deque(maxlen=_WINDOW)

    def cheapness(self, cost: float) -> float:
        """From 0 to 1; the cost itself is in the window that it is measured against. Unit: USD per million tokens
        times tokens, as long as it is always the same."""
        root = sqrt(cost)
        self._window.append(root)
        costs = np.array(self._window)
        if len(costs) >= 2:
            low, high = np.percentile(costs, 100 * 0.05), np.percentile(costs, 100 * 0.95)
        else:
            low, high = costs.min(), costs.max()
        if high - low < 1e-8:
            return 0.5
        return 1.0 - float(np.clip((root - low) / (high - low), 0.0, 1.0))


def right_of(text: str, gold: Gold, metric: Metric) -> float:
    """How right the last answer in the text is (`em_check`, `f1_score`), from 0 to 1; 0 where there is none."""
    said = _ANSWER.findall(text)
    if not said:
        return 0.0
    if metric == "em":
        return exact_match(said[-1], gold.answers)
    return max((_f1(normalize_answer(said[-1]), normalize_answer(one)) for one in gold.answers), default=0.0)


def composed(form: float, right: float, cheapness: float, alpha: float) -> float:
    """−1 for a bad format, 0 for a wrong answer, else (1 − alpha) · right + alpha · cheapness (`compute_score_em`)."""
    if form == BAD_FORMAT:
        return BAD_FORMAT
    return right * (1.0 - alpha) + cheapness * alpha if right else 0.0


def tokens_of(came: Observation) -> int:
    """How many tokens a reply was: what its provider counted; in a log that does not say, about as many as its text."""
    return came.get("output_tokens", estimate(came["text"]))


@dataclass(frozen=True, slots=True)
class PaperCode(RunReward):
    """The reward of the paper's code. It keeps a window of costs: one object for one pass, in the log's order.

    Raises `ConfigError` for a setting that cannot be, and `DataError` for a run with a model that has no price.
    """

    name = "router_r1_paper_code"

    prices: Mapping[str, float]
    """USD per million tokens that a model writes, by its name on the menu."""
    alpha: float = 0.6
    metric: Metric = "em"
    written: Callable[[Observation], int] = tokens_of
    """How many tokens a model's reply was."""
    _rolling: RollingCost = field(default_factory=RollingCost, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1:
            raise ConfigError(f"alpha is a number from 0 to 1, and not {self.alpha!r}.")
        check_metric(self.metric)

    @property
    def parameters(self) -> Mapping[str, object]:
        """All that a score depends on, but for the order of the runs."""
        return {
            "prices": dict(self.prices),
            "alpha": self.alpha,
            "metric": self.metric,
            "written": self.written.__name__,
        }

    def of_run(self, run: RunRecord, gold: Gold) -> Score:
        """The score, with `format`, `outcome`, `cost` (1 is cheap) and `calls` as its parts."""
        names = {one["key"].partition(":")[2].lower() for one in run.menu if one["key"].startswith("llm:")}
        text = text_of(run)
        form = format_of(text, names.__contains__)
        right = right_of(text, gold, self.metric)
        cheapness = self._rolling.cheapness(self._cost(run))
        parts = {"format": form, "outcome": right, "cost": cheapness}
        parts["calls"] = float(calls_of(text, names.__contains__))
        return Score(WHOLE_RUN, composed(form, right, cheapness, self.alpha), parts)

    def _cost(self, run: RunRecord) -> float:
        """Tokens that models wrote, each times its price; what failed is free."""
        cost = 0.0
        for step in run.steps:
            for route, came in taken(step.step):
                if route.kind != "llm" or came["status"] != "ok":
                    continue
                name = came["served"].removeprefix("llm:")
                price = self.prices.get(name)
                if price is None:
                    raise DataError(f"The model {name!r} of run {run.run_id!r} has no price; add it to 'prices'.")
                cost += self.written(came) * price
        return cost


def text_of(run: RunRecord) -> str:
    """All that the run wrote and was told, as the paper's loop grows it."""
    view = View(question=run.question, menu=run.menu, steps=tuple(one.step for one in run.steps))
    last = Grammar(mended=False, continues=True).messages(view)[-1]
    text = str(last.text).strip() if isinstance(last, AIMessage) else ""
    return _TOLD.sub(lambda found: unescape(found[0]), text)  # the paper's loop escapes nothing


def _f1(said: str, right: str) -> float:
    """`f1_score`, to the last digit: `metrics.f1` computes in another order, and makes something of nothing."""
    if said != right and not _IN_WHOLE.isdisjoint((said, right)):
        return 0.0
    ours, theirs = said.split(), right.split()
    same = (Counter(ours) & Counter(theirs)).total()
    if same == 0:
        return 0.0
    precision, recall = same / len(ours), same / len(theirs)
    return 2 * precision * recall / (precision + recall)


def _is_search(body: str, is_model: IsModel) -> bool:
    """One colon, a query behind it, no placeholder, a model before it."""
    if body.count(":") != 1:
        return False
    name, query = body.split(":")
    lowered = body.lower()
    is_filled = query.strip() != "" and "llm-name" not in lowered and "your-query" not in lowered
    return is_filled and is_model(name.strip().lower())


def _names_itself(body: str) -> bool:
    name, _, query = body.partition(":")
    return name.strip().lower() in query.strip().lower()
