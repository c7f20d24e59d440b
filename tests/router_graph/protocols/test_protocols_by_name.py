"""Protocols by name."""

from __future__ import annotations

import subprocess
import sys

import pytest

from router_graph.errors import RouterError
from router_graph.protocols import PROTOCOLS, protocol_named


def test_every_protocol_has_its_name():
    names = ["tags", "brief", "tool_calls", "router_r1", "router_r1:paper", "r1_router", "r1_router:paper"]
    assert list(PROTOCOLS) == names
    assert [protocol_named(name).name for name in PROTOCOLS] == list(PROTOCOLS)


@pytest.mark.parametrize(
    ("name", "hint"), [("tag", "did you mean 'tags'?"), ("xml", "there is tags, brief, tool_calls,")]
)
def test_a_name_that_no_protocol_has_is_told_the_nearest(name, hint):
    with pytest.raises(RouterError, match=f"There is no protocol '{name}'") as caught:
        protocol_named(name)
    assert hint in str(caught.value)


def test_importing_them_loads_nothing_heavy():
    code = "import sys, router_graph.protocols; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert not {"litellm", "torch", "chromadb", "kb_tools", "numpy"} & set(run.stdout.split())
