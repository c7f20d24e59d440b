"""What the parquet files of a log have in common: their columns' types, and pyarrow, which not everybody has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router_graph.errors import MissingExtraError


def pyarrow() -> tuple[Any, Any]:
    """`pyarrow` and `pyarrow.parquet`. Raises `MissingExtraError`."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingExtraError("Parquet files need pyarrow: pip install 'polyroute[train]'.") from None
    return pa, pq


def schema_of(columns: Mapping[str, str]) -> Any:
    """The Arrow schema of columns that are given by the names of their types."""
    pa, _ = pyarrow()
    plain = {"string": pa.string(), "double": pa.float64(), "bool": pa.bool_()}
    plain |= {"int32": pa.int32(), "int64": pa.int64()}
    types = {**plain, **{f"list<{name}>": pa.list_(one) for name, one in plain.items()}}
    return pa.schema([(name, types[kind]) for name, kind in columns.items()])
