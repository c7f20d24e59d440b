"""A log for the viewer to show: real runs of the real graph over a real folder of passages, a table and a picture."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from langchain_core.language_models.fake_chat_models import FakeListChatModel
from PIL import Image as Pillow

from kb_tools import Catalog, Image, Passage, Table
from router_graph import Answer, RouteToKB, RouteToLLM, create_router
from router_graph.actions import Action
from router_graph.policies.policy import Choice
from router_graph.policies.scripted import Scripted
from router_graph.pool import ModelCard, ModelPool, Price
from router_graph.trajectories.recorder import Recorder
from router_graph.view import View

QUESTION = "How many days does Triton take to orbit Neptune?"
EVIL = '<img src="x" onerror="window.hacked=1"><script>window.hacked=2</script>'
"""What must never run, nor be asked for."""
LINK = "javascript:window.hacked=3"
CHANCES = {"kb:texts": 0.125, "kb:moons": 0.6180339887, "kb:charts": 0.0125, "llm:small": 0.2, "answer": 0.0444660113}
CLOSED = "kb:closed"
"""Excluded from each turn: an option that is shown, greyed, with the reason."""
STEPS = 30
"""Of the long run."""


def make_library(folder: Path) -> None:
    """`texts`, `moons` (a table), `charts` (a picture) and `closed`."""
    with Catalog(folder) as catalog:
        catalog.create("texts", description="Articles about moons.").add(
            [
                Passage(id="triton", title="Triton", text="Triton orbits Neptune backwards, once in 5.877 days."),
                Passage(id="evil", title=f"Storms {EVIL}", text=f"Storms on Neptune. {EVIL} {LINK}"),
            ]
        )
        catalog.create("moons", description="Moons: days of an orbit.", modality="table").add(
            [Table(id="moons.csv", title="moons", header=["moon", "days"], rows=[["Triton", "5.877"], [EVIL, "1"]])]
        )
        picture = io.BytesIO()
        Pillow.linear_gradient("L").resize((120, 80)).save(picture, "PNG")
        catalog.create("charts", description="Charts.", modality="image", cost_usd=0.002).add(
            [Image(id="orbits", data=picture.getvalue(), caption="Orbits of moons")]
        )
        catalog.create("closed", description="Not for everybody.").add([Passage(id="x", title="X", text="Secret.")])


def guide(view: View) -> Choice:
    """The table, then the passages and the picture together, then a model, then the answer; chances are told."""
    legal = {option["key"] for option in view.legal}
    told = {key: chance for key, chance in CHANCES.items() if key in legal}
    told = {key: chance / sum(told.values()) for key, chance in told.items()}
    steps: list[tuple[str, Sequence[Action]]] = [
        (f"A figure: a table has it. {EVIL}", [RouteToKB("moons", f"days of an orbit of Triton {EVIL}")]),
        (
            "Look it up in words, and as a picture.",
            [RouteToKB("texts", "Triton storms"), RouteToKB("charts", "orbits")],
        ),
        ("Somebody else may know.", [RouteToLLM("small", "How long is Triton's orbit?", evidence=True)]),
    ]
    if view.must_answer or len(view.steps) >= len(steps):
        answer = f"Triton takes 5.877 days [moons:moons.csv] [texts:triton]. {EVIL} {LINK}"
        return Choice("All agree.", (Answer(answer),), {"answer": 1.0}, 1.0)
    thought, actions = steps[len(view.steps)]
    return Choice(thought, tuple(actions), told, told.get(actions[0].target, 1.0))


def hasty(view: View) -> Choice:
    """The table, then an answer that is wrong."""
    if view.steps:
        return Choice("That will do.", (Answer("6.387 days [moons:moons.csv]"),))
    return Choice("A figure: a table has it.", (RouteToKB("moons", f"days of an orbit of Triton {EVIL}"),))


def patient(view: View) -> Choice:
    """Asks the same knowledge base again and again, each time with other words, until it must answer."""
    if view.must_answer:
        return Choice("Enough.", (Answer("5.877 days [texts:triton]"),))
    number = len(view.steps) + 1
    return Choice(f"Thought {number}: what else is known?", (RouteToKB("texts", f"Triton, aspect {number}", k=1),))


GO_ON = threading.Event()
"""What `held` waits for before its second step."""


def held(view: View) -> Choice:
    """As `hasty`, but it stops on its way until `GO_ON` is set."""
    if view.steps:
        GO_ON.wait(30)
    return hasty(view)


POLICIES = {"guide": guide, "hasty": hasty, "patient": patient, "held": held}


class Recording:
    """Runs of these policies, recorded into a log. Made by `recording`."""

    def __init__(self, graphs: dict[str, Any], recorder: Recorder) -> None:
        self._graphs, self._recorder = graphs, recorder

    def run(self, policy: str, question: str = QUESTION, question_id: str = "q1", **context: Any) -> None:
        """One run, with its gold."""
        about = {"question_id": question_id, "gold": ["5.877"]}
        config: Any = {"callbacks": [self._recorder], "metadata": about}
        limits = {"exclude": [CLOSED], "max_steps": STEPS + 10, **context}
        self._graphs[policy].invoke({"question": question}, config=config, context=limits)


@contextmanager
def recording(library: Path, log: Path) -> Iterator[Recording]:
    """A recorder of the log, and graphs over the library."""
    with ExitStack() as opened:
        catalog = opened.enter_context(Catalog(library))
        recorder = opened.enter_context(Recorder(log, sync="never"))
        card = ModelCard(name="small", price=Price(input=1, output=2), transport="own")
        model = FakeListChatModel(responses=[f"About six days. {EVIL}"])
        options: dict[str, Any] = {"pool": ModelPool([card], transports={"own": model})}
        bases = [catalog.open(name) for name in catalog.names()]
        graphs = {
            name: create_router(bases, policy=Scripted(does, name=name), **options) for name, does in POLICIES.items()
        }
        yield Recording(graphs, recorder)


def record_all(library: Path, log: Path) -> None:
    """One run of each kind: a short one of each of two policies on one question, a long one, and a hostile question."""
    with recording(library, log) as take:
        take.run("guide", usd=0.05)
        take.run("hasty")
        take.run("guide", f"What about {EVIL}?", "q2", usd=0.05)
        take.run("patient", "What is known of Triton?", "q3", max_steps=STEPS - 1)
