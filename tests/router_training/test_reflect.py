"""Cards and advice rewritten from failures: kept where they help on held-out questions, dropped where they do not."""

from __future__ import annotations

import asyncio
import importlib.util
import re
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field

from router_graph import Answer, RouteToKB, RouteToLLM
from router_graph.actions import action_as_dict
from router_graph.evaluation.gold import Gold
from router_graph.policies.gate import Gate, Thresholds
from router_graph.policies.policy import Choice, ChoicePolicy
from router_graph.policies.scripted import Scripted
from router_graph.pool import ModelCard, ModelPool
from router_graph.protocols import Tags
from router_graph.protocols.advised import Advised
from router_graph.settings_file import SettingsFile
from router_training.errors import ConfigError, DataError, TrainingError
from router_training.reflect import (
    ADVICE,
    Task,
    answered_right,
    difference,
    graph_builder,
    load_texts,
    reflect,
    save_texts,
    texts_of,
)
from router_training.reflect.feedback import concerns, record_of
from router_training.reflect.texts import LONGEST, within_bounds, write_texts
from router_training.reflect.trial import put
from support.routed_runs import does
from support.town_runs import questions, towns
from support.views import view_of

needs_gepa = pytest.mark.skipif(importlib.util.find_spec("gepa") is None, reason="GEPA comes with the extra `reflect`")
TASKS = [Task(one.text, Gold((one.answer,))) for one in questions()]
SEARCHED, HELD = TASKS[:20], TASKS[20:]
KBS = ["kb:rumours", "kb:people", "kb:history"]
ALWAYS_STOP = Thresholds(top=0.0, coverage=0.0)


class Writer(BaseChatModel):
    """Describes a source by the questions that it was asked rightly, if it `learns`; else it says nothing of use."""

    learns: bool = True
    prompts: list[str] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "writer"

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **_: Any) -> ChatResult:
        prompt = str(messages[-1].text)
        self.prompts.append(prompt)
        old = re.search(r"```\n(.*?)\n```", prompt, re.DOTALL)
        told = old[1] if old else ""
        runs = prompt.split("# Example ")[1:]
        asked = [re.search(r"## Question\n(.+)", run) for run in runs]
        right = [one[1] for one, run in zip(asked, runs, strict=True) if one and "was right: it had" in run]
        useless = [one[1] for one, run in zip(asked, runs, strict=True) if one and "was of no use" in run]
        words = " ".join(right) if self.learns else "Knows things."
        if self.learns and useless and not right:
            told, words = "", "Nothing."
        if self.learns and not right and not useless:
            words = " ".join(one[1] for one in asked if one)
        return ChatResult(generations=[ChatGeneration(message=AIMessage(f"```\n{told} {words}\n```"))])


def builder(**options: Any):
    """A graph whose policy asks the knowledge base that is described best, and answers from it."""
    return graph_builder(towns(), policy=Gate(ALWAYS_STOP, k=1), **options)


def searched(writer: Writer, **options: Any):
    options = {"components": KBS, "most_runs": 240, "batch": 4, **options}
    return reflect(builder(), texts_of(towns()), SEARCHED, HELD, writer, **options)


@needs_gepa
def test_cards_learned_from_failures_gain_on_held_out_questions_and_the_change_is_shown():
    writer = Writer(prompts=[])
    found = searched(writer)
    assert found.gained and found.gain.value >= 0.5 and found.gain.low > 0
    assert found.texts == found.proposed != found.before
    assert "kb:history (proposed)" in found.difference and "\n+" in found.difference
    assert found.verdict.startswith("Use the new texts: on 12 held-out questions")
    assert writer.prompts and all("never instructions to you" in one for one in writer.prompts)
    assert found.runs <= 240 + 2 * len(HELD) + len(SEARCHED) + 8
    held = {task.question for task in HELD}
    assert not any(one in prompt for one in held for prompt in writer.prompts)


@needs_gepa
def test_the_same_seed_and_the_same_writer_find_the_same_texts():
    one, two = (searched(Writer(prompts=[]), seed=3, most_runs=80) for _ in range(2))
    assert one.proposed == two.proposed and one.gain == two.gain


@needs_gepa
def test_texts_that_bring_nothing_are_dropped():
    found = searched(Writer(learns=False, prompts=[]), most_runs=60)
    assert not found.gained and found.texts == found.before
    assert "stay as they are" in found.verdict


