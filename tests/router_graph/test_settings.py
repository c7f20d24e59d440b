"""router.yaml: what stands above what, where a mistake is, and that no secret is ever shown."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_graph.cli_init import TEMPLATE
from router_graph.errors import SettingsError
from router_graph.settings import VARIABLES, RouterFile, read_settings, router_schema

SECRET = "sk-canary-0123456789abcdef"


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (*VARIABLES, "POLYROUTE_CONFIG"):
        monkeypatch.delenv(name, raising=False)


def written(text: str, name: str = "router.yaml") -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def mistake(text: str, **arguments: object) -> str:
    with pytest.raises(SettingsError) as caught:
        read_settings(written(text), **arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("\npolcy: heuristic\n", 2, "'polcy' is no known key; did you mean 'policy'?"),
        ("turn:\n  seed: 1\n  max_stps: 3\n", 3, "'max_stps' is no known key; did you mean 'max_steps'?"),
        ("knowledge:\n  location: kb\n  onyl: [a]\n", 3, "'onyl' is no known key; did you mean 'only'?"),
        (
            "exclusions:\n- {knowledge_bases: [a], models: [b]}\n- knowledge_bass: [a]\n",
            3,
            "'knowledge_bass' is no known key; did you mean 'knowledge_bases'?",
        ),
        ("pool:\n  models:\n  - name: x\n    prize: free\n", 4, "did you mean 'price'?"),
        ("pool:\n  models:\n  - name: x\n    price: {inptu: 1, output: 2}\n", 4, "did you mean 'input'?"),
        ("max_steps: 3\n", 1, "put it under 'turn:'"),
        ("turn:\n  seed: 1\n  policy: gate\n", 1, "'policy' stands at the top of the file"),
        ("policy: gate\nturn:\n  usd: 0\n", 3, "usd is 0; it must be greater than 0."),
        ("turn:\n  max_steps: many\n", 2, "max_steps is 'many'; it must be a valid integer"),
        ("turn:\n  only: [a]\n", 2, "only.0 is 'a'"),
        ("policy: [1]\n", 1, "policy is [1]; it must be a valid string."),
        ("policy: x\npool: 3\n", 2, "'pool' holds keys and values, and not 3."),
        ("turn: [1]\n", 1, "'turn' holds keys and values, and not [1]."),
        ("exclusions:\n- handbook\n", 2, "'exclusions' holds keys and values, and not 'handbook'."),
        ("exclusions:\n- knowledge_bases: [a]\n", 2, "an exclusion needs 'models' or 'privacy'"),
        ("policy: gate\npolicy: fanout\n", 2, "duplicate key"),
        ("policy: gate\nturn: [\n", 3, "this is no YAML"),
        ("policy: ${NOT_SET_ANYWHERE}\n", 1, "the environment variable NOT_SET_ANYWHERE is not set"),
    ],
)
def test_a_mistake_names_its_line_and_what_would_be_right(text: str, line: int, says: str):
    told = mistake(text)
    assert told.startswith(f"router.yaml, line {line}: ")
    assert says in told


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\xff\xfe\x00", "no text in UTF-8"),
        (b"- policy\n", "it holds a list"),
        (b"policy\n", "it holds one value"),
        (b"a: &a [*a]\n", "nested more than 50 deep"),
        (b"a: &a [1, 1]\nb: &b [*a, *a]\n" + b"".join(b"k%d: &k%d [*b, *b]\n" % (n, n) for n in range(5000)), "values"),
        (b"[" * 5000, "nested too deeply"),
        (b"policy: \x07\n", "no YAML"),
        (b" " * 2_000_000, "at most 1,048,576"),
    ],
)
def test_what_is_no_file_of_settings_is_refused_in_a_sentence(content: bytes, says: str):
    Path("router.yaml").write_bytes(content)
    with pytest.raises(SettingsError, match=says) as caught:
        read_settings()
    assert str(caught.value).startswith("router.yaml")
    assert "\n" not in str(caught.value)


def test_a_file_that_was_named_must_be_there_and_one_that_was_not_need_not(monkeypatch: pytest.MonkeyPatch):
    assert read_settings().settings == RouterFile()
    monkeypatch.setenv("POLYROUTE_CONFIG", "elsewhere.yaml")
    with pytest.raises(SettingsError, match=r"^elsewhere.yaml: there is no such file; polyroute init writes one"):
        read_settings()
    written("policy: gate", "given.yaml")
    assert read_settings("given.yaml").settings.policy == "gate"


_keys = st.sampled_from([*RouterFile.model_fields, "usd", "models", "only", "x", ""])
_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just("${HOME:-x}")),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_keys, inner, max_size=3)),
    max_leaves=8,
)


@given(st.one_of(st.text(), st.dictionaries(_keys, _values, max_size=4)))
def test_whatever_a_file_holds_it_is_read_or_refused_in_one_sentence(tmp_path_factory, content):
    import json

    path = tmp_path_factory.mktemp("any") / "router.yaml"
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        read_settings(path)
    except SettingsError as error:
        assert str(path) in str(error)


def test_an_argument_stands_above_the_environment_and_that_above_the_file(monkeypatch: pytest.MonkeyPatch):
    written("policy: gate\nturn: {usd: 0.3, seconds: 9}\n")
    assert (read_settings().settings.policy, read_settings().settings.turn.usd) == ("gate", 0.3)
    monkeypatch.setenv("POLYROUTE_POLICY", "fanout")
    monkeypatch.setenv("POLYROUTE_USD", "0.2")
    assert (read_settings().settings.policy, read_settings().settings.turn.usd) == ("fanout", 0.2)
    settings = read_settings(policy="cheapest", usd=0.1).settings
    assert (settings.policy, settings.turn.usd, settings.turn.seconds) == ("cheapest", 0.1, 9)
    monkeypatch.setenv("POLYROUTE_POLICY", "")
    assert read_settings().settings.policy == "gate"


@pytest.mark.parametrize("name", [name for name, place in VARIABLES.items() if place[0] == "turn"])
def test_a_bad_variable_is_named_and_not_the_file(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(name, "lots")
    told = mistake("turn: {max_steps: 3}\n")
    assert told.startswith(f"{name}: ")
    assert "router.yaml" not in told


def test_variables_are_replaced_in_texts_and_defaults_hold_where_they_are_not_set(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("KB_HOST", "kb.local")
    monkeypatch.setenv("SPEND", "0.25")
    text = (
        "knowledge: http://${KB_HOST}:${KB_PORT:-8000}\nturn: {usd: '${SPEND}'}\npool: {models: [{name: '${M:-a}'}]}\n"
    )
    settings = read_settings(written(text)).settings
    assert settings.knowledge.location == "http://kb.local:8000"
    assert settings.turn.usd == 0.25
    assert settings.pool.models[0].name == "a"


@pytest.mark.parametrize(
    "text",
    [
        "turn:\n  usd: ${TOKEN}\n",
        "turn:\n  usd: x${TOKEN}x\n",
        "turn: ${TOKEN}\n",
        "exclusions: ['${TOKEN}']\n",
        "policy: {a: '${TOKEN}'}\n",
        "pool: {models: [{name: '${TOKEN} ', price: free}]}\n",
        "pool: {models: [{name: a, api_key_env: '${TOKEN}'}]}\n",
        "pool: {models: [{name: a, api_base: 'x${TOKEN}'}]}\n",
        "pool: {models: [{name: a, price: '${TOKEN}'}]}\n",
        "pool: {models: [{name: a, params: {api_key: '${TOKEN}'}}]}\n",
        "turn: {only: ['${TOKEN}']}\n",
        "turn: {usd: '" + "x" * 50 + "${TOKEN}'}\n",  # cut to its first characters, as messages do
    ],
)
def test_no_mistake_shows_what_a_variable_holds(text: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TOKEN", SECRET)
    told = mistake(text)
    assert "canary" not in told
    assert "sk-" not in told


def test_the_template_loads_and_so_does_every_line_that_is_commented_out(monkeypatch: pytest.MonkeyPatch):
    settings = read_settings(written(TEMPLATE)).settings
    assert settings == RouterFile.model_validate({"knowledge": "polyroute-kb", "turn": {"max_steps": 6}})
    live = "\n".join(
        line.replace("# ", "", 1) if line.lstrip().startswith("# ") and ":" in line and _is_key(line) else line
        for line in TEMPLATE.replace("knowledge: polyroute-kb\n", "").replace("pool: auto\n", "").splitlines()
    )
    settings = read_settings(written(live)).settings
    assert settings.knowledge.only == ["handbook", "prices"]
    assert settings.pool.models[0].name == "fast"
    assert (settings.policy, settings.protocol, settings.turn.shadow) == ("heuristic", "tags", "gate")
    assert settings.exclusions[0].knowledge_bases == ["handbook"]


def _is_key(line: str) -> bool:
    return line.lstrip(" #").split(":")[0].removeprefix("- ").replace("_", "").islower() and not line.endswith(".")


def test_the_schema_has_every_key_and_takes_what_loads():
    schema = router_schema()
    assert schema["properties"].keys() == RouterFile.model_fields.keys()
    assert all(one.get("description") for one in schema["properties"].values())
    assert "policy" not in schema["$defs"]["TurnPart"]["properties"]
    jsonschema = pytest.importorskip("jsonschema")
    good = {"knowledge": "kb", "pool": {"models": [{"name": "a"}]}, "turn": {"usd": "${USD}", "max_steps": 3}}
    jsonschema.validate(good, schema)
    jsonschema.validate({"pool": {"mote": {"tiny": "planted", "big": {"model": "a/b"}}}}, schema)
    for bad in ({"polcy": "x"}, {"turn": {"usd": "much"}}, {"turn": {"max_steps": 0}}, {"knowledge": 3}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(bad, schema)


def test_reading_settings_loads_nothing_heavy():
    code = (
        "import sys; from router_graph.settings import read_settings; read_settings()\n"
        "print([name for name in ('litellm', 'torch', 'chromadb', 'numpy', 'kb_tools') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env={**os.environ})
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_threads_in_a_file_are_there_again_for_sync_and_async_graphs_alike(tmp_path: Path):
    pytest.importorskip("langgraph.checkpoint.sqlite")
    from langgraph.graph import END, START, MessagesState, StateGraph

    from router_graph.checkpoints import opened_checkpoints

    builder = StateGraph(MessagesState)
    builder.add_node("say", lambda state: {"messages": [("ai", "hello")]})
    builder.add_edge(START, "say")
    builder.add_edge("say", END)
    config = {"configurable": {"thread_id": "one"}}

    def messages(result: dict) -> int:
        return len(result["messages"])

    with opened_checkpoints("t.sqlite", tmp_path / "t.sqlite") as saver:
        assert messages(builder.compile(checkpointer=saver).invoke({"messages": [("human", "a")]}, config)) == 2
    with opened_checkpoints("t.sqlite", tmp_path / "t.sqlite") as saver:
        graph = builder.compile(checkpointer=saver)
        assert messages(asyncio.run(graph.ainvoke({"messages": [("human", "b")]}, config))) == 4
        assert messages(asyncio.run(graph.aget_state(config)).values) == 4
    with (
        pytest.raises(SettingsError, match=r"nowhere/t\.sqlite cannot be used"),
        opened_checkpoints("nowhere/t.sqlite", tmp_path / "nowhere" / "t.sqlite"),
    ):
        pass
