"""The worker's side of the vLLM plug-in, on objects with the public fields of vLLM's own (0.32 and 0.33)."""

import importlib.util
import subprocess
import sys
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mote_backend.errors import MissingExtraError, UnsupportedModelError
from mote_backend.in_vllm.plugin import register
from mote_backend.in_vllm.requests import mask_arguments
from mote_backend.in_vllm.routers import listening
from mote_backend.in_vllm.steps import RunnerMasks
from mote_backend.mask import ExpertMask
from support.vllm_router_classes import FusedTopKBiasRouter, FusedTopKRouter

EXPERTS = 8
OFF = ExpertMask(off=frozenset({(0, 1)}))
ONLY_PROMPT = ExpertMask(off=frozenset({(1, 2)}), phase="prefill")


class MoERunner(nn.Module):
    """A routed layer as vLLM builds it."""

    def __init__(self, router: Any, *, monolithic: bool = False) -> None:
        super().__init__()
        self.router = router
        self.moe_config = SimpleNamespace(num_experts=EXPERTS, num_logical_experts=EXPERTS)
        self.routed_experts = SimpleNamespace(quant_method=SimpleNamespace(is_monolithic=monolithic))


@dataclass
class Runner:
    """A model runner of the first generation."""

    model: nn.Module
    parallel: dict[str, Any] = field(default_factory=dict)
    eager: bool = True

    def __post_init__(self) -> None:
        sizes = {"data_parallel_size": 1, "pipeline_parallel_size": 1, **self.parallel}
        self.device = torch.device("cpu")
        self.vllm_config = SimpleNamespace(
            model_config=SimpleNamespace(hf_config=SimpleNamespace(model_type="tiny"), enforce_eager=self.eager),
            parallel_config=SimpleNamespace(**sizes),
            scheduler_config=SimpleNamespace(max_num_batched_tokens=32, max_num_seqs=4),
            compilation_config=SimpleNamespace(max_cudagraph_capture_size=None),
        )
        self.input_batch = SimpleNamespace(req_ids=[], num_reqs=0, num_computed_tokens_cpu=np.zeros(4, np.int32))
        self.query_start_loc = SimpleNamespace(np=np.zeros(5, np.int32))


def model(*routers: Any) -> nn.Module:
    return nn.Sequential(*(MoERunner(router) for router in routers or [listening(FusedTopKRouter(2)) for _ in "ab"]))


def new(name: str, prompt: int, mask: ExpertMask | None) -> Any:
    extra = dict(mask_arguments(mask)["vllm_xargs"]) if mask else None
    return SimpleNamespace(
        req_id=name,
        prompt_token_ids=[0] * prompt,
        prompt_embeds=None,
        sampling_params=SimpleNamespace(extra_args=extra),
    )


def scheduled(*requests: Any, finished: tuple[str, ...] = ()) -> Any:
    return SimpleNamespace(scheduled_new_reqs=requests, finished_req_ids=set(finished))


def off_by_token(masks: RunnerMasks, runner: Runner, tokens: int) -> list[set[tuple[int, int]]]:
    tables = runner.model[0].router.mote.tables
    rows = tables.row_of_token[:tokens].tolist()
    return [{(a, b) for a, b in tables.shift[:, row].isneginf().nonzero().tolist()} for row in rows]


def test_both_generations_of_runners_tell_whose_each_token_is() -> None:
    runner = Runner(model())
    masks = RunnerMasks(runner)
    masks.note(scheduled(new("a", 3, OFF), new("b", 4, None), new("c", 2, ONLY_PROMPT)))
    expected = [set(ONLY_PROMPT.off)] * 2 + [set()] + [set(OFF.off)] * 3 + [set()] * 4
    runner.input_batch = SimpleNamespace(
        req_ids=["c", "a", "b", "left over"], num_reqs=3, num_computed_tokens_cpu=np.array([0, 0, 0, 9])
    )
    runner.query_start_loc.np[:4] = [0, 3, 6, 10]
    masks.fill(runner, ("logits indices", None, 3))
    assert off_by_token(masks, runner, 10) == expected

    masks.fill(runner, SimpleNamespace(req_ids=["b"], num_scheduled_tokens=[4], num_computed_tokens_np=[0]))
    assert off_by_token(masks, runner, 4) == [set()] * 4
    prepared = SimpleNamespace(
        req_ids=["c", "a", "b"], num_scheduled_tokens=np.array([3, 3, 4]), num_computed_tokens_np=np.zeros(3)
    )
    masks.fill(runner, prepared)
    assert off_by_token(masks, runner, 10) == expected


def test_a_name_that_is_used_again_takes_the_new_requests_mask() -> None:
    runner = Runner(model())
    masks = RunnerMasks(runner)
    masks.note(scheduled(new("a", 3, OFF)))
    masks.note(scheduled(new("a", 3, None), finished=("a",)))
    masks.fill(runner, SimpleNamespace(req_ids=["a"], num_scheduled_tokens=[3], num_computed_tokens_np=[0]))
    assert off_by_token(masks, runner, 3) == [set()] * 3


def test_the_tables_are_buffers_of_the_model_but_not_of_its_checkpoint() -> None:
    runner = Runner(model())
    RunnerMasks(runner)
    tables = runner.model[0].router.mote.tables
    assert dict(runner.model.named_buffers())["mote_shift"] is tables.shift
    assert not runner.model.state_dict()


def test_layers_are_counted_as_transformers_counts_routers() -> None:
    table = listening(FusedTopKBiasRouter(2, _hash_indices_table=torch.zeros(4, 2)))
    runner = Runner(model(table, listening(FusedTopKRouter(2)), listening(FusedTopKRouter(3))))
    assert RunnerMasks(runner).model.top_k == (2, 3)
    assert runner.model[1].router.mote.layer == 0
    assert table.mote is None


@pytest.mark.parametrize(
    ("runner", "said"),
    [
        (Runner(nn.Linear(2, 2)), "dense"),
        (Runner(model(FusedTopKRouter(2))), "made by the model itself"),
        (Runner(nn.Sequential(MoERunner(listening(FusedTopKRouter(2)), monolithic=True))), "moe_backend"),
        (Runner(model(), {"data_parallel_size": 2}), "2 data parallel ranks"),
        (Runner(model(), {"pipeline_parallel_size": 4}), "4 pipeline stages"),
        (Runner(model(), {"use_sequence_parallel_moe": True}), "sequence parallel"),
        (Runner(model(), {"enable_dbo": True}), "dual batch overlap"),
        (Runner(model(), eager=False), "enforce_eager"),
    ],
)
def test_what_a_mask_cannot_reach_is_refused_when_the_model_is_loaded(runner: Runner, said: str) -> None:
    with pytest.raises(UnsupportedModelError, match=said):
        RunnerMasks(runner)


def test_the_entry_point_imports_neither_torch_nor_vllm() -> None:
    code = "import sys, mote_backend.in_vllm.plugin; print({'torch', 'vllm', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_without_vllm_the_plug_in_says_what_to_install() -> None:
    if importlib.util.find_spec("vllm") is not None:
        pytest.skip("vLLM is installed here")
    with pytest.raises(MissingExtraError, match=r"polyroute\[vllm\]"):
        register()
