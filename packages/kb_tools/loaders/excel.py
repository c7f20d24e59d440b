"""xlsx → a `Table` for each sheet that holds anything."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from kb_tools.documents import Table
from kb_tools.loaders.archive import check_archive
from kb_tools.loaders.origin import Origin, brief
from kb_tools.loaders.rows import cell_text, tidy

if TYPE_CHECKING:
    from openpyxl.worksheet._read_only import ReadOnlyWorksheet
    from openpyxl.worksheet.worksheet import Worksheet


def read_xlsx(origin: Origin) -> Iterator[Table]:
    """The sheets; the header is the first row that is not empty, and empty rows and columns are left out.

    A formula gives the value that the program which saved the file had computed, and nothing where it computed none.
    """
    import openpyxl

    check_archive(origin, "xlsx")
    tables: list[Table] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of styles and extensions that openpyxl leaves out: none holds a value
            book = openpyxl.load_workbook(origin.path, read_only=True, data_only=True)
            try:
                for sheet in book.worksheets:
                    if table := _table(origin, sheet):
                        tables.append(table)
            finally:
                book.close()
    except Exception as error:  # openpyxl raises whatever it stumbles on in a damaged file
        raise origin.unreadable(f"the xlsx file is damaged ({brief(error)})") from None
    if not tables:
        raise origin.unreadable("all its sheets are empty")
    yield from tables


def _table(origin: Origin, sheet: Worksheet) -> Table | None:
    # Some programs write a wrong size of the sheet, and rows beyond it would be lost.
    cast("ReadOnlyWorksheet", sheet).reset_dimensions()
    rows = [row for cells in sheet.iter_rows(values_only=True) if (row := _trimmed(cells))]
    if not rows:
        return None
    header, body = tidy(rows[0], rows[1:])
    return Table(
        id=f"{origin.name}#sheet={sheet.title}",
        title=origin.path.stem,
        section=sheet.title,
        header=header,
        rows=body,
        metadata=origin.metadata(sheet=sheet.title),
    )


def _trimmed(cells: tuple[object, ...]) -> list[str]:
    row = [cell_text(cell) for cell in cells]
    while row and not row[-1].strip():
        row.pop()
    return row
