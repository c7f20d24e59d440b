"""The viewer's API: what it tells of runs, who may ask it, and that no text of a log becomes code or a path."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from kb_tools.documents import Image
from mote_backend.fingerprint import Fingerprint
from mote_backend.ftri.expert_table import ExpertTable
from mote_backend.mask import ExpertMask
from router_graph.state import Left
from router_graph.viewer.app import viewer_app
from router_graph.viewer.bundle import bundle
from router_graph.viewer.one_file import one_file
from router_graph.viewer.viewer import STATIC, page_of_record
from support.run_logs import (
    ASK,
    SAY,
    began,
    decided,
    ended,
    line,
    observed,
    record_real_runs,
    runs_in,
    whole_run,
    write,
)
from support.views import hit, option

OURS = "http://127.0.0.1:2025"
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)><a href=javascript:alert(3)>\u2028</script>"
TABLE = "| planet | mass |\n| --- | --- |\n| Mars | 0.1 \\| 1 |"


def client_of(log: Path, cache: Path, **options: Any) -> TestClient:
    return TestClient(viewer_app(log, cache=cache / "index.sqlite", **options), base_url=OURS)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of a real graph, one with a table and a budget, one that is hostile in every text, and a damaged line."""
    folder = tmp_path_factory.mktemp("log")
    record_real_runs(folder, "One?")
    menu = [option("kb:books"), option("kb:tables"), option("llm:fast", usd=0.01), option("answer")]
    settings = {"usd": 1.0, "tokens": 1000, "seconds": 60, "max_steps": 5, "policy": "tiny"}
    left = Left(steps=5, usd=0.8, tokens=800, seconds=60)
    later = Left(steps=4, usd=0.79, tokens=780, seconds=59)
    asked = [{"kind": "kb", "kb": "tables", "query": "mass", "k": 3}, {"kind": "llm", "model": "fast", "query": "mass"}]
    lines = [began("t1", 10, menu=menu, settings=settings, metadata={"gold": ["Mars"], "gold_documents": ["t:7"]})]
    lines += [decided("t1", 1, 11, actions=asked, left=left)]
    found = {**hit(TABLE), "kb": "tables", "doc_id": "7", "title": "Planets"}
    seen = {"status": "ok", "text": "", "hits": [found], "served": "kb:tables", "usd": 0.001, "tokens": 5, "seconds": 1}
    lines += [line("observed", "t1", 12, number=1, position=0, observation=seen)]
    cited = [{"kb": "tables", "doc_id": "7", "title": "Planets"}]
    lines += [decided("t1", 2, 13, actions=[SAY], left=later), ended("t1", 14, answer="Mars", citations=cited)]
    write(folder, lines)
    evil = [{"kind": "kb", "kb": "books", "query": HOSTILE}]
    evil_hit = {**hit(HOSTILE), "title": HOSTILE, "doc_id": HOSTILE, "metadata": {HOSTILE: HOSTILE}}
    bad = {"status": "ok", "text": HOSTILE, "hits": [evil_hit], "served": HOSTILE, "usd": 0, "tokens": 0, "seconds": 0}
    lines = [began("../../etc/passwd", 20, question=HOSTILE, metadata={HOSTILE: HOSTILE, "question_id": "q"})]
    lines += [decided("../../etc/passwd", 1, 21, actions=evil, problem=HOSTILE, masked={"llm:fast": HOSTILE})]
    lines += [line("observed", "../../etc/passwd", 22, number=1, position=0, observation=bad)]
    shard = write(folder, [*lines, ended("../../etc/passwd", 23, answer=HOSTILE)])
    with shard.open("ab") as file:
        file.write(b"00000000 {}\n")
    return folder


