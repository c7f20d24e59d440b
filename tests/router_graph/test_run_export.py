"""Runs in other tools' forms: nothing made up, nothing half written, and what cannot be said is counted."""

from __future__ import annotations

import csv
from collections import Counter
from datetime import datetime
from pathlib import Path

import orjson
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router_graph.trajectories.export import FORMS, export
from router_graph.trajectories.export.atif import trajectory
from router_graph.trajectories.shards import LogError, as_json
from support.run_logs import (
    ASK,
    SAY,
    began,
    decided,
    drawn_runs,
    ended,
    line,
    observed,
    policy_call,
    record_real_runs,
    runs_in,
    whole_run,
    write,
)

OF_TRAJECTORY = {"schema_version", "session_id", "trajectory_id", "agent", "steps", "notes", "final_metrics", "extra"}
OF_STEP = {"step_id", "timestamp", "source", "message", "llm_call_count", "extra"}
OF_AGENT_STEP = {*OF_STEP, "model_name", "reasoning_content", "tool_calls", "observation", "metrics"}
OF_METRICS = {"prompt_tokens", "completion_tokens", "cost_usd", "prompt_token_ids", "completion_token_ids"} | {
    "logprobs",
    "extra",
}


def rows(path: Path) -> list[dict]:
    return [orjson.loads(one) for one in path.read_bytes().splitlines()]


def check_atif(document: dict) -> None:
    """The rules of version 1.7 for the fields that are used."""
    assert document.keys() <= OF_TRAJECTORY and document["schema_version"] == "ATIF-v1.7"
    assert isinstance(document["agent"]["name"], str) and isinstance(document["agent"]["version"], str)
    assert [one["step_id"] for one in document["steps"]] == list(range(1, len(document["steps"]) + 1))
    assert document["final_metrics"]["total_steps"] == len(document["steps"])
    for step in document["steps"]:
        agents = step["source"] == "agent"
        assert step.keys() <= (OF_AGENT_STEP if agents else OF_STEP) and isinstance(step["message"], str)
        if "timestamp" in step:
            datetime.fromisoformat(step["timestamp"].replace("Z", "+00:00"))
        if agents and step["llm_call_count"] == 0:
            assert not step.keys() & {"metrics", "reasoning_content"}
        calls = {one["tool_call_id"] for one in step.get("tool_calls", ())}
        assert len(calls) == len(step.get("tool_calls", ()))
        for one in step.get("tool_calls", ()):
            assert isinstance(one["function_name"], str) and isinstance(one["arguments"], dict)
        for one in step.get("observation", {"results": ()})["results"]:
            assert one["source_call_id"] in calls and isinstance(one["content"], str)
        assert step.get("metrics", {}).keys() <= OF_METRICS


def test_trl_has_the_prompt_and_the_reply_of_each_step_as_messages(tmp_path: Path):
    write(tmp_path / "log", whole_run("a"))
    done = export(runs_in(tmp_path / "log"), "trl", tmp_path / "out.jsonl")
    first, second = rows(tmp_path / "out.jsonl")
    assert (done.count, done.things, done.skipped) == (2, "steps", Counter())
    assert first["prompt"] == [
        {"role": "system", "content": "Choose."},
        {"role": "user", "content": "Who wrote Dune?"},
    ]
    assert first["completion"] == [{"role": "assistant", "content": "<think>Step 1.</think>"}]
    assert (first["propensity"], first["targets"], first["answer"]) == (0.7, ["kb:books"], "Frank Herbert")
    asked = ["system", "user", "assistant", "user"]
    assert [one["role"] for one in second["prompt"]] == asked, "no model was asked: its protocol says it"
    assert "Frank Herbert [books:1]" in second["completion"][0]["content"]


def test_trl_reads_its_file_as_it_is(tmp_path: Path):
    datasets = pytest.importorskip("datasets")
    data_utils = pytest.importorskip("trl.data_utils")
    record_real_runs(tmp_path / "log", "One?")
    export(runs_in(tmp_path / "log"), "trl", tmp_path / "out.jsonl")
    dataset = datasets.Dataset.from_list(rows(tmp_path / "out.jsonl"))
    assert len(dataset) == 3 and all(map(data_utils.is_conversational, dataset))


