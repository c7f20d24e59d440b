"""Which Mixture-of-Experts families the installed transformers has, and which of them masks reach.

Read from the text of the library's modeling files, so that neither it nor torch is imported to answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from mote_backend.errors import MissingExtraError
from mote_backend.unsupported import UNMASKABLE_FAMILIES

PROVEN = frozenset(
    """
    afmoe aria axk1 axk2 bailing_hybrid beam cohere2_moe dbrx deepseek_ocr2 deepseek_v2 deepseek_v3 deepseek_v32
    deepseek_v4 diffusion_gemma dots1 dots3_note ernie4_5_moe ernie4_5_vl_moe exaone_moe flex_olmo flint gemma4 glm4_moe
    glm4_moe_lite glm4v_moe glm5_next glm_moe_dsa gpt_oss granitemoe granitemoe_swa granitemoehybrid granitemoeshared
    hunyuan_v1_moe hy_v3 hy_v4 inkling inkling2 jamba jetmoe kimi_linear kolibri1 laguna lfm2_moe llama4 longcat_flash
    mellum mimo_v2_flash minimax minimax_m2 minimax_m3_vl mistral4 mistral_large4 mixtral muse_spark nemotron_h olmoe
    openai_privacy_filter phimoe qwen2_moe qwen3_5_moe qwen3_moe qwen3_next qwen3_omni_moe qwen3_vl_moe qwen4_exp
    solar_open step3p7 unlimited_ocr zaya
    """.split()
)
"""Families whose tiny models are held to the properties of masks; tests/mote_backend/test_family_masks.py does it."""

_NO_ZERO = 'the modes "zero" and "zero_renorm" cannot act on it'

NOTES = {
    "dbrx": _NO_ZERO,
    "deepseek_v4": "its hash_moe layers route by a table of token ids and are not counted among the layers",
    "diffusion_gemma": "proven for the encoder of its text",
    "dots3_note": "the routers of its image tower are not counted among the layers",
    "ernie4_5_vl_moe": "with images in the batch, one mask for all rows",
    "gpt_oss": "dequantised and without hub kernels, which bypass the router (Mxfp4Config(dequantize=True))",
    "inkling": _NO_ZERO,
    "jetmoe": f"its attention heads are routed too, each in a layer of its own; {_NO_ZERO}",
    "llama4": _NO_ZERO,
    "phimoe": 'experts are forced on with force="max" only',
    "qwen3_omni_moe": "its thinker and its talker are masked each for itself",
}
"""What is special about a family that can be masked."""

_UNMASKABLE = {kind.replace("-", "_"): reason for kind, reason in UNMASKABLE_FAMILIES.items()}
"""By folder."""


@dataclass(frozen=True)
class Family:
    """One family of models, and whether masks reach its experts."""

    name: str
    """Its folder under transformers/models, such as "qwen3_moe"."""
    supported: bool
    reason: str | None
    """Why not, or that it is newer than the proof; None if it is proven."""
    note: str | None = None
    """What is special about masking it."""
    routers: tuple[str, ...] = ()
    """The classes that it names as the source of its router logits."""
    experts: tuple[str, ...] = ()
    """The classes that run its routed experts."""


def families(models: Path | None = None) -> list[Family]:
    """The families by name, from the installed transformers, or from a folder like its `models`.

    MissingExtraError if transformers is not installed.
    """
    folder = models or _installed()
    found = []
    for path in sorted(folder.glob("*/modeling_*.py")):
        text = path.read_text(encoding="utf-8")
        routers = tuple(dict.fromkeys(_targets(text)))
        experts = tuple(_EXPERTS.findall(text))
        if routers or experts or path.parent.name in _UNMASKABLE:
            found.append(_family(path.parent.name, routers, experts))
    return found


_RECORDERS = re.compile(r'"router_logits"\s*:\s*(\[[^\]]*\]|[^\n]*)')
_TARGET = re.compile(r"OutputRecorder\(\s*(\w+)|^\s*(\w+)\s*,?\s*$")
_EXPERTS = re.compile(r"^class (\w*Experts)\(", re.MULTILINE)


def _targets(text: str) -> list[str]:
    return [
        first or second
        for recorder in _RECORDERS.findall(text)
        for first, second in _TARGET.findall(recorder)
        if (first or second)[:1].isupper()
    ]


def _family(name: str, routers: tuple[str, ...], experts: tuple[str, ...]) -> Family:
    if reason := _UNMASKABLE.get(name):
        return Family(name, False, reason, None, routers, experts)
    if name in PROVEN:
        return Family(name, True, None, NOTES.get(name), routers, experts)
    if not routers:
        reason = "it does not name its routers to transformers, which is how they are found"
        return Family(name, False, reason, None, routers, experts)
    reason = f"new in transformers {_version()}: not proven yet, the check of a model that is loaded decides"
    return Family(name, True, reason, None, routers, experts)


def _installed() -> Path:
    spec = util.find_spec("transformers")
    if spec is None or spec.origin is None:
        raise MissingExtraError(
            'The families are those of transformers, which is missing: pip install "polyroute[mote]".'
        )
    return Path(spec.origin).parent / "models"


def _version() -> str:
    try:
        return metadata.version("transformers")
    except metadata.PackageNotFoundError:
        return "of this folder"
