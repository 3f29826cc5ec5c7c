"""``clusters.html``: one page, of one file, on which a person marks the clusters; it asks the network for nothing."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from lensaudit.clustering.marks import MARKS, MARKS_FILE
from lensaudit.clustering.sheet import Sheet
from lensaudit.clustering.table import Cluster
from lensaudit.files import write_text

_TEMPLATE = Path(__file__).parent / "template"
_MEANING = {0.0: "no lenses", 0.5: "cannot be told", 1.0: "lenses"}


@dataclass(frozen=True)
class Page:
    """What the page shows.

    Attributes
    ----------
    name, set_name
        Of the finder and the lens set.
    identity
        `clusters_hash` of the clusters.
    clusters, sheets
        One of each per cluster; None for an empty one.
    """

    name: str
    set_name: str
    identity: str
    clusters: Sequence[Cluster]
    sheets: Sequence[Sheet | None]

    def html(self) -> str:
        """The page as text.

        The script may build and hand out the file of marks, nothing else: the Content-Security-Policy names it and the
        style by their hashes.
        """
        css, script = ((_TEMPLATE / name).read_text(encoding="utf-8") for name in ("clusters.css", "clusters.js"))
        environment = Environment(
            loader=FileSystemLoader(_TEMPLATE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )
        return environment.get_template("clusters.html.j2").render(
            page=self,
            pairs=list(zip(self.clusters, self.sheets, strict=True)),
            marks=[(f"{mark:g}", _MEANING[mark]) for mark in MARKS],
            marks_file=MARKS_FILE,
            n=sum(cluster.n for cluster in self.clusters),
            labelled=any(cluster.lenses.n for cluster in self.clusters),
            facts=Markup(json.dumps({"clusters": self.identity, "file": MARKS_FILE})),
            css=Markup(css),
            script=Markup(script),
            policy=policy(css, script),
        )

    def write(self, path: Path) -> None:
        """Write to `path`, whole or not at all."""
        write_text(path, self.html())


def policy(css: str, script: str) -> str:
    """Content-Security-Policy: this style, this script and ``data:`` pictures, and nothing else."""
    style, code = (
        base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii") for text in (css, script)
    )
    return (
        f"default-src 'none'; img-src data:; style-src 'sha256-{style}'; script-src 'sha256-{code}'; "
        "base-uri 'none'; form-action 'none'"
    )