@pytest.mark.parametrize("protocol", ["tags", "router_r1", "r1_router", "tool_calls"])
def test_the_steps_of_a_policy_without_a_model_are_written_in_their_protocol(tmp_path: Path, protocol: str):
    lines = [began("a"), decided("a", 1, 1, protocol=protocol), observed("a", 1, at=2)]
    write(tmp_path / "log", [*lines, decided("a", 2, 3, actions=[SAY], protocol=protocol), ended("a", 4)])
    export(runs_in(tmp_path / "log"), "trl", tmp_path / "out.jsonl")
    first, second = rows(tmp_path / "out.jsonl")
    assert "Herbert wrote it." in orjson.dumps(second["prompt"]).decode()
    (reply,) = first["completion"]
    if protocol == "tool_calls":
        (call,) = reply["tool_calls"]
        assert call["function"]["arguments"]["query"] == ASK["query"] and call["type"] == "function"
        assert call["function"]["name"] in {one["function"]["name"] for one in first["tools"]}
        assert any(one["role"] == "tool" and one["tool_call_id"] for one in second["prompt"])
    else:
        assert ASK["query"] in reply["content"] and "tools" not in first


def test_steps_that_cannot_be_said_are_counted_by_reason(tmp_path: Path):
    failed = {**policy_call(), "error": "TimeoutError: late"}
    lines = [
        decided("a", 1, 1, problem="It failed."),
        decided("a", 2, 2, call=failed),
        decided("a", 3, 3, protocol="mine"),
        decided("a", 4, 4, protocol="mine", call=policy_call()),
    ]
    write(tmp_path / "log", [began("a"), *lines])
    done = export(runs_in(tmp_path / "log"), "trl", tmp_path / "out.jsonl")
    assert done.count == 1 and sorted(done.skipped) == [
        "the policy asked no model, and its protocol is not known here",
        "the policy failed",
        "the policy's call failed",
    ]


def test_verl_has_the_tokens_as_they_were_sampled(tmp_path: Path):
    write(tmp_path / "log", whole_run("a", steps=3))
    done = export(runs_in(tmp_path / "log"), "verl", tmp_path / "out.parquet")
    told = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert done.count == len(told) == 2 and done.skipped == {"the log has no tokens of the policy there": 1}
    expected = {"prompt_ids": [1, 2, 3], "response_ids": [4, 5], "response_mask": [1, 1], "reward_score": None}
    for row in told:
        assert {key: row[key] for key in expected} == expected and row["response_logprobs"] == [-0.5, -0.125]


def test_verl_without_any_tokens_is_one_sentence_and_no_file(tmp_path: Path):
    record_real_runs(tmp_path / "log", "One?")
    with pytest.raises(
        LogError, match=r"^None of the steps can be exported to verl: the log has no tokens of the policy"
    ):
        export(runs_in(tmp_path / "log"), "verl", tmp_path / "out.parquet")
    assert [one.name for one in tmp_path.iterdir()] == ["log"]


def test_atif_is_a_document_a_run(tmp_path: Path):
    foreign = line("called", "f", 2, call={**policy_call("Hi"), "call_id": "c9"})
    write(tmp_path / "log", [*whole_run("a"), foreign, began("../../b", question="Third?")])
    record_real_runs(tmp_path / "log", "One?")
    done = export(runs_in(tmp_path / "log"), "atif", tmp_path / "out")
    assert done.count == 4 and done.things == "runs"
    documents = [orjson.loads(one.read_bytes()) for one in (tmp_path / "out").iterdir()]
    for one in documents:
        check_atif(one)
    assert len(documents) == 4 and {one["trajectory_id"] for one in documents} >= {"a", "f", "../../b"}
    (ours,) = (one for one in documents if one["trajectory_id"] == "a")
    system, question, first, last = ours["steps"]
    assert (system["source"], question["message"]) == ("system", "Who wrote Dune?")
    assert first["tool_calls"][0]["function_name"] == "route_to_kb"
    assert first["metrics"]["completion_token_ids"] == [4, 5] and first["llm_call_count"] == 1
    assert "Herbert wrote it." in first["observation"]["results"][0]["content"]
    assert last["llm_call_count"] == 0 and "tool_calls" not in last
    assert ours["final_metrics"]["total_cost_usd"] == 0.03


