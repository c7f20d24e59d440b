"""What every knowledge base would have brought is executed, kept, and compared exactly."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_graph.actions import Answer, Malformed, RouteToKB
from router_graph.protocols import protocol_named
from router_graph.trajectories.views import view_at
from router_training.credit.attempt import attempt, pending, read
from router_training.credit.counterfactual import Alternatives, alternatives
from router_training.credit.searches import Searches
from router_training.errors import DataError
from router_training.rewards.costs import CostNormaliser
from router_training.rewards.gold import Questions
from router_training.rewards.verifiable import Verifiable
from support.routed_runs import FILM, GOOD, PERSON, RIGHT, Library, does, libraries, run_of

REWARD = Verifiable(CostNormaliser(0.0, 0.1))
RUN = run_of(GOOD)


def explored(runs, knowledge=None, *, searches=None, **options):
    async def collect():
        with searches or Searches(knowledge or libraries()) as made:
            return [one async for one in alternatives(runs, made, REWARD, **options)]

    return asyncio.run(collect())


def test_every_knowledge_base_is_asked_what_one_was_asked():
    shelves = libraries()
    first, second = explored([RUN], shelves)
    assert [shelf.asked for shelf in shelves] == [[FILM.query, PERSON.query]] * 3
    assert list(first.rewards) == ["kb:films", "kb:people", "kb:noise"]
    assert (first.number, first.position, first.taken, first.missing) == (1, 0, "kb:films", ())
    assert first.best == ["kb:films"] and first.regret == 0.0
    assert second.query == PERSON.query and second.rewards["kb:people"] > second.rewards["kb:noise"]


def test_the_reward_of_the_choice_that_was_taken_is_that_of_the_log():
    logged = {score.number: score.total for score in REWARD.score(RUN, Questions().of(RUN))}
    for one in explored([RUN]):
        assert one.rewards[one.taken] == logged[one.number]


def test_what_the_decision_took_is_part_of_every_choice():
    """The scale is no line: what is added to both choices changes the difference."""
    dear = [replace(one, step={**one.step, "decision": {**one.step["decision"], "usd": 0.003}}) for one in RUN.steps]
    run = replace(RUN, steps=tuple(dear))
    logged = {score.number: score.total for score in REWARD.score(run, Questions().of(run))}
    for one in explored([run]):
        assert one.rewards[one.taken] == logged[one.number]


def test_among_no_links_nothing_is_found_and_pictures_are_asked_with():
    class Pictures(Library):
        async def asearch(self, query, k, image=None, within=None):
            seen.append((image is not None, within))
            return await super().asearch(query, k)

    seen, shelf = [], Pictures("films", {"harbour": "Ann Lee wrote Harbour."})
    shelf.modality = "image"
    picture = "data:image/png;base64,iVBORw0KGgo="
    script = does(FILM, RouteToKB("films", "Harbour", linked="films:harbour"), RIGHT)
    run = replace(run_of(script, knowledge=[shelf]), images=(picture,))
    assert run.steps[1].step["observations"]["0"]["status"] == "empty"  # it links to nothing
    seen.clear()
    logged = {score.number: score.total for score in REWARD.score(run, Questions().of(run))}
    for one in explored([run], [shelf]):
        assert one.rewards[one.taken] == logged[one.number]
    assert seen == [(True, None), (True, [])]


def test_a_wrong_choice_has_a_regret_and_the_best_is_named():
    (one,) = explored([run_of(does(RouteToKB("noise", FILM.query), RIGHT))])
    assert one.best == ["kb:films"] and one.regret == pytest.approx(
        one.advantages["kb:films"] - one.advantages["kb:noise"]
    )


def test_what_was_excluded_from_the_turn_is_not_asked():
    shelves = libraries()
    (one,) = explored([run_of(does(FILM, RIGHT), context={"exclude": ["kb:people"]})], shelves)
    assert list(one.rewards) == ["kb:films", "kb:noise"] and shelves[1].asked == []


def test_a_group_that_is_not_complete_says_so_and_the_others_go_on():
    searches = Searches(libraries(noise=OSError("down"))[1:])  # and nobody holds the films
    first, _ = explored([RUN], searches=searches)
    assert first.missing == ("kb:films", "kb:noise") and list(first.rewards) == ["kb:people"]
    assert searches.problems == {"noise": "OSError: down"}
    assert np.isnan(first.regret)


def test_a_search_is_made_once_and_a_pass_can_be_resumed(tmp_path):
    file, shelves = tmp_path / "cache" / "searches.jsonl", libraries()
    before = explored([RUN, replace(RUN, run_id="again")], searches=Searches(shelves, file=file))
    assert [len(shelf.asked) for shelf in shelves] == [2, 2, 2]
    with file.open("a") as torn:
        torn.write('{"key": ["films", "", "x"')  # the process died here
    fresh = libraries()
    resumed = Searches(fresh, file=file)
    assert explored([RUN, replace(RUN, run_id="again")], searches=resumed) == before
    assert resumed.asked == 0 and not any(shelf.asked for shelf in fresh)
    explored([run_of(does(RouteToKB("films", "Desert"), RIGHT))], searches=Searches(fresh, file=file))
    third = Searches(fresh, file=file)
    assert len(explored([run_of(does(RouteToKB("films", "Desert"), RIGHT))], searches=third)) == 1
    assert third.asked == 0  # what was written behind the torn line is there


def test_hits_of_another_state_of_a_knowledge_base_are_not_taken(tmp_path):
    file = tmp_path / "searches.jsonl"
    explored([RUN], searches=Searches(libraries(), file=file, versions={"films": "1"}))
    again = Searches(libraries(), file=file, versions={"films": "2"})
    explored([RUN], searches=again)
    assert again.asked == 2


def test_what_failed_is_asked_again_the_next_time(tmp_path):
    file = tmp_path / "searches.jsonl"
    explored([RUN], searches=Searches(libraries(films=OSError("down")), file=file))
    again = Searches(libraries(), file=file)
    first, _ = explored([RUN], searches=again)
    assert again.asked == 2 and first.missing == ()


def test_a_file_that_holds_no_searches_is_one_sentence(tmp_path):
    file = tmp_path / "other.jsonl"
    file.write_text('{"run": 1}\n')
    with pytest.raises(DataError, match="holds no searches"):
        Searches(libraries(), file=file)


def test_the_same_search_at_the_same_time_is_made_once():
    class Slow(Library):
        async def asearch(self, query, k):
            await asyncio.sleep(0.01)
            return await super().asearch(query, k)

    async def several():
        shelf = Slow("films", {"a": "film"})
        searches = Searches([shelf])
        found = await asyncio.gather(*(searches.search("films", "film", 3) for _ in range(5)))
        return shelf.asked, found

    asked, found = asyncio.run(several())
    assert asked == ["film"] and all(hits == found[0] and len(hits) == 1 for hits in found)


def test_a_run_without_gold_is_one_sentence():
    with pytest.raises(DataError, match="has no right answer"):
        explored([replace(RUN, metadata={})])


numbers = st.floats(-5, 5).map(lambda x: round(x, 3))


@given(st.lists(st.tuples(numbers, numbers), min_size=2, max_size=6))
def test_the_gradient_of_a_complete_group_is_that_of_the_expected_reward(drawn):
    """sum over a of p(a) · A(a) · d log p(a) is d/dz of sum p · r, for a softmax over z: no sampling, no error."""
    scores, rewards = (np.array(column) for column in zip(*drawn, strict=True))
    shares = np.exp(scores - scores.max())
    shares /= shares.sum()
    keys = [f"kb:{n}" for n in range(len(drawn))]
    one = Alternatives(
        "r", 1, 0, "q", keys[0], dict(zip(keys, rewards, strict=True)), dict(zip(keys, shares, strict=True))
    )
    advantages = np.array([one.advantages[key] for key in keys])
    assert float(shares @ advantages) == pytest.approx(0.0, abs=1e-9)
    gradient = (shares * advantages) @ (np.eye(len(keys)) - shares)
    step = 1e-6
    numeric = []
    for place in range(len(keys)):
        moved = scores + step * np.eye(len(keys))[place]
        new = np.exp(moved - moved.max())
        numeric.append((new / new.sum() @ rewards - shares @ rewards) / step)
    assert gradient == pytest.approx(numeric, abs=1e-4)


def test_logged_probabilities_are_those_of_the_knowledge_bases_alone():
    step = RUN.steps[0].step
    chances = {"kb:films": 0.4, "kb:people": 0.1, "kb:noise": 0.0, "answer": 0.5}
    decided = {**step, "decision": {**step["decision"], "probabilities": chances}}
    run = replace(RUN, steps=(replace(RUN.steps[0], step=decided), *RUN.steps[1:]))
    first, second = explored([run])
    assert first.probabilities == pytest.approx({"kb:films": 0.8, "kb:people": 0.2, "kb:noise": 0.0})
    assert set(second.probabilities.values()) == {1 / 3}


# What else could have been said


def test_another_reply_is_read_by_the_protocol_that_ran():
    protocol = protocol_named("tags")
    thought, actions = read(RUN, 2, '<think>So.</think><route to="kb:films">x</route>', protocol)
    assert (thought, actions) == ("So.", (RouteToKB("films", "x"),))
    assert isinstance(read(RUN, 1, "Well.", protocol)[1][0], Malformed)
    for record in RUN.steps:  # what the log holds is what the parser reads
        assert [dict(one) for one in record.step["actions"]] == [
            {"kind": one.kind, **{k: getattr(one, k) for k in one.__slots__ if getattr(one, k) not in (None, False)}}
            for one in read(RUN, record.number, record.step["reply"], protocol)[1]
        ]


def test_what_is_refused_needs_no_execution():
    wants = [RouteToKB("atlas", "x"), FILM, PERSON, PERSON, RouteToKB("noise", " ")]
    refused, routes = pending(RUN, 2, wants)
    assert {place: came["status"] for place, came in refused.items()} == {
        "0": "refused",
        "1": "repeated",
        "3": "repeated",
        "4": "refused",
    }
    assert routes == {"2": PERSON}


def test_an_attempt_is_a_run_that_a_reward_can_judge():
    gold = Questions().of(RUN)
    same = attempt(RUN, 2, [PERSON], RUN.steps[1].step["observations"])
    assert REWARD.of_step(same, 2, gold) == REWARD.of_step(RUN, 2, gold)
    assert same.status == "open" and len(same.steps) == 2 and view_at(same, 2) == view_at(RUN, 2)
    ends = attempt(RUN, 2, [Answer("Bo Chen")], {})
    assert (ends.status, ends.answer, ends.stop_reason) == ("ended", "Bo Chen", "answered")
    assert REWARD.of_step(ends, 2, gold).parts["answer"] == 1.0
