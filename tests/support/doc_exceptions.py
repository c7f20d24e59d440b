"""What of the pages is not run, and why: nothing else may fail to run."""

from __future__ import annotations

import re
from typing import NamedTuple


class Lines(NamedTuple):
    """Lines of a shell that this matches at their beginning."""

    line: str
    reason: str


NOT_RUN = [
    Lines(r"make ", "a target of the Makefile; tests/end_to_end holds demo and dev, CI runs test and check"),
    Lines(r"(\S*/)?pip install|(\S*/)?python3? -m (venv|pip)|\. \.venv", "the installation itself: needs the network"),
    Lines(r"\.venv/bin/(pre-commit|python -m pytest)", "the tools of the project itself"),
    Lines(r"(\S*/)?python examples/(demo|ten_lines|mote_demo|toy_base)\.py", "run by tests/end_to_end"),
    Lines(r"(\S*/)?python benchmarks/", "a measurement: minutes, and data that lie beside the project"),
    Lines(
        r"hf download|trl vllm-serve|(\w+=\S+ +)*vllm serve|ollama ", "needs the network, or a server of somebody else"
    ),
    Lines(r"accelerate launch|torchrun", "needs several processes or GPUs; tests/router_training run two"),
]
"""Lines that are left out."""

PARSED = [
    Lines(r"polyroute eval (ottqa|nq-pool|retrieval|routerbench)", "needs data that lie beside the project"),
    Lines(
        r"polyroute train (rft|sft|awr|dpo|kto|offline-grpo|step-grpo|router-r1|reflect)",
        "trains; run by tests/router_training",
    ),
    Lines(r"polyroute train (report|ope|build) ", "needs a trained model; run by tests/router_training"),
    Lines(r"polyroute mote \w+ (MODEL|allenai/)", "needs a real checkpoint"),
    Lines(r"polyroute mote report planted:bilingual", "takes 10 s; run by tests/router_graph/test_cli_mote_report.py"),
]
"""Lines whose command and options are read by `polyroute` itself, and not run."""


PYTHON = {
    "langgraph_sdk": "needs `make dev`; run by tests/end_to_end/test_dev_server.py",
    "langgraph.checkpoint.postgres": "needs a Postgres, and a package that is none of ours; tried by hand",
}
"""Blocks of Python that import this."""


def reason(line: str, among: list[Lines]) -> str | None:
    """Why a line is among these; None where it is not."""
    return next((one.reason for one in among if re.match(one.line, line)), None)
