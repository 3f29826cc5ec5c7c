"""``lensaudit dream`` and ``judge``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lensaudit.cli import options as opt
from lensaudit.cli.console import say, say_json, say_table

if TYPE_CHECKING:
    from lensaudit.explaining import DreamFiles, Judgement, Score


def register_dream(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(
        epilog=opt.examples(
            "lensaudit dream ou66 --set runs/test --out runs/dreams",
            "lensaudit dream ou66 --from runs/test --id euclid-000007 --out runs/dreams",
            "lensaudit dream ou66 --layer 13 --out runs/dreams",
        )
    )(dream)


def dream(
    finder: opt.Finder,
    out: opt.Out,
    classes: Annotated[
        list[str], typer.Option("--class", metavar="NAME", help="lens or non-lens; by default both.")
    ] = [],
    layers: Annotated[
        list[str],
        typer.Option("--layer", metavar="NAME", help="All kernels of this convolution, in one optimisation."),
    ] = [],
    kernels: Annotated[list[str], typer.Option("--kernel", metavar="LAYER:KERNEL", help="One kernel, as 13:4.")] = [],
    begin: Annotated[
        Path | None,
        typer.Option("--from", metavar="SET", help="Deep Dream: begin from systems of this lens set, not from noise."),
    ] = None,
    ids: opt.Ids = [],
    beside: Annotated[
        Path | None,
        typer.Option(
            "--set", metavar="SET", help="Show beside each image the cutouts of this set of highest activation."
        ),
    ] = None,
    scan: Annotated[int, typer.Option("--scan", metavar="N", help="Most cutouts of it to look at.")] = 2000,
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps", metavar="N", help="Default: the paper's, 5000 from noise, 1000 from a cutout, kernels 50."
        ),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option("--rate", metavar="X", help="Default: the paper's, 0.1 from noise, 0.001 from a cutout."),
    ] = None,
    optimiser: Annotated[
        Literal["ascent", "adam"] | None,
        typer.Option("--optimiser", help="Default: ascent for classes, adam for kernels."),
    ] = None,
    bounds: Annotated[
        Literal["rescale", "clip", "free"] | None,
        typer.Option("--bounds", help="Pixels in [0, 1]: rescale (classes), clip, or free (kernels)."),
    ] = None,
    objective: Annotated[
        Literal["output", "log-odds"] | None,
        typer.Option("--objective", help="Of a class: output (before softmax, default) or log-odds."),
    ] = None,
    decay: Annotated[
        float | None,
        typer.Option("--decay", metavar="X", help="Weight decay. Default: 0 for classes, 1e-6 for kernels."),
    ] = None,
    regularise: Annotated[
        str, typer.Option("--regularise", metavar="WORDS", help="jitter, fourier, tv; with strengths: jitter=4,tv=0.5.")
    ] = "",
    brighten: Annotated[
        float, typer.Option("--brighten", metavar="PERCENT", help="Brighten NISP pictures; the paper's Fig. 16: 150.")
    ] = 0.0,
    force: opt.Force = False,
    seed: opt.Seed = 0,
    reading: opt.Reading = opt.READING,
    as_json: opt.Json = False,
) -> None:
    """Make images that excite a class or a kernel most: class images, Deep Dream, kernel images."""
    from lensaudit.cli.running import check_sets, progress_bar, read_by
    from lensaudit.errors import UsageError
    from lensaudit.explaining import Changes, DreamWish, chosen_targets, dream_files, from_cutouts, from_noise
    from lensaudit.lensset import open_cutouts

    if ids and begin is None:
        raise UsageError("--id names a system of a lens set; say which set with --from SET")
    start, shown = (None if path is None else open_cutouts(path) for path in (begin, beside))
    sets = [one for one in (start, shown) if one is not None]
    loaded = read_by(finder, reading, sets[:1])
    targets = chosen_targets(loaded.module, classes, kernels, layers)
    changes = Changes(steps, rate, optimiser, bounds, objective, decay, seed, regularise)
    check_sets(loaded, sets)
    starts = (from_noise(loaded, seed),) if start is None else from_cutouts(loaded, start, ids)
    wish = DreamWish(targets, starts, changes, shown, scan, brighten, force)
    run = dream_files(loaded, wish, out, progress_bar)
    if as_json:
        facts = {"finder": loaded.name, "dreams": [entry.to_json() for entry in run.files]}
        say_json(facts | {"sheets": [str(path) for path in run.sheets], "notes": list(run.notes)})
        return
    for entry in run.files:
        say(_line(entry), err=entry.failed)
    say(*(str(path) for path in run.sheets))
    say(*run.notes, err=True)


def _line(entry: DreamFiles) -> str:
    where = entry.target.name + (f" from {entry.start}" if entry.start else "")
    if entry.dream is None:
        return f"{where}: {entry.status}"
    first, last = entry.dream.values[0], entry.dream.values[-1]
    p = entry.dream.p_lens
    return (
        f"{where}: {entry.status}, {first:.3g} → {last:.3g}, p(lens) {p[0]:.3f} → {p[-1]:.3f}, {entry.fits} .png .gif"
    )


FAILS, INCONCLUSIVE = " †", " ‡"


def register_judge(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(
        epilog=opt.examples(
            "lensaudit judge ou66 runs/test --per-kind 10 --out runs/judged",
            "lensaudit judge ou66 runs/test --method saliency --method gradcam --out runs/judged",
            "lensaudit judge ou66 runs/test --with localisation --out runs/judged",
        )
    )(judge)


def judge(
    finder: opt.Finder,
    sets: Annotated[
        list[Path], typer.Argument(metavar="SET...", help="Lens sets, or YAMLs; localisation needs truth.")
    ],
    out: opt.Out,
    method: opt.Method = [],
    old_methods: opt.OldMethods = None,
    parts: Annotated[
        list[str],
        typer.Option(
            "--with", metavar="NAME",
            help="localisation, deletion, insertion, infidelity, sensitivity, randomisation or compound; "
            "repeat it for more. Default: all.",
        ),
    ] = [],
    per_kind: Annotated[int, typer.Option("--per-kind", metavar="N", help="Images of each kind of scene.")] = 20,
    few: Annotated[int, typer.Option("--few", metavar="N", help="Of those, how many for the sensitivity.")] = 5,
    check_images: Annotated[
        int,
        typer.Option(
            "--check-images", metavar="N", help="Images of the randomisation check; more where it is inconclusive."
        ),
    ] = 12,
    fill: Annotated[
        Literal["zero", "blur"],
        typer.Option("--fill", help="Value of a deleted pixel in deletion and insertion."),
    ] = "zero",
    layers: Annotated[
        bool, typer.Option("--layers/--no-layers", help="Whether the randomisation check also goes layer by layer.")
    ] = True,
    seed: opt.Seed = 0,
    workers: opt.Workers = 1,
    reading: opt.Reading = opt.READING,
    as_json: opt.Json = False,
) -> None:  # fmt: skip
    """Evaluate attributions: localisation, faithfulness, randomisation check, both sources of compound lenses."""
    from dataclasses import replace
    from functools import partial

    from lensaudit.cli.explain import methods_named, that_apply
    from lensaudit.cli.running import open_all, watching
    from lensaudit.cli.score_parts import named_absolutely
    from lensaudit.explaining import JudgeSettings, Watcher
    from lensaudit.explaining import judge as score
    from lensaudit.explaining.attribution.methods import default_methods
    from lensaudit.explaining.judging.elsewhere import JudgeParts
    from lensaudit.spread import cluster

    named = methods_named(method, old_methods)
    settings = JudgeSettings.of_words(
        ",".join(named) or None,
        ",".join(parts) or None,
        per_kind=per_kind,
        few=few,
        check_images=check_images,
        fill=fill,
        seed=seed,
        layers=layers,
    )
    loaded, opened = open_all(finder, sets, reading)
    methods = settings.methods if named else default_methods(loaded)
    settings = replace(settings, methods=that_apply(loaded, methods) or methods)
    places = tuple(path.absolute() for path in sets)
    parts_of = JudgeParts(named_absolutely(finder), places, reading, out.absolute(), settings)
    elsewhere = (parts_of, workers) if workers > 1 or cluster() else None
    with watching(counted=False) as show:  # parts of the work differ in cost, so what is counted is time
        watcher = Watcher(told=show.tell, progress=partial(show, f"judging {loaded.name}"))
        found = score(loaded, opened, out, settings, watcher, elsewhere)
    if as_json:
        say_json(found.to_json())
    else:
        _show(found, out)


def _show(found: Judgement, out: Path) -> None:
    from lensaudit.explaining.judging.page import scores_of, shown_kinds, words

    for kind in shown_kinds(found):
        _show_kind(found, kind, scores_of(found, kind))
    say("* the 95 % interval of the difference to chance lies on the better side")
    say("† fails the randomisation check   ‡ the check cannot tell")
    say(*words(found), f"{out}: explanation-scores.parquet, .json, .md and .png")


def _show_kind(found: Judgement, kind: str, scores: Sequence[Score]) -> None:
    """Methods and baselines down, scores across."""
    from lensaudit.explaining.judging.page import ARROWS, cell, chance_of, methods_of

    chance = [chance_of(found, kind, score) for score in scores]
    lines = [["chance", *("–" if math.isnan(value) else f"{value:.2f}" for value in chance)]]
    for name in methods_of(found):
        rows = [found.row(name, kind, score.name) for score in scores]
        if any(rows):
            label = found.label(name)
            mark = "" if not label else FAILS if label.startswith("fails") else INCONCLUSIVE
            lines.append(
                [name + mark, *(_narrow(cell(row, marks=False), bool(row and row.beats_chance)) for row in rows)]
            )
    say(f"{found.finder}: {kind}")
    say_table(["method", *(score.name + ARROWS[score.better] for score in scores)], lines, split=True)
    say("")


def _narrow(text: str, beats: bool) -> str:
    """The interval below the value; a star where it is beyond chance."""
    value, _, interval = text.partition(" [")
    return f"{value}{'*' if beats else ''}" + (f"\n[{interval}" if interval else "")
