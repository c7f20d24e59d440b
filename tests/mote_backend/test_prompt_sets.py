import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mote_backend.errors import PromptError
from mote_backend.ftri.prompts import Prompt, PromptSet, check_contrast

TIMES = ["in 1905", "in 1912", "today"]
PLACES = ["", " in Rome", " in Oslo"]


def numbered(count: int, name: str = "A", start: int = 0) -> PromptSet:
    return PromptSet(name, tuple(f"prompt {number}" for number in range(start, start + count)))


def test_a_grid_is_every_value_with_every_other():
    made = PromptSet.grid("What happened {time}{place}?", time=TIMES, place=PLACES)
    assert [one.text for one in made.prompts] == [f"What happened {a}{b}?" for a in TIMES for b in PLACES]


@pytest.mark.parametrize(
    ("template", "values", "said"),
    [
        ("What happened?", {}, "has no placeholder"),
        ("What happened {time}?", {}, "{time}, which has no values"),
        ("What happened {time}?", {"time": ["now"], "place": ["here"]}, "no placeholder {place}"),
        ("What happened {time}?", {"time": []}, "at least one text"),
        ("What happened {time}?", {"time": "now"}, "at least one text"),
        ("What happened {}?", {}, "one plain name"),
        ("What happened {time.year}?", {"time": ["now"]}, "one plain name"),
        ("What happened {time:>{place}}?", {"time": ["now"], "place": ["9"]}, "one plain name"),
        ("What happened {time", {"time": ["now"]}, "cannot be read"),
    ],
)
def test_a_template_that_does_not_fit_its_values_is_refused_in_one_sentence(template, values, said):
    with pytest.raises(PromptError) as caught:
        PromptSet.grid(template, **values)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=40))
def test_no_template_breaks_the_grid(template):
    try:
        PromptSet.grid(template, time=["now", "then"])
    except PromptError:
        return
    assert "{time}" in template


def test_a_text_file_is_a_prompt_a_line(tmp_path):
    (tmp_path / "sensitive.txt").write_text("one\n\n  two \r\nthree", encoding="utf-8")
    loaded = PromptSet.load(tmp_path / "sensitive.txt")
    assert loaded.name == "sensitive"
    assert [one.text for one in loaded.prompts] == ["one", "two", "three"]


def test_a_jsonl_file_holds_prompts_messages_and_replies(tmp_path):
    messages = [{"role": "system", "content": "be short"}, {"role": "user", "content": "two"}]
    rows = [{"prompt": "one", "reply": "1"}, {"messages": messages}, {"prompt": "a\u2028b"}]
    path = tmp_path / "set.jsonl"
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    assert PromptSet.load(path, "mine").prompts == (
        Prompt((("user", "one"),), "1"),
        Prompt((("system", "be short"), ("user", "two"))),
        Prompt((("user", "a\u2028b"),)),
    )


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "7",
        '{"prompt": ""}',
        '{"prompt": 7}',
        '{"messages": []}',
        '{"messages": [{"role": "user"}]}',
        "[" * 100_000,
    ],
)
def test_a_wrong_line_is_named(tmp_path, line):
    path = tmp_path / "set.jsonl"
    path.write_text('{"prompt": "fine"}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(PromptError, match=r"^Line 2 of "):
        PromptSet.load(path)


@pytest.mark.parametrize("name", ["missing.txt", "prompts.csv"])
def test_a_file_that_is_no_set_is_refused(tmp_path, name):
    with pytest.raises(PromptError):
        PromptSet.load(tmp_path / name)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "set.txt").write_bytes(b"caf\xe9")
    with pytest.raises(PromptError, match="UTF-8"):
        PromptSet.load(tmp_path / "set.txt")


def test_a_repeated_prompt_is_one_observation_and_is_counted():
    made = PromptSet("A", ("one", "two", "one", "one"))
    assert len(made) == 2
    assert made.duplicates == 2


def test_the_digest_depends_on_the_prompts_alone():
    assert numbered(9).digest == PromptSet("B", tuple(reversed(numbered(9).prompts))).digest
    assert numbered(9).digest != numbered(10).digest


def test_fewer_than_eight_prompts_are_refused_and_fewer_than_64_noted():
    with pytest.raises(PromptError, match="'B' has 7 different prompts; at least 8"):
        check_contrast([numbered(64), numbered(7, "B", 100)])
    assert ["'B'" in note for note in check_contrast([numbered(64), numbered(8, "B", 100)])] == [True]
    assert check_contrast([numbered(64), numbered(64, "B", 100)]) == ()


def test_repeated_prompts_do_not_make_a_set_large_enough():
    with pytest.raises(PromptError, match="1 different"):
        check_contrast([numbered(64), PromptSet("B", ("the same",) * 20)])


def test_a_set_within_the_other_is_refused_and_an_overlap_noted():
    with pytest.raises(PromptError, match="All prompts of 'B' are in 'A'"):
        check_contrast([numbered(64), numbered(20, "B")])
    notes = check_contrast([numbered(64), numbered(64, "B", 60)])
    assert notes == ("4 prompts are both in 'A' and in 'B', where they tell nothing.",)


def test_prompts_that_differ_in_their_replies_alone_are_told_of():
    def replied(name, reply, first=0, count=64):
        prompts = [{"prompt": f"prompt {number}", "reply": reply} for number in range(first, first + count)]
        return PromptSet(name, tuple(prompts))

    notes = check_contrast([replied("A", "yes"), replied("B", "no", 60)])
    assert [note[:60] for note in notes] == ["4 prompts are both in 'A' and in 'B' but for their replies, "]
    twice = PromptSet("B", (*replied("B", "no", 100).prompts, *replied("B", "yes", 100, 3).prompts))
    assert [note[:52] for note in check_contrast([replied("A", "yes"), twice])] == [
        "3 prompts of 'B' are there again with another reply;"
    ]


def test_one_set_and_sets_of_one_name_are_refused():
    with pytest.raises(PromptError, match="two sets"):
        check_contrast([numbered(64)])
    with pytest.raises(PromptError, match="named 'A'"):
        check_contrast([numbered(64), numbered(64, "A", 100)])


def test_labels_split_a_set():
    parts = numbered(4).split(["refused", "answered", "refused", "answered"])
    assert {name: [one.text for one in part.prompts] for name, part in parts.items()} == {
        "refused": ["prompt 0", "prompt 2"],
        "answered": ["prompt 1", "prompt 3"],
    }
    with pytest.raises(PromptError, match="3 labels for the 4 prompts"):
        numbered(4).split(["x"] * 3)
