"""A relabelled run is what the graph itself would have seen under the other budget, or it is cut where it could not go
on."""

from __future__ import annotations

from dataclasses import replace
from itertools import takewhile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.language_models import FakeListChatModel

from router_graph.actions import Note, RouteToKB, RouteToLLM
from router_graph.policies.scripted import Scripted
from router_graph.pool import ModelCard, ModelPool
from router_graph.pool.price import Price
from router_graph.trajectories.views import view_at
from router_training.credit.relabel import World, relabel
from router_training.credit.worlds import Draws, draw, worlds
from router_training.errors import ConfigError
from router_training.rewards.costs import CostNormaliser
from router_training.rewards.gold import Questions
from router_training.rewards.verifiable import Verifiable
from support.routed_runs import FILM, GOOD, PERSON, RIGHT, does, libraries, run_of

RUN = run_of(GOOD, context={"usd": 1.0, "max_steps": 6})
ASKS_MUCH = [FILM, PERSON, RouteToKB("films", "Desert"), RouteToKB("people", "writer"), RIGHT]
LONG = run_of(does(*ASKS_MUCH), context={"usd": 1.0, "max_steps": 9})
budgets = st.floats(0.0001, 0.02).map(lambda x: round(x, 5))


def as_written(one, other):
    """Whether the graph took the step that the script wanted."""
    came = other.step["observations"].values()
    is_free = not other.step["decision"]["forced"] and all(seen["status"] in ("ok", "empty") for seen in came)
    return is_free and one.step["actions"] == other.step["actions"]


def states(run):
    """All that a policy sees of each state but how long it took."""
    seen = []
    for record in run.steps:
        view = view_at(run, record.number)
        seen.append((view.menu, dict(view.masked), view.left["steps"], view.must_answer, _usd(view.left["usd"])))
    return seen


def _usd(left):
    return None if left is None else round(left, 9)


@given(budgets, st.integers(1, 5))
def test_the_states_are_those_that_the_graph_itself_would_have_had(usd, most):
    """The same script under that budget, until the graph forced it to do otherwise."""
    really = run_of(does(*ASKS_MUCH), context={"usd": usd, "max_steps": most})
    told = relabel(LONG, World(usd=usd, max_steps=most))
    pairs = zip(LONG.steps, really.steps, strict=False)
    alike = len(list(takewhile(lambda pair: as_written(*pair), pairs)))
    kept = [] if told is None else states(told)
    assert kept[:alike] == states(really)[:alike] and len(kept) >= alike
    if told is not None and told.status == "ended":
        assert [s.step["actions"] for s in told.steps] == [s.step["actions"] for s in LONG.steps]
        assert told.usd <= usd * (1 + 1e-9)


def test_the_budget_that_held_gives_back_the_run():
    told = relabel(RUN, World(usd=1.0, max_steps=6))
    assert states(told) == states(RUN) and told.answer == RUN.answer and told.status == "ended"
    assert told.usd == pytest.approx(RUN.usd)


def test_a_run_that_cost_more_than_the_new_budget_is_cut_or_dropped():
    cut = relabel(RUN, World(usd=0.0045))
    assert (cut.status, len(cut.steps), cut.answer, cut.stop_reason) == ("open", 1, "", None)
    assert relabel(RUN, World(usd=0.0045), over="drop") is None
    assert relabel(RUN, World(usd=0.001)) is None  # not even the first search


def test_what_fits_one_by_one_must_fit_together():
    wide = run_of(does([FILM, RouteToKB("films", "Desert")], RIGHT))
    assert relabel(wide, World(usd=0.006)) is None
    assert relabel(wide, World(usd=0.008)).status == "ended"


def test_the_reserve_for_the_answer_stays_what_it_was():
    class Model(Scripted):
        card = ModelCard(name="router", price="free")

    run = run_of(Model(GOOD), context={"usd": 1.0, "tokens": 1000})
    left = [view_at(run, 2).left, view_at(relabel(run, World(usd=0.1, tokens=500)), 2).left]
    assert [one["usd"] for one in left] == pytest.approx([0.8 - 0.004, 0.08 - 0.004])
    assert [one["tokens"] for one in left] == [800, 400]


