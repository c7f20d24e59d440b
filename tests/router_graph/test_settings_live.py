"""From router.yaml to a graph that runs: what is opened, what is not there, and who is named for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding

from kb_tools import Catalog, Passage
from router_graph.errors import CardError, RouterError, SettingsError
from router_graph.explain import preview
from router_graph.settings import VARIABLES
from router_graph.settings_live import load_router
from support.views import view_of

POOL = "models:\n- {name: mine, model: openai/mine, price: free}\n"


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shelf")
    with Catalog(folder) as catalog:
        for name in ("handbook", "prices"):
            kb = catalog.create(name, description=f"What {name} says.")
            kb.add([Passage(id="leave", title="Leave", text="Everybody has 30 days of leave a year.")])
    return folder


@pytest.fixture(autouse=True)
def there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, shelf: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in (*VARIABLES, "POLYROUTE_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "pool.yaml").write_text(POOL)
    return tmp_path


def written(text: str) -> Path:
    path = Path("router.yaml")
    path.write_text(text)
    return path


def complaint(text: str, **arguments: object) -> str:
    with pytest.raises(RouterError) as caught:
        load_router(written(text), **arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_router_of_a_file_answers_from_the_knowledge_bases_that_it_names(shelf: Path):
    written(f"knowledge: {{location: {shelf}, only: [handbook]}}\npool: none\nturn: {{max_steps: 2}}\n")
    with load_router() as router:
        assert list(router.resources.knowledge) == ["handbook"]
        assert router.resources.pool is None
        assert router.resources.defaults["max_steps"] == 2
        result = router.graph.invoke({"question": "How many days of leave does everybody have?"})
    assert "30" in result["answer"]
    assert result["citations"][0]["kb"] == "handbook"


def test_paths_of_a_file_are_relative_to_it_and_arguments_to_the_working_directory(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "kb").symlink_to(shelf)
    (tmp_path / "conf" / "models.yaml").write_text(POOL)
    (tmp_path / "conf" / "router.yaml").write_text("knowledge: kb\npool: models.yaml\n")
    with load_router("conf/router.yaml") as router:
        assert list(router.resources.knowledge) == ["handbook", "prices"]
        assert router.resources.pool is not None
    with pytest.raises(SettingsError, match="nobody to ask"):
        load_router("conf/router.yaml", knowledge="kb", pool="none")
    monkeypatch.setenv("POLYROUTE_KB", "conf/kb")
    with load_router("conf/router.yaml", pool="none") as router:
        assert list(router.resources.knowledge) == ["handbook", "prices"]


def test_where_nobody_can_be_asked_the_message_says_what_to_do():
    assert "polyroute kb add NAME PATH" in complaint("pool: none\n")
    assert "polyroute-kb" in complaint("pool: none\n")
    assert "nobody to ask" in complaint("pool: none\nknowledge: none\npolicy: gate\n")


def test_without_knowledge_bases_the_cheapest_model_is_asked():
    with load_router(written("knowledge: none\n")) as router:
        assert router.resources.defaults["policy"] == "cheapest"


def test_a_model_that_decides_needs_nobody_else():
    pool = "pool:\n  models: [{name: a, model: openai/a, price: free}]\n"
    with load_router(written(f"knowledge: none\npolicy: a\n{pool}")) as router:
        assert router.resources.policy("a").card is router.resources.pool.card("a")


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("knowledge:\n  location: SHELF\n  only:\n  - handbok\n", 4, "No knowledge base 'handbok'"),
        ("knowledge: SHELF\nturn:\n  seed: 0\n  exclude: [kb:nope]\n", 4, "exclude names 'kb:nope'"),
        ("knowledge: SHELF\nturn:\n  shadow: gatte\n", 3, "did you mean 'gate'"),
        ("knowledge: SHELF\npolicy: heurstic\n", 2, "did you mean 'heuristic'"),
        ("knowledge: SHELF\nprotocol: tag\n", 2, "did you mean 'tags'"),
        ("knowledge: SHELF\npool: nope.yaml\n", 2, "nope.yaml: there is no such file"),
        ("knowledge: SHELF\npool:\n  models: [{name: unheard-of}]\n", 2, "Nobody knows what 'unheard-of' costs"),
        ("knowledge: SHELF\npool:\n  replies: nope\n", 2, "nope"),
        ("knowledge: SHELF\ncheckpoints: no/threads.sqlite\n", 2, "cannot be used"),
        (
            "knowledge: SHELF\nexclusions:\n- {knowledge_bases: [handbook], models: [mine]}\n"
            "- {knowledge_bases: [hr], models: [mine]}\n",
            4,
            "An exclusion names the knowledge base 'hr'",
        ),
    ],
)
def test_what_a_file_names_and_is_not_there_is_told_with_its_line(text: str, line: int, says: str, shelf: Path):
    told = complaint(text.replace("SHELF", str(shelf)))
    assert told.startswith(f"router.yaml, line {line}: ")
    assert says in told


def test_what_an_argument_or_a_variable_names_is_not_blamed_on_the_file(shelf: Path, monkeypatch: pytest.MonkeyPatch):
    text = f"knowledge: {shelf}\npolicy: gate\n"
    assert complaint(text, policy="heurstic").startswith("There is no policy 'heurstic'")
    assert complaint(text, only=["kb:nope"]).startswith("only names 'kb:nope'")
    monkeypatch.setenv("POLYROUTE_POLICY", "heurstic")
    assert complaint(text).startswith("POLYROUTE_POLICY: There is no policy 'heurstic'")


def test_a_knowledge_base_that_cannot_be_opened_hides_no_other(tmp_path: Path):
    with Catalog(tmp_path / "kb") as catalog:
        catalog.create("good", description="Fine.")
    with Catalog(tmp_path / "kb", embedding=DeterministicFakeEmbedding(size=8)) as catalog:
        catalog.create("odd", description="Made with another embedding.")
    with load_router(written("knowledge: kb\n")) as router:
        assert list(router.resources.knowledge) == ["good"]
        assert ["'odd'" in problem for problem in router.problems] == [True]
    assert "'odd'" in complaint("knowledge: {location: kb, only: [odd]}\n")


def test_exclusions_of_a_file_hold_in_its_graph(shelf: Path):
    text = f"knowledge: {shelf}\nexclusions:\n- {{knowledge_bases: [handbook], privacy: [external]}}\n"
    with load_router(written(text), policy="mine") as router:
        masked = {one["key"]: one["masked"] for one in preview(router.resources, "How many days of leave?").options}
    assert "must not" in str(masked["kb:handbook"])
    assert masked["kb:prices"] is None


def test_threads_of_a_file_go_on_where_they_ended(shelf: Path):
    written(f"knowledge: {shelf}\ncheckpoints: threads.sqlite\n")
    config = {"configurable": {"thread_id": "t"}}
    for turn in (1, 2):
        with load_router() as router:
            result = router.graph.invoke({"question": "How many days of leave?"}, config)
        assert len(result["messages"]) == 2 * turn


def test_a_pool_file_that_is_wrong_names_itself():
    Path("pool.yaml").write_text("models: [{name: a, prize: 1}]")
    with pytest.raises(CardError, match=r"^pool.yaml: .*'prize' is no known key"):
        load_router()


def test_advice_and_descriptions_of_a_file_are_what_a_policy_reads(shelf: Path):
    text = f"knowledge: {shelf}\npool: auto\nadvice: Ask the handbook <first>.\n"
    written(f"{text}descriptions:\n  kb:prices: Old prices.\n  llm:mine: Sums.\n")
    with load_router() as router:
        menu = {one["key"]: one["description"] for one in router.resources.menu()}
        assert menu["kb:prices"] == "Old prices." and menu["kb:handbook"] == "What handbook says."
        assert "Sums." in menu["llm:mine"]
        result = router.graph.invoke({"question": "How many days?"}, context={"policy": "kb:handbook"})
        name = result["steps"][0]["decision"]["protocol"]
        assert name.startswith("tags+advice-") and router.resources.protocol(name).name == name
        first, *_ = router.resources.protocol(name).messages(view_of("kb:prices"))
        assert first.text.endswith("Advice:\nAsk the handbook &lt;first&gt;.")
    with load_router(protocol="router_r1") as router:
        assert router.resources.defaults["protocol"].startswith("router_r1+advice-")


def test_a_description_of_no_source_is_told_with_its_line(shelf: Path):
    text = f"knowledge: {shelf}\ndescriptions:\n  kb:prices: Old.\n  kb:handbok: Rules.\n"
    said = complaint(text)
    assert said == (
        "router.yaml, line 4: descriptions name 'kb:handbok', which is no source; did you mean 'kb:handbook'?"
    )
    assert "no protocol 'tag'" in complaint(f"knowledge: {shelf}\nadvice: So.\nprotocol: tag\n")
