"""Every routed family of the installed transformers is proven or listed: an upgrade that adds one fails here."""

import functools
import logging
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import transformers
from torch import nn

from mote_backend.errors import UnsupportedModelError
from mote_backend.families import find_sites, unmaskable
from mote_backend.family_list import NOTES, PROVEN, families
from mote_backend.unsupported import UNMASKABLE_FAMILIES, UNMASKABLE_MODULES
from support.moe_families import FAMILIES, build

WHAT_TO_DO = (
    "add a tiny model of it to FAMILIES in tests/support/moe_families.py and its folder to PROVEN in "
    "mote_backend/family_list.py, or its reason to mote_backend/unsupported.py"
)
LISTED = functools.cache(families)
NEVER_MADE = {
    "Qwen3OmniMoeTextTopKRouter": "named by a base class whose models are all made of the thinker's router",
    "InklingSharedExperts": "shared experts, which every token gets",
}
"""Classes that no model makes, or that are no routed experts."""


def test_each_family_is_either_proven_or_listed_with_a_reason() -> None:
    for family in LISTED():
        assert family.name in PROVEN or not family.supported, (
            f"transformers {transformers.__version__} has the family {family.name!r}, unproven: {WHAT_TO_DO}."
        )
        assert family.supported or (family.reason and not family.reason.endswith("."))


def test_the_proven_families_are_those_with_a_tiny_model_and_all_exist() -> None:
    assert {family.code for family in FAMILIES} == PROVEN
    assert {family.name for family in LISTED()} >= PROVEN
    assert set(NOTES) <= PROVEN
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)


@pytest.mark.parametrize("name", sorted(PROVEN))
def test_each_router_and_experts_class_of_a_proven_family_is_in_one_of_its_tiny_models(name: str) -> None:
    listed = next(family for family in LISTED() if family.name == name)
    made = {type(module).__name__ for family in FAMILIES if family.code == name for module in family.build().modules()}
    for wanted in (*listed.routers, *listed.experts):
        assert wanted in made or wanted in NEVER_MADE, (
            f"no tiny model of {name} has a {wanted}, so that nothing proves it: {WHAT_TO_DO}."
        )


def test_a_family_that_an_upgrade_adds_is_seen_and_said_to_be_unproven(tmp_path: Path) -> None:
    (tmp_path / "novel_moe").mkdir()
    (tmp_path / "novel_moe" / "modeling_novel_moe.py").write_text(
        "class NovelMoeExperts(nn.Module):\n    pass\n\n"
        'class NovelModel:\n    _can_record_outputs = {"router_logits": OutputRecorder(NovelRouter, index=0)}\n',
        encoding="utf-8",
    )
    (tmp_path / "hidden_moe").mkdir()
    (tmp_path / "hidden_moe" / "modeling_hidden_moe.py").write_text(
        "class HiddenExperts(nn.Module):\n", encoding="utf-8"
    )
    (tmp_path / "dense").mkdir()
    (tmp_path / "dense" / "modeling_dense.py").write_text("class DenseMLP(nn.Module):\n", encoding="utf-8")
    hidden, novel = families(tmp_path)
    assert (novel.name, novel.supported, novel.routers) == ("novel_moe", True, ("NovelRouter",))
    assert "not proven yet" in (novel.reason or "")
    assert (hidden.name, hidden.supported) == ("hidden_moe", False)


def test_listing_the_families_loads_neither_torch_nor_transformers() -> None:
    code = (
        "import sys; from mote_backend.family_list import families; assert len(families()) > 70;"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("kind", sorted(UNMASKABLE_FAMILIES))
def test_a_family_on_the_list_is_refused_with_its_reason(kind: str) -> None:
    model = nn.Linear(2, 2)
    model.config = type("Config", (), {"model_type": kind})()
    with pytest.raises(UnsupportedModelError, match="cannot be masked") as caught:
        find_sites(model)
    assert UNMASKABLE_FAMILIES[kind] in str(caught.value)
    assert kind in {str(key) for key in transformers.CONFIG_MAPPING}, "the list names a family that does not exist"


@pytest.mark.parametrize(
    ("model", "config"),
    [("SwitchTransformersForConditionalGeneration", "SwitchTransformersConfig"), ("DogeForCausalLM", "DogeConfig")],
)
def test_a_real_model_of_a_listed_family_is_refused(model: str, config: str) -> None:
    small = {
        "vocab_size": 32,
        "hidden_size": 16,
        "d_model": 16,
        "num_layers": 2,
        "num_hidden_layers": 1,
        "num_heads": 2,
    }
    made = getattr(transformers, config)(
        **small, num_attention_heads=2, num_key_value_heads=2, is_moe=True, num_experts=4
    )
    with pytest.raises(UnsupportedModelError, match="cannot be masked"):
        find_sites(getattr(transformers, model)(made))


def test_a_dense_model_is_refused() -> None:
    config = transformers.LlamaConfig(
        vocab_size=32, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2
    )
    with pytest.raises(UnsupportedModelError, match="dense"):
        find_sites(transformers.LlamaForCausalLM(config))


def test_a_kernel_that_bypasses_the_router_is_refused_with_the_setting_that_mends_it() -> None:
    from transformers.integrations.mxfp4 import Mxfp4GptOssMLP

    model = build("gpt_oss")
    mlp = model.model.layers[1].mlp
    model.model.layers[1].mlp = Mxfp4GptOssMLP(mlp.router, mlp.experts)
    with pytest.raises(UnsupportedModelError, match=r"dequantize=True"):
        find_sites(model)


def test_hash_routed_layers_are_named_and_not_counted() -> None:
    model = build("deepseek_v4")
    sites = find_sites(model)
    assert [site.name for site in sites] == [f"model.layers.{at}.mlp.gate" for at in (1, 2, 3)]
    assert [name for name, _ in unmaskable(model)] == ["model.layers.0.mlp.gate"]


def test_the_classes_that_no_mask_reaches_exist() -> None:
    from transformers.models.deepseek_v4 import modeling_deepseek_v4
    from transformers.models.dots3_note import modeling_dots3_note

    for name in UNMASKABLE_MODULES:
        assert hasattr(modeling_deepseek_v4, name) or hasattr(modeling_dots3_note, name)


@pytest.fixture(autouse=True)
def _quiet() -> None:
    torch.set_num_threads(1)
    logging.getLogger("transformers").setLevel(logging.ERROR)