@pytest.fixture(scope="module")
def client(log: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with client_of(log, tmp_path_factory.mktemp("cache")) as one:
        one.app.state.viewer.index.wake(10)  # type: ignore[attr-defined]
        yield one


def test_about_tells_what_there_is(client: TestClient, log: Path):
    about = client.get("/api/about").json()
    assert (about["runs"], about["damaged"], about["indexing"], about["log"]) == (3, 1, None, str(log))
    fields = {one["name"]: one for one in about["fields"]}
    assert "tables" in fields["step.kb"]["values"] and fields["usd"] | {"help": ""} == {
        **{"name": "usd", "of": "run", "kind": "number"},
        "help": "",
    }
    assert set(about["policies"]) == {"script", "tiny"} and str(log) in about["record"]


def test_the_table_of_runs_has_pages_an_order_and_a_filter(client: TestClient):
    first = client.get("/api/runs", params={"limit": 2}).json()
    rest = client.get("/api/runs", params={"limit": 2, "offset": 2}).json()
    assert (first["total"], len(first["runs"]), len(rest["runs"]), first["indexing"]) == (3, 2, 1, None)
    assert [one["at"] for one in first["runs"] + rest["runs"]] == sorted(
        (one["at"] for one in first["runs"] + rest["runs"]), reverse=True
    )
    found = client.get("/api/runs", params={"filter": "right=true step.kb=tables"}).json()
    assert [one["id"] for one in found["runs"]] == ["t1"]


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"sort": "-wit"}, "Runs are not sorted by 'wit'; use at, usd"),
        ({"offset": "-1"}, "offset is '-1'; it must be a whole number from 0."),
        ({"limit": "9" * 30}, "limit is "),
        ({"filter": "wit=1"}, "There is no field 'wit' (character 1)"),
    ],
)
def test_a_bad_question_is_told_in_a_sentence(client: TestClient, query: dict[str, str], sentence: str):
    reply = client.get("/api/runs", params=query)
    assert reply.status_code == 400 and reply.json()["error"]["message"].startswith(sentence)


def test_a_run_is_told_with_every_option_and_what_came_back(client: TestClient):
    run = client.get("/api/runs/t1").json()
    one, two = run["steps"]
    assert [(o["key"], o["probability"], o["masked"], o["chosen"]) for o in one["options"]] == [
        ("kb:books", 0.7, None, False),
        ("kb:tables", 0.1, None, True),
        ("llm:fast", None, "too dear", True),
        ("answer", 0.2, None, False),
    ]
    tables, fast = one["actions"]
    assert (tables["query"], tables["k"], fast["observation"]) == ("mass", 3, None)
    (found,) = tables["observation"]["hits"]
    assert found["table"] == {"header": ["planet", "mass"], "rows": [["Mars", "0.1 | 1"]]} and found["cited"]
    assert run["gold"] == {"answers": ["Mars"], "documents": [["t:7"]]} and run["row"]["right"] is True
    assert two["actions"][0]["kind"] == "answer" and one["prompt"] is None


def test_the_gauge_says_where_the_money_is(client: TestClient):
    run = client.get("/api/runs/t1").json()
    before, later, end = run["steps"][0]["gauge"], run["steps"][1]["gauge"], run["gauge"]
    assert (before["spent_usd"], before["answer_reserve_usd"], before["left_usd"]) == (0, pytest.approx(0.2), 0.8)
    assert later["spent_usd"] == pytest.approx(0.003) and later["routes_usd"] == 0.001
    assert later["reserved_usd"] == pytest.approx(1 - 0.003 - 0.2 - 0.79)
    for gauge in (before, later):
        parts = ("spent_usd", "reserved_usd", "answer_reserve_usd", "left_usd")
        assert sum(gauge[name] for name in parts) == pytest.approx(gauge["limit_usd"])
    assert end["spent_usd"] == 0.03 and end["left_usd"] == pytest.approx(0.97) and end["reserved_usd"] == 0
    assert end["spent_usd"] == pytest.approx(end["routes_usd"] + end["policy_usd"] + end["answer_usd"])
    assert end["steps"] == {"limit": 5, "taken": 2} and before["tokens"]["left"] == 800


