"""Tables in CSV files: columns have the names of the first line, whatever its case, blanks, and separator."""

import csv
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path

from aognet.errors import UserError
from aognet.io.files import is_file

log = logging.getLogger(__name__)

MAX_BYTES = 512 * 2**20
MAX_CELL_CHARACTERS = 2**20
SEPARATORS = ",;\t"


def read_table(path: Path, needed: Sequence[str], others: Sequence[str] = ()) -> list[tuple[int, dict[str, str]]]:
    """Return the rows of a table, each with the number of its last line and its texts by column ('' where it has none).

    ``needed`` are columns without which a row cannot be used. ``others`` are columns that may be missing. Further
    columns are named in a warning and left out.

    :raises UserError: naming file and line: no such file, not UTF-8, larger than ``MAX_BYTES``, a cell of more than
        ``MAX_CELL_CHARACTERS``, a column that is missing or there twice, a row with more cells than columns, or a row
        without what is needed.
    """
    if not is_file(path):
        raise UserError(f"{path}: no such file")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path}: a table may have {MAX_BYTES} bytes, this has {path.stat().st_size}")
        return _rows(path, needed, others)
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not a CSV file in UTF-8 ({error})") from error
    except OSError as error:
        raise UserError(f"{path}: cannot read the table ({error.strerror})") from error


def fold_names(names: Iterable[str]) -> list[str]:
    """Return names of columns and keys in the form in which they are compared: no blanks around them, no byte order
    mark, no capitals.
    """
    return [name.replace("\ufeff", "").strip().casefold() for name in names]


def hint(name: str, known: Sequence[str]) -> str:
    """Return a text about an unknown name, with the known name that it may stand for."""
    close = get_close_matches(name.strip().casefold(), known, n=1, cutoff=0.7)
    return f"{name!r} (did you mean {close[0]!r}?)" if close else repr(name)


def _rows(path: Path, needed: Sequence[str], others: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    separator, columns = _header(path, needed)
    known = [*needed, *others]
    _check_columns(path, columns, needed, known)
    rows = []
    for number, cells in _lines(path, separator)[1:]:
        if not any(cell.strip() for cell in cells):
            continue
        if any(cell.strip() for cell in cells[len(columns) :]):
            raise UserError(
                f"{path}, line {number}: has {len(cells)} cells for {len(columns)} columns; a text that holds "
                f"{separator!r} stands in quotes"
            )
        row = dict.fromkeys(known, "") | {
            column: cell.strip() for column, cell in zip(columns, cells, strict=False) if column in known
        }
        if missing := [column for column in needed if not row[column]]:
            raise UserError(f"{path}, line {number}: needs a {missing[0]!r}, got {', '.join(cells)[:80]}")
        rows.append((number, row))
    return rows


def _header(path: Path, needed: Sequence[str]) -> tuple[str, list[str]]:
    """Return the separator under which the first line has most of the needed columns, and all columns."""
    found = []
    for separator in SEPARATORS:
        _, cells = next(iter(_lines(path, separator, first=True)), (1, []))
        found.append((separator, fold_names(cells)))
    return max(found, key=lambda one: (len({*needed} & {*one[1]}), len(one[1])))


def _check_columns(path: Path, columns: Sequence[str], needed: Sequence[str], known: Sequence[str]) -> None:
    for column in needed:
        if column not in columns:
            there = ", ".join(hint(name, known) for name in columns) or "an empty line"
            raise UserError(f"{path}, line 1: needs a column {column!r}, got {there[:200]}")
    if twice := [column for column, count in Counter(columns).items() if count > 1 and column]:
        raise UserError(f"{path}, line 1: has several columns {twice[0]!r}")
    if unknown := [hint(column, known) for column in columns if column and column not in known]:
        log.warning("%s: unknown column(s) %s are not used", path, ", ".join(unknown))


def _lines(path: Path, separator: str, first: bool = False) -> list[tuple[int, list[str]]]:
    """Yield the cells of all lines, or of the first alone, with the number of the last line that they stand on."""
    before = csv.field_size_limit(MAX_CELL_CHARACTERS)  # of the whole process
    number = 1
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader, found = csv.reader(file, delimiter=separator, skipinitialspace=True, strict=True), []
            for cells in reader:
                number = reader.line_num
                found.append((number, cells))
                if first:
                    break
            return found
    except csv.Error as error:
        raise UserError(f"{path}, after line {number}: not a table ({error})") from error
    finally:
        csv.field_size_limit(before)
