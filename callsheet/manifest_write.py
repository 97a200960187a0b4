"""What a batch writes: poster URLs into the manifest itself, and a results manifest beside it.

`write_back` changes one column and nothing else, keeps a backup and replaces the file at once. Readers of the
manifest never see half of it.
"""

from __future__ import annotations

import csv
import fcntl
import io
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from callsheet.errors import FileMissing, InputError
from callsheet.manifest_columns import column_named
from callsheet.manifest_table import dialect_of, read_table
from callsheet.production import Production
from callsheet.textdata import read_text, refusal
from callsheet.yaml_edit import set_in_rows

URL_COLUMN = "poster_frame_url"
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
RESULT_COLUMNS = (
    "id", "title", "status", "job_id", "poster_frame_url", "video", "thumbnail", "captions", "stems", "duration",
    "format", "seconds", "stages", "cached", "made_at", "warnings", "error_code", "error", "cost_usd",
    "fallbacks", "engines",
)
_LATER_COLUMNS = ("cost_usd", "fallbacks", "engines")
"""Results of earlier releases lack all of these, or the last ones."""


def write_back(path: Path, urls: Mapping[str, str]) -> bool:
    """Set `poster_frame_url` of each actor in `urls`; False when all of them were there already.

    The file before is kept as `<name>.bak`. Runs at the same time wait for each other. Raises FileMissing;
    InputError for an actor without a row.
    """
    real = path.resolve()
    if not real.is_file():
        raise FileMissing(path=str(path), what="manifest")
    writer = WRITERS.get(real.suffix.lower())
    if writer is None:
        raise refusal(path, "the file", "is no manifest format", f"use one of {', '.join(WRITERS)}", real.suffix)
    with _alone(real.parent):
        ids = _cells(real)
        _all_found(path, urls, ids)
        before = real.read_bytes()
        after = writer(real, dict(urls))
        if after == before:
            return False
        publish(real.with_name(f"{real.name}.bak"), before, like=real)
        publish(real, after, like=real, check=lambda made: _same_but_urls(path, ids, _cells(made), urls))
    return True


def _cells(path: Path) -> dict[str, dict[str, str]]:
    """What every row says, by actor id."""
    frame = read_table(path).frame
    if "id" not in frame.columns:
        raise refusal(path, "column id", "is missing", "add a column id with each actor's id")
    names = list(frame.columns)
    rows = [dict(zip(names, cells, strict=True)) for cells in frame.to_numpy().tolist()]
    return {row["id"].strip(): row for row in rows}


def _all_found(path: Path, urls: Mapping[str, str], ids: Iterable[str]) -> None:
    missing = sorted(set(urls) - set(ids))
    if missing:
        raise InputError(detail=f"{path} has no row for {', '.join(missing)}",
                         remedy="check that the manifest is the one the run was started with")


def _same_but_urls(
    path: Path, before: dict[str, dict[str, str]], after: dict[str, dict[str, str]], urls: Mapping[str, str]
) -> None:
    wanted = {who: {**row, URL_COLUMN: urls.get(who, row.get(URL_COLUMN, ""))} for who, row in before.items()}
    if after != wanted:
        raise InputError(detail=f"{path} cannot be written back without changing more than {URL_COLUMN}",
                         remedy="copy the URLs from the results manifest instead")


def publish(
    path: Path, data: bytes, like: Path | None = None, check: Callable[[Path], None] | None = None
) -> None:
    """Put a whole file in place at once, with the permissions of `like`, once `check` has passed it."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if check is not None:
            check(Path(name))
        if like is not None:
            shutil.copymode(like, name)
        else:
            Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder: a lock on it leaves no file behind."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _csv(path: Path, urls: dict[str, str]) -> bytes:
    text = read_text(path, "manifest")
    delimiter, line_end = dialect_of(text)
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    head = next(n for n, row in enumerate(rows) if any(cell.strip() for cell in row))
    names = [column_named(cell) for cell in rows[head]]
    body = [row for row in rows[head + 1 :] if any(cell.strip() for cell in row)]
    at_id = names.index("id")
    if URL_COLUMN not in names:
        names.append(URL_COLUMN)
        rows[head].append(URL_COLUMN)
    at_url = names.index(URL_COLUMN)
    for row in body:
        row += [""] * (len(names) - len(row))
        row[at_url] = urls.get(row[at_id].strip(), row[at_url])
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator=line_end)
    writer.writerows(rows)
    mark = b"\xef\xbb\xbf" if path.read_bytes().startswith(b"\xef\xbb\xbf") else b""
    return mark + out.getvalue().encode()


def _json(path: Path, urls: dict[str, str]) -> bytes:
    text = read_text(path, "manifest")
    rows: list[dict[str, Any]] = json.loads(text)
    names = [{column_named(key): key for key in row} for row in rows]
    for row, name in zip(rows, names, strict=True):
        url = urls.get(str(row.get(name.get("id", ""), "")).strip())
        if url is not None:
            row[name.get(URL_COLUMN, URL_COLUMN)] = url
    lines = text.strip().splitlines()
    indent = len(lines[1]) - len(lines[1].lstrip()) if len(lines) > 1 else None
    end = "\n" if text.endswith("\n") else ""
    return (json.dumps(rows, indent=indent, ensure_ascii=False) + end).encode()


def _parquet(path: Path, urls: dict[str, str]) -> bytes:
    """Column types and file metadata stay: only the URL's column is made anew."""
    import pyarrow
    import pyarrow.parquet as parquet

    table = parquet.read_table(path)
    names = [column_named(name) for name in table.column_names]
    ids = [str(value).strip() for value in table.column(names.index("id")).to_pylist()]
    at = names.index(URL_COLUMN) if URL_COLUMN in names else None
    old = table.column(at).to_pylist() if at is not None else [None] * len(ids)
    new = pyarrow.array([urls.get(who, url) for who, url in zip(ids, old, strict=True)], pyarrow.string())
    if new.to_pylist() == old:
        return path.read_bytes()
    changed = (
        table.append_column(URL_COLUMN, new) if at is None else table.set_column(at, table.column_names[at], new)
    )
    groups = parquet.read_metadata(path)
    packed = groups.row_group(0).column(0).compression if groups.num_row_groups else "SNAPPY"
    out = io.BytesIO()
    parquet.write_table(changed, out, compression="NONE" if packed == "UNCOMPRESSED" else packed)
    return out.getvalue()


