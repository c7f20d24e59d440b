"""What a cascade reads out of replies: candidates that stand in them, whatever they hold, and how sure it is."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_graph.policies.cascade import Reader, load
from router_graph.policies.cascade.candidates import MOST, candidates, heard
from router_graph.policies.cascade.features import features
from router_graph.policies.replies import tagged_answer, untagged

READER = load().reader
PIECES = [
    "<answer>",
    "</answer>",
    "**",
    '"',
    "Frank Herbert",
    "in 1965",
    "the ",
    ", ",
    ". ",
    "\n",
    "12,000 books",
    "é日本",
]
replies = st.lists(st.sampled_from(PIECES) | st.text(max_size=12), max_size=12).map("".join)
questions = st.sampled_from(["who wrote dune?", "when was dune written?", "how many books are there?", "dune", ""])


def plain(reply):
    return " ".join(untagged(reply).replace("**", "").split())


@given(questions, replies)
def test_each_candidate_stands_in_its_reply_as_it_is_written(question, reply):
    found = heard(question, reply).spans
    assert all(span.text in plain(reply) for span in found.values())
    assert len(found) <= MOST


@given(questions, st.lists(replies, max_size=3))
def test_what_is_read_stands_in_a_reply_has_a_probability_and_is_the_same_again(question, given_replies):
    read = READER.read(question, given_replies)
    assert read == READER.read(question, given_replies)
    assert 0 <= read.confidence <= 1
    assert not read.answer or any(read.answer in plain(one) for one in given_replies)
    assert read.backers <= len(given_replies)


@given(questions, st.lists(replies, min_size=1, max_size=3))
def test_what_counts_is_what_the_models_said_and_not_which_was_asked_first(question, given_replies):
    said = [heard(question, one) for one in given_replies]
    scores = {key: READER.score(told) for key, told in features(question, said).items()}
    turned = features(question, said[::-1])
    # How a candidate is written where it is found first may differ, and with it its form.
    same = [key for key in scores if candidates(said)[key] == candidates(said[::-1])[key]]
    assert scores.keys() == turned.keys()
    assert all(scores[key] == pytest.approx(READER.score(turned[key])) for key in same)


@pytest.mark.parametrize(
    ("question", "reply", "wanted"),
    [
        ("who wrote dune?", "<answer>The author is Frank Herbert</answer>", "Frank Herbert"),
        ("who wrote dune?", "Dune was written by **frank herbert**, they say.", "frank herbert"),
        ("who wrote dune?", "herbert", "herbert"),
        ("what is the planet called?", 'It is called "arrakis" by all who live there, or so it seems.', "arrakis"),
        ("when was dune published?", "<answer>In August 1965</answer>", "August 1965"),
        ("how many books are there?", "There are 6 books in all, which he wrote between 1965 and 1985.", "6"),
        ("where is it?", "<answer>Arrakis, Canopus</answer>", "Arrakis"),
        ("who wrote dune?", "**<answer>Frank Herbert</answer>**", "Frank Herbert"),
        ("wer schrieb es?", "Das schrieb Émile Zola, ein Franzose, im Jahr 1885 in Paris.", "Émile Zola"),
        ("谁?", "<answer>弗兰克·赫伯特</answer>", "弗兰克·赫伯特"),
    ],
)
def test_a_short_answer_is_found_in_a_verbose_reply(question, reply, wanted):
    assert wanted in [span.text for span in heard(question, reply).spans.values()]


def test_words_that_say_nothing_are_no_candidates():
    assert heard("who?", "They say it. As I do. On the way. The. In.").spans == {}
    assert READER.read("who?", ["", "  ", "<answer></answer>"]).answer == ""


def test_agreement_and_a_tag_make_sure_and_a_refusal_does_not():
    question = "who wrote the novel dune?"
    tagged = READER.read(question, ["<answer>Frank Herbert</answer>"])
    agreed = READER.read(question, ["<answer>Frank Herbert</answer>", "It was Frank Herbert, in 1965."])
    torn = READER.read(question, ["<answer>Isaac Asimov</answer>", "<answer>Frank Herbert</answer>"])
    refused = READER.read(question, ["I do not know. <answer>Unknown</answer>"])
    assert refused.confidence < torn.confidence < tagged.confidence < agreed.confidence
    assert (agreed.answer, agreed.backers) == ("Frank Herbert", 2)


def test_a_reader_without_weights_takes_the_first_candidate():
    assert Reader({}).read("who?", ["Was it **Paul** or **Jessica** or somebody else after all?"]).answer == "Paul"


NASTY = [
    "<answer>",
    "**a",
    '"',
    "\u201ca",
    "A ",
    "A'",
    "1,",
    "1 a ",
    "January 1, ",
    "Aa of the ",
    "\n",
    "A and ",
    "I ",
    "日本 ",
]


@pytest.mark.parametrize("piece", NASTY, ids=repr)
def test_a_reply_of_any_make_is_read_in_time_that_grows_with_its_length_alone(piece):
    def seconds(length):
        reply = (piece * length)[:length]
        begun = time.thread_time()
        READER.read("how many are there?", [reply, reply[::-1]])
        tagged_answer(reply)
        return time.thread_time() - begun

    # Twenty times as long: what is quadratic takes 400 times as long.
    assert seconds(200_000) < 80 * max(seconds(10_000), 0.01)
