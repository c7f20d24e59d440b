"""What every test runs under: no network but loopback (see pyproject.toml), no telemetry, one torch thread."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# The one place where the test suite sets the environment; child processes inherit it.
os.environ.update(
    {
        "ANONYMIZED_TELEMETRY": "False",
        "HF_HUB_OFFLINE": "1",
        "LANGGRAPH_CLI_NO_ANALYTICS": "1",
        "LANGGRAPH_NO_VERSION_CHECK": "true",
        "LANGSMITH_TRACING": "false",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "MPLBACKEND": "Agg",
        "OMP_NUM_THREADS": "1",
        "ORT_DISABLE_TELEMETRY": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "TRANSFORMERS_OFFLINE": "1",
    }
)

# A machine of many tasks is slow at times, which says nothing about the code.
settings.register_profile("polyroute", deadline=None)
settings.load_profile("polyroute")

DATA = Path(os.environ.get("POLYROUTE_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


_LONG = (
    "test_learning",
    "test_help_examples",
    "test_docs_blocks",
    "test_offline_scaling",
    "test_router_r1_training",
    "test_demo",
    "test_examples",
    "test_step_grpo_resume",
    "test_step_grpo_processes",
    "test_offline_held_out",
    "test_viewer_pages",
    "test_viewer_acting",
    "test_docs_site",
    "test_dev_server",
    "test_cli_train",
    "test_pool_interrupted",
)
"""The files of half a minute and more, begun first, so that the processes of a run end at about the same time."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the long files to the front; the others stay in their order."""
    items.sort(key=lambda item: _LONG.index(item.path.stem) if item.path.stem in _LONG else len(_LONG))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[object]:
    """Without looking for garbage, of which imports make none: that is a third of what collecting takes."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.fixture(scope="module", autouse=True)
def _what_is_imported_is_not_searched_for_garbage() -> None:
    # Each training has Python collect its garbage, which takes half a second among the objects of torch and of all
    # tests; what lives when a file begins lives to the end.
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def data() -> Path:
    """The benchmark data that lies beside the project."""
    if not DATA.is_dir():
        pytest.skip(f"the benchmark data is not in {DATA}; set POLYROUTE_DATA to run this test")
    return DATA