def _yaml(path: Path, urls: dict[str, str]) -> bytes:
    def url_for(row: Mapping[str, str]) -> str | None:
        return urls.get(next((value.strip() for key, value in row.items() if column_named(key) == "id"), ""))

    mark = b"\xef\xbb\xbf" if path.read_bytes().startswith(b"\xef\xbb\xbf") else b""
    return mark + set_in_rows(read_text(path, "manifest"), URL_COLUMN, url_for).encode()


WRITERS: Mapping[str, Callable[[Path, dict[str, str]], bytes]] = {
    ".csv": _csv, ".parquet": _parquet, ".json": _json, ".yaml": _yaml, ".yml": _yaml,
}


def check_writable(path: Path, only: Sequence[str] = ()) -> None:
    """Refuse a manifest beside which no results can be written, before anything is spent. Raises InputError.

    With `only`, the results that are there already must be such that the other actors' can be kept.
    """
    beside = _beside(path)
    if not os.access(beside.parent, os.W_OK):
        raise InputError(detail=f"no results can be written beside {path}",
                         remedy="copy the manifest into a folder that you may write to")
    if beside.is_dir():
        raise InputError(detail=f"{beside} is a folder, and results go there", remedy="move it away")
    if beside.exists() and not os.access(beside, os.W_OK):
        raise InputError(detail=f"{beside} may not be written", remedy="check its permissions, or move it away")
    if only:
        _results_there(beside)


def write_results(path: Path, productions: Iterable[Production], only: Sequence[str] = ()) -> Path:
    """Write the results manifest of a batch beside its manifest, as `<name>.results.csv`, and return its path.

    With `only`, for a batch of some actors, the others' results of runs before are kept. Raises InputError.
    """
    beside = _beside(path)
    rows = {made.actor_id: [safe_cell(cell) for cell in _result(made)] for made in productions}
    with _alone(beside.parent):
        before = _results_there(beside) if only else {}
        publish(beside, _as_csv((before | rows).values()).encode())
    return beside


def results_csv(productions: Iterable[Production]) -> str:
    """One line a production. No cell can be taken for a formula by a spreadsheet."""
    return _as_csv([safe_cell(cell) for cell in _result(made)] for made in productions)


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.stem}.results.csv")


def _results_there(beside: Path) -> dict[str, list[str]]:
    """The cells of each result that was written before, by actor id; nothing where there is no file."""
    if not beside.is_file():
        return {}
    try:
        with beside.open(newline="", encoding="utf-8") as file:
            heading, *rows = csv.reader(file, strict=True)
    except (OSError, ValueError, csv.Error):
        heading, rows = [], []
    later = RESULT_COLUMNS[len(heading):]
    if later and set(later) <= set(_LATER_COLUMNS) and tuple(heading) + later == RESULT_COLUMNS:
        heading, rows = list(RESULT_COLUMNS), [[*row, *("" for _ in later)] for row in rows]
    if tuple(heading) != RESULT_COLUMNS or any(len(row) != len(heading) for row in rows):
        raise InputError(detail=f"{beside} is no results manifest, so the results of other actors cannot be kept in it",
                         remedy="move it away")
    return {row[0]: row for row in rows}


def _as_csv(rows: Iterable[Sequence[str]]) -> str:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(RESULT_COLUMNS)
    writer.writerows(rows)
    return out.getvalue()


def _result(made: Production) -> tuple[object, ...]:
    return (
        made.actor_id, made.title, made.status.value, made.job_id, made.posters.get(made.actor_id, ""), made.video,
        made.thumbnail, ";".join(made.captions), ";".join(made.stems.values()), f"{made.duration:.3f}",
        made.format, f"{made.seconds:.3f}", len(made.stages), sum(stage.cached for stage in made.stages),
        made.made_at.isoformat() if made.made_at else "", "; ".join(made.warnings), made.error_code, made.error,
        f"{made.cost_usd:.6f}", "; ".join(map(str, made.fallbacks)), "; ".join(made.engines),
    )


def safe_cell(cell: object) -> str:
    """As text that no spreadsheet takes for a formula."""
    text = str(cell)
    lines = text.replace("\r\n", "\n").replace("\r", "\n")              # a lone CR would end the row for some readers
    return f"'{lines}" if text.startswith(_FORMULA_STARTS) else lines
