"""What is learned from real logs without weights beats chance and every constant route, on questions never logged."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from router_graph.errors import SettingsError
from router_graph.policies import policy_named
from router_graph.policies.gate import Gate, Thresholds
from router_graph.policies.learned import (
    Decided,
    Estimate,
    Handbook,
    Knn,
    fit_gate,
    fit_handbook,
    fit_knn,
    load,
    save,
)
from router_graph.policies.learned.competence import best_chances
from router_graph.policies.learned.decided import State
from router_graph.policies.learned.handbook import Book
from router_graph.policies.learned.kinds import Kinds
from router_graph.policies.learned.knn import Memory
from router_graph.policies.single import OneKnowledgeBase
from router_graph.state import Left
from support.town_runs import AnyOption, accuracy, questions, record, rewards
from support.views import option, problems, view_of, views

HELD = [one for n, one in enumerate(questions()) if n // 2 % 2]
TRAIN = [one for n, one in enumerate(questions()) if not n // 2 % 2]
KBS = ("people", "history", "rumours")


@pytest.fixture(scope="module")
def runs():
    """48 runs of a policy that draws from all that is legal alike."""
    return record(AnyOption(), TRAIN, seeds=range(3))


def by_hand(*told: tuple[str, str, float, int], question: str = "Who wrote Dune?") -> list[Decided]:
    """Choices: stage, option, mean quality, how many."""
    return [
        Decided(f"{stage}-{key}-{n}", 1, question, State(stage, "" if stage == "new" else "kb:books"), key, mean)
        for stage, key, mean, count in told
        for n in range(count)
    ]


def learned_from(choices: list[Decided], **options) -> list[Handbook | Knn]:
    return [Handbook(Book.written(Kinds(), choices), **options), Knn(Memory.of(choices), **options)]


@pytest.mark.parametrize("fit", [fit_handbook, fit_knn])
def test_learned_from_48_runs_it_beats_chance_and_the_best_constant_route_on_other_questions(runs, fit):
    learned = accuracy(fit(runs, rewards(runs)), HELD)
    constant = max(accuracy(OneKnowledgeBase(kb), HELD) for kb in KBS)
    assert learned >= 0.9
    assert learned > constant + 0.3 and learned > accuracy(AnyOption(), HELD) + 0.3


@pytest.mark.parametrize("fit", [fit_handbook, fit_knn])
def test_rewards_that_were_given_to_the_wrong_runs_teach_nothing(runs, fit):
    values = list(rewards(runs).values())
    accuracies = []
    for seed in range(3):
        random.Random(seed).shuffle(values)
        accuracies.append(accuracy(fit(runs, dict(zip(rewards(runs), values, strict=True))), HELD))
    assert sum(accuracies) / 3 < 0.75


def test_kinds_of_questions_are_told_by_the_words_that_matter(runs):
    handbook = fit_handbook(runs, rewards(runs))
    who, when = (handbook.book.kinds.of(HELD[n].text) for n in (0, 1))
    assert len(handbook.book.kinds.words) == 1 and who != when


@pytest.mark.parametrize("seed", range(5))
def test_where_no_word_matters_there_is_one_kind(seed):
    dice = random.Random(seed)
    choices = [
        Decided(f"{n}-{run}", 1, one.text, State("new"), dice.choice(["kb:people", "kb:history"]), dice.choice([0, 1]))
        for n, one in enumerate(TRAIN)
        for run in range(5)
    ]
    assert Kinds.found(choices, most=16) == Kinds()


def test_a_word_that_half_of_the_questions_have_is_found_among_a_hundred_that_do_not_matter():
    dice = random.Random(0)
    noise = [f"noise{n}" for n in range(100)]
    choices = []
    for n in range(60):
        is_deep = n % 2 == 0
        asked = " ".join([*dice.sample(noise, 6), "deep" if is_deep else "high"])
        key = dice.choice(["kb:sea", "kb:air"])
        choices.append(Decided(str(n), 1, asked, State("new"), key, float(is_deep == (key == "kb:sea"))))
    kinds = Kinds.found(choices, most=16)
    assert set(kinds.words) <= {"deep", "high"} and kinds.of("How deep?") != kinds.of("How high?")
    assert Kinds.found(choices[::-1], most=16) == kinds


@pytest.mark.parametrize("draws", [False, True])
@settings(max_examples=60)
@given(views())
def test_every_choice_is_legal_and_its_probabilities_are_those_of_the_legal_options(draws, view):
    told = [("new", "kb:books", 0.8, 6), ("new", "kb:tables", 0.2, 6), ("new", "llm:fast", 0.5, 6)]
    told += [("found", "answer", 0.9, 6), ("found", "llm:strong", 0.4, 6), ("empty", "kb:kb-1", 0.5, 3)]
    for policy in learned_from(by_hand(*told), usd_weight=2.0, draws=draws):
        choice = policy.choose(view)
        assert not problems(choice, view)
        assert policy.choose(view) == choice


def test_drawn_options_come_as_often_as_their_logged_probability_says():
    policy = learned_from(by_hand(("new", "kb:books", 0.6, 5), ("new", "kb:tables", 0.4, 5)), draws=True)[0]
    drawn, told = Counter(), {}
    for seed in range(500):
        choice = policy.choose(view_of("kb:books", "kb:tables", seed=seed))
        drawn[choice.actions[0].target] += 1
        told = choice.probabilities
    assert 0.5 < told["kb:books"] < 0.95
    assert all(abs(drawn[key] / 500 - chance) < 0.07 for key, chance in told.items())


estimates = st.builds(Estimate, st.floats(0.3, 30), st.floats(0.3, 30), st.just(1))


@settings(max_examples=20, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(st.lists(estimates, min_size=1, max_size=4), st.data())
def test_the_probability_to_be_the_best_is_that_of_a_simulation(options, data):
    named = {f"kb:{n}": one for n, one in enumerate(options)}
    prices = {key: data.draw(st.floats(0, 0.3)) for key in named}
    chances = best_chances(named, prices)
    assert sum(chances.values()) == pytest.approx(1, abs=1e-12)
    dice, won = random.Random(0), Counter()
    for _ in range(4000):
        drawn = {key: dice.betavariate(one.good, one.bad) - prices[key] for key, one in named.items()}
        won[max(drawn, key=drawn.__getitem__)] += 1
    assert all(abs(won[key] / 4000 - chance) < 0.05 for key, chance in chances.items())


@pytest.mark.parametrize("place", [0, 1])
def test_of_two_that_are_as_good_the_cheaper_is_taken_and_changed_prices_change_that(place):
    policy = learned_from(by_hand(("new", "kb:books", 0.8, 9), ("new", "kb:tables", 0.8, 9)), usd_weight=1.0)[place]
    for books, tables, best in ((0.02, 0.01, "kb:tables"), (0.01, 0.02, "kb:books")):
        choice = policy.choose(view_of(option("kb:books", usd=books), option("kb:tables", usd=tables)))
        assert choice.actions[0].target == best


def test_it_grows_thrifty_as_the_money_runs_out():
    policy = learned_from(by_hand(("new", "kb:books", 0.9, 400), ("new", "kb:tables", 0.85, 400)))[0]
    menu = option("kb:books", usd=0.01), option("kb:tables", usd=0.001)
    for usd, best in ((None, "kb:books"), (1.0, "kb:books"), (0.01, "kb:tables")):
        left = Left(steps=3, usd=usd, tokens=None, seconds=None)
        assert policy.choose(view_of(*menu, left=left)).actions[0].target == best


def test_what_was_never_tried_is_left_alone_unless_it_draws():
    choices = by_hand(("new", "kb:books", 0.2, 9))
    view = view_of("kb:books", "kb:new")
    for policy in learned_from(choices):
        assert policy.choose(view).actions[0].target == "kb:books"
    for policy in learned_from(choices, draws=True):
        assert policy.choose(view).probabilities["kb:new"] > 0.4


@pytest.mark.parametrize("sort", ["handbook", "knn"])
def test_a_saved_policy_decides_alike_and_is_saved_alike(runs, sort, tmp_path):
    fit = {"handbook": fit_handbook, "knn": fit_knn}[sort]
    policy = fit(runs, rewards(runs), usd_weight=2.0, draws=True)
    save(policy, tmp_path / "one.json")
    again = policy_named(f"{sort}:{tmp_path / 'one.json'}", knowledge=KBS)
    assert again.version == policy.version
    for one in HELD[:6]:
        view = view_of(*(f"kb:{kb}" for kb in KBS), question=one.text)
        assert again.choose(view) == policy.choose(view)
    save(again, tmp_path / "two.json")
    save(fit(runs[::-1], rewards(runs), usd_weight=2.0, draws=True), tmp_path / "three.json")
    texts = {(tmp_path / f"{name}.json").read_text() for name in ("one", "two", "three")}
    assert len(texts) == 1


def test_a_fitted_gate_knows_what_it_rests_on_and_is_saved_as_it_is(runs, tmp_path):
    gate, learned = fit_gate(runs, rewards(runs))
    assert learned["answered"] >= 5 and learned["went_on"] >= 5
    save(gate, tmp_path / "gate.json", learned=learned)
    again = load(tmp_path / "gate.json", "gate")
    assert isinstance(again, Gate) and again.thresholds == gate.thresholds and again.version == gate.version
    assert load(tmp_path / "gate.json").name == "gate"


def test_a_gate_learns_to_go_on_where_answering_at_once_is_always_wrong(runs):
    ends = {run.run_id: float(len(run.steps) > 2) for run in runs}
    gate, learned = fit_gate(runs, {(run, 0): value for run, value in ends.items()})
    assert gate.thresholds.coverage > 1 and gate.thresholds.top > 0.8
    assert learned["value"] > 0.9
    gate, _ = fit_gate(runs, {(run, 0): 1 - value for run, value in ends.items()})
    assert gate.thresholds != Thresholds() and gate.thresholds.coverage < 0.8


class TestMistakes:
    """One sentence each, before anything is computed."""

    def test_a_log_that_is_too_small_is_refused_with_the_count_of_each_option(self, runs):
        few = record(AnyOption(), TRAIN[:3])
        for fit in (fit_handbook, fit_knn):
            with pytest.raises(SettingsError, match=r"too little to learn from.* answer 3"):
                fit(few, rewards(few))
        with pytest.raises(SettingsError, match="answer 0, go on 0"):
            fit_gate(few[:0], {})

    def test_a_log_of_constant_routes_teaches_no_gate(self):
        same = record(OneKnowledgeBase("people"), TRAIN)
        with pytest.raises(SettingsError, match="either was possible with a logged probability"):
            fit_gate(same, rewards(same))

    def test_a_reward_that_is_no_quality_is_refused(self, runs):
        with pytest.raises(SettingsError, match="is -1; a policy without weights learns from quality between 0 and 1"):
            fit_handbook(runs, dict.fromkeys(rewards(runs), -1.0))

    @pytest.mark.parametrize("sort", ["handbook", "knn", "gate"])
    def test_a_missing_damaged_or_other_file_is_said_in_a_sentence(self, sort, tmp_path):
        with pytest.raises(SettingsError, match="cannot be read"):
            policy_named(f"{sort}:{tmp_path / 'none.json'}")
        (tmp_path / "bad.json").write_text("{")
        with pytest.raises(SettingsError, match="is no JSON"):
            policy_named(f"{sort}:{tmp_path / 'bad.json'}")
        (tmp_path / "other.json").write_text("[1]")
        with pytest.raises(SettingsError, match="is no learned policy"):
            policy_named(f"{sort}:{tmp_path / 'other.json'}")
        (tmp_path / "half.json").write_text(f'{{"policy": "{sort}", "version": 1}}')
        with pytest.raises(SettingsError, match="is damaged"):
            policy_named(f"{sort}:{tmp_path / 'half.json'}")
        other = "knn" if sort == "handbook" else "handbook"
        with pytest.raises(SettingsError, match=f"holds a {sort}, and no {other}"):
            policy_named(f"{other}:{tmp_path / 'half.json'}")

    def test_a_policy_that_was_learned_on_other_sources_is_refused(self, runs, tmp_path):
        save(fit_handbook(runs, rewards(runs)), tmp_path / "book.json")
        with pytest.raises(
            SettingsError, match=r"learned on other sources \(kb:history, kb:people.*here there is kb:x"
        ):
            policy_named(f"handbook:{tmp_path / 'book.json'}", knowledge=["x"])
        with pytest.raises(SettingsError, match="There is no policy 'handbook'"):
            policy_named("handbook")