@settings(max_examples=50)
@given(drawn_runs())
def test_any_run_is_a_valid_document(tmp_path_factory, lines):
    folder = tmp_path_factory.mktemp("log")
    write(folder, lines)
    (run,) = runs_in(folder)
    check_atif(orjson.loads(as_json(trajectory(run))))


@settings(max_examples=30)
@given(drawn_runs(), st.sampled_from(FORMS))
def test_any_run_is_exported_or_refused_in_one_sentence(tmp_path_factory, lines, form):
    folder = tmp_path_factory.mktemp("log")
    write(folder / "log", lines)
    runs = runs_in(folder / "log")
    try:
        done = export(runs, form, folder / "out")
    except LogError as error:
        assert "\n" not in str(error) and not (folder / "out").exists()
    else:
        assert done.count + done.skipped.total() == (1 if form == "atif" else len(runs[0].steps))


def test_csv_has_a_row_a_step_and_no_formulas(tmp_path: Path):
    lines = [began("a", question='=HYPERLINK("http://x")'), decided("a", 1, 1), observed("a", 1, at=2), ended("a", 3)]
    write(tmp_path / "log", lines)
    assert export(runs_in(tmp_path / "log"), "csv", tmp_path / "out.csv").count == 1
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert row["question"] == '\'=HYPERLINK("http://x")'
    assert (row["targets"], row["documents"], row["usd"]) == ("kb:books", "books:1", "0.002")


def test_what_is_there_is_only_overwritten_where_that_is_wanted(tmp_path: Path):
    write(tmp_path / "log", whole_run("a"))
    runs = runs_in(tmp_path / "log")
    for form, name in (("csv", "file"), ("atif", "folder")):
        export(runs, form, tmp_path / name)
        with pytest.raises(LogError, match=r"there already; name another, or allow to overwrite it \(--overwrite\)\.$"):
            export(runs, form, tmp_path / name)
        assert export(runs, form, tmp_path / name, overwrite=True).count


def test_no_folder_is_overwritten_that_was_not_exported_and_least_of_all_the_log(tmp_path: Path):
    write(tmp_path / "log", whole_run("a"))
    runs = runs_in(tmp_path / "log")
    before = sorted((tmp_path / "log").rglob("*"))
    for form in FORMS:
        with pytest.raises(LogError, match=r"log is a folder, and none that was exported, .* name another\.$"):
            export(runs, form, tmp_path / "log", overwrite=True)
    assert before and sorted((tmp_path / "log").rglob("*")) == before


def test_an_export_that_breaks_off_leaves_what_was_there(tmp_path: Path):
    write(tmp_path / "log", whole_run("a"))
    (run,) = runs_in(tmp_path / "log")

    def breaks():
        yield run
        raise KeyboardInterrupt

    for form in FORMS:
        (tmp_path / form).write_text("before")
        with pytest.raises(KeyboardInterrupt):
            export(breaks(), form, tmp_path / form, overwrite=True)
        assert (tmp_path / form).read_text() == "before"
    assert {one.name for one in tmp_path.iterdir()} == {"log", *FORMS}


def test_an_unknown_form_or_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path):
    write(tmp_path / "log", whole_run("a"))
    runs = runs_in(tmp_path / "log")
    with pytest.raises(LogError, match=r"^Runs cannot be exported to 'xml'; there is trl, verl, atif, csv\.$"):
        export(runs, "xml", tmp_path / "out")
    (tmp_path / "file").write_text("x")
    with pytest.raises(LogError, match=r"cannot be written \(.+\)\.$"):
        export(runs, "csv", tmp_path / "file" / "out.csv")
