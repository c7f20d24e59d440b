"""The reducers of the state: any order, any repetition, one result."""

from __future__ import annotations

import itertools
import json

from hypothesis import given
from hypothesis import strategies as st

from router_graph import Answer, Malformed, Note, RouteToKB, RouteToLLM, merge_steps
from router_graph.actions import action_as_dict, action_from_dict
from router_graph.citations import citations, mark
from router_graph.state import merge_names

names = st.text(min_size=1, max_size=8)
actions = st.one_of(
    st.builds(RouteToKB, names, names, st.none() | st.integers(1, 9), st.none() | names),
    st.builds(RouteToLLM, names, names, st.booleans()),
    st.builds(Answer, names),
    st.builds(Note, names, st.booleans()),
    st.builds(Malformed, names),
)


@given(actions)
def test_an_action_survives_the_state_as_plain_json(action):
    assert action_from_dict(json.loads(json.dumps(action_as_dict(action)))) == action


def part(number, positions):
    observations = {str(position): {"status": "ok", "text": f"{number}/{position}"} for position in positions}
    return {"id": f"t/{number}", "number": number, "observations": observations}


updates = st.lists(st.builds(part, st.integers(1, 4), st.sets(st.integers(0, 3))), max_size=5)


@given(updates, updates, updates)
def test_steps_merge_to_the_same_in_every_order_and_however_often(one, two, three):
    results = []
    for order in itertools.permutations([one, two, three]):
        merged: list = []
        for update in (*order, *order):
            merged = merge_steps(merged, update)
        results.append(merged)
    assert all(result == results[0] for result in results)
    assert [step["number"] for step in results[0]] == sorted({step["number"] for step in one + two + three})


def test_an_observation_never_loses_what_the_step_holds():
    whole = {"id": "t/1", "number": 1, "thought": "why", "actions": [{"kind": "kb"}], "observations": {}}
    assert merge_steps([whole], [part(1, [0])])[0]["thought"] == "why"


@given(st.lists(names), st.lists(names))
def test_names_merge_as_sets(one, other):
    assert merge_names(one, other) == merge_names(other, merge_names(one, other)) == sorted({*one, *other})


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), names), min_size=1, unique=True), st.data())
def test_what_was_found_and_is_named_is_cited_and_nothing_else(documents, data):
    hits = [{"kb": kb, "doc_id": doc, "title": "", "text": "", "score": 0.0, "metadata": {}} for kb, doc in documents]
    chosen = data.draw(st.sampled_from(hits))
    text = f"It is so {mark(chosen['kb'], chosen['doc_id'])}, and [c:nowhere]."
    found = [(one["kb"], one["doc_id"]) for one in citations(text, hits)]
    assert (chosen["kb"], chosen["doc_id"]) in found
    assert all(kb != "c" for kb, _ in found)


def test_several_documents_in_one_pair_of_brackets_are_cited_in_the_answers_order():
    hits = [
        {"kb": "a", "doc_id": doc, "title": "", "text": "", "score": 0.0, "metadata": {}} for doc in ("1", "2", "3")
    ]
    assert [one["doc_id"] for one in citations("See [a:3, a:1]; not a:2.", hits)] == ["3", "1"]
