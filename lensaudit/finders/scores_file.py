"""Scores on disk: Parquet with ``id``, ``p_lens``, ``logit``, ``status`` and the provenance in its metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lensaudit.errors import DataError
from lensaudit.files import replacing
from lensaudit.finders.score import Scores

_METADATA_KEY = b"lensaudit"

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False, metadata={"description": "name of the image in its set"}),
        pa.field("p_lens", pa.float64(), metadata={"description": "probability of lens; NaN if not scored"}),
        pa.field("logit", pa.float64(), metadata={"description": "log-odds of lens; p_lens = sigmoid(logit)"}),
        pa.field("status", pa.string(), metadata={"description": "ok, or why the image was not scored"}),
    ]
)


PRIOR_FIELD = pa.field(
    "p_lens_prior", pa.float64(), metadata={"description": "p_lens where lenses have the share `prior` of the record"}
)


def write_scores(
    scores: Scores, path: Path, record: Mapping[str, Any], p_lens_prior: NDArray[np.float64] | None = None
) -> None:
    """Write `scores` to `path`, whole or not at all, with `record` (finder, set, provenance) in the metadata.

    Parameters
    ----------
    p_lens_prior
        Probabilities under another share of lenses (n,), as one more column; see `lensaudit.finders.with_prior`.
    """
    columns = [pa.array(values) for values in (scores.ids, scores.p_lens, scores.logit, scores.status)]
    words = json.dumps(dict(record), sort_keys=True, allow_nan=False).encode()
    table = pa.table([c.cast(f.type) for c, f in zip(columns, SCHEMA, strict=True)], schema=SCHEMA)
    if p_lens_prior is not None:
        table = table.append_column(PRIOR_FIELD, pa.array(p_lens_prior))
    with replacing(Path(path)) as partial:
        pq.write_table(table.replace_schema_metadata({_METADATA_KEY: words}), partial)


def read_scores(path: Path) -> tuple[Scores, dict[str, Any]]:
    """Scores and record of a file written by `write_scores`.

    Raises
    ------
    DataError
        Not such a file, or torn.
    """
    try:
        table = pq.read_table(path)
        columns = {name: table.column(name).to_numpy(zero_copy_only=False) for name in SCHEMA.names}
        record = json.loads((table.schema.metadata or {})[_METADATA_KEY])
    except FileNotFoundError as missing:
        raise DataError(f"{path}: no such file; write it with lensaudit score") from missing
    except (pa.ArrowException, KeyError, OSError, ValueError) as broken:
        reason = " ".join(str(broken).split())[:100]
        raise DataError(f"{path}: is torn or no file of scores ({reason}); write it with lensaudit score") from broken
    scores = Scores(
        tuple(columns["id"]),
        columns["p_lens"].astype(np.float64),
        columns["logit"].astype(np.float64),
        tuple(columns["status"]),
    )
    return scores, record
