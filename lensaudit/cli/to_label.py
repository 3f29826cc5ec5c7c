"""``lensaudit to-label``: which images to label next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lensaudit.cli import options as opt
from lensaudit.cli.console import say, say_json, say_table
from lensaudit.display.numbers import count, decimal, significant

if TYPE_CHECKING:
    from lensaudit.evaluation.scored_rows import ScoredRows

SHOWN = 5
"""Rows that the terminal shows."""


def register_to_label(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(
        "to-label",
        epilog=opt.examples(
            "lensaudit to-label runs/committee.parquet --n 200 --out runs/label.csv",
            "lensaudit to-label runs/1.parquet runs/2.parquet --n 500 --labelled known.csv --out runs/label.csv",
            "lensaudit to-label ou66 ou200 --set runs/survey --n 100 --random 0.5 --out runs/label.parquet",
        ),
    )(to_label)


def to_label(
    scores: Annotated[
        list[str],
        typer.Argument(
            metavar="SCORES...",
            help="Files or folders of lensaudit score: of one finder, of a committee, or of several finders on the "
            "same images, which then are one; with --set the finders themselves.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Table of the images: .csv or .parquet.")],
    n: Annotated[int, typer.Option("--n", metavar="N", help="Images to label.")] = 100,
    random: Annotated[
        float,
        typer.Option(
            "--random", metavar="FRACTION",
            help="Of them drawn at random, with weights that keep estimates over all images unbiased.",
        ),
    ] = 0.2,
    gain: Annotated[
        Literal["information", "entropy"] | None,
        typer.Option(
            "--gain",
            help="Expected gain of a label: mutual information of label and member (of a committee, its default), or "
            "entropy of p.",
        ),
    ] = None,
    labelled: Annotated[
        list[Path], typer.Option("--labelled", metavar="FILE", help="Table of ids to leave out; repeat it for more.")
    ] = [],
    embedding: Annotated[
        Path | None,
        typer.Option(
            "--embedding", metavar="PATH",
            help="Vectors by which the images are spread out: a folder of lensaudit embed, Parquet with id, or .npy. "
            "Default: the members' log-odds.",
        ),
    ] = None,
    lens_set: Annotated[
        Path | None, typer.Option("--set", metavar="SET", help="Lens set to score with the finders that are named.")
    ] = None,
    seed: opt.Seed = 0,
    batch: opt.Batch = None,
    force: opt.Force = False,
    reading: opt.Reading = opt.READING,
    as_json: opt.Json = False,
) -> None:  # fmt: skip
    """Choose which images to label next: those that teach most, spread out, and some at random.

    Expected gain of a label: of several finders or a committee the mutual information of the label and of which member
    is right (BALD), of one finder the entropy of its p. Images are taken one after the other by gain times distance to
    the nearest one taken. The table says why each is in it, and how many images it stands for.
    """
    from lensaudit.errors import UsageError
    from lensaudit.evaluation.label_table import LabelTable, checked_ending
    from lensaudit.evaluation.to_label import LabelSettings
    from lensaudit.evaluation.to_label import to_label as chosen

    if checked_ending(out).exists() and not force:
        raise UsageError(f"{out}: is there, perhaps with labels; choose another --out, or --force to replace it")
    settings = LabelSettings(n, random, seed, gain or "")
    known = frozenset(name for path in labelled for name in _ids(path))
    with _opened(scores, lens_set, reading, batch) as opened:
        plan, table = chosen(opened, settings, known, embedding)
    LabelTable(plan, table).write(out)
    if as_json:
        say_json(plan.to_json())
        return
    left = f", {count(plan.left_out)} with a label left out" if plan.left_out else ""
    left += f", {count(plan.unscored)} without a score" if plan.unscored else ""
    say(f"{count(plan.images)} images{left}: {plan.by_gain} by {plan.gain}, spread out in {plan.spread}")
    if plan.at_random:
        stands = significant(plan.weight)
        say(f"{plan.at_random} at random, each standing for {stands} images; all others for themselves")
    else:
        say("none at random: what is measured on these images says nothing of the others")
    rows = table.slice(0, SHOWN).to_pylist()
    say_table(
        ("order", "id", "reason", "gain", "p"),
        [(str(r["order"]), r["id"], r["reason"], decimal(r["gain"], 4), decimal(r["p_lens"])) for r in rows],
    )
    say(f"{out}: {len(table)} images")


def _ids(path: Path) -> list[str]:
    from lensaudit.tables import read_table

    table = read_table(path, "ids")
    return list(table.ids(table.need("id")))


@contextmanager
def _opened(
    names: list[str], lens_set: Path | None, reading: opt.Reading, batch: int | None
) -> Iterator[list[ScoredRows]]:
    """The scores that are named, or those that the finders give for the set, kept as long as they are read."""
    from tempfile import TemporaryDirectory

    from lensaudit.evaluation.scored_rows import ScoredRows

    if lens_set is None:
        yield [ScoredRows.open(Path(name)) for name in names]
        return
    from lensaudit.cli.running import open_both, scores_of
    from lensaudit.finders import write_scores
    from lensaudit.provenance import provenance
    from lensaudit.untrusted import path_within

    with TemporaryDirectory(prefix="lensaudit-") as folder:
        opened: list[ScoredRows] = []
        for name in names:
            finder, images = open_both(name, lens_set, reading)
            path = path_within(Path(folder), f"{len(opened)}.parquet")
            inputs = {"finder": finder.weights_hash, "set": images.content_hash}
            record = {"finder": finder.name, "provenance": provenance(inputs=inputs)}
            write_scores(scores_of(finder, images, None, batch), path, record)
            opened.append(ScoredRows.open(path))
        yield opened
