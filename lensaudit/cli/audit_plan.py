"""``lensaudit audit-plan`` and ``audit-labels``: which of many images to look at, and what their labels say of all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lensaudit.cli import options as opt
from lensaudit.cli.console import say, say_json, say_table

if TYPE_CHECKING:
    import pyarrow as pa

    from lensaudit.evaluation.audit_plan import AuditPlan, PlannedImages

PLAN_FILE = "audit-plan.json"
SAMPLE_FILE = "audit-plan.parquet"
LABELS_FILE = "labels.csv"


def register_audit_plan(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(
        "audit-plan",
        epilog=opt.examples(
            "lensaudit audit-plan runs/scores --budget 2000 --out runs/plan",
            "lensaudit audit-plan runs/scores.parquet --budget 500 --by mag_r --allocation neyman --out runs/plan",
        ),
    )(audit_plan)


def audit_plan(
    scores: Annotated[
        Path, typer.Argument(metavar="SCORES", help="Folder or file of lensaudit score, or any table of id and p.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the plan and of the table to fill in.")],
    budget: Annotated[int, typer.Option("--budget", metavar="N", help="Images to look at.")] = 1000,
    strata: Annotated[
        int, typer.Option("--strata", metavar="N", help="Strata of the score, finer at the top, cut at the threshold.")
    ] = 12,
    by: Annotated[
        str, typer.Option("--by", metavar="COLUMN", help="Divide each stratum by a further column of SCORES, too.")
    ] = "",
    classes: Annotated[int, typer.Option("--classes", metavar="N", help="Into so many classes of --by.")] = 3,
    allocation: Annotated[
        Literal["optimum", "neyman", "proportional"],
        typer.Option(
            "--allocation",
            help="optimum: for precision and recall; neyman: for the number of lenses; or in proportion to the images.",
        ),
    ] = "optimum",
    least: Annotated[int, typer.Option("--least", metavar="N", help="Images of every stratum, if possible.")] = 10,
    threshold: opt.Threshold = None,
    seed: opt.Seed = 0,
    force: opt.Force = False,
    as_json: opt.Json = False,
) -> None:  # fmt: skip
    """Plan which of many scored images to look at: some of each stratum of the score, with their weights."""
    from lensaudit.evaluation.audit_plan import STRATUM_HEAD, PlanSettings, stratum_rows
    from lensaudit.evaluation.audit_plan import audit_plan as made
    from lensaudit.evaluation.scored_rows import ScoredRows
    from lensaudit.provenance import refuse_other

    settings = PlanSettings(budget, strata, by, classes, allocation, least, threshold, seed)
    opened = ScoredRows.open(scores)
    if not force:
        refuse_other(out / PLAN_FILE, opened.inputs, "plan", "or --force to replace it")
    plan, images = made(opened, settings)
    kept = _write(plan, images, out)
    if as_json:
        say_json(plan.to_json())
        return
    without = f", {plan.unscored} without a score left out" if plan.unscored else ""
    say(
        f"{scores}: {plan.images} images{without}; {plan.planned} to look at, allocation {plan.allocation} by "
        f"{plan.predicted_by}, lenses called at p ≥ {plan.threshold:.4g}"
    )
    say_table(STRATUM_HEAD, stratum_rows(plan.strata))
    say(f"{out}: {PLAN_FILE}, {SAMPLE_FILE}, {LABELS_FILE}{' (kept, it has labels)' if kept else ''}")
    say(f"  fill the column label of {LABELS_FILE} (1 lens, 0 non-lens), then: lensaudit audit-labels {out}")


def _write(plan: AuditPlan, images: PlannedImages, out: Path) -> bool:
    """Write the plan; returns whether labels that were filled in already were left as they are."""
    import pyarrow.parquet as pq

    from lensaudit.errors import UsageError
    from lensaudit.files import replacing, write_text
    from lensaudit.tables import read_table

    table, labels = images.table(), out / LABELS_FILE
    kept = labels.exists() and any(word.strip() for word in read_table(labels, "labels").need("label").text)
    if kept and list(read_table(labels, "labels").need("id").text) != list(images.ids):
        raise UsageError(f"{labels}: has labels of another plan; move it away, or choose another --out")
    with replacing(out / SAMPLE_FILE) as partial:
        pq.write_table(table, partial)
    if not kept:
        write_text(labels, _blank(table))
    plan.write(out / PLAN_FILE)
    return kept


def _blank(table: pa.Table) -> str:
    """CSV to fill in, in the order of looking: it says where each image is, and nothing of its score."""
    import csv
    import io

    names = [name for name in ("id", "stratum", "probability", "weight", "ra", "dec") if name in table.column_names]
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(["id", "label", *names[1:]])
    columns = [table.column(name).to_pylist() for name in names]
    writer.writerows([name, "", *rest] for name, *rest in zip(*columns, strict=True))
    return lines.getvalue()


def register_audit_labels(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(
        "audit-labels",
        epilog=opt.examples(
            "lensaudit audit-labels runs/plan",
            "lensaudit audit-labels runs/plan --labels graded.csv --threshold 0.9 --out runs/measured",
        ),
    )(audit_labels)


def audit_labels(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="Folder that lensaudit audit-plan wrote.")],
    labels: Annotated[
        Path | None,
        typer.Option("--labels", metavar="FILE", help=f"Table with id and label; default: {LABELS_FILE} of the plan."),
    ] = None,
    threshold: Annotated[
        float | None, typer.Option("--threshold", metavar="P", min=0, max=1, help="p of a lens; default: the plan's.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder for numbers, page and figure; default: none.")
    ] = None,
    force: opt.Force = False,
    as_json: opt.Json = False,
) -> None:
    """Measure recall, precision and calibration over all images of a plan by the labels of those it named."""
    from lensaudit.errors import NoSuchFile
    from lensaudit.evaluation.audit_labels import (
        HEAD,
        MEASURED_FILE,
        STRATUM_HEAD,
        labelled_rows,
        measure_labels,
        measured_rows,
        read_labels,
        write_measured,
    )
    from lensaudit.evaluation.audit_plan import AuditPlan
    from lensaudit.provenance import refuse_other
    from lensaudit.tables import read_table

    if not (plan / PLAN_FILE).is_file():
        raise NoSuchFile(f"{plan}: holds no {PLAN_FILE}; write it with lensaudit audit-plan")
    known = AuditPlan.read(plan / PLAN_FILE, "plan it again with lensaudit audit-plan")
    sample = read_table(plan / SAMPLE_FILE, "the images of a plan")
    if out is not None and not force:
        refuse_other(out / MEASURED_FILE, known.provenance.inputs, "measurement", "or --force to replace it")
    ids = tuple(sample.ids(sample.need("id")))
    stratum, logit = (sample.numbers(sample.need(name)) for name in ("stratum", "logit"))
    _refuse_torn(plan, known, stratum, logit)
    found = measure_labels(known, stratum, logit, read_labels(labels or plan / LABELS_FILE, ids), threshold)
    written = [] if out is None else write_measured(found, out)
    if as_json:
        say_json(found.to_json())
        return
    who = found.finder or "scores"
    say(f"{who}: {found.labelled} labels of {found.planned} planned stand for {found.images} images; "
        f"lenses are called at p ≥ {found.threshold:.4g}")  # fmt: skip
    say_table(HEAD, measured_rows(found))
    say_table(STRATUM_HEAD, labelled_rows(found))
    for note in found.notes:
        say(note)
    if out is not None:
        say(f"{out}: {', '.join(written)}")


def _refuse_torn(plan: Path, known: AuditPlan, stratum: object, logit: object) -> None:
    import numpy as np

    from lensaudit.errors import DataError

    n = len(known.strata)
    of = np.asarray(stratum, float)
    whole = np.isfinite([of, np.asarray(logit, float)]).all() and ((of >= 0) & (of < n) & (of == np.floor(of))).all()
    if not whole or np.bincount(of.astype(int), minlength=n).tolist() != [one.planned for one in known.strata]:
        raise DataError(f"{plan / SAMPLE_FILE}: is not of the {PLAN_FILE} beside it; plan it again with --force")
