"""`polyroute pool`: what it prints, what it says to bad files, what it writes, and that no key is ever shown."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from router_graph.cli import app
from support.model_server import ModelServer

KEY = "sk-canary-0123456789abcdef"
EXAMPLE = Path(__file__).parents[2] / "examples" / "pool.yaml"


def run(*args: object, file: Path) -> Result:
    result = CliRunner().invoke(app, ["pool", *map(str, args), "-p", str(file)])
    assert KEY not in result.output
    return result


def complaint(result: Result) -> str:
    """The one sentence that a bad command ends with."""
    assert result.exit_code == 1, result.output
    assert "Traceback" not in result.output
    _, mark, sentence = result.stderr.strip().splitlines()[-1].partition("polyroute: ")
    assert mark, result.stderr
    return sentence


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY_KEY", KEY)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture
def file(tmp_path: Path, server: ModelServer) -> Path:
    path = tmp_path / "pool.yaml"
    path.write_text(f"""\
# my models
models:
- name: good   # the cheap one
  model: "openai/good-n3"
  api_base: {server.url}
  price: {{input: 1, output: 2, date: 2026-01-31, source: my list}}
  api_key_env: CANARY_KEY
  strengths: >-
    Short
    answers.

- name: refused
  model: openai/b-401
  api_base: {server.url}
  api_key_env: CANARY_KEY
  ceiling: {{input: 5, output: 10}}
- {{name: limited, model: openai/b-429, api_base: "{server.url}", price: free}}

