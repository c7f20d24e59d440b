"""What an app gets wrong when it builds a graph or asks about one: a sentence that says how to mend it."""

from __future__ import annotations

import pytest
from langchain_core.retrievers import BaseRetriever

from router_graph import (
    Answer,
    Choice,
    ChoicePolicy,
    RouterContext,
    RouterError,
    RouteToKB,
    create_router,
    replay,
)
from support.routing import Script, Shelf


class Nameless(ChoicePolicy):
    """Has all but a name."""

    def choose(self, view):
        return Choice("Done.", (Answer("Done."),))


class Alone:
    """Has a name and `choose`, and is no `ChoicePolicy`."""

    name = "alone"

    def choose(self, view):
        return Choice("Done.", (Answer("Done."),))


class Found(BaseRetriever):
    """Finds nothing."""

    def _get_relevant_documents(self, query, *, run_manager):
        return []


@pytest.mark.parametrize(
    ("knowledge", "options", "sentence"),
    [
        (Shelf("docs"), {}, r"'Shelf' is no list of knowledge bases; give a list"),
        (Found(), {}, r"'Found' is no list of knowledge bases; give a list"),
        (3, {}, r"'int' is no list of knowledge bases; give a list"),
        ([Shelf("docs")], {"policy": Alone()}, r"'Alone' is no policy; .* under ChoicePolicy"),
        ([Shelf("docs")], {"policies": [Alone()]}, r"'Alone' is no policy"),
        ([Shelf("docs")], {"policy": Nameless()}, r"'Nameless' has no name; give its class one"),
        ([Shelf("docs")], {"policy": Nameless}, r"'Nameless' is a class; give an object of it, as in Nameless\(\)"),
        ([Shelf("docs")], {"protocol": 3}, r"'int' is no protocol"),
    ],
)
def test_what_no_graph_can_be_made_of_is_refused_in_a_sentence(knowledge, options, sentence):
    with pytest.raises(RouterError, match=sentence):
        create_router(knowledge, **options)


@pytest.mark.parametrize("key", ["docs", "xanswer", "kb:", "answers", ""])
def test_a_key_that_is_none_is_refused_with_the_forms_that_are(key):
    with pytest.raises(RouterError, match=r"it must be kb:NAME, llm:NAME or answer") as raised:
        RouterContext(only=[key])
    assert "pattern" not in str(raised.value)


def test_the_form_of_a_key_stays_in_the_schema():
    assert "kb|llm" in RouterContext.model_json_schema()["properties"]["exclude"]["items"]["pattern"]


@pytest.mark.parametrize("missing", ["doc_id", "text"])
def test_a_hit_without_what_every_hit_has_is_told_by_name(missing):
    class Bare(Shelf):
        async def asearch(self, query, k):
            return [{key: value for key, value in {"doc_id": "1", "text": "one"}.items() if key != missing}]

    result = create_router([Bare("docs")], policy=Script(RouteToKB("docs", "x"), Answer("Done."))).invoke(
        {"question": "x"}
    )
    (came,) = result["steps"][0]["observations"].values()
    assert came["status"] == "failed"
    assert f"without '{missing}'" in came["text"]


def test_what_invoke_returned_cannot_be_replayed_and_the_sentence_says_what_can():
    router = create_router([Shelf("docs")])
    result = router.invoke({"question": "x"})
    with pytest.raises(RouterError, match=r"graph.get_state\(config\).values"):
        replay(router, result, result["steps"][0]["decision"]["replay_id"])


class Stubborn(Script):
    """Says the same at each step, also where the answer is due."""

    def choose(self, view):
        return Choice("", self.says)


@pytest.mark.parametrize(
    ("says", "sentence"),
    [
        ((RouteToKB("nobody", "x"),), "No answer was found; nobody was asked."),
        ((RouteToKB("docs", "x"),), "No answer was found; asked were kb:docs."),
        ((), "No answer was found; nobody was asked."),
    ],
)
def test_only_who_was_asked_is_said_to_have_been_asked(says, sentence):
    policy = Stubborn()
    policy.says = says
    assert create_router([Shelf("docs", ())], policy=policy).invoke({"question": "x"})["answer"] == sentence