def test_time_runs_out_in_hindsight_too():
    slow = replace(RUN, steps=tuple(taking(one, 2.0) for one in RUN.steps))
    assert len(relabel(slow, World(seconds=3.0)).steps) == 1
    told = relabel(slow, World(seconds=5.0))
    assert told.status == "ended" and view_at(told, 3).left["seconds"] == pytest.approx(1.0)
    assert relabel(slow, World(seconds=4.0)).stop_reason == "seconds"


def taking(record, seconds):
    came = {place: {**seen, "seconds": seconds} for place, seen in record.step["observations"].items()}
    decision = {**record.step["decision"], "seconds": 0.0}
    return replace(record, step={**record.step, "observations": came, "decision": decision})


def test_what_was_true_of_the_old_state_only_is_gone():
    told = relabel(RUN, World(usd=0.5))
    for record in told.steps:
        decision = record.step["decision"]
        assert decision["probabilities"] is None and decision["propensity"] is None
        assert decision["replay_id"] == "" and record.call is None and record.run_id == told.run_id
    assert told.run_id != RUN.run_id and told.metadata["relabelled"]["usd"] == 0.5
    assert told.question_id == RUN.question_id
    assert relabel(RUN, World(usd=0.5)).run_id == told.run_id != relabel(RUN, World(usd=0.6)).run_id


def test_two_prices_can_change_places():
    swapped = relabel(RUN, World(prices={"kb:films": 0.001, "kb:people": 0.004}))
    assert [option["usd"] for option in swapped.menu] == [0.001, 0.004, 0.0, 0.0]
    assert [next(iter(s.step["observations"].values()))["usd"] for s in swapped.steps[:2]] == [0.001, 0.004]
    reward, gold = Verifiable(CostNormaliser(0.0, 0.1)), Questions().of(RUN)
    before, after = ([s.parts["cost"] for s in reward.score(run, gold)] for run in (RUN, swapped))
    assert before[:2] == after[:2][::-1]


def test_a_price_that_no_longer_fits_masks_the_source_as_the_graph_does():
    told = relabel(RUN, World(usd=0.0062, prices={"kb:noise": 0.005}))
    assert "kb:noise" not in view_at(told, 1).masked
    assert view_at(told, 2).masked["kb:noise"].startswith("too dear: about $0.005 a call")


def test_a_source_that_is_left_out_is_nowhere():
    told = relabel(RUN, World(without=["kb:noise"]))
    assert [option["key"] for option in told.menu] == ["kb:films", "kb:people", "answer"]
    assert told.status == "ended"
    assert len(relabel(RUN, World(without=["kb:people"])).steps) == 1
    assert relabel(RUN, World(without=["kb:films"])) is None


def test_more_money_takes_the_masks_of_too_little_away():
    poor = run_of(does(PERSON, RIGHT), context={"usd": 0.003})
    assert "kb:films" in view_at(poor, 1).masked
    assert "kb:films" not in view_at(relabel(poor, World(usd=1.0)), 1).masked


def test_an_exclusion_stays():
    run = run_of(does(PERSON, RIGHT), context={"exclude": ["kb:films"]})
    assert view_at(relabel(run, World(usd=1.0)), 1).masked == {"kb:films": "excluded from this turn"}


def test_the_card_of_a_model_that_has_another_price_says_so():
    card = ModelCard(name="ann", transport="it", price={"input": 1, "output": 2})
    pool = ModelPool([card], transports={"it": FakeListChatModel(responses=["Bo Chen"])})
    run = run_of(does(RouteToLLM("ann", "Who?"), RIGHT), pool=pool)
    with pytest.raises(ConfigError, match="The card of llm:ann states its old price"):
        relabel(run, World(prices={"llm:ann": 0.5}))
    dearer = ModelCard(name="ann", transport="it", price={"input": 10, "output": 20})
    told = relabel(run, World.of_cards([dearer]))
    old, new = (next(one for one in menu if one["key"] == "llm:ann") for menu in (run.menu, told.menu))
    assert new["usd"] == pytest.approx(10 * old["usd"]) and "$10.00 in" in new["description"]
    assert told.usd == pytest.approx(10 * run.usd)


