"""The world in which learning is tested: what is best in it is known, and its tokenizer and model are what they say."""

import pytest

from router_graph.actions import Answer, RouteToKB, RouteToLLM
from router_graph.policies.policy import Choice, ChoicePolicy
from router_graph.protocols import protocol_named
from router_graph.trajectories.views import view_at
from router_training.data.rendering import Rendering
from router_training.world.learning import judged, scores_of, tasks_of, tokenizer_of, with_choice
from router_training.world.logs import Task, judge, record
from router_training.world.poor import Poor, action_to
from router_training.world.questions import Question, all_questions, balanced, split
from router_training.world.world import PRICE_PAIRS, World, answer_in, is_found

WORLD = World()
QUESTIONS = {one.id: one for one in all_questions()}


class Knowing(ChoicePolicy):
    """Does what is best."""

    name = "knowing"

    def choose(self, view):
        question = next(one for one in QUESTIONS.values() if one.text == view.question)
        (best, *_) = sorted(WORLD.best(view, question))
        return Choice("", (action_to(best, view),))


def test_who_does_what_is_best_is_right_in_every_question_and_pays_the_least():
    tasks = tasks_of(list(QUESTIONS.values()), 36, seed=3)

    knowing, poor = judge(WORLD, Knowing(), tasks), judge(WORLD, Poor(), tasks)

    assert knowing.accuracy == 1.0
    assert knowing.answered == knowing.runs == 36
    assert poor.accuracy < 0.3
    assert knowing.usd < poor.usd


def test_a_name_or_a_sum_is_on_one_side_alone_and_each_sort_is_on_all():
    sides = split(WORLD.questions())
    names = [{one.text.split(maxsplit=1)[1].removeprefix("of ") for one in side} for side in sides]

    assert not names[0] & names[1] and not names[0] & names[2] and not names[1] & names[2]
    assert len({frozenset(one.kb or one.kind for one in side) for side in sides}) == 1
    assert sum(map(len, sides)) == len(QUESTIONS)


def test_the_words_of_all_names_are_learned_from():
    sides = split(WORLD.questions())
    words = [{word for one in side for word in one.text.split()} for side in sides]

    assert words[1] | words[2] <= words[0]


def test_the_cheaper_of_two_equal_models_is_best_and_the_price_decides_which():
    question = QUESTIONS["sum-3-4"]

    class Two(ChoicePolicy):
        name = "two"

        def choose(self, view):
            return Choice("", (action_to("llm:two", view) if not view.steps else Answer(answer_in(view)),))

    assert judge(WORLD, Two(), [Task(question, (0.004, 0.001))]).right == 1
    dear = judge(WORLD, Two(), [Task(question, (0.001, 0.004))])
    assert dear.right == 0
    assert dear.answered == 1


def test_prompts_are_short_and_words_come_back_as_they_were(tmp_path):
    runs = record(WORLD, Poor(), tasks_of(list(QUESTIONS.values()), 24, seed=0), tmp_path, times=2)
    tokenizer = tokenizer_of(WORLD, runs)
    rendering = Rendering(tokenizer, protocol_named("brief"))

    for run in runs:
        for record_ in run.steps:
            view = view_at(run, record_.number)
            ids = rendering.prompt(view)
            assert len(ids) < 160
            assert tokenizer.unk_token_id not in ids
            for action in (RouteToKB("atlas", run.question), RouteToLLM("one", run.question), Answer("seven")):
                reply = tokenizer.decode(rendering.reply("", action, view), skip_special_tokens=True)
                told = rendering.protocol.read(protocol_named("brief").write("", [action], view), view)
                again = rendering.protocol.read(_said(reply), view)
                assert again.actions == told.actions


def test_a_tokenizer_that_was_saved_with_its_model_is_loaded_as_it_was(tmp_path):
    from transformers import AutoTokenizer

    from router_training.world.model import small_model

    runs = record(WORLD, Poor(), tasks_of(list(QUESTIONS.values()), 6, seed=0), tmp_path / "log")
    tokenizer = tokenizer_of(WORLD, runs)
    small_model(tokenizer).save_pretrained(tmp_path / "policy")
    tokenizer.save_pretrained(tmp_path / "policy")
    text = '<think></think>\n<route to="kb:atlas">moons of zorn mire</route>'

    assert AutoTokenizer.from_pretrained(tmp_path / "policy")(text)["input_ids"] == tokenizer(text)["input_ids"]


def test_the_reward_prefers_what_is_best_in_most_states_where_different_things_were_tried(tmp_path):
    tasks = tasks_of(list(QUESTIONS.values()), 60, seed=0)
    runs = record(WORLD, Poor(), tasks, tmp_path, times=6)
    found = with_choice(judged(runs, tokenizer_of(WORLD, runs), scores_of(runs)))
    asked = {task.id: task.question for task in tasks}
    by_run = {run.run_id: run for run in runs}
    bars: dict[object, float] = {}
    for one in found:
        bars[one.state] = max(one.reward, bars.get(one.state, one.reward))
    good = [one for one in found if one.reward == bars[one.state] and one.reward > 0.2]
    best = [
        one.sample.target
        in WORLD.best(view_at(by_run[one.sample.run_id], one.sample.number), asked[one.sample.question_id])
        for one in good
    ]

    assert len(good) > 60
    assert sum(best) / len(best) > 0.85


def test_nothing_is_found_before_anybody_was_asked(tmp_path):
    (run,) = record(WORLD, Poor(), [Task(QUESTIONS["moons-zorn-mire"], PRICE_PAIRS[0])], tmp_path)
    view = view_at(run, 1)

    assert not is_found(view, QUESTIONS["moons-zorn-mire"])
    assert WORLD.best(view, QUESTIONS["moons-zorn-mire"]) == {"kb:atlas"}
    assert WORLD.best(view, QUESTIONS["say-zorn-mire"]) == {"answer"}


@pytest.mark.parametrize("count", [6, 30])
def test_questions_are_drawn_in_turn_of_their_sorts(count):
    drawn = balanced(all_questions(), count, seed=1)
    sorts = [one.kb or one.kind for one in drawn]

    assert {one: sorts.count(one) for one in set(sorts)} == {
        one: count // 6 * (2 if one == "sum" else 1) for one in ("atlas", "prices", "people", "sum", "say")
    }


def _said(text):
    from langchain_core.messages import AIMessage

    return AIMessage(text)


def test_a_world_without_a_knowledge_base_has_none_of_its_questions():
    world = World(without=frozenset({"people"}))

    assert {one.name for one in world.knowledge()} == {"atlas", "prices"}
    assert all(isinstance(one, Question) and one.kb != "people" for one in world.questions())