def test_probabilities_and_masks_are_those_of_the_log(client: TestClient, log: Path):
    for run in runs_in(log):
        if "/" in run.run_id:
            continue
        told = client.get(f"/api/runs/{run.run_id}").json()
        for shown, record in zip(told["steps"], run.steps, strict=True):
            decision = record.step["decision"]
            assert {o["key"]: o["masked"] for o in shown["options"] if o["masked"]} == decision["masked"]
            chances = {o["key"]: o["probability"] for o in shown["options"] if o["probability"] is not None}
            assert chances == (decision["probabilities"] or {})


def test_the_id_of_a_run_is_never_a_path(client: TestClient):
    for name in ("..%2F..%2Fetc%2Fpasswd", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "../../etc/passwd", "%00", "t1%20"):
        reply = client.get(f"/api/runs/{name}")
        assert reply.status_code == 404 and "root:" not in reply.text and reply.headers["content-type"] != "text/html"
    for name in ("../app.py", "..%2fapp.py", "index.html", "main.js.map", "%2e%2e%2fapp%2epy"):
        assert client.get(f"/static/{name}").status_code == 404


def test_every_answer_says_that_nothing_from_elsewhere_may_run(client: TestClient):
    for path, status in (("/", 200), ("/api/runs", 200), ("/api/runs/no", 404), ("/static/no.js", 404), ("/no", 404)):
        reply = client.get(path)
        assert reply.status_code == status
        csp = reply.headers["content-security-policy"]
        assert csp.startswith("default-src 'none'; script-src 'self';") and "unsafe" not in csp
        assert (
            reply.headers["x-content-type-options"] == "nosniff" and reply.headers["referrer-policy"] == "no-referrer"
        )
        assert reply.headers["cross-origin-resource-policy"] == "same-origin"
        assert path.startswith("/static/") or reply.headers["cache-control"] == "no-store"
    page = client.get("/").text
    assert not re.search(r"<script(?![^>]*src=)|<style| style=| on\w+=|https?://(?!www\.w3\.org)", page)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": OURS, "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Host": "evil.example"}, 403),  # DNS rebinding
        ({"Host": "evil.example:2025", "Origin": "http://evil.example:2025"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://127.0.0.1:8000"}, 403),  # another server of this machine
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
    ],
)
def test_only_its_own_pages_may_ask(client: TestClient, headers: dict[str, str], status: int):
    reply = client.get("/api/runs", headers=headers)
    assert reply.status_code == status and ("error" in reply.json()) == (status != 200)
    changed = client.request("PUT", "/api/views/x", json={"filter": ""}, headers=headers)
    assert changed.status_code == status
    client.delete("/api/views/x")


def test_what_changes_something_must_be_json(client: TestClient):
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        reply = client.put("/api/views/x", content=b'{"filter": ""}', headers={"Content-Type": kind})
        assert reply.status_code == 415
    reply = client.put("/api/views/x", content=b"{", headers={"Content-Type": "application/json"})
    assert reply.status_code == 400
    assert client.put("/api/views/x", json={"filter": "x" * 2_000_000}).status_code == 413
    pieces = (b"x" * 100_000 for _ in range(20))  # whose length no header tells
    headers = {"Content-Type": "application/json"}
    assert client.put("/api/views/x", content=pieces, headers=headers).status_code == 413
    assert client.get("/api/views").json() == []


def test_with_a_token_the_data_want_it_and_the_pages_do_not(log: Path, tmp_path: Path):
    with client_of(log, tmp_path, token="s3cret-token", hosts=None) as client:
        assert client.get("/").status_code == 200 and client.get("/static/none.js").status_code == 404
        assert client.get("/api/runs").status_code == 401
        assert client.get("/api/runs?token=s3cret-token").status_code == 401
        assert client.get("/api/live").status_code == 401
        assert client.get("/api/runs", headers={"Authorization": "Bearer wrong"}).status_code == 401
        assert client.get("/api/runs", headers={"Authorization": "Bearer s3cret-token"}).status_code == 200


