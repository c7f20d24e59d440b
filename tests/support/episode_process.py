"""What one process trains on episodes, alone or as one of several; see `ranks`."""

from __future__ import annotations

from pathlib import Path

from router_graph.trajectories.reader import read_runs
from router_training.rewards.costs import scales
from router_training.rewards.router_r1 import RouterR1
from router_training.trainers.config import Spoken
from router_training.trainers.episode_config import EpisodeConfig
from router_training.trainers.episode_credit import Rewards
from router_training.trainers.router_r1 import train_router_r1
from router_training.world.learning import reward_of
from router_training.world.playing import playing
from router_training.world.world import World

STEPPED = {"learning_rate": 0.5, "optim": "sgd", "max_grad_norm": 0.0, "lr_scheduler_type": "constant", "use_cpu": True}
"""Plain steps, in which a difference of the gradient is a difference of the weights."""


def train(log: Path, start: Path, out: Path, groups: int, credit: str) -> Path:
    """Two updates of so many groups on each process."""
    runs = sorted(read_runs(log), key=lambda run: (run.question_id, run.at))
    rewards = Rewards(RouterR1(scales(runs)["run"]), reward_of(runs))
    config = EpisodeConfig(
        updates=2,
        samples=3,
        groups=groups,
        longest_reply=16,
        credit={"by": credit},
        policy=Spoken(name="small", protocol="brief", max_tokens=16),
        threads=1,
        trl=STEPPED,
    )
    world = World(subjects={"atlas": ("moons",), "prices": ("price",), "people": ("birth",)})
    return train_router_r1(runs, rewards, config, start, None, out, graphs=playing(world))
