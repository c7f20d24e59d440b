"""What of the pages is not run, and why: nothing else may fail to run."""

from __future__ import annotations

import re
from typing import NamedTuple


class Exception_(NamedTuple):
    """Lines of a shell that this matches at their beginning."""

    line: str
    reason: str


NOT_RUN = [
    Exception_(r"make ", "a target of the Makefile; tests/end_to_end holds demo and dev, CI runs test and check"),
    Exception_(r"(\S*/)?pip install|(\S*/)?python3? -m (venv|pip)|\. \.venv", "the installation itself: needs the network"),
    Exception_(r"\.venv/bin/(pre-commit|python -m pytest)", "the tools of the project itself"),
    Exception_(r"(\S*/)?python examples/(demo|ten_lines|mote_demo|toy_base)\.py", "run by tests/end_to_end"),
    Exception_(r"(\S*/)?python benchmarks/", "a measurement: minutes, and data that lie beside the project"),
    Exception_(r"python -m mote_backend\.planted", "trains a model for minutes; run by tests/mote_backend"),
    Exception_(r"hf download|trl vllm-serve|(\w+=\S+ +)*vllm serve|ollama ", "needs the network, or a server of somebody else"),
    Exception_(r"accelerate launch|torchrun", "needs several processes or GPUs; tests/router_training run two"),
]
"""Lines that are left out."""

PARSED = [
    Exception_(r"polyroute eval (ottqa|nq-pool|retrieval|routerbench)", "needs data that lie beside the project"),
    Exception_(r"polyroute train (rft|sft|awr|dpo|kto|offline-grpo|step-grpo|router-r1|reflect)", "trains; run by tests/router_training"),
    Exception_(r"polyroute train (report|ope|build) ", "needs a trained model; run by tests/router_training"),
    Exception_(r"polyroute mote \w+ (MODEL|allenai/)", "needs a real checkpoint"),
    Exception_(r"polyroute mote (select|report) planted:bilingual", "takes 20 s; run by tests/router_graph/test_cli_mote.py"),
    Exception_(r"polyroute (chat|mote chat)", "waits for a person; run by tests/router_graph"),
]
"""Lines whose command and options are read by `polyroute` itself, and not run."""


PYTHON = {
    "langgraph_sdk": "needs `make dev`; run by tests/end_to_end/test_dev_server.py",
    "langgraph.checkpoint.postgres": "needs a Postgres, and a package that is none of ours; tried by hand",
}
"""Blocks of Python that import this."""


def reason(line: str, among: list[Exception_]) -> str | None:
    """Why a line is among these; None where it is not."""
    return next((one.reason for one in among if re.match(one.line, line)), None)
