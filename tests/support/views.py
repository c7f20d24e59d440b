"""Views for tests of policies: made by hand, made at random, and a small world that executes what a policy wants."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from hypothesis import strategies as st

from router_graph.actions import Action, Answer, RouteToKB, RouteToLLM, action_as_dict
from router_graph.policies.policy import Choice, ChoicePolicy
from router_graph.state import Hit, Left, Observation, Option, Step
from router_graph.view import View

QUESTION = "Who wrote the novel Dune?"


def option(key: str, description: str = "", usd: float = 0.0) -> Option:
    return Option(key=key, description=description or f"What {key} has.", modality="", usd=usd)


def hit(text: str, *, kb: str = "books", doc_id: str = "1", title: str = "", **metadata) -> Hit:
    return Hit(kb=kb, doc_id=doc_id, title=title, text=text, score=1.0, metadata=metadata)


def found(*hits: Hit) -> Observation:
    return observation("ok" if hits else "empty", hits=list(hits))


def said(text: str) -> Observation:
    return observation("ok" if text.strip() else "empty", text)


def observation(status: str, text: str = "", hits: Sequence[Hit] = ()) -> Observation:
    return Observation(status=status, text=text, hits=list(hits), served="", usd=0.0, tokens=0, seconds=0.0)


def step(number: int, *came: tuple[Action, Observation | None]) -> Step:
    observations = {str(n): one for n, (_, one) in enumerate(came) if one is not None}
    actions = [action_as_dict(action) for action, _ in came]
    return Step(id=f"t/{number}", number=number, actions=actions, observations=observations)


def view_of(*keys: str | Option, question: str = QUESTION, steps: Sequence[Step] = (), **facts) -> View:
    menu = [option(key) if isinstance(key, str) else key for key in (*keys, "answer")]
    return View(question=question, menu=tuple(menu), steps=tuple(steps), **facts)


def after(view: View, *came: tuple[Action, Observation | None]) -> View:
    """The view, a step later."""
    return replace(view, steps=(*view.steps, step(len(view.steps) + 1, *came)))


def problems(choice: Choice, view: View) -> list[str]:
    """What the choice does that it may not."""
    legal = {one["key"] for one in view.legal}
    wrong = [f"{one.target} is not legal" for one in choice.actions if one.target not in legal]
    wrong += ["it asks nothing" for one in choice.actions if not getattr(one, "query", "?").strip()]
    wrong += ["a blank answer" for one in choice.actions if isinstance(one, Answer) and not one.text.strip()]
    if not choice.actions or len(set(choice.actions)) < len(choice.actions):
        wrong.append(f"it asks nobody, or somebody twice: {choice.actions}")
    if any(isinstance(one, Answer) for one in choice.actions) and len(choice.actions) > 1:
        wrong.append("it answers and asks")
    if view.must_answer and not isinstance(choice.actions[0], Answer):
        wrong.append("it does not answer, and must")
    if choice.probabilities is not None:
        if choice.probabilities.keys() != legal or abs(sum(choice.probabilities.values()) - 1) > 1e-9:
            wrong.append(f"no probabilities of the legal options: {choice.probabilities}")
        if choice.propensity != choice.probabilities.get(choice.actions[0].target):
            wrong.append(f"a propensity of {choice.propensity}, and not its probability")
    return wrong


def walk(
    policy: ChoicePolicy, view: View, world: Callable[[Action, int], Observation | None], *, most: int = 8
) -> tuple[str, View]:
    """Execute what the policy wants until it answers: the answer and the last view. Fails for what is not legal."""
    for _ in range(most):
        choice = policy.choose(view)
        assert not problems(choice, view), problems(choice, view)
        assert policy.choose(view) == choice, "the same view, another choice"
        if isinstance(choice.actions[0], Answer):
            return choice.actions[0].text, view
        view = after(view, *((one, world(one, len(view.steps))) for one in choice.actions))
    raise AssertionError(f"{policy.name} has not answered after {most} steps")


_NAMES = ("books", "tables", "fast", "strong", "kb-1", "m.2")
_words = st.text(alphabet=st.characters(codec="utf-8"), max_size=60)
_texts = st.one_of(
    _words,
    st.sampled_from(
        ["Frank Herbert wrote Dune.", "<answer>Frank Herbert</answer>", "Dune\n| a | b |", "I. Am! 42?", "…"]
    ),
)
_questions = st.one_of(st.sampled_from([QUESTION, "In what year was it?", "?"]), _words.filter(str.strip))
_hits = st.builds(hit, _texts, kb=st.sampled_from(_NAMES), doc_id=st.text(min_size=1, max_size=5), title=_texts)
observations = st.one_of(
    st.none(),
    st.builds(
        observation,
        st.sampled_from(["ok", "empty", "failed", "refused", "declined", "repeated"]),
        _texts,
        st.lists(_hits, max_size=3),
    ),
)
_routes = st.one_of(
    st.builds(RouteToKB, st.sampled_from(_NAMES), _questions),
    st.builds(RouteToLLM, st.sampled_from(_NAMES), _questions),
)
_keys = st.sampled_from([f"{kind}:{name}" for kind in ("kb", "llm") for name in _NAMES])


@st.composite
def views(draw: st.DrawFn) -> View:
    """Any menu, masks and history, what failed and what never came back included."""
    keys = draw(st.lists(_keys, unique=True, max_size=5))
    menu = [option(key, draw(_texts), draw(st.floats(0, 1))) for key in keys]
    forced = draw(st.sampled_from([None, None, "steps", "usd", "no_options"]))
    masked = draw(st.lists(st.sampled_from(keys), unique=True)) if keys else []
    came = draw(st.lists(st.lists(st.tuples(_routes, observations), min_size=1, max_size=3), max_size=3))
    return view_of(
        *menu,
        question=draw(_questions),
        masked=dict.fromkeys(masked, "excluded"),
        steps=[step(n, *one) for n, one in enumerate(came, start=1)],
        left=Left(steps=draw(st.integers(0, 6)), usd=None, tokens=None, seconds=None),
        must_answer=forced,
        seed=draw(st.integers(0, 9)),
    )
