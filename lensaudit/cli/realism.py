"""``lensaudit realism``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lensaudit.cli import options as opt
from lensaudit.cli.console import say, say_json, say_table

if TYPE_CHECKING:
    from lensaudit.realism_gate import Realism

SHOWN = 8


def register_realism(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(
        epilog=opt.examples(
            "lensaudit realism ou66 --real runs/q1 --simulated runs/test --out runs/realism",
            "lensaudit realism ou66 --real runs/sky --simulated runs/test --label non-lens --out runs/realism",
        )
    )(realism)


def realism(
    finder: opt.Finder,
    real: Annotated[Path, typer.Option("--real", metavar="SET", help="Lens set, or YAML of cutouts, of the sky.")],
    simulated: Annotated[
        Path, typer.Option("--simulated", metavar="SET", help="Lens set that was simulated, or injected into the sky.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for numbers, table, page and figures.")],
    label: Annotated[
        Literal["any", "lens", "non-lens"] | None,
        typer.Option(
            "--label", help="Compare these alone; by default the label of which the smaller set has most, else any."
        ),
    ] = None,
    force: opt.Force = False,
    seed: opt.Seed = 0,
    batch: opt.Batch = None,
    reading: opt.Reading = opt.READING,
    as_json: opt.Json = False,
) -> None:
    """Measure how far simulated cutouts stand from real ones: by image statistics and by the finder's last layer."""
    from lensaudit.cli.running import check_sets, read_by, watching
    from lensaudit.files import working_in
    from lensaudit.lensset import open_cutouts
    from lensaudit.provenance import refuse_other

    sets = [open_cutouts(path) for path in (real, simulated)]  # a wrong path is told before torch is imported

    from lensaudit.realism_gate import RealismOptions, measure_realism
    from lensaudit.realism_gate.measure import inputs_of, refuse_unlike
    from lensaudit.realism_gate.page import KEPT, RESULT_NAME

    options = RealismOptions(label or "", seed, batch)
    loaded = read_by(finder, reading, sets[1:])
    refuse_unlike(loaded, *sets)
    for one in sets:
        check_sets(loaded.for_units(one), [one])
    if not force:
        refuse_other(out / RESULT_NAME, inputs_of(loaded, *sets), "comparison", "or --force to replace it")
    with working_in(out), watching() as progress:
        gate = measure_realism(loaded, sets[0], sets[1], options, progress, out / KEPT)
        page = gate.write(out)
    if as_json:
        say_json(gate.record)
        return
    _show(gate.record)
    say(f"{out}: {page.name}, {RESULT_NAME}, cutouts.parquet")


def _show(record: Realism) -> None:
    from lensaudit.display.numbers import p_short, proportion, significant, with_interval

    say(record.sentence, record.chosen, *record.notes)
    say_table(
        ("told apart by", "AUROC", "MMD²", "p"),
        [
            (one.of, with_interval(one.auroc, one.low, one.high), significant(one.mmd_squared), p_short(one.mmd_p))
            for one in (record.layer, record.statistics)
            if one is not None
        ],
    )
    say_table(
        ("differs most", "AUROC", "Holm p", "real", "simulated"),
        [
            (
                one.name, with_interval(one.auroc, one.low, one.high, 2), p_short(one.p_holm), significant(one.real),
                significant(one.simulated),
            )
            for one in record.shifts[:SHOWN]
        ],
    )  # fmt: skip
    say(f"outside the simulated cutouts' domain: {proportion(record.domain.outside)} real cutouts")
