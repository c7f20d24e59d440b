"""`polyroute chat`, and the thread behind it: what is said before counts, and a person is asked before a dear call."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from router_graph.cli_ask_run import Conversation
from router_graph.ledger import total
from router_graph.settings import VARIABLES
from router_graph.settings_live import load_router
from support.handbook import ABOUT_THE_SKY, HOSTILE, QUESTION, make_shelf, run


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shelf")
    make_shelf(folder)
    return folder


@pytest.fixture(autouse=True)
def there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, shelf: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (*VARIABLES, "POLYROUTE_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    Path("router.yaml").write_text(f"knowledge: {shelf}\n")


def test_a_chat_is_one_thread_and_says_what_it_cost():
    Path("router.yaml").write_text(Path("router.yaml").read_text() + "checkpoints: threads.sqlite\n")
    typed = f"/why\n{QUESTION}\n/why\n/nope\n\nAnd who pays for taxis?\n/bill\n/quit\nnever asked\n"
    result = run("chat", "--thread", "t", "--exclude", "kb:hostile", typed=typed)
    assert "Nothing was asked yet." in result.stderr
    assert "There is no /nope; there is /why, /bill, /quit." in result.stderr
    assert result.stdout.count("Sources") == 2
    assert "Step 1, by heuristic" in result.stdout
    assert re.search(r"total +[2-9] calls", result.stdout.splitlines()[-1])
    result = run("chat", "--thread", "t", typed=HOSTILE)
    with load_router() as router:
        messages = router.graph.get_state({"configurable": {"thread_id": "t"}}).values["messages"]
    assert [one.text for one in messages if one.type == "human"] == [
        QUESTION,
        "And who pays for taxis?",
        HOSTILE,
    ]


def test_a_chat_goes_on_after_a_question_that_fails_and_ends_with_its_code():
    result = run("chat", "-q", typed="x" * 200_000 + f"\n{QUESTION}\n", code=1)
    assert "200,000 characters" in result.stderr
    assert "30" in result.stdout


def test_what_a_run_has_cost_that_broke_off_is_known():
    class LeftError(Exception):
        pass

    def leave(event: dict) -> None:
        if event["type"] == "observation" and event["target"] == "kb:hostile":
            raise LeftError

    with load_router(policy="fanout") as router:
        talk = Conversation(router, on_event=leave)
        assert talk.paid() == {}
        with pytest.raises(LeftError):
            asyncio.run(talk.ask(QUESTION))
        assert total(talk.paid(), "spent").usd == pytest.approx(0.01)


def test_a_person_who_agrees_is_asked_once_for_each_dear_call():
    asked = []

    def agree(call: dict) -> bool:
        asked.append(call["target"])
        return True

    with load_router(policy="fanout", ask_above_usd=0.001) as router:
        result = asyncio.run(Conversation(router, approve=agree).ask(QUESTION))
    assert asked == ["kb:hostile"]
    assert {one["status"] for one in result["steps"][0]["observations"].values()} == {"ok"}


def test_a_dear_call_is_not_made_where_nobody_can_be_asked():
    Path("router.yaml").write_text(Path("router.yaml").read_text() + "turn: {ask_above_usd: 0.001}\n")
    result = run("ask", ABOUT_THE_SKY, "--policy", "fanout", code=1)  # what is left does not answer it
    assert "kb:hostile: declined: A person declined this call" in result.stderr
    assert "hostile" not in result.stdout