def test_a_forced_answer_is_the_policys_own_where_nothing_forces_it():
    short = run_of(does(FILM, PERSON, RIGHT), context={"max_steps": 2})
    assert short.stop_reason == "steps"
    free = relabel(short, World(max_steps=9))
    assert free.stop_reason == "answered" and view_at(free, 3).must_answer is None
    tight = relabel(RUN, World(max_steps=2))
    assert tight.stop_reason == "steps" and tight.status == "ended"


@pytest.mark.parametrize(
    "wrong", [{"usd": 0.0}, {"max_steps": -1}, {"prices": {"kb:a": -1.0}}, {"without": ["answer"]}]
)
def test_a_world_that_cannot_be_is_one_sentence(wrong):
    with pytest.raises(ConfigError, match=r"\.$"):
        World(**wrong)


def graphs_own(script, **context):
    """What the graph does with this script in that world: how it ended, and what came of each step."""
    return told_of(run_of(script, context=context))


def told_of(run):
    return run.status, [[came["status"] for came in one.step["observations"].values()] for one in run.steps]


def test_a_run_ends_where_its_answer_was_due_and_not_given():
    script = does(FILM, Note("So far."), RIGHT)
    told = relabel(run_of(script, context={"max_steps": 6}), World(max_steps=1))
    assert graphs_own(script, max_steps=1) == ("ended", [["ok"], []])  # with an answer of the graph's own
    assert (told.status, len(told.steps), told.answer) == ("open", 2, "")
    assert relabel(run_of(script), World(max_steps=1), over="drop") is None


def test_a_run_that_need_not_have_ended_yet_is_open():
    script = does(FILM, PERSON, Note("So far."), RIGHT)
    told = relabel(run_of(script, context={"max_steps": 2}), World(max_steps=6))
    assert graphs_own(script, max_steps=6) == ("ended", [["ok"], ["ok"], [], []])
    assert (told.status, told.stop_reason, len(told.steps), told.answer) == ("open", None, 3, "")
    same = relabel(run_of(script, context={"max_steps": 2}), World(max_steps=2))
    assert (same.status, same.stop_reason) == ("ended", "steps")


def test_what_was_refused_for_its_price_would_have_been_taken_by_who_can_pay():
    script = does(FILM, RouteToKB("films", "Desert"), PERSON, RIGHT)
    poor = run_of(script, context={"usd": 0.006})
    assert graphs_own(script, usd=1.0) == ("ended", [["ok"], ["ok"], ["ok"], []])
    told = relabel(poor, World(usd=1.0))
    assert (told.status, len(told.steps)) == ("open", 1)
    poorer, really = relabel(poor, World(usd=0.007)), run_of(script, context={"usd": 0.007})
    assert told_of(poorer) == told_of(really)
    assert poorer.steps[1].step["observations"]["0"]["text"] == really.steps[1].step["observations"]["0"]["text"]


def test_what_failed_for_want_of_money_would_have_been_found_by_who_can_pay():
    script = does([FILM, RouteToKB("films", "Desert")], RIGHT)
    poor = run_of(script, context={"usd": 0.005})
    assert told_of(poor) == ("ended", [["ok", "failed"], []])
    assert graphs_own(script, usd=0.009) == ("ended", [["ok", "ok"], []])
    assert relabel(poor, World(usd=0.009)) is None
    assert told_of(relabel(poor, World(usd=0.006))) == graphs_own(script, usd=0.006) == told_of(poor)
    down = run_of(script, context={"usd": 0.009}, knowledge=libraries(films=OSError("down")))
    assert told_of(relabel(down, World(usd=1.0))) == ("ended", [["failed", "failed"], []])


