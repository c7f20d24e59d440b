"""What is not maskable, and why: the explicit list."""

from __future__ import annotations

from torch import nn

UNMASKABLE_MODULES: dict[str, str] = {
    "DeepseekV4HashRouter": "routes by a table of token ids, so that there is nothing to select",
}
"""Class of a routed layer → why no mask reaches it, in models whose other layers can be masked."""

_CAPACITY = "its experts take a limited number of tokens and drop the others, so that off is not as if deleted"

UNMASKABLE_FAMILIES: dict[str, str] = {
    "switch_transformers": _CAPACITY,
    "nllb-moe": _CAPACITY,
    "doge": "its experts are looked up by product keys, and there is no top-k over them",
}
"""`config.model_type` → why."""

_BYPASSING = {
    "MegaBlocksMoeMLP": "a kernel from a hub",
    "Mxfp4GptOssExperts": "a quantised kernel (MXFP4)",
    "Mxfp4GptOssMLP": "a quantised kernel (MXFP4)",
}


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
