"""What is not maskable, and why: the explicit list."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

UNMASKABLE_MODULES: dict[str, str] = {
    "DeepseekV4HashRouter": "routes by a table of token ids, so that there is nothing to select",
    "Dots3NoteVisionTopKRouter": "routes the patches of images, and not the tokens of the batch",
}
"""Class of a routed layer → why no mask reaches it, in models whose other layers can be masked."""

_CAPACITY = "its experts take a limited number of tokens and drop the others, so that off is not as if deleted"

UNMASKABLE_FAMILIES: dict[str, str] = {
    "switch_transformers": _CAPACITY,
    "nllb-moe": _CAPACITY,
    "doge": "its experts are looked up by product keys, and there is no top-k over them",
    "vitpose_backbone": "its expert is chosen by the data set that an image comes from, and not by a router",
}
"""`config.model_type` → why."""

_KERNEL = "a kernel from a hub"
_QUANTISED = "a quantised kernel (MXFP4)"

_BYPASSING = {
    "MegaBlocksMoeMLP": _KERNEL,
    "CPUMegaBlocksMoeMLP": _KERNEL,
    "Mxfp4GptOssExperts": _QUANTISED,
    "Mxfp4GptOssMLP": _QUANTISED,
}
"""Class of a module that computes the routing itself and never calls the router → what it is."""


def unsupported_reason(model: nn.Module) -> str | None:
    """One sentence on why this model cannot be masked at all; None if nothing speaks against it."""
    kind = getattr(getattr(model, "config", None), "model_type", None)
    if reason := UNMASKABLE_FAMILIES.get(str(kind)):
        return f"Models of type {kind} cannot be masked: {reason}."
    for name, module in model.named_modules():
        if kernel := _BYPASSING.get(type(module).__name__):
            return (
                f"{name} runs {kernel} that bypasses the router; load the model with use_kernels=False and dequantised "
                "(for gpt-oss: quantization_config=Mxfp4Config(dequantize=True))."
            )
    if getattr(model, "use_kernels", False):
        return "The model was loaded with kernels that may bypass its routers; load it with use_kernels=False."
    return None
