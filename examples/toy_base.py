"""A base model without a network, to try `polyroute train` with: it can be trained, and knows nothing.

    python examples/toy_base.py runs base
    polyroute train build runs --model base

Its tokenizer has the words of the log RUNS, and its 0.1 M weights are random. A policy that is to be used begins with
a model that can write.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from router_graph.actions import action_from_dict
from router_graph.protocols import protocol_named
from router_graph.trajectories.reader import read_runs
from router_graph.trajectories.views import view_at
from router_training.world.model import small_model
from router_training.world.tokenizer import word_tokenizer


def texts(runs: str) -> Iterator[str]:
    """All that a policy reads and writes at the steps of a log, in both protocols of ours."""
    for run in read_runs(runs):
        for step in run.steps:
            view, actions = view_at(run, step.number), [action_from_dict(one) for one in step.step["actions"]]
            for protocol in map(protocol_named, ("tags", "brief")):
                yield from (str(message.content) for message in protocol.messages(view))
                yield str(protocol.write("", actions, view).text)


def main(runs: str, folder: str) -> None:
    """Make it of a log, and save it in the folder."""
    tokenizer = word_tokenizer(texts(runs))
    model = small_model(tokenizer, width=32, layers=1)
    model.config.max_position_embeddings = 16_384
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    print(f"{folder}: {model.num_parameters():,} weights, {len(tokenizer):,} words")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("Give the folder of a log and that of the model to be: python examples/toy_base.py runs base")
    main(*sys.argv[1:])