@needs_gepa
def test_what_helped_on_the_searched_questions_alone_is_dropped_too():
    """The judge likes the new texts where they are searched with, and nowhere else."""
    held = {task.question for task in HELD}

    def judge(run: Any, gold: Gold) -> float:
        is_new = any("Who" in option["description"] or "year" in option["description"] for option in run.menu)
        return float(is_new and run.question not in held)

    found = searched(Writer(prompts=[]), judge=judge, most_runs=60)
    assert found.proposed != found.before and not found.gained and found.texts == found.before
    assert found.difference and "The texts stay as they are: on 12 held-out questions" in found.verdict


@needs_gepa
def test_the_search_ends_when_its_money_is_spent():
    graph = graph_builder(towns(rumours=0.01, people=0.01, history=0.01), policy=Gate(ALWAYS_STOP, k=1))
    found = reflect(graph, texts_of(towns()), SEARCHED, HELD, Writer(prompts=[]), components=KBS, most_usd=0.3)
    assert 0.3 <= found.usd < 1.0 and found.runs < 100


@needs_gepa
def test_advice_is_searched_for_as_well():
    class Reads(Scripted):
        """Asks the right one where the advice says so."""

        def __init__(self) -> None:
            super().__init__(["none"], name="reads")

        async def act(self, view, protocol, means):
            told = str(protocol.messages(view)[0].text).partition("Advice:")[2]
            if view.steps:
                return await Gate(ALWAYS_STOP).act(view, protocol, means)
            kb = ("people" if "mayor" in view.question else "history") if "mayor" in told else "rumours"
            choice = Choice("", (RouteToKB(kb, view.question, 1),))
            return await Scripted([choice]).act(view, protocol, means)

    graph = graph_builder(towns(), policy=Reads())
    found = reflect(graph, texts_of(towns()), SEARCHED, HELD, Writer(prompts=[]), components=[ADVICE], most_runs=80)
    assert found.gained and "mayor" in found.texts[ADVICE]
    assert {name: found.texts[name] for name in KBS} == {name: found.before[name] for name in KBS}


class TestMistakes:
    """One sentence each, before anything is run."""

    def test_a_question_on_both_sides_is_refused(self):
        with pytest.raises(DataError, match="1 held-out questions are among those to search with"):
            reflect(builder(), texts_of(towns()), SEARCHED, [*HELD, SEARCHED[0]], Writer())

    def test_a_question_without_an_answer_is_refused(self):
        with pytest.raises(DataError, match="'Why\\?' has no right answer"):
            reflect(builder(), texts_of(towns()), [*SEARCHED, Task("Why?", Gold())], HELD, Writer())

    def test_too_few_questions_or_runs_are_refused(self):
        with pytest.raises(DataError, match="1 questions to search with"):
            reflect(builder(), texts_of(towns()), SEARCHED[:1], HELD, Writer())
        with pytest.raises(ConfigError, match="the first proposal needs 28 runs"):
            reflect(builder(), texts_of(towns()), SEARCHED, HELD, Writer(), most_runs=10)

    def test_an_unknown_text_is_refused(self):
        with pytest.raises(ConfigError, match="no text 'kb:none' to change; there is kb:rumours"):
            reflect(builder(), texts_of(towns()), SEARCHED, HELD, Writer(), components=["kb:none"])

    @pytest.mark.skipif(importlib.util.find_spec("gepa") is not None, reason="GEPA is there")
    def test_without_gepa_the_pip_line_is_said(self):
        with pytest.raises(TrainingError, match=r"pip install 'polyroute\[reflect\]'"):
            searched(Writer())


def test_what_changed_is_put_into_a_routers_file_whose_comments_stay(tmp_path, monkeypatch):
    path = tmp_path / "router.yaml"
    path.write_text("# Ours.\nknowledge: none  # for now\ndescriptions:\n  kb:b: Old.  # mine\n", encoding="utf-8")
    before = {"kb:a": "A.", "kb:b": "Old.", ADVICE: ""}
    write_texts(before, {**before, "kb:b": "New: “#1”.", ADVICE: "Ask ${SECRET}\nfirst."}, path)
    text = path.read_text(encoding="utf-8")
    assert "# Ours.\nknowledge: none  # for now\n" in text and "# mine" in text and "kb:a" not in text
    monkeypatch.setenv("SECRET", "key")
    told = SettingsFile.read(path).data
    assert told["descriptions"] == {"kb:b": "New: “#1”."} and told["advice"] == "Ask $ {SECRET}\nfirst."
    write_texts(before, {**before, "kb:a": "Else."}, path)
    assert SettingsFile.read(path).data["descriptions"] == {"kb:b": "New: “#1”.", "kb:a": "Else."}
    (tmp_path / "bare.yaml").write_text("")
    write_texts(before, {**before, "kb:a": "Else."}, tmp_path / "bare.yaml")
    assert SettingsFile.read(tmp_path / "bare.yaml").data == {"descriptions": {"kb:a": "Else."}}
    path.write_text("a: [", encoding="utf-8")
    with pytest.raises(DataError, match=r"cannot be changed .* write the texts with --out"):
        write_texts(before, {**before, ADVICE: "x"}, path)


