"""No planted secret reaches the disk, in whatever field it stands; and what is no secret stays as it is."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage

from router_graph.trajectories.compact import compact
from router_graph.trajectories.recorder import Recorder
from router_graph.trajectories.redact import Secrets
from router_graph.trajectories.writer import RunWriter
from support.run_logs import began, decided, drawn_runs, line, policy_call, record_real_runs, runs_in, whole_run, write

CANARIES = [
    "sk-proj-canary0123456789abcdefXYZ",
    "sk-ant-api03-canary_0123456789-abc",
    "gsk_canary0123456789abcdef012",
    "hf_canarycanarycanary01234567",
    "ghp_canary0123456789canary0123456789",
    "github_pat_11CANARY0123456789_abcdef",
    "glpat-canary-0123456789abc",
    "AKIACANARY0123456789"[:20],
    "AIzaSyCanary0123456789-canary_0123456789",
    "xoxb-canary-0123456789-abcdef",
    "lsv2_pt_canary0123456789abcdef_01",
    "eyJhbGciOiJIUzI1NiJ9.eyJjYW5hcnkiOiJ5ZXMifQ.c2lnbmF0dXJlLWNhbmFyeQ",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIcanary+0123/=\n-----END RSA PRIVATE KEY-----",
]
NAMED = [
    ("Authorization: Bearer ", "canary.0123456789-abc"),
    ("curl -H 'authorization: Basic ", "Y2FuYXJ5OmNhbmFyeTEyMw=="),
    ("postgres://admin:", "canary-pass@db/x"),
    ("git clone https://", "canary0123456789abcdef@example.org/x"),
    ("api_key=", "canary123"),
    ('{"client_secret": "', 'ca na ry 123"}'),
    ("MY_APP_PASSWORD=", "canarypass"),
    ("password: ", "canary7pass"),
]
PLAIN = [
    "The secret of the pyramids: everybody knows it.",
    "It used 12,000 tokens: 9,000 in and 3,000 out.",
    "Bearer bonds were the token of the trade; basic: everything.",
    "The password is what a guard asks for.",
    "https://example.org/a:b@c?q=1 and mailto someone",
    "ssh://git@example.org/x and ssh://a-user-of-some-length@example.org/x",
    "kb:sk-tables, task-0123456789abcdefghij, risk-of-something-very-long",
    "[secret] and [key]",
]


class Odd:
    """An object of the caller's, which JSON does not know."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __str__(self) -> str:
        return self._text


def everywhere(secret: str) -> list:
    """Lines that hold the secret in every field that a log has."""
    call = {
        **policy_call(f"I say {secret}"),
        "tool_calls": [{"id": "1", "name": "x", "args": {"q": secret, secret: 1}}],
    }
    call["prompt"] = [{"role": "human", "content": [{"type": "text", "text": f"Is {secret} it?"}]}]
    call |= {"error": secret, "sampling": {"stop": [secret]}}
    hit = {
        "kb": "b",
        "doc_id": secret,
        "title": secret,
        "text": f"x {secret} y",
        "score": 1.0,
        "metadata": {"a": [secret]},
    }
    observation = {"status": "ok", "text": secret, "hits": [hit], "served": "", "usd": 0.0, "tokens": 0, "seconds": 0.0}
    asked = {"kind": "kb", "kb": "books", "query": secret}
    menu = [{"key": "kb:books", "description": secret, "modality": "", "usd": 0.0}]
    facts = {"settings": {"a": (secret,)}, "metadata": {"b": Odd(secret)}, "earlier": [("human", secret)]}
    return [
        began("r", question=secret, thread=secret, menu=menu, images=[secret], **facts),
        decided("r", 1, 1, actions=[asked], call=call, masked={"llm:fast": secret}, problem=secret, served=secret),
        line("observed", "r", 2, number=1, position=0, observation=observation),
        line("called", "r", 3, call=call),
        line("ended", "r", 4, answer=secret, citations=[{"kb": "b", "doc_id": secret, "title": secret}]),
        line("failed", "r", 5, error=f"ValueError: {secret}"),
    ]


def on_disk(folder: Path) -> bytes:
    return b"".join(one.read_bytes() for one in folder.rglob("*") if one.is_file())


@pytest.mark.parametrize("canary", CANARIES)
def test_no_canary_reaches_the_disk_in_any_field(tmp_path: Path, canary: str):
    write(tmp_path / "plain", everywhere(canary))
    write(tmp_path / "log", everywhere(canary), redact=Secrets())
    kept = canary.splitlines()[-2] if "\n" in canary else canary
    assert kept.encode() in on_disk(tmp_path / "plain")
    assert kept.encode() not in on_disk(tmp_path / "log")
    (run,) = runs_in(tmp_path / "log")
    assert len(run.steps) == 1 and run.steps[0].is_whole and run.run_id == "r"


