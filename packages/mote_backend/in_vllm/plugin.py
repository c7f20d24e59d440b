"""The same masks inside vLLM: a plug-in (entry point group `vllm.general_plugins`) with a mask for each request.

    MOTE_VLLM_MASKS=masks/ vllm serve MODEL

`register` runs in every process of vLLM. Four places are wrapped, and nothing is copied: the factory of the routers,
the loading of the model, the step of the model runner, and the door of the engine. Read from vLLM 0.32 and 0.33; what
of it ran where stands in `docs/mote_vllm.md`. Without one of the two environment variables the routers
stay as they are, and a request with a mask is refused.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
from collections.abc import Callable
from functools import wraps
from typing import Any

from mote_backend.errors import MissingExtraError, MoTEError, UnsupportedModelError
from mote_backend.fingerprint import Fingerprint
from mote_backend.in_vllm.requests import KEY, book_from_environment, complete, mask_of
from mote_backend.mask import ExpertMask
from mote_backend.mask_book import MaskBook

_RUNNERS = (
    ("vllm.v1.worker.gpu_model_runner", "GPUModelRunner"),
    ("vllm.v1.worker.gpu.model_runner", "GPUModelRunner"),
    ("vllm.v1.worker.cpu_model_runner", "CPUModelRunner"),
)
"""The first and the second generation, and what overrides `load_model` on a CPU."""
_STEPS = ("_prepare_inputs", "prepare_inputs")


def register() -> None:
    """Wrap vLLM in this process; more than once does no more than once. MaskError if a named mask cannot be read."""
    if importlib.util.find_spec("vllm") is None:
        raise MissingExtraError('vLLM is not installed; pip install "polyroute[vllm]".')
    book = book_from_environment()
    _guard_requests(book)
    if book is None:
        return
    _mask_routers()
    for module, name in _RUNNERS:
        with contextlib.suppress(ImportError):  # one that this platform cannot import is not used either
            _mask_steps(getattr(importlib.import_module(module), name))
    worker = importlib.import_module("vllm.v1.worker.worker_base").WorkerBase
    worker.mote_fingerprint = lambda self: self.model_runner.mote.model.to_json()


def _guard_requests(book: MaskBook | None) -> None:
    """Checked in the front end, where a refusal is an answer 400, and in the engine, which has other front ends too."""
    processor = importlib.import_module("vllm.v1.engine.input_processor").InputProcessor
    core = importlib.import_module("vllm.v1.engine.core").EngineCore
    refusal = importlib.import_module("vllm.exceptions").VLLMValidationError

    def checked(self: Any, request: Any) -> ExpertMask | None:
        try:
            return mask_of(request, book, getattr(self.vllm_config, "mote_model", None))
        except MoTEError as error:
            raise refusal(str(error), parameter=KEY) from None

    def process_inputs(original: Callable[..., Any], self: Any, *args: Any, **kwargs: Any) -> Any:
        request = original(self, *args, **kwargs)
        checked(self, request)
        return request

    def preprocess_add_request(original: Callable[..., Any], self: Any, request: Any) -> Any:
        mask = checked(self, request)
        if mask is not None and not hasattr(self.vllm_config, "mote_model"):
            raise refusal("The engine does not know the shape of its model yet, so that no mask can be checked.")
        complete(request, mask)
        return original(self, request)

    def ask_workers(original: Callable[..., Any], self: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, *args, **kwargs)
        if book is not None:
            # On the config, which a front end in the same process holds too.
            model = Fingerprint.from_json(self.collective_rpc("mote_fingerprint")[0])
            object.__setattr__(self.vllm_config, "mote_model", model)
        return result

    _wrap(processor, "process_inputs", process_inputs)
    _wrap(core, "preprocess_add_request", preprocess_add_request)
    # Not the core's __init__, which is what loads the plug-ins in a process of its own.
    _wrap(core, "_initialize_kv_caches", ask_workers)


def _mask_routers() -> None:
    from mote_backend.in_vllm.routers import listening

    layer = importlib.import_module("vllm.model_executor.layers.fused_moe.layer")
    if not hasattr(layer, "create_fused_moe_router"):
        raise UnsupportedModelError(
            "This vLLM makes its routers in another way; masks are known to work in 0.32 and 0.33."
        )

    def create(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return listening(original(*args, **kwargs))

    _wrap(layer, "create_fused_moe_router", create)


def _mask_steps(runner: type) -> None:
    """The runner's `mote` is its tables: made once the model is loaded, filled before each step."""
    from mote_backend.in_vllm.steps import RunnerMasks

    def load_model(original: Callable[..., Any], self: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, *args, **kwargs)
        if not hasattr(self, "mote"):
            self.mote = RunnerMasks(self)
        return result

    def execute_model(original: Callable[..., Any], self: Any, scheduled: Any, *args: Any, **kwargs: Any) -> Any:
        self.mote.note(scheduled)
        return original(self, scheduled, *args, **kwargs)

    def prepare(original: Callable[..., Any], self: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, *args, **kwargs)
        self.mote.fill(self, result)
        return result

    for name, wrapper in (
        ("load_model", load_model),
        ("execute_model", execute_model),
        *((s, prepare) for s in _STEPS),
    ):
        if name in vars(runner):
            _wrap(runner, name, wrapper)


def _wrap(owner: Any, name: str, wrapper: Callable[..., Any]) -> None:
    original = getattr(owner, name)
    if getattr(original, "__mote__", False):
        return

    @wraps(original)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return wrapper(original, *args, **kwargs)

    wrapped.__mote__ = True  # type: ignore[attr-defined]
    setattr(owner, name, wrapped)
