"""What a person made of the clusters: 0, 0.5 or 1 for each, in a file that names the clusters it is for."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from lensaudit.documents import read_json, validated
from lensaudit.errors import DataError, UsageError
from lensaudit.files import write_text
from lensaudit.untrusted import printable

MARKS = (0.0, 0.5, 1.0)
"""No lenses, cannot be told, lenses (Cheng et al. 2020, Section 3.3)."""
UNMARKED = 0.5
MARKS_FILE = "marks.json"


class Marks(BaseModel):
    """Content of ``marks.json``, as the page of clusters writes it.

    Attributes
    ----------
    clusters
        `clusters_hash` of the clusters that were looked at.
    marks
        Number of the cluster → mark; a cluster that is left out counts as 0.5.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    clusters: str = Field(max_length=128)
    marks: dict[int, float] = Field(max_length=100_000)

    def values(self, components: int) -> NDArray[np.float64]:
        """Lens probability of each cluster (K,)."""
        found = np.full(components, UNMARKED)
        for number, mark in self.marks.items():
            found[number] = mark
        return found

    @property
    def digest(self) -> str:
        """SHA-256 of the content, for the provenance of what used it."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    def write(self, path: Path) -> None:
        """Write to `path`, whole or not at all."""
        write_text(path, self.model_dump_json(indent=2) + "\n")


def read_marks(path: Path, clusters: str, components: int) -> Marks:
    """Read `path`, which must be of these clusters.

    Parameters
    ----------
    clusters, components
        `clusters_hash` and number of the clusters at hand.

    Raises
    ------
    UsageError
        There is no such file.
    DataError
        It is no file of marks, marks other clusters or a cluster that does not exist, or says something other than
        0, 0.5 and 1.
    """
    if not path.is_file():
        raise UsageError(f"{path}: no such file; save it from clusters.html, or leave --marks out")
    fix = "save the marks from clusters.html"
    words = read_json(path, fix)
    marks = validated(words, Marks, f"{path}", fix)
    if len(marks.marks) < len(words["marks"]):
        raise DataError(f"{path}: a cluster is marked twice; {fix}")
    if marks.clusters != clusters:
        raise DataError(
            f"{path}: marks the clusters {printable(marks.clusters[:12])}, these are {clusters[:12]}; mark "
            f"clusters.html of this run, or cluster with what it was written for"
        )
    for number, mark in marks.marks.items():
        if not 0 <= number < components:
            raise DataError(f"{path}: marks cluster {number}, there are 0 to {components - 1}; correct the number")
        if mark not in MARKS:
            raise DataError(f"{path}: marks cluster {number} with {mark:g}; 0, 0.5 and 1 are allowed")
    return marks
