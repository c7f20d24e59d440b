import json
import subprocess
import sys

import numpy as np
import pytest

from mote_backend.errors import InputError, MaskError
from mote_backend.fingerprint import Fingerprint
from mote_backend.ftri.activity import Accumulator
from mote_backend.ftri.contrast import tabulate
from mote_backend.ftri.expert_table import ExpertTable

LAYERS, EXPERTS, TOP_K = 6, 32, 4
PLANTED = {(1, 3): 0.7, (1, 9): 0.5, (4, 30): 0.3}
MODEL = Fingerprint("qwen3_moe", (EXPERTS,) * LAYERS, (TOP_K,) * LAYERS, "0123456789ab")


def activity(name, prompts, effects=None, *, seed=1, tokens=1, gates=True):
    """Experts that each prompt selects by chance, some more often: `tokens` draws a prompt."""
    generator = np.random.default_rng([seed, len(name), ord(name[0])])
    chances = np.random.default_rng(9).uniform(0.02, 0.2, (LAYERS, EXPERTS))
    for expert, effect in (effects or {}).items():
        chances[expert] += effect
    drawn = generator.random((tokens, prompts, LAYERS * EXPERTS)) < chances.reshape(-1)
    rates = drawn.mean(0).astype(np.float32)
    sums = Accumulator((EXPERTS,) * LAYERS, prompts, stream=ord(name[0]))
    sums.add(rates, rates / 2 if gates else None, [tokens] * prompts)
    return sums.finish(name, f"{ord(name[0]):012x}", "last" if tokens == 1 else "prompt")


@pytest.fixture(scope="module")
def table():
    return tabulate(activity("A", 100, PLANTED), activity("B", 100), model=MODEL, notes=("said",))


@pytest.mark.parametrize("tokens", [1, 5])
def test_planted_differences_are_found(tokens):
    table = tabulate(activity("A", 100, PLANTED, tokens=tokens), activity("B", 100, tokens=tokens), model=MODEL)
    top = table.top(3)
    assert [(row.layer, row.expert) for row in top] == list(PLANTED)
    for row in top:
        assert row.low <= PLANTED[row.layer, row.expert] <= row.high
        assert row.q < 0.01
        assert row.stability == 1
        assert row.difference > table.chance
        assert row.gate_difference == pytest.approx(row.difference / 2, abs=1e-6)
    assert {(row.layer, row.expert) for row in table.top(max_q=0.05)} == set(PLANTED)


@pytest.mark.parametrize(("tokens", "sizes"), [(1, (64, 64)), (5, (64, 64)), (1, (16, 300)), (5, (16, 300))])
def test_without_an_effect_nothing_is_found(tokens, sizes):
    found = []
    for seed in range(20):
        a, b = (activity(name, size, seed=seed, tokens=tokens) for name, size in zip("AB", sizes, strict=True))
        table = tabulate(a, b)
        found.append(int((table.q < 0.05).sum()))
        assert (table.p <= 0.05).mean() < 0.12
    assert np.mean([one > 0 for one in found]) <= 0.15


def test_the_target_is_held_against_the_prompts_of_all_others():
    a, b, c = activity("A", 60, PLANTED), activity("B", 20), activity("C", 80)
    table = tabulate(a, b, c)
    assert table.b == "B + C"
    assert table.n_b == 100
    np.testing.assert_allclose(table.rate_b, (20 * b.rates + 80 * c.rates) / 100)


def test_rankings_put_their_own_first(table):
    assert table.top(1, by="gate")[0][:2] == (1, 3)
    assert table.top(1, by="stability")[0][:2] == (1, 3)
    turned = tabulate(activity("A", 100), activity("B", 100, PLANTED))
    assert turned.top(1, by="either")[0][:2] == (1, 3)
    assert turned.top(1)[0].difference > 0
    with pytest.raises(InputError, match="'difference', 'either'"):
        table.top(1, by="best")


def test_a_mask_of_the_first_three_switches_the_planted_off(table):
    mask = table.mask(3)
    assert mask.off == set(PLANTED)
    assert mask.model == MODEL
    mask.check(MODEL)


