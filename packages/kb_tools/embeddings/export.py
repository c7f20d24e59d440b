"""Export MiniLM to int8 ONNX: `python -m kb_tools.embeddings.export MODEL_FOLDER TARGET`. Needs torch and onnx."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any


def export(source: Path, target: Path) -> None:
    """Write the whole way from token ids to a unit vector as one graph, weights in int8 (dynamic quantisation)."""
    import torch
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from transformers import AutoModel

    class SentenceEncoder(torch.nn.Module):
        """BERT, the mean of its last hidden states over real tokens, unit length."""

        def __init__(self, model: Any) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            hidden = self.model(
                input_ids=input_ids,
                attention_mask=attention_mask,
                token_type_ids=torch.zeros_like(input_ids),
            ).last_hidden_state
            real = attention_mask.unsqueeze(-1).to(hidden.dtype)
            mean = (hidden * real).sum(1) / real.sum(1).clamp(min=1e-9)
            return torch.nn.functional.normalize(mean, dim=-1)

    model = AutoModel.from_pretrained(source, attn_implementation="eager", local_files_only=True).eval()
    example = torch.ones(2, 7, dtype=torch.long)
    axes = {0: "texts", 1: "tokens"}
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        full, small = Path(folder) / "full.onnx", Path(folder) / "int8.onnx"
        torch.onnx.export(
            SentenceEncoder(model),
            (example, example),
            str(full),
            input_names=["input_ids", "attention_mask"],
            output_names=["embedding"],
            dynamic_axes={"input_ids": axes, "attention_mask": axes, "embedding": {0: "texts"}},
            opset_version=17,
            dynamo=False,
        )
        # A scale for each channel: with one for each matrix the mean cosine with float32 is 0.953, so 0.995.
        quantize_dynamic(full, small, weight_type=QuantType.QInt8, per_channel=True)
        small.replace(target)  # whole or not at all


if __name__ == "__main__":
    export(Path(sys.argv[1]), Path(sys.argv[2]))
