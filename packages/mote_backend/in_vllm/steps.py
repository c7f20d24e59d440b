"""Inside a vLLM worker: the masks of the requests that it holds, and which token of a step belongs to which of them."""

from __future__ import annotations

from typing import Any, NamedTuple

from mote_backend.errors import UnsupportedModelError
from mote_backend.fingerprint import Fingerprint
from mote_backend.in_vllm.requests import KEY, read
from mote_backend.in_vllm.routers import listens, rule_of, selects_by_table
from mote_backend.in_vllm.routing import LayerMasks
from mote_backend.in_vllm.tables import MaskTables, Span
from mote_backend.mask import ExpertMask

_WHOLE_BATCH = "masks need every router to see the whole batch in order"


class _Request(NamedTuple):
    mask: ExpertMask | None
    prompt: int


class RunnerMasks:
    """The masks of one model runner; making one ties its model's routers to tables on the device."""

    def __init__(self, runner: Any) -> None:
        """UnsupportedModelError if the model, or the way in which vLLM spreads it out, cannot be masked."""
        config = runner.vllm_config
        _refuse(config, runner)
        layers = _layers(runner.model)
        self.model = Fingerprint(
            str(config.model_config.hf_config.model_type),
            tuple(experts for _, experts in layers),
            tuple(router.top_k for router, _ in layers),
        )
        scheduler = config.scheduler_config
        captured = getattr(config.compilation_config, "max_cudagraph_capture_size", None) or 0
        longest = max(scheduler.max_num_batched_tokens, captured) + scheduler.max_num_seqs
        self._tables = MaskTables(self.model, scheduler.max_num_seqs, longest, runner.device)
        for layer, (router, experts) in enumerate(layers):
            router.mote = LayerMasks(self._tables, layer, experts, rule_of(router, experts))
        self._requests: dict[str, _Request] = {}
        for name, table in self._tables.named():
            # As the model's buffers they outlive vLLM's sleep, which throws away other memory of the load.
            runner.model.register_buffer(f"mote_{name}", table, persistent=False)

    def note(self, scheduled: Any) -> None:
        """Learn of requests that come and go, from a `SchedulerOutput`."""
        for gone in scheduled.finished_req_ids:
            self._requests.pop(gone, None)
        for new in scheduled.scheduled_new_reqs:
            extra = (new.sampling_params.extra_args if new.sampling_params is not None else None) or {}
            text = extra.get(KEY)
            prompt = new.prompt_token_ids if new.prompt_token_ids is not None else new.prompt_embeds
            self._requests[new.req_id] = _Request(read(text) if text else None, len(prompt))

    def fill(self, runner: Any, prepared: Any) -> None:
        """Set the tables for the step whose inputs were just prepared."""
        batch, spans = _batch(runner, prepared), []
        for name, tokens, first in batch:
            request = self._requests[name]
            spans.append(Span(request.mask, tokens, first, request.prompt))
        self._tables.fill(spans)


def _batch(runner: Any, prepared: Any) -> list[tuple[str, int, int]]:
    """(request, tokens, position of the first) in the order of the batch. The second generation of runners returns an
    `InputBatch`; the first one keeps its own, and where its requests begin in `query_start_loc`."""
    if hasattr(prepared, "req_ids"):
        tokens, first, names = prepared.num_scheduled_tokens, prepared.num_computed_tokens_np, prepared.req_ids
    else:
        names = runner.input_batch.req_ids[: runner.input_batch.num_reqs]
        begins = runner.query_start_loc.np[: len(names) + 1]
        tokens, first = begins[1:] - begins[:-1], runner.input_batch.num_computed_tokens_cpu
    return [(name, int(tokens[at]), int(first[at])) for at, name in enumerate(names)]


def _layers(model: Any) -> list[tuple[Any, int]]:
    """The routers of the model in order, each with its number of experts. A drafter's are not among them: the masked
    model verifies what it drafts."""
    found = []
    for name, module in model.named_modules():
        config = getattr(module, "moe_config", None)
        router = getattr(module, "router", None)
        if config is None or router is None or selects_by_table(router):
            continue
        if not listens(router):
            raise UnsupportedModelError(f"The router of {name} is made by the model itself, where no mask reaches it.")
        if module.routed_experts.quant_method.is_monolithic:
            raise UnsupportedModelError(f"The kernel of {name} also selects the experts; choose another moe_backend.")
        found.append((router, getattr(config, "num_logical_experts", config.num_experts)))
    if not found:
        raise UnsupportedModelError(
            "The model has no routers that vLLM made, so that no mask can reach it; is it dense?"
        )
    return found


def _refuse(config: Any, runner: Any) -> None:
    parallel = config.parallel_config
    for size, words in (
        (parallel.data_parallel_size, "data parallel ranks"),
        (parallel.pipeline_parallel_size, "pipeline stages"),
        (getattr(parallel, "prefill_context_parallel_size", 1), "prefill context parallel ranks"),
    ):
        if size > 1:
            raise UnsupportedModelError(
                f"vLLM runs with {size} {words}, and {_WHOLE_BATCH}; use 1, and tensor parallelism."
            )
    for on, words in (
        (getattr(parallel, "use_sequence_parallel_moe", False), "sequence parallel experts"),
        (getattr(parallel, "enable_dbo", False), "dual batch overlap"),
        (getattr(runner, "adaptive_verification", None) is not None, "adaptive verification of drafts"),
    ):
        if on:
            raise UnsupportedModelError(f"vLLM runs with {words}, and {_WHOLE_BATCH}; switch it off.")
    if runner.device.type == "cpu" and not config.model_config.enforce_eager:
        raise UnsupportedModelError("On a CPU vLLM may reuse code compiled without masks; start it with enforce_eager.")
