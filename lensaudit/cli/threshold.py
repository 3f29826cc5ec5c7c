"""``lensaudit threshold``."""

from __future__ import annotations

from os.path import lexists
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lensaudit.cli import options as opt
from lensaudit.cli.console import say, say_json

if TYPE_CHECKING:
    from lensaudit.evaluation import Metric


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(epilog=opt.examples("lensaudit threshold ou66 runs/test --fpr 0.01 --out runs/ou66-at-1-percent"))(
        threshold
    )


def threshold(
    finder: opt.Finder,
    lens_set: Annotated[
        Path, typer.Argument(metavar="SET", help="Lens set with non-lenses, none of which trained the finder.")
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder of the same finder with the new threshold.")
    ],
    fpr: Annotated[
        float,
        typer.Option(
            "--fpr", metavar="RATE",
            help="Fraction of the non-lenses that may be called lenses (Lanusse et al.: 0.01).",
        ),
    ] = 0.01,
    scores: opt.Scores = None,
    force: opt.Force = False,
    batch: opt.Batch = None,
    field_of_view: opt.FieldOfView = None,
    resample: opt.Resample = False,
    refit: opt.Refit = False,
    device: opt.Device = "auto",
    threads: opt.Threads = None,
    as_json: opt.Json = False,
) -> None:  # fmt: skip
    """Set the threshold of a finder at a false-positive rate, and keep it with the finder."""
    from lensaudit.cli.opening import open_both, scores_of
    from lensaudit.errors import UsageError
    from lensaudit.evaluation import evaluate
    from lensaudit.finders import calling_at, read_record, save_finder
    from lensaudit.finders.recipe import builtin_finder_folder
    from lensaudit.finders.store import refuse_other_finder
    from lensaudit.provenance import provenance

    if not 0 < fpr < 1:
        raise UsageError(f"--fpr {fpr:g} is not a rate; give a number between 0 and 1")
    if ":" in finder and not Path(finder).is_dir():
        raise UsageError(f"finder {finder}: your own code keeps its threshold in its declaration; set it there")
    loaded, opened = open_both(finder, lens_set, opt.Reading(field_of_view, resample, refit, device, threads))
    inputs = {"finder": loaded.weights_hash, "set": opened.content_hash}
    folder = Path(finder) if Path(finder).is_dir() else builtin_finder_folder(finder)
    if not force and out.resolve() != folder.resolve():
        refuse_other_finder(out, inputs, {}, "or --force to replace it")
    found = scores_of(loaded, opened, scores, batch)
    placed = calling_at(loaded, opened.labels, found.logit, fpr)
    result = evaluate(opened.labels, found.p_lens, found.logit, threshold=placed.recipe.threshold)
    before = read_record(folder)
    recall = next(metric for metric in result.metrics if metric.name == "recall")
    facts = {"set": opened.content_hash, "fpr": fpr, "threshold": placed.recipe.threshold, "n_others": result.n_others}
    save_finder(
        placed,
        out,
        origin=f"{before.origin}; threshold set at a false-positive rate of {fpr:g} on {result.n_others} non-lenses",
        training_data=before.training_data,
        metrics={**before.metrics, "threshold_set_on": facts},
        provenance=provenance(inputs=inputs),
        card=_card(folder, facts, recall),
    )
    if as_json:
        say_json({"out": str(out), **facts, "recall": recall.as_json()})
        return
    say(
        f"{out}: {placed.name} calls a lens from p = {placed.recipe.threshold:.6g}, which {fpr:g} of {result.n_others} "
        f"non-lenses reach at most; recall there {recall.value:.4f} ({recall.low:.4f}–{recall.high:.4f}), "
        f"{result.n_lenses} lenses"
    )


def _card(folder: Path, facts: dict[str, Any], recall: Metric) -> str | None:
    """The finder's card with what was done to it; None where it has none."""
    from lensaudit.documents import read_text
    from lensaudit.finders.store import CARD_FILE

    card = folder / CARD_FILE
    if not lexists(card):
        return None
    return read_text(card, "write it again in UTF-8, or remove it") + (
        f"\n## Threshold\n\nSet afterwards to p = {facts['threshold']:.6g}: at most {facts['fpr']:g} of the "
        f"{facts['n_others']} non-lenses of set `{facts['set'][:16]}` reach it; recall there {recall.value:.3f} "
        f"({recall.low:.3f}–{recall.high:.3f}), n = {recall.n}. Calls above are at the earlier one.\n"
    )
