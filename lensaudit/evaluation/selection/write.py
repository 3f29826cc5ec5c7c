"""A selection function on disk: JSON, Parquet, Markdown, PNG."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lensaudit.evaluation.selection.function import SelectionFunction
from lensaudit.evaluation.selection.page import markdown
from lensaudit.evaluation.selection.plot import plot_drivers, plot_map, plot_medians
from lensaudit.files import replacing, write_json, write_text

METADATA_KEY = b"lensaudit"

_UNITS = {
    "recall": "k / n",
    "low": "lower end of its 95 % Wilson interval",
    "high": "upper end of its 95 % Wilson interval",
    "few": "fewer than 100 lenses",
    "everyone": "median of all lenses, in the unit of the parameter",
    "selected": "median of the selected lenses, in the unit of the parameter",
    "shift": "selected less everyone",
    "spread": "half the distance between the 16th and 84th percentile of all lenses",
    "moved": "the interval of the shift leaves out zero",
    "sd": "standard deviation of the parameter, in dex where its logarithm is modelled",
    "alone": "log-odds of being found per standard deviation, nothing else in the model",
    "slope": "log-odds of being found per standard deviation, all others held",
    "bend": "log-odds per squared standard deviation, all others held",
    "p_alone": "likelihood ratio with nothing else in the model, after Holm",
    "p_holm": "likelihood ratio without the parameter, after Holm",
    "explained": "share of the explained deviance lost without the parameter",
    "vif": "variance inflation",
}


def selection_record(selection: SelectionFunction, about: Mapping[str, Any]) -> dict[str, Any]:
    """What ``selection.json`` holds: `about` (finder, set, provenance) and the numbers; None where there is none."""
    return dict(plain({**about, **selection.as_json()}))


def write_selection(selection: SelectionFunction, about: Mapping[str, Any], title: str, out: Path) -> list[str]:
    """Write everything into the folder `out`; returns the names of the files.

    ``selection.json``, ``recall-maps.parquet`` (a row per cell), ``medians.parquet`` (a row per parameter and
    threshold), ``drivers.parquet`` (a row per parameter in the model; where there is no
    model there is no such file), ``selection.md``, and a PNG per map, of the medians and of the drivers.
    """
    tables = {
        "recall-maps.parquet": [cell for one in selection.maps for cell in one.cells()],
        "medians.parquet": [row.as_json() for row in selection.medians],
        "drivers.parquet": [driver.as_json() for driver in selection.drivers.drivers],
    }
    figures = {one.name: f"recall-{one.name}.png" for one in selection.maps}
    for one in selection.maps:
        plot_map(out / figures[one.name], one, selection.cut.words, title)
    figures |= {"medians": "medians.png", "drivers": "drivers.png"}
    plot_medians(out / figures["medians"], selection, title)
    plot_drivers(out / figures["drivers"], selection, title)
    written = [name for name, rows in tables.items() if rows]
    for name in written:
        _write_table(tables[name], plain(about), out / name)
    for name in set(tables) - set(written):  # what an earlier run left there belongs to other numbers
        (out / name).unlink(missing_ok=True)
    write_text(out / "selection.md", markdown(selection, title, figures))
    write_json(out / "selection.json", selection_record(selection, about))  # last: where it is, all is there
    return ["selection.json", "selection.md", *written, *figures.values()]


def plain(value: Any) -> Any:
    """`value` with None for what is no finite number, and lists for tuples."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _write_table(rows: Sequence[Mapping[str, Any]], about: Any, path: Path) -> None:
    table = pa.Table.from_pylist([dict(row) for row in rows])
    fields = [
        field.with_metadata({"description": _UNITS[field.name]}) if field.name in _UNITS else field
        for field in table.schema
    ]
    words = json.dumps(about, sort_keys=True, allow_nan=False).encode()
    with replacing(path) as partial:
        pq.write_table(table.cast(pa.schema(fields, metadata={METADATA_KEY: words})), partial, compression="zstd")
