"""One process of several that train: `torchrun ... offline_process.py FOLDER BATCH METHOD=OBJECTIVE ...`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from router_training.trainers.config import OfflineConfig
from router_training.trainers.offline import train_offline
from support.offline_samples import judged, tiny

STEPPED = {"learning_rate": 0.5, "optim": "sgd", "max_grad_norm": 0.0, "lr_scheduler_type": "constant", "max_steps": 3}
"""Plain steps, in which a difference of the gradient is a difference of the weights."""


def train(folder: Path, objective: str, batch: int, pieces: int = 1) -> Path:
    """Three updates on samples that are the same each time."""
    model, tokenizer = tiny()
    settings = {
        **STEPPED,
        "train_sampling_strategy": "sequential",
        "per_device_train_batch_size": batch,
        "gradient_accumulation_steps": pieces,
        "use_cpu": True,
    }
    config = OfflineConfig(objective=json.loads(objective), trl=settings, threads=1)
    return train_offline(judged(model, tokenizer), config, model, tokenizer, folder)


if __name__ == "__main__":
    for told in sys.argv[3:]:
        name, _, objective = told.partition("=")
        train(Path(sys.argv[1]) / name, objective, int(sys.argv[2]))