def test_a_mask_leaves_each_layer_its_top_k():
    effects = {(2, expert): 0.7 for expert in range(EXPERTS)}
    table = tabulate(activity("A", 100, effects), activity("B", 100), model=MODEL)
    mask = table.mask(40)
    assert len(mask.off) == 40
    assert sum(layer == 2 for layer, _ in mask.off) == EXPERTS - TOP_K
    mask.check(MODEL)


def test_no_mask_holds_an_expert_that_the_target_uses_less(table):
    many = int((table.difference > 0).sum())
    assert len(table.mask(many).off) == many
    with pytest.raises(InputError, match=f"ask for 1 to {many}"):
        table.mask(many + 1)
    with pytest.raises(InputError, match="ask for 1 to"):
        table.mask(0)
    same = activity("A", 20)
    with pytest.raises(InputError, match="nothing to switch off"):
        tabulate(same, same).mask(1)


def test_a_row_is_found_by_its_expert(table):
    assert table.row(4, 30)[:2] == (4, 30)
    assert table.row(4, 30).rate_a == table.rate_a[4 * EXPERTS + 30]
    for layer, expert in ((6, 0), (0, 32), (-1, 0)):
        with pytest.raises(InputError, match="6 times 32 experts"):
            table.row(layer, expert)


def test_a_saved_table_is_the_same(table, tmp_path):
    table.save(tmp_path / "table.json")
    loaded = ExpertTable.load(tmp_path / "table.json")
    assert loaded.to_json() == table.to_json()
    assert loaded.mask(3) == table.mask(3)
    np.testing.assert_allclose(loaded.q, table.q, rtol=1e-5)
    assert loaded.model == MODEL
    assert loaded.versions["numpy"] == np.__version__


def test_a_router_that_tells_no_weights_leaves_them_out(tmp_path):
    table = tabulate(activity("A", 20, PLANTED, gates=False), activity("B", 20))
    json.dumps(table.to_json(), allow_nan=False)
    assert np.isnan(ExpertTable.from_json(table.to_json()).gate_difference).all()
    assert "nan" not in table.to_markdown(3)


def damaged(**change):
    whole = tabulate(activity("A", 20, PLANTED), activity("B", 20), model=MODEL).to_json()
    return {**whole, **change}


@pytest.mark.parametrize(
    "data",
    [
        [],
        {},
        {"format": "polyroute-experts/1"},
        damaged(format="polyroute-experts/9"),
        damaged(experts=[3]),
        damaged(experts="no"),
        damaged(columns={}),
        damaged(a=None),
        damaged(chance="high"),
        damaged(notes=7),
        damaged(versions=[]),
        damaged(model={"type": 7}),
    ],
)
def test_what_is_no_table_is_refused(data):
    with pytest.raises((InputError, MaskError)) as caught:
        ExpertTable.from_json(data)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_table_is_refused(tmp_path):
    (tmp_path / "table.json").write_text("{")
    for name in ("table.json", "missing.json"):
        with pytest.raises(InputError, match=r"\.json"):
            ExpertTable.load(tmp_path / name)


def test_names_from_outside_are_only_text_in_what_is_shown():
    wild = activity("A", 20, PLANTED)
    wild = type(wild)(**{**wild.__dict__, "name": "<script>|\n# x\x1b[31m`"})
    table = tabulate(wild, activity("B", 20), notes=("<b>\x1b",))
    for text in (table.to_markdown(3), table.to_heat_map()):
        assert "\x1b" not in text
    text = table.to_markdown(3)
    assert "\\<script\\>\\|" in text
    assert len([line for line in text.splitlines() if line.startswith("|")]) == 5


def test_the_heat_map_has_a_line_a_layer_and_marks_the_planted(table):
    lines = table.to_heat_map(width=EXPERTS).splitlines()[1:]
    assert [len(line) for line in lines] == [2 + EXPERTS] * LAYERS
    marked = {(row, column) for row, line in enumerate(lines) for column, one in enumerate(line[2:]) if one in "░▒▓█"}
    assert marked == set(PLANTED)
    narrow = table.to_heat_map(width=8).splitlines()[1:]
    assert [len(line) for line in narrow] == [2 + 8] * LAYERS
    assert narrow[1][2] == "█"


def test_importing_the_table_loads_no_torch():
    code = "import sys, mote_backend.ftri.contrast, mote_backend.ftri.expert_table; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
