"""A tiny random model of one Mixture-of-Experts family: what is known of it, and how it is built and run.

The weights are lively, so that a change of one expert moves the logits. The routers are random, so that every expert is
chosen somewhere. The correction biases are large and positive, so that an expert whose score is zero could still win:
the trap in which a mask of the logits alone falls.
"""

import importlib
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

VOCABULARY = 96
Settings = Mapping[str, Any]


@dataclass(frozen=True)
class TinyFamily:
    """How to build a tiny model of one family."""

    name: str
    model: str
    config: str
    settings: Settings
    folder: str = ""
    """The folder under transformers/models that holds its code; empty: its name."""
    text_config: str = ""
    """The class of the nested text configuration, for a family whose only language model is multimodal."""
    parts: Settings = field(default_factory=dict)
    """The other settings of a multimodal configuration, its towers as small as they can be."""
    generates: bool = True
    """False for an encoder, and for a decoder without a head."""
    grouped: bool = False
    """Its router picks groups of experts first, so that deleting an expert changes what a group is."""
    tapped: bool = True
    """Its experts are called with (hidden states, indices, weights), which a test can listen to."""
    recorded: bool = True
    """Its router returns indices of experts, one per selected expert."""
    embedding: str = ""
    """The embedding to call first, for a model that takes no token ids."""

    @property
    def code(self) -> str:
        """The folder under transformers/models that holds its code."""
        return self.folder or self.name

    def build(self, seed: int = 0, **changes: Any) -> Any:
        """A model in evaluation mode, the same for the same seed; `changes` go into its configuration."""
        package = importlib.import_module(f"transformers.models.{self.code}")
        with _quiet():
            torch.manual_seed(seed)
            settings = {**_BASE, **self.settings, **changes}
            if self.text_config:
                text = getattr(package, self.text_config)(**settings).to_dict()
                config = getattr(package, self.config)(text_config=text, **self.parts)
            else:
                config = getattr(package, self.config)(**(self.settings if self.name == "dbrx" else settings))
            model = getattr(package, self.model)(config).eval()
        _enliven(model, seed)
        return model


def _enliven(model: nn.Module, seed: int) -> None:
    numbers = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() >= 2:
                weight.mul_(5.0)
        for name, tensor in (*model.named_parameters(), *model.named_buffers()):
            if name.endswith(_ROUTER_WEIGHTS) and tensor.dim() == 2 and tensor.shape[0] <= 64:
                tensor.copy_(torch.randn(tensor.shape, generator=numbers) * 0.5)
            elif ".experts." in name and tensor.dim() >= 2:  # some classes leave them as the memory was
                tensor.copy_(torch.randn(tensor.shape, generator=numbers) * 0.1)
            elif name.endswith(("e_score_correction_bias", "expert_bias")):
                tensor.copy_(torch.rand(tensor.shape, generator=numbers) * 2.0)
            elif name.endswith("tid2eid"):
                tensor.copy_(torch.rand(tensor.shape[0], 8, generator=numbers).argsort(-1)[:, : tensor.shape[1]])


_ROUTER_WEIGHTS = (
    *("gate.weight", "router.weight", "router.layer.weight", "router.gate.weight", "gate.wg.weight"),
    *("router.classifier.weight", "router.proj.weight"),
)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the library's warnings about settings that only a tiny model has."""
    logger = logging.getLogger("transformers")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


_BASE: Settings = {
    **{"vocab_size": VOCABULARY, "hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2},
    **{"num_hidden_layers": 3, "max_position_embeddings": 256},
    **{"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2},
}


@torch.no_grad()
def logits(family: TinyFamily, model: Any, tokens: torch.Tensor, **more: Any) -> torch.Tensor:
    """What the model makes of these tokens [rows, length]: logits, or the last hidden states where it has no head."""
    mask = torch.ones_like(tokens)
    if family.embedding:
        return model(inputs_embeds=getattr(model, family.embedding)(tokens), attention_mask=mask, **more)[0]
    return model(input_ids=tokens, attention_mask=mask, **more)[0]


def prompts(rows: int = 3, tokens: int = 11, seed: int = 7) -> torch.Tensor:
    """Token ids [rows, tokens], without the special ones."""
    return torch.randint(3, 90, (rows, tokens), generator=torch.Generator().manual_seed(seed))