def test_a_repetition_where_the_answer_is_due_is_refused():
    script = does(PERSON, PERSON, RIGHT)
    told = relabel(run_of(script, context={"max_steps": 3}), World(max_steps=1))
    assert told_of(told)[1] == graphs_own(script, max_steps=1)[1] == [["ok"], ["refused"]]


def test_the_reserve_pays_for_no_search():
    class Model(Scripted):
        card = ModelCard(name="router", price="free")

    script = does([FILM, RouteToKB("films", "Desert")], RIGHT)
    assert graphs_own(Model(script), usd=0.0095) == ("ended", [["ok", "failed"], []])
    assert relabel(run_of(Model(script), context={"usd": 1.0}), World(usd=0.0095)) is None


def test_a_model_that_stood_in_for_another_has_its_own_price():
    class Down(FakeListChatModel):
        def _call(self, *args, **kwargs):
            raise OSError("down")

    cards = [ModelCard(name=name, transport=name, price={"input": 1, "output": 2}) for name in ("ann", "bob")]
    chats = {"ann": Down(responses=["x"]), "bob": FakeListChatModel(responses=["Bo Chen"])}
    pool = ModelPool(cards, transports=chats, fallbacks={"ann": ["bob"]})
    run = run_of(does(RouteToLLM("ann", "Who?"), RIGHT), pool=pool)
    assert run.steps[0].step["observations"]["0"]["served"] == "llm:bob"
    dear = [one.model_copy(update={"price": Price(input=10, output=20)}) for one in cards]
    assert relabel(run, World.of_cards(dear[:1])).usd == pytest.approx(run.usd)
    assert relabel(run, World.of_cards(dear[1:])).usd == pytest.approx(10 * run.usd)
    assert relabel(run, World(without=["llm:bob"])) is None


def test_an_open_run_stays_open():
    assert relabel(replace(RUN, status="open", stop_reason=None, answer=""), World(usd=0.9)).status == "open"


# Worlds at random


def test_worlds_are_drawn_the_same_each_time_and_differ_from_run_to_run():
    draws, other = Draws(), replace(RUN, run_id="other")
    assert draw(RUN, draws, seed=1) == draw(RUN, draws, seed=1)
    assert len({str(draw(run, draws, seed=s, number=n)) for run in (RUN, other) for s in (1, 2) for n in (0, 1)}) == 8


@given(st.integers(0, 99))
def test_a_drawn_world_keeps_to_its_bounds_and_leaves_out_nobody_who_was_asked(seed):
    world = draw(RUN, Draws(budget=(0.5, 2.0), price_factor=2.0, leave_out=1.0), seed=seed)
    assert 0.5 * RUN.usd <= world.usd <= 2.0 * RUN.usd
    assert list(world.without) == ["kb:noise"]
    assert 0.002 <= world.prices["kb:films"] <= 0.008 and 0.0005 <= world.prices["kb:people"] <= 0.002


def test_a_model_gets_another_price_only_where_its_card_can_say_so():
    card = ModelCard(name="ann", transport="it", price={"input": 1, "output": 2})
    pool = ModelPool([card], transports={"it": FakeListChatModel(responses=["Bo Chen"])})
    run = run_of(does(RouteToLLM("ann", "Who?"), RIGHT), pool=pool)
    assert "llm:ann" not in draw(run, Draws()).prices
    world = draw(run, Draws(cards={"ann": card}))
    (told,) = worlds([run], Draws(cards={"ann": card}, budget=None))
    option = next(one for one in told.menu if one["key"] == "llm:ann")
    assert option["usd"] == pytest.approx(world.prices["llm:ann"]) and option["description"] != card.describe()


def test_runs_of_which_nothing_is_left_are_missing():
    assert list(worlds([RUN], Draws(budget=(0.01, 0.02), price_factor=1.0))) == []
    assert len(list(worlds([RUN], Draws(budget=(2.0, 3.0), price_factor=1.0), count=3))) == 3
    with pytest.raises(ConfigError, match="two multiples above 0"):
        Draws(budget=(0.0, 1.0))