@pytest.mark.parametrize(("before", "secret"), NAMED)
def test_what_is_named_a_secret_goes_and_its_name_stays(tmp_path: Path, before: str, secret: str):
    write(tmp_path, everywhere(before + secret), redact=Secrets())
    assert secret.strip('"}').partition("@")[0].encode() not in on_disk(tmp_path)
    assert before.rstrip(" \"'").encode() in on_disk(tmp_path).replace(b'\\"', b'"')


def test_a_fact_of_the_caller_that_is_called_a_secret_goes_whatever_it_is(tmp_path: Path):
    metadata = {"question_id": "q7", "db_password": "swordfish", "deep": {"apiKey": ["open sesame"]}, "tokens": 5}
    write(tmp_path, [began("r", metadata=metadata)], redact=Secrets())
    (run,) = runs_in(tmp_path)
    assert run.metadata == {"question_id": "q7", "db_password": "[secret]", "deep": {"apiKey": "[secret]"}, "tokens": 5}


def test_what_is_no_secret_stays_as_it_is():
    for text in PLAIN:
        assert Secrets()(text) == text


@given(drawn_runs())
def test_without_a_secret_the_log_is_the_same_with_redaction(tmp_path_factory, lines):
    one, other = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("other")
    write(one, lines)
    write(other, lines, redact=lambda text: text)
    assert on_disk(one) == on_disk(other)


def test_addresses_and_texts_of_ones_own_go_where_that_is_wanted(tmp_path: Path):
    text = "Ask ann.smith+x@example.co.uk about Project Bluebird."
    assert Secrets()(text) == text
    assert Secrets(emails=True, known=("Project Bluebird",))(text) == "Ask [e-mail] about [secret]."


def test_tokens_that_spell_a_secret_go_with_it(tmp_path: Path):
    for n, changed in enumerate(({"reply": CANARIES[0]}, {"prompt": [{"role": "human", "content": CANARIES[0]}]}, {})):
        write(tmp_path / str(n), [began("r"), decided("r", 1, 1, call={**policy_call(), **changed})], redact=Secrets())
    calls = [runs_in(tmp_path / str(n))[0].steps[0].call for n in range(3)]
    assert [call["tokens"] is None for call in calls] == [True, True, False]


def test_what_a_redaction_fails_at_is_not_written(tmp_path: Path):
    def fails(text: str) -> str:
        if "canary" in text:
            raise ValueError("I cannot")
        return text

    with RunWriter(tmp_path, redact=fails) as writer:
        assert not writer.write(began("r", question="canary"))
        assert writer.write(began("r", question="other"))
    assert b"canary" not in on_disk(tmp_path) and (writer.dropped, writer.problem) == (1, "I cannot")


def test_a_secret_that_would_be_cut_in_two_goes_first(tmp_path: Path):
    text = "x" * 980 + " " + CANARIES[0]
    write(tmp_path, [began("r", question=text)], redact=Secrets(), most_characters=990)
    assert b"sk-proj" not in on_disk(tmp_path)


def test_nothing_of_a_recorded_graph_tells_the_secret_even_compacted(tmp_path: Path):
    secret = CANARIES[0]
    record_real_runs(tmp_path / "log", f"What is {secret}?", says=f"It is {secret}.", redact=Secrets())
    model = GenericFakeChatModel(messages=iter([AIMessage(f"Here: {secret}")]))
    with Recorder(tmp_path / "log", redact=Secrets()) as recorder:
        model.invoke(f"Tell me {secret}", config={"callbacks": [recorder], "metadata": {"who": secret}})
    compact(tmp_path / "log", tmp_path / "parquet")
    assert len(runs_in(tmp_path / "parquet")) == 2
    assert b"canary" not in on_disk(tmp_path)


def test_a_hostile_text_does_not_make_redaction_slow():
    hostile = [
        "a" * 100_000,
        "sk-" * 30_000,
        "password" * 12_000,
        "x_" * 50_000,
        "a.a@" * 25_000,
        "eyJ" * 30_000,
        "_eyJ" * 25_000,
        "token:" * 16_000,
    ]
    hostile += ["api_key=" * 12_000, "http://" * 14_000, "-----BEGIN PRIVATE KEY-----" * 3_000, ": " * 50_000]
    redact = Secrets(emails=True)
    for text in hostile:
        begun = time.process_time()
        redact(text)
        assert time.process_time() - begun < 2, text[:20]
    for text in whole_run("a")[0]["question"], "":
        assert redact(text) == text