def test_it_can_be_mounted_anywhere(log: Path, tmp_path: Path):
    pages = viewer_app(log, cache=tmp_path / "index.sqlite")
    with TestClient(Starlette(routes=[Mount("/a/b", pages)]), base_url=OURS) as client:
        pages.state.viewer.index.wake(10)
        assert client.get("/a/b/").status_code == 200
        assert client.get("/a/b/api/runs").json()["total"] == 3
        assert client.get("/a/b/api/runs", headers={"Origin": "http://evil.example"}).status_code == 403
        assert not re.search(r'(href|src)="/', client.get("/a/b/").text)
    pages.state.viewer.close()


def test_views_are_kept_beside_the_log_and_never_over_it(client: TestClient, log: Path):
    view = client.put("/api/views/dear ones", json={"filter": "usd>0.01", "sort": "-usd"}).json()
    assert client.get("/api/views").json() == [view] == [{"name": "dear ones", "filter": "usd>0.01", "sort": "-usd"}]
    assert json.loads((log / "labels" / "views.json").read_text()) == [view]
    assert client.put("/api/views/bad", json={"filter": "wit=1"}).status_code == 400
    assert client.put("/api/views/bad", json={"filter": 1}).status_code == 400
    assert client.put(f"/api/views/{'x' * 101}", json={"filter": ""}).status_code == 400
    assert client.delete("/api/views/dear ones").status_code == 204
    assert client.delete("/api/views/dear ones").status_code == 404


CANARIES = {
    "key": "sk-abcdefghijklmnop1234",
    "aws": "AKIAABCDEFGHIJKLMNOP",
    "url": "postgres://me:hunter22@db/x",
    "mail": "anna.k@example.org",
    "named": "api_key=verysecret99",
    "bearer": "Authorization: Bearer abc.def-123456789",
}
SECRETS = ("sk-abcdefghijklmnop1234", "AKIAABCDEFGHIJKLMNOP", "hunter22", "anna.k@", "verysecret99", "abc.def-1234")


def test_an_exported_run_holds_no_secret_wherever_it_stands(tmp_path: Path):
    said = " ".join(CANARIES.values())
    lines = [began("a", 1, question=said, metadata={"note": said, "password": "plainword", "m": {said: [said]}})]
    lines[0]["settings"] = {"seed": 0, "advice": said, "api_key": "plainword"}
    lines[0]["earlier"] = [("human", said)]
    lines[0]["menu"] = [{**option("kb:books"), "description": said}]
    call = {"call_id": "c", "node": "think", "is_policy": True, "model": "m", "reply": said, "tool_calls": []}
    call |= {"input_tokens": 1, "output_tokens": 1, "seconds": 0, "error": said, "sampling": {}, "tokens": None}
    call["prompt"] = [{"role": "human", "content": [{"type": "text", "text": said}]}]
    lines += [decided("a", 1, 2, actions=[{**ASK, "query": said}], call=call, problem=said, masked={"llm:x": said})]
    found = {**hit(said), "title": said, "metadata": {"author": said, "token": "plainword"}}
    seen = {"status": "ok", "text": said, "hits": [found], "served": "kb:books", "usd": 0, "tokens": 0, "seconds": 0}
    lines += [line("observed", "a", 3, number=1, position=0, observation=seen)]
    write(tmp_path / "log", [*lines, ended("a", 4, answer=said)], redact=lambda text: text)
    with client_of(tmp_path / "log", tmp_path) as client:
        shown, page = client.get("/api/runs/a").text, client.get("/api/runs/a/export").text
    (run,) = runs_in(tmp_path / "log")
    for text in (page, page_of_record(run, tmp_path / "log")):
        for secret in (*SECRETS, "plainword"):
            assert secret in shown and secret not in text, secret
        assert str(tmp_path) not in text  # nothing of this machine
        assert text.count("[key]") >= 10


