"""`polyroute eval` as a user runs it: real knowledge bases, recorded replies, files that are wrong."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

from kb_tools import Catalog, Passage, Table
from router_graph.evaluation import documents
from support.handbook import run

CITIES = {"Arlo": "Dunmere", "Brint": "Elsby", "Corvel": "Farrow", "Gillen": "Harth"}


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    """A folder of two knowledge bases, and questions that need the one, the other, or both."""
    folder = tmp_path_factory.mktemp("town")
    with Catalog(folder / "kb") as catalog:
        people = catalog.create("people", description="Short texts about the mayors of towns.")
        people.add([Passage(id=one, title=one, text=f"The mayor of {one} is Ann {one}son.") for one in CITIES])
        rivers = catalog.create("rivers", description="Tables of rivers and towns.", modality="table")
        rows = [[one, river] for one, river in CITIES.items()]
        rivers.add([Table(id="rivers", title="Rivers", header=["town", "river"], rows=rows)])
    asked = [
        {
            "id": one,
            "question": f"Who is the mayor of {one}?",
            "golden_answers": [f"Ann {one}son"],
            "metadata": {"gold_documents": [one], "gold_kbs": ["people"]},
        }
        for one in CITIES
    ]
    (folder / "questions.jsonl").write_text("\n".join(map(json.dumps, asked)), encoding="utf-8")
    return folder


def evaluated(town, tmp_path, *more, code=0):
    args = ("--questions", town / "questions.jsonl", "--kbs", town / "kb", "--out", tmp_path / "out", *more)
    return run("eval", *args, code=code)


def test_questions_of_ones_own_with_all_that_is_said_of_a_policy(town, tmp_path):
    rows = json.loads(evaluated(town, tmp_path, "--policy", "heuristic", "--json").stdout)
    by_name = {row["policy"]: row for row in rows}
    assert {"heuristic", "fanout", "gate", "kb:people", "kb:rivers"} <= set(by_name)
    ours = by_name["heuristic"]
    assert ours["n"] == 4 and ours["em"] == {"mean": 1.0, "low": 1.0, "high": 1.0}
    assert ours["gold_recall"]["mean"] == 1.0 and ours["confusion"]["people"]
    assert by_name["kb:people"]["routing_accuracy"]["mean"] == 1.0
    assert by_name["kb:rivers"]["routing_accuracy"]["mean"] == 0.0
    assert set(ours["against"]) == {"fanout", "gate", "kb:people", "kb:rivers"} and "at_equal_cost" in ours
    for control in ("echo the question", "yes no", "all that was found"):
        assert by_name[control]["em"]["mean"] == 0.0
    page = (tmp_path / "out" / "results.html").read_text(encoding="utf-8")
    assert "<svg" in page and "http" not in page.replace("http-equiv", "")
    assert "| heuristic" in (tmp_path / "out" / "results.md").read_text(encoding="utf-8")


def test_what_was_asked_is_not_asked_again_and_the_table_stays(town, tmp_path):
    first = json.loads(evaluated(town, tmp_path, "--policy", "fanout", "--no-simple", "--json").stdout)
    lines = (tmp_path / "out" / "outcomes.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    torn = [*lines[:2], lines[2][: len(lines[2]) // 2]]
    (tmp_path / "out" / "outcomes.jsonl").write_text("".join(torn), encoding="utf-8")
    again = json.loads(evaluated(town, tmp_path, "--policy", "fanout", "--no-simple", "--json").stdout)
    for one, other in zip(first, again, strict=True):
        assert {**one, "latency_s": 0} == {**other, "latency_s": 0}
    kept = (tmp_path / "out" / "outcomes.jsonl").read_text(encoding="utf-8").splitlines()
    assert sum(json.loads(line)["policy"] == "fanout" for line in kept if line.endswith("}")) == 4


def test_results_of_other_questions_are_not_mixed_in(town, tmp_path):
    evaluated(town, tmp_path, "--no-simple")
    said = evaluated(town, tmp_path, "--no-simple", "--limit", 2, code=1).output
    assert "holds results of another set-up" in said and "questions" in said


def test_results_of_a_changed_knowledge_base_or_of_another_pool_are_not_mixed_in(town, tmp_path):
    shutil.copytree(town / "kb", tmp_path / "kb")
    pool = tmp_path / "pool.yaml"
    price = "models:\n  - {name: m, model: openai/m, api_key_env: K, price: {input: 1, output: %d}}\n"
    pool.write_text(price % 1, encoding="utf-8")
    args = ["eval", "--questions", town / "questions.jsonl", "--kbs", tmp_path / "kb", "--pool", pool, "--no-simple"]
    args += ["--policy", "gate", "--out", tmp_path / "o", "--exclude", "llm:m"]
    run(*args)
    run(*args)
    pool.write_text(price % 2, encoding="utf-8")
    assert "another set-up (resources)" in run(*args, code=1).output
    pool.write_text(price % 1, encoding="utf-8")
    with Catalog(tmp_path / "kb") as catalog:
        catalog.open("people").add([Passage(id="Arlo", title="Arlo", text="The mayor of Arlo is Bob.")])
    assert "another set-up (resources)" in run(*args, code=1).output


def test_what_the_settings_file_sets_for_a_turn_holds(town, tmp_path):
    config = tmp_path / "polyroute.yaml"
    config.write_text(f"knowledge: {town / 'kb'}\npolicy: fanout\nturn: {{max_steps: 1, k: 1}}\n")
    args = ("eval", "--questions", town / "questions.jsonl", "--config", config, "--no-simple", "--json")
    rows = json.loads(run(*args, "--out", tmp_path / "o").stdout)
    assert rows[0]["policy"] == "fanout" and rows[0]["documents"]["mean"] == 2.0


@pytest.mark.parametrize("change", [{"golden_answers": ["Zed"]}, {"id": "other"}, {"metadata": {}}])
def test_results_of_questions_with_other_ids_or_answers_are_not_mixed_in(town, tmp_path, change):
    first, *rest = (town / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    file, args = tmp_path / "q.jsonl", ("--kbs", town / "kb", "--out", tmp_path / "o", "--no-simple")
    file.write_text("\n".join([first, *rest]), encoding="utf-8")
    run("eval", "--questions", file, *args)
    file.write_text("\n".join([json.dumps({**json.loads(first), **change}), *rest]), encoding="utf-8")
    said = run("eval", "--questions", file, *args, code=1).output
    assert "holds results of another set-up (gold)" in said


def test_a_folder_of_somebody_else_stays_as_it_is(town, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "results.md").write_text("precious")
    said = evaluated(town, tmp_path, "--no-simple", code=1).output
    assert "holds results.md, and no setup.json" in said
    assert "holds results.md, and no setup.json" in evaluated(town, tmp_path, "retrieval", code=1).output
    assert (tmp_path / "out" / "results.md").read_text() == "precious"
    assert [one.name for one in (tmp_path / "out").iterdir()] == ["results.md"]


def test_searches_do_not_write_over_the_results_of_policies(town, tmp_path):
    evaluated(town, tmp_path, "--no-simple")
    before = (tmp_path / "out" / "results.md").read_text()
    assert "another set-up (suite" in evaluated(town, tmp_path, "retrieval", code=1).output
    assert (tmp_path / "out" / "results.md").read_text() == before


def test_a_document_that_must_not_be_written_is_told_before_anything_is_asked(town, tmp_path):
    document = tmp_path / "benchmarks.md"
    document.write_text("mine")
    document.chmod(0o444)
    said = evaluated(town, tmp_path, "--no-simple", "--write-docs", document, code=1).output
    assert "cannot be written into" in said and not (tmp_path / "out").exists()
    assert document.read_text() == "mine"


def test_a_document_behind_a_link_keeps_its_link_and_its_mode(tmp_path):
    document, link = tmp_path / "benchmarks.md", tmp_path / "link.md"
    document.write_text("mine\n")
    document.chmod(0o664)
    link.symlink_to(document)
    documents.put(link, "one", "1")
    assert link.is_symlink() and "eval: one" in document.read_text() and document.stat().st_mode & 0o777 == 0o664
    assert sorted(one.name for one in tmp_path.iterdir()) == ["benchmarks.md", "link.md"]


def test_sections_that_are_written_at_the_same_time_are_all_there(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: documents.put(tmp_path / "b.md", f"s{n}", f"section {n}"), range(24)))
    text = (tmp_path / "b.md").read_text()
    assert all(f"section {n}\n" in text for n in range(24))


def test_what_must_be_known_is_told_beside_json_too(town, tmp_path):
    row = {"id": 1, "question": "Who?", "golden_answers": ["x"], "metadata": {"gold_documents": ["gone"]}}
    (tmp_path / "q.jsonl").write_text(json.dumps(row), encoding="utf-8")
    args = ("--kbs", town / "kb", "--out", tmp_path / "o", "--no-simple", "--json")
    told = run("eval", "--questions", tmp_path / "q.jsonl", *args)
    assert json.loads(told.stdout) and "are in no knowledge base: 'gone'" in told.stderr


def test_words_of_a_strangers_file_are_no_markup(town, tmp_path):
    name = "<img src=x> ![a](http://b) `c` \x1b[31m"
    row = {"id": 1, "question": "Who?", "golden_answers": ["x"], "metadata": {"gold_documents": [name]}}
    file = tmp_path / "<b>[red] ![q](u).jsonl"
    file.write_text(json.dumps(row), encoding="utf-8")
    run("eval", "--questions", file, "--kbs", town / "kb", "--out", tmp_path / "o", "--no-simple")
    said = (tmp_path / "o" / "results.md").read_text(encoding="utf-8")
    written = [line for line in said.splitlines() if line[:2] in ("##", "- ")]
    assert len(written) >= 2
    assert not [one for one in ("<img", "<b>", " ![", " `c`", "\x1b") if one in "\n".join(written)]


def test_yes_and_no_stand_in_no_evidence(town, tmp_path):
    row = {"id": 1, "question": "Is the mayor of Arlo Ann Arloson?", "golden_answers": ["no"]}
    (tmp_path / "q.jsonl").write_text(json.dumps(row), encoding="utf-8")
    shutil.copytree(town / "kb", tmp_path / "kb")
    with Catalog(tmp_path / "kb") as catalog:
        catalog.open("people").add([Passage(id="no", title="Arlo", text="There is no mayor of Arlo.")])
    args = ("--kbs", tmp_path / "kb", "--out", tmp_path / "o", "--policy", "fanout", "--no-simple", "--json")
    assert json.loads(run("eval", "--questions", tmp_path / "q.jsonl", *args).stdout)[0]["coverage"]["mean"] == 0.0


def test_a_metric_that_rewards_a_control_is_told(town, tmp_path):
    args = ("--no-simple", "--metric")
    assert "rewards what knows nothing" not in evaluated(town, tmp_path, *args, "em").output
    said = evaluated(town, tmp_path, *args, "contains").output
    assert "contains rewards what knows nothing: 'all that was found' has 100.0%." in said


def test_needed_documents_that_nobody_has_are_counted_and_named(town, tmp_path):
    row = {"id": 1, "question": "Who?", "golden_answers": ["x"], "metadata": {"gold_documents": ["gone", "Arlo"]}}
    (tmp_path / "q.jsonl").write_text(json.dumps(row), encoding="utf-8")
    said = run(
        "eval", "--questions", tmp_path / "q.jsonl", "--kbs", town / "kb", "--out", tmp_path / "o", "--no-simple"
    )
    assert "1 of 2 needed documents are in no knowledge base: 'gone'." in said.output


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--policy", "gate", "--policy", "gate"], "The policy 'gate' is named twice"),
        (["--policy", "fanot"], "did you mean 'fanout'"),
        (["--metric", "bleu"], "There is no metric 'bleu'; there is em, f1"),
        (["--metric", "usd"], "'usd' does not say how good a policy is; let one of em, f1"),
        (["--only", "kb:nobody"], "only names 'kb:nobody', which is no option"),
        (["--exclude", "kb:peple"], "exclude names 'kb:peple', which is no option; did you mean 'kb:people'?"),
        (["--ablate", "cards"], "There is no ablation 'cards'; there is cards-off"),
        (["--ablate", "prices-inverted"], "prices-inverted needs two models or more"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_asked(town, tmp_path, more, said):
    assert said in evaluated(town, tmp_path, *more, code=1).output
    assert not (tmp_path / "out" / "outcomes.jsonl").exists() or not (tmp_path / "out" / "outcomes.jsonl").read_text()


def test_searches_alone(town, tmp_path):
    rows = json.loads(evaluated(town, tmp_path, "--json", "retrieval").stdout)
    assert [row["policy"] for row in rows] == ["people, lexical", "people, dense", "people, hybrid"]
    assert rows[0]["hit@1"]["mean"] == 1.0 and rows[0]["n"] == 4
    shown = evaluated(town, tmp_path, "retrieval")
    assert max(map(len, shown.stdout.splitlines())) <= 80 and "…" not in shown.stdout
    assert "100.0 [100.0, 100.0]" in shown.stdout and "results.md" in shown.stderr


def test_a_handbook_is_learned_from_other_questions_and_refused_on_its_own(town, tmp_path):
    rows = [json.loads(line) for line in (town / "questions.jsonl").read_text(encoding="utf-8").splitlines()]
    other = [{**row, "id": f"{row['id']}-2", "question": f"Tell me who the mayor of {row['id']} is."} for row in rows]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, [*other, rows[0]])), encoding="utf-8")
    told = evaluated(town, tmp_path, "--train", tmp_path / "train.jsonl")
    assert "1 questions of train.jsonl are asked here too, and not learned from." in told.output
    book = tmp_path / "out" / "learned" / "handbook.json"
    args = ("--questions", tmp_path / "train.jsonl", "--kbs", town / "kb", "--out", tmp_path / "o2", "--no-simple")
    said = run("eval", *args, "--policy", f"handbook:{book}", code=1).output
    assert "was tuned on 4 of these 5 questions" in said and "judge it by others" in said


@pytest.fixture
def recorded(tmp_path):
    """Replies of two models: the dear one is right, the cheap one in half of all."""
    folder = tmp_path / "nq_pool"
    folder.mkdir()
    models = [
        {"model": name, "usd_per_million_completion_tokens": usd} for name, usd in (("a/cheap", 0.1), ("a/dear", 1.0))
    ]
    (folder / "models.jsonl").write_text("\n".join(map(json.dumps, models)), encoding="utf-8")
    for split, begin in (("train", 0), ("dev", 40)):
        rows = [
            {
                "id": f"{split}-{n}",
                "question": f"what is number {n}?",
                "golden_answers": [f"N{n}"],
                "responses": {
                    "a/cheap": {"text": f"<answer>{'N' if n % 2 else 'M'}{n}</answer>", "completion_tokens": 10},
                    "a/dear": {"text": f"It is N{n}. <answer>N{n}</answer>", "completion_tokens": 20},
                },
            }
            for n in range(begin, begin + 20)
        ]
        (folder / f"replies.{split}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return folder


def test_recorded_replies_with_every_simple_policy_an_oracle_and_published_figures(recorded, tmp_path):
    said = run("eval", "nq-pool", "--data", recorded, "--policy", "support", "--out", tmp_path / "o", "--json")
    rows = {row["policy"]: row for row in json.loads(said.stdout)}
    assert {"cheapest", "random", "strongest", "prompt-length", "escalate", "handbook", "knn", "direct:dear"} <= set(
        rows
    )
    assert rows["direct:dear"]["em"]["mean"] == 1.0 and rows["direct:dear"]["cost_units"]["mean"] == 20.0
    assert rows["direct:cheap"]["em"]["mean"] == 0.5 and rows["direct:cheap"]["cost_units"]["mean"] == 1.0
    assert rows["oracle"]["em"]["mean"] == 1.0 and rows["oracle"]["cost_units"]["mean"] == pytest.approx(10.5)
    assert rows["strongest"]["em"]["mean"] == 1.0  # by what was right on the train split
    written = (tmp_path / "o" / "results.md").read_text(encoding="utf-8")
    assert "Router-R1-Qwen, alpha 0" in written and "not measured here" in written


def test_prices_that_are_inverted_are_what_is_paid(recorded, tmp_path):
    args = ("eval", "nq-pool", "--data", recorded, "--policy", "support", "--out", tmp_path / "o", "--json")
    rows = {row["policy"]: row for row in json.loads(run(*args, "--ablate", "prices-inverted").stdout)}
    assert rows["direct:dear"]["cost_units"]["mean"] == pytest.approx(2.0)
    assert rows["cheapest"]["em"]["mean"] == 1.0


def test_what_was_learned_by_a_run_that_was_killed_counts_once(recorded, tmp_path):
    args = ("eval", "nq-pool", "--data", recorded, "--policy", "handbook", "--json", "--out")
    whole = run(*args, tmp_path / "whole")
    half = tmp_path / "half" / "learned"
    run(*args, tmp_path / "half")
    (half / "from.json").unlink()  # killed before it was done
    again = run(*args, tmp_path / "half")
    assert json.loads((half / "handbook.json").read_text(encoding="utf-8"))["learned"]["runs"] == 2 * 20
    for one, other in zip(json.loads(whole.stdout), json.loads(again.stdout), strict=True):
        assert {**one, "latency_s": 0} == {**other, "latency_s": 0}


def test_figures_go_into_a_document_in_the_place_of_those_before(recorded, tmp_path):
    document = tmp_path / "benchmarks.md"
    args = ("eval", "nq-pool", "--data", recorded, "--policy", "support", "--out", tmp_path / "o", "--no-simple")
    run(*args, "--write-docs", document)
    document.write_text(document.read_text(encoding="utf-8") + "\nMy own words.\n", encoding="utf-8")
    run(*args, "--write-docs", document)
    text = document.read_text(encoding="utf-8")
    assert text.count("## Natural Questions dev") == 1 and text.rstrip().endswith("My own words.")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "Name a suite"),
        (["nq-pool", "--split", "test"], "has no split 'test' (replies.test.jsonl); there is dev, train."),
        (["ottqa", "--data", "nowhere"], "There are no files of ottqa in 'nowhere'."),
    ],
)
def test_files_that_are_missing_are_told(recorded, monkeypatch, args, said):
    monkeypatch.setenv("POLYROUTE_DATA", str(recorded.parent))
    assert said in " ".join(run("eval", *args, code=1).output.split())


def test_questions_in_the_layout_of_another_benchmark(town, tmp_path):
    metadata = {"supporting_facts": {"title": ["Arlo", "Arlo", "gone"], "sent_id": [0, 1, 0]}}
    row = {"id": 1, "question": "Who is the mayor of Arlo?", "golden_answers": ["Ann Arloson"], "metadata": metadata}
    (tmp_path / "hotpot.jsonl").write_text(json.dumps(row), encoding="utf-8")
    args = ("eval", "--questions", tmp_path / "hotpot.jsonl", "--kbs", town / "kb", "--out", tmp_path / "o")
    rows = json.loads(run(*args, "--layout", "hotpotqa", "--policy", "fanout", "--no-simple", "--json").stdout)
    assert rows[0]["gold_recall"]["mean"] == 0.5
    assert "There is no layout 'hotpot'; there is flashrag" in run(*args, "--layout", "hotpot", code=1).output
