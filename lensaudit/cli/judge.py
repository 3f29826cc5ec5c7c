"""``lensaudit judge``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lensaudit.cli import options as opt
from lensaudit.cli.console import say, say_json, say_table

if TYPE_CHECKING:
    from lensaudit.explain import Judgement, Score

FAILS, UNDECIDED = " †", " ‡"


def register(app: typer.Typer) -> None:
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
        list[Path], typer.Argument(metavar="SET...", help="Lens sets; truth is needed for where maps should lie.")
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
    few: Annotated[int, typer.Option("--few", metavar="N", help="Of those, how many get the sensitivity.")] = 5,
    check_images: Annotated[
        int,
        typer.Option(
            "--check-images", metavar="N", help="Images of the randomisation check; more where they cannot tell."
        ),
    ] = 12,
    fill: Annotated[
        Literal["zero", "blur"],
        typer.Option("--fill", help="What stands for a missing pixel in deletion and insertion."),
    ] = "zero",
    seed: opt.Seed = 0,
    field_of_view: opt.FieldOfView = None,
    resample: opt.Resample = False,
    refit: opt.Refit = False,
    device: opt.Device = "auto",
    threads: opt.Threads = None,
    as_json: opt.Json = False,
) -> None:  # fmt: skip
    """Score explanations: on the arcs or not, faithful or not, learnt or not; both sources of compound lenses."""
    from dataclasses import replace
    from functools import partial

    from lensaudit.cli.explain import methods_named, that_apply
    from lensaudit.cli.opening import open_all
    from lensaudit.cli.progress import watching
    from lensaudit.explain import JudgeSettings, Watcher
    from lensaudit.explain import judge as score

    settings = JudgeSettings.of_words(
        ",".join(methods_named(method, old_methods)) or None,
        ",".join(parts) or None,
        per_kind=per_kind,
        few=few,
        check_images=check_images,
        fill=fill,
        seed=seed,
    )
    loaded, opened = open_all(finder, sets, opt.Reading(field_of_view, resample, refit, device, threads))
    settings = replace(settings, methods=that_apply(loaded, settings.methods) or settings.methods)
    with watching(counted=False) as show:  # parts of the work differ in cost, so what is counted is time
        watcher = Watcher(told=show.tell, progress=partial(show, f"judging {loaded.name}"))
        found = score(loaded, opened, out, settings, watcher)
    if as_json:
        say_json(found.to_json())
    else:
        _show(found, out)


def _show(found: Judgement, out: Path) -> None:
    from lensaudit.explain.judging.page import scores_of, words
    from lensaudit.explain.judging.picture import shown_kinds

    for kind in shown_kinds(found):
        _show_kind(found, kind, scores_of(found, kind))
    say("* the 95 % interval of the difference to chance lies on the better side")
    say("† fails the randomisation check   ‡ the check cannot tell")
    say(*words(found), f"{out}: explanation-scores.parquet, .json, .md and .png")


def _show_kind(found: Judgement, kind: str, scores: Sequence[Score]) -> None:
    """Methods and baselines down, scores across."""
    from lensaudit.explain.judging.page import ARROWS, cell, chance_of
    from lensaudit.explain.judging.picture import methods_of

    chance = [chance_of(found, kind, score) for score in scores]
    lines = [["chance", *("–" if math.isnan(value) else f"{value:.2f}" for value in chance)]]
    for name in methods_of(found):
        rows = [found.row(name, kind, score.name) for score in scores]
        if any(rows):
            label = found.label(name)
            mark = "" if not label else FAILS if label.startswith("fails") else UNDECIDED
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