fallbacks: {{good: [limited]}}   # in this order
retries: 0
""")
    return path


def test_list_has_a_row_a_model_with_price_key_and_privacy(file: Path):
    heading, good, refused, limited = run("list", file=file).stdout.splitlines()
    assert heading.split()[:4] == ["name", "id", "USD/M", "in"]
    assert good.split()[:4] == ["good", "openai/good-n3", "1", "2"]
    assert "my list, 2026-01-31" in good
    assert "CANARY_KEY set" in good
    assert "≤ 5" in refused
    assert "≤ 10" in refused
    assert "no key needed" in limited


def test_list_takes_prices_from_litellms_map_without_importing_it(monkeypatch: pytest.MonkeyPatch):
    code = (
        "import sys; from typer.testing import CliRunner; from router_graph.cli import app\n"
        f"for args in (['list'], ['show', 'fast']):\n"
        f"    result = CliRunner().invoke(app, ['pool', *args, '-p', {str(EXAMPLE)!r}])\n"
        "    assert result.exit_code == 0, result.output\n"
        "    assert 'litellm 1.' in result.stdout and 'OPENAI_API_KEY not set' in result.stdout\n"
        "print([name for name in ('litellm', 'torch', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_help_loads_no_model_code():
    code = (
        "import sys; from typer.testing import CliRunner; from router_graph.cli import app\n"
        "for args in (['--help'], ['pool', '--help'], ['pool', 'probe', '--help']):\n"
        "    assert CliRunner().invoke(app, args).exit_code == 0\n"
        "print([name for name in ('litellm', 'langchain_core', 'router_graph.pool') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_list_stays_readable_in_a_narrow_terminal(file: Path):
    command = [str(Path(sys.executable).with_name("polyroute")), "pool", "list", "-p", str(file)]
    env = {**os.environ, "COLUMNS": "60", "TTY_COMPATIBLE": "1", "TTY_INTERACTIVE": "0", "NO_COLOR": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=env)
    assert max(map(len, done.stdout.splitlines())) <= 60
    assert "good  openai/good-n3" in done.stdout
    assert "1 in, 2 out, USD per million tokens" in done.stdout


def test_list_as_json_has_what_a_program_needs(file: Path):
    good, refused, _ = json.loads(run("list", "--json", file=file).stdout)
    assert (good["usd_per_million_in"], good["price_date"], good["at_most"]) == (1, "2026-01-31", False)
    assert good["key"] == {"variable": "CANARY_KEY", "state": "set"}
    assert refused["at_most"] is True


def test_show_has_the_line_that_a_policy_reads_the_worst_case_and_the_fallbacks(file: Path):
    shown = run("show", "good", file=file).stdout
    about = json.loads(run("show", "good", "--json", file=file).stdout)
    assert about["policy_reads"] in shown.splitlines()
    assert about["policy_reads"].startswith("good: $1.00 in / $2.00 out per million tokens")
    assert about["usd_of_typical_call"] == (500 * 1 + 200 * 2) / 10**6
    assert "at most $0.00090 for 500 tokens in and 200 out" in shown
    assert about["fallbacks"] == ["limited"]
    assert "my list, 2026-01-31" in shown


def test_show_hides_what_looks_like_a_secret_and_cannot_steer_the_terminal(tmp_path: Path):
    path = tmp_path / "pool.yaml"
    path.write_text(
        'models:\n- name: m\n  price: free\n  strengths: "a\\e[31mb"\n'
        f"  api_base: http://user:{KEY}@localhost/v1?key={KEY}\n"
        f"  params: {{extra_body: {{prompt_cache_key: {KEY}}}, temperature: 0}}\n"
    )
    for args in (["show", "m"], ["show", "m", "--json"], ["list"], ["list", "--json"]):
        result = run(*args, file=path)
        assert result.exit_code == 0
        assert "\x1b" not in result.stdout
    assert "temperature: 0" in run("show", "m", file=path).stdout


def test_test_says_of_each_model_whether_it_answers_and_ends_with_the_bill(file: Path):
    result = run("test", file=file)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    verdicts = {line.split()[1]: line for line in lines[:3]}
    assert verdicts["good"].startswith("ok ")
    assert "said '" in verdicts["good"]
    assert "CANARY_KEY" in verdicts["refused"]
    assert "429" in verdicts["limited"]
    assert lines[-1].startswith("total")
    assert "3 calls (2 failed)" in lines[-1]


def test_test_of_models_that_answer_ends_well_and_costs_what_the_server_billed(file: Path, server: ModelServer):
    result = run("test", "good", "good", "--json", file=file)
    assert result.exit_code == 0
    about = json.loads(result.stdout)
    (row,) = server.meter[-1:]
    assert [one["name"] for one in about["models"]] == ["good"]
    assert about["spent"]["usd"] == (row.prompt * 1 + row.completion * 2) / 10**6
    assert server.seen[-1].body["max_tokens"] == 16


def test_the_budget_holds_for_the_whole_command(file: Path, server: ModelServer):
    before = len(server.meter)
    result = run("test", "good", "refused", "--budget", "0.000001", file=file)
    assert result.exit_code == 1
    assert result.stdout.count("what is left is") == 2
    assert len(server.meter) == before
    assert run("test", "--budget", "0", file=file).exit_code == 2
    assert run("test", "--budget", "nan", file=file).exit_code == 2


def test_an_unknown_model_is_told_before_anything_is_asked(file: Path, server: ModelServer):
    before = len(server.meter)
    for command in (["test", "limited", "goood"], ["probe", "limited", "goood"], ["show", "goood"]):
        assert "did you mean 'good'?" in complaint(run(*command, file=file))
    assert len(server.meter) == before


def test_probe_writes_its_results_into_the_card_and_changes_no_other_line(file: Path):
    before = file.read_text()
    file.chmod(0o640)
    result = run("probe", "good", "refused", file=file)
    assert result.exit_code == 1  # the one with the refused key
    assert "good: 0 of 12 right" in result.stdout
    assert "refused answered 0 of 12 tasks; of so few nothing follows" in result.stderr
    assert "Written to" in result.stderr
    assert "total" in result.stdout.splitlines()[-1]
    after = file.read_text().splitlines()
    new = [line for line in after if line not in before.splitlines()]
    assert [line for line in after if line not in new] == before.splitlines()
    assert new[0] == "  measured:"
    assert "    summary: Wrong on arithmetic, " in new[-1]
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert sorted(path.name for path in file.parent.iterdir()) == ["pool.yaml"]
    assert "0 of 12 right on probe tasks" in run("show", "good", file=file).stdout


def test_probe_again_replaces_what_was_measured(file: Path):
    run("probe", "good", file=file)
    once = file.read_text()
    run("probe", "good", file=file)
    again = file.read_text()
    assert again.count("measured:") == 1
    assert [line for line in again.splitlines() if "seconds" not in line] == [
        line for line in once.splitlines() if "seconds" not in line
    ]


def test_a_dry_run_and_a_budget_too_small_write_nothing(file: Path):
    before = file.read_bytes()
    dry = run("probe", "good", "--dry-run", "--json", file=file)
    assert dry.exit_code == 0
    assert json.loads(dry.stdout)["models"][0]["asked"] == 12
    poor = run("probe", "good", "--budget", "0.0001", file=file)
    assert poor.exit_code == 1
    assert "nothing was written" in poor.stderr
    assert file.read_bytes() == before


def test_a_card_that_cannot_be_written_is_told_and_costs_no_other_its_results(tmp_path: Path, server: ModelServer):
    path = tmp_path / "pool.yaml"
    card = f"model: openai/good-n3\n  api_base: {server.url}\n  price: free\n"
    path.write_text(f"models:\n- &a\n  name: a\n  {card}- <<: *a\n  name: heir\n- name: b\n  {card}")
    result = run("probe", "a", "b", file=path)
    assert result.exit_code == 1
    assert "a: 0 of 12 right" in result.stdout
    assert "a was not written: " in result.stderr
    assert f"Written to {path}: b." in result.stderr


def test_an_interrupted_probe_ends_with_the_bill_and_without_a_traceback(tmp_path: Path, server: ModelServer):
    path = tmp_path / "pool.yaml"
    path.write_text(f"models:\n- {{name: m, model: openai/c-hang, api_base: '{server.url}', price: free}}\n")
    command = [str(Path(sys.executable).with_name("polyroute")), "pool", "probe", "m", "-p", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        end = time.monotonic() + 15
        while not server.peak["c-hang"] and time.monotonic() < end:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=15)
    assert (process.returncode, out) == (130, "")
    bill, _, interrupted = err.splitlines()
    assert "1 call (1 failed)" in bill
    assert interrupted == "Interrupted."
    assert "measured" not in path.read_text()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is empty"),
        ("# only a comment\n", "it is empty"),
        ("- name: a\n", "it holds a list"),
        ("hello", "it holds one value"),
        ("models: []\n", "models"),
        ("models: {a: 1}\n", "models"),
        ("models: [{name: a, price: free}]\nretires: 2\n", "did you mean 'retries'?"),
        ("models: [gpt]\n", "'gpt'"),
        ("modles: []\n", "did you mean 'models'?"),
        ("models:\n- name: a\n  price: {input: 1\n- b: 2\n", "no YAML in line"),
        ("models:\n- name: a\n  price: free\n  price: {input: 1, output: 2}\n", "line 4"),
        ("models:\n- {name: a, price: free}\n- {name: a, price: free}\n", "Two cards are called 'a'"),
        ("models:\n- {name: a, pirce: free}\n", "did you mean 'price'?"),
        ("models:\n- {name: a, model: openai/no-such-model}\n", "add `price:"),
        ("models:\n- {name: a, price: cheap}\n", "cheap"),
        ("models:\n- {name: a, price: free, transport: pigeon}\n", "'pigeon'"),
        ("models:\n- {name: abc, price: free}\nfallbacks: {abc: [abd]}\n", "did you mean 'abc'?"),
        ("models:\n- {name: a, price: free, params: {api_key: sk-canary-0123456789abcdef}}\n", "api_key_env"),
        ("models: &a [*a]\n", "models"),
        ("models: !!python/object:os.system []\n", ""),
    ],
)
def test_a_bad_file_is_one_sentence_that_names_the_file(text: str, said: str, tmp_path: Path):
    path = tmp_path / "pool.yaml"
    path.write_text(text)
    sentence = complaint(run("list", file=path))
    assert sentence.startswith(f"{path}: ")
    assert said in sentence
    assert len(sentence) < 300 + len(str(path))


def test_a_missing_file_a_folder_and_bytes_are_told_apart(tmp_path: Path):
    assert "there is no such file" in complaint(run("list", file=tmp_path / "no.yaml"))
    assert "cannot be read (Is a directory)" in complaint(run("list", file=tmp_path))
    (tmp_path / "bytes.yaml").write_bytes(b"models: \xff\xfe")
    assert "no text in UTF-8" in complaint(run("list", file=tmp_path / "bytes.yaml"))


def test_the_file_can_be_named_by_the_environment(file: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("POLYROUTE_POOL", str(file))
    assert CliRunner().invoke(app, ["pool", "show", "good"]).exit_code == 0