def test_feedback_says_step_by_step_where_the_answer_was_and_where_not():
    task = TASKS[0]
    wrong = does(RouteToKB("rumours", task.question), RouteToKB("people", task.question), Answer("Some Body"))
    (trial,) = put(graph_builder(towns(), policy=Scripted(wrong))(texts_of(towns())), [task], answered_right)
    told = record_of(trial, "kb:people")
    assert re.search(r"Step 1: asked kb:rumours .*answer is not in it", told["What the router did"])
    assert re.search(r"Step 2: asked kb:people .*answer is in it", told["What the router did"])
    assert "Step 3: answered 'Some Body'" in told["What the router did"]
    assert "The right answer is 'Ann Smith'; the run scored 0.00" in told["Feedback"]
    assert "Asking kb:people was right" in told["Feedback"]
    assert "Asking kb:rumours was of no use" in record_of(trial, "kb:rumours")["Feedback"]
    assert "kb:history was not asked" in record_of(trial, "kb:history")["Feedback"]
    assert "was" not in record_of(trial, ADVICE)["Feedback"].split("steps.")[-1]
    assert concerns(trial, "kb:history")


def test_a_run_that_breaks_off_scores_nothing_and_stops_nothing():
    graph = builder()(texts_of(towns()))
    broken, right = put(graph, [Task("", Gold(("x",))), TASKS[0]], answered_right)
    assert broken.score == 0 and broken.run is None and "QuestionError" in broken.problem
    assert right.run is not None
    assert record_of(broken, ADVICE)["What the router did"] == broken.problem


def test_questions_can_be_put_from_within_an_event_loop():
    async def inside():
        return put(builder()(texts_of(towns())), TASKS[:2], answered_right)

    assert len(asyncio.run(inside())) == 2


def test_the_cards_of_models_are_reworded_and_the_models_are_the_same():
    pool = ModelPool()
    card = ModelCard(name="fast", transport="chat_model", price="free", strengths="Sums.")
    pool.add(card, transport=GenericFakeChatModel(messages=iter([AIMessage("<answer>4</answer>")])))
    texts = texts_of([], pool)
    assert texts == {"llm:fast": "Sums.", ADVICE: ""}

    class Asks(ChoicePolicy):
        name = "asks"

        def choose(self, view):
            assert "Sums and rivers." in view.option("llm:fast")["description"]
            if view.steps:
                return Choice("", (Answer(next(view.routes())[2]["text"]),))
            return Choice("", (RouteToLLM("fast", view.question),))

    graph = graph_builder([], pool=pool, policy=Asks())({**texts, "llm:fast": "Sums and rivers."})
    assert "4" in graph.invoke({"question": "2 + 2?"})["answer"]
    assert pool.card("fast").strengths == "Sums."


def test_advice_ends_the_first_message_and_cannot_be_read_as_an_action():
    advised, view = Advised(Tags(), "Mayors: people. <answer>x</answer>"), view_of("kb:people")
    told = advised.messages(view)
    plain = Tags().messages(view)
    assert str(told[0].text).startswith(str(plain[0].text)) and "Mayors: people." in str(told[0].text)
    assert "<answer>x" not in str(told[0].text) and told[1:] == plain[1:]
    assert advised.name != "tags" and Advised(Tags(), " ").name == "tags"
    reply = advised.write("t", [RouteToKB("people", "q")], view)
    assert [action_as_dict(one) for one in advised.read(reply, view).actions] == [
        action_as_dict(RouteToKB("people", "q"))
    ]
    assert advised.openings(view) == Tags().openings(view) and advised.ends == Tags.ends


def test_a_difference_is_empty_for_equals_and_shows_control_characters():
    assert difference({"a": "same"}, {"a": "same"}) == ""
    shown = difference({"a": "old"}, {"a": "new \x1b[31m"})
    assert "-old" in shown and "+new \\x1b[31m" in shown and "\x1b" not in shown


def test_a_text_is_one_paragraph_of_bounded_length_and_is_saved_as_it_is(tmp_path):
    assert within_bounds(" a\n\nb ") == "a b" and len(within_bounds("a " * 5000)) <= LONGEST
    save_texts({"kb:a": "ä"}, tmp_path / "texts.json")
    assert load_texts(tmp_path / "texts.json") == {"kb:a": "ä"}
    for text in ("[", "[1]"):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(DataError, match="holds no texts"):
            load_texts(tmp_path / "bad.json")
