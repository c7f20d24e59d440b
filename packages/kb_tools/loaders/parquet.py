"""parquet → a `Table` a file."""

from __future__ import annotations

from collections.abc import Iterator

from kb_tools.documents import Table
from kb_tools.errors import MissingExtraError
from kb_tools.loaders.origin import Origin, brief
from kb_tools.loaders.rows import cell_text, name_columns


def read_parquet(origin: Origin) -> Iterator[Table]:
    """The one table of the file. Raises `MissingExtraError` where pyarrow is not installed."""
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise MissingExtraError("Reading parquet needs pyarrow; install it with: pip install pyarrow") from None
    try:
        with ParquetFile(origin.path) as file:
            header = name_columns(file.schema_arrow.names)
            rows: list[list[str]] = []
            for batch in file.iter_batches():
                columns = [[cell_text(value) for value in column.to_pylist()] for column in batch.columns]
                rows += map(list, zip(*columns, strict=True))
    except (ArrowException, OSError, ValueError) as error:
        raise origin.unreadable(f"the parquet file is damaged ({brief(error)})") from None
    if not header:
        raise origin.unreadable("it has no columns")
    yield Table(id=origin.name, title=origin.path.stem, header=header, rows=rows, metadata=origin.metadata())