def test_an_exported_page_runs_nothing_but_the_viewer(client: TestClient, log: Path):
    run = next(one for one in runs_in(log) if one.question == HOSTILE)
    page = page_of_record(run, log)
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert data and "<" not in data[1] and json.loads(data[1])["run"]["row"]["question"] == HOSTILE
    csp = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert csp and "default-src 'none'; script-src 'sha256-" in csp[1] and "unsafe" not in csp[1]
    reply = client.get("/api/runs/t1/export")
    assert reply.headers["content-disposition"] == 'attachment; filename="polyroute-t1.html"'
    assert "http://" not in re.sub(r"http://www\.w3\.org/\S+", "", reply.text)


def test_modules_become_one_script_in_order_of_need(tmp_path: Path):
    (tmp_path / "main.js").write_text(
        'import { twice } from "./twice.js";\nimport {\n  one,\n} from "./one.js";\nshow(twice(one));\n'
    )
    (tmp_path / "twice.js").write_text(
        'import { one } from "./one.js";\nexport function twice(x) {\n  return one * x;\n}\n'
    )
    (tmp_path / "one.js").write_text("export const one = 1;\nexport async function two() {}\nexport class Three {}\n")
    (tmp_path / "index.html").write_text(
        '<html><head><title>x</title><link rel="stylesheet" href="static/a.css">\n'
        '<script type="module" src="static/main.js"></script></head><body></body></html>'
    )
    (tmp_path / "a.css").write_text("p { color: red }")
    script = bundle(tmp_path, "main")
    assert re.findall(r"^const (\$\w+) =", script, re.MULTILINE) == ["$one", "$twice", "$main"]
    assert "import" not in script and "export" not in script and "return { one, two, Three };" in script
    page = one_file(tmp_path, {}, {})
    digest = base64.b64encode(__import__("hashlib").sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page and f'<script type="module">{script}</script>' in page
    assert "<style>p { color: red }</style>" in page and "static/" not in page
    (tmp_path / "one.js").write_text("export default 1;\n")
    with pytest.raises(ValueError, match=r"one\.js has 'export default 1;'"):
        bundle(tmp_path, "main")
    (tmp_path / "one.js").write_text('import { twice } from "./twice.js";\nexport const one = 1;\n')
    with pytest.raises(ValueError, match="needs itself"):
        bundle(tmp_path, "main")


def test_the_viewers_own_pages_are_one_script_and_one_sheet(client: TestClient):
    page = client.get("/").text
    names = re.findall(r'(?:src|href)="(static/[^"]*)"', page)
    assert names == ["static/viewer.css", "static/viewer.js"]
    for name, kind in zip(names, ("text/css", "text/javascript"), strict=True):
        reply = client.get(f"/{name}")
        assert reply.status_code == 200 and reply.headers["content-type"].startswith(kind)
        assert reply.headers["cache-control"] == "no-cache"
        again = client.get(f"/{name}", headers={"If-None-Match": reply.headers["etag"]})
        assert again.status_code == 304 and not again.content
    assert "<html" in one_file(STATIC, {}, {"row": {"id": "x"}})


def table_of(layers: int = 2, experts: int = 3) -> ExpertTable:
    count = layers * experts
    model = Fingerprint("tiny_moe", (experts,) * layers, (1,) * layers, "w")
    columns = "rate_a rate_b low high p q stability gate_a gate_b".split()
    arrays = {name: np.linspace(0, 1, count) for name in columns} | {"rate_b": np.zeros(count)}
    facts = {"digest_a": "x", "digest_b": "y", "at": "last", "chance": 0.25, "stability_top": 2, "seed": 0}
    sizes = (experts,) * layers
    return ExpertTable(a="sensitive", b="harmless", n_a=4, n_b=5, experts=sizes, model=model, **facts, **arrays)


def test_a_heat_map_has_the_table_and_the_mask_for_its_model(log: Path, tmp_path: Path):
    table = table_of()
    table.save(tmp_path / "refusals.json")
    ExpertMask(off=[(0, 1)], model=table.model, name="quiet").save(tmp_path / "quiet.json")
    ExpertMask(off=[(1, 1)], name="of nobody").save(tmp_path / "other.json")
    (tmp_path / "broken.json").write_text('{"format": "polyroute-experts/1"}')
    (tmp_path / "data.json").write_text("[]")
    with client_of(log, tmp_path, mote=tmp_path) as client:
        assert client.get("/api/mote").json() == ["broken", "refusals"] == client.get("/api/about").json()["mote"]
        told = client.get("/api/mote/refusals").json()
        assert (told["layers"], told["experts"], told["mask"], told["mask_name"]) == (2, 3, [[0, 1]], "quiet")
        assert told["cells"] == [[0.0, 0.2, 0.4], [0.6, 0.8, 1.0]] and "sensitive (4 prompts)" in told["behaviour"]
        assert client.get("/api/mote/broken").status_code == 409
        for name in ("data", "..%2Frefusals", "nobody"):
            assert client.get(f"/api/mote/{name}").status_code == 404


def test_a_picture_comes_from_its_knowledge_base_as_png_of_our_own(tmp_path: Path):
    out = io.BytesIO()
    Pillow.new("RGB", (3000, 1500), "red").save(out, "JPEG")
    (tmp_path / "secret.txt").write_text("secret")
    kept = {
        "a/b": Image(id="a/b", title="", data=out.getvalue()),
        "text": Image(id="text", title="", path=str(tmp_path / "secret.txt")),
    }
    base = SimpleNamespace(modality="image", get=lambda ids: [kept[one] for one in ids if one in kept])
    router: Any = SimpleNamespace(resources=SimpleNamespace(knowledge={"pics": SimpleNamespace(base=base)}))
    menu = [{**option("kb:pics"), "modality": "image"}, option("answer")]
    asked = [{"kind": "kb", "kb": "pics", "query": "red"}]
    seen = {"status": "ok", "text": "", "hits": [{**hit("Red."), "kb": "pics", "doc_id": "a/b"}], "served": "kb:pics"}
    seen |= {"usd": 0, "tokens": 0, "seconds": 0}
    lines = [began("a", menu=menu), decided("a", 1, 1, actions=asked)]
    write(tmp_path / "log", [*lines, line("observed", "a", 2, number=1, position=0, observation=seen)])
    with client_of(tmp_path / "log", tmp_path, router=router) as client:
        run = client.get("/api/runs/a").json()
        address = run["steps"][0]["actions"][0]["observation"]["hits"][0]["image"]
        reply = client.get(f"/{address}")
        assert reply.headers["content-type"] == "image/png"
        assert Pillow.open(io.BytesIO(reply.content)).size == (1024, 512)
        assert client.get("/api/images/pics/text").status_code == 404
        assert client.get("/api/images/pics/nobody").status_code == 404
        assert client.get("/api/images/nobody/x").status_code == 404
        assert "data:image/png;base64," in client.get("/api/runs/a/export").text


def test_whatever_a_log_holds_is_shown_or_told(tmp_path: Path):
    """Lines that another program wrote: numbers that are none, fields that miss, keys of other types."""
    odd = [*whole_run("a"), began("b", settings={"usd": "much"}), line("called", "c", 1, call=None)]
    odd += [{**decided("d", 1), "step": {"number": 1}}, line("observed", "e", 1, number=1, position=0, observation={})]
    write(tmp_path / "log", odd)
    with client_of(tmp_path / "log", tmp_path) as client:
        rows = client.get("/api/runs").json()["runs"]
        assert {"a", "b"} <= {one["id"] for one in rows}
        for one in rows:
            assert client.get(f"/api/runs/{one['id']}").status_code in (200, 409)
        assert observed and client.get("/api/about").json()["damaged"] >= 1
