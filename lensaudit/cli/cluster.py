"""``lensaudit cluster``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lensaudit.cli import options as opt
from lensaudit.cli.console import say, say_json
from lensaudit.display.numbers import decimal, interval, measured, shortest

if TYPE_CHECKING:
    from lensaudit.clustering import Clustered
    from lensaudit.clustering.sweep import SweepResult


def register_cluster(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(
        epilog=opt.examples(
            "lensaudit cluster runs/vis101 --epochs 5 --test runs/test --out runs/cae",
            "lensaudit cluster runs/vis101 --sweep-embedding 4,8,16,24 --out runs/sweep",
        )
    )(cluster)


def cluster(
    lens_set: Annotated[Path, typer.Argument(metavar="SET", help="Lens set, or YAML of cutouts; it needs no labels.")],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="For finder, clusters.html and numbers; may go on.")
    ],
    recipe: Annotated[
        str,
        typer.Option("--recipe", metavar="RECIPE", help="Of architecture cae-bgm: name, recipe.yaml or folder."),
    ] = "cae-bgm",
    finder: Annotated[
        str | None,
        typer.Option(
            "--finder", metavar="FINDER", help="Take this finder's clusters instead of training one.",
            autocompletion=opt.finder_names,
        ),
    ] = None,
    marks: Annotated[
        Path | None,
        typer.Option("--marks", metavar="FILE", help="Saved from clusters.html; default DIR/marks.json."),
    ] = None,
    test: Annotated[Path | None, typer.Option("--test", metavar="SET", help="Labelled set to measure.")] = None,
    images: Annotated[
        int | None,
        typer.Option("--images", metavar="N", min=2, help="Images of SET to train on and cluster; default all."),
    ] = None,
    denoiser_epochs: Annotated[
        int | None, typer.Option("--denoiser-epochs", metavar="N", min=1, help="By default the recipe's epochs.")
    ] = None,
    epochs: opt.Epochs = None,
    batch: opt.TrainingBatch = None,
    lr: opt.LearningRate = None,
    augment: Annotated[
        Literal["none", "dihedral"] | None,
        typer.Option("--augment", help="none (the paper), or dihedral: rotated and mirrored images."),
    ] = None,
    precision: opt.PrecisionIfAny = None,
    embedding: Annotated[
        int | None,
        typer.Option("--embedding", metavar="N", min=1, help="Features of an image, and clusters; 24 in the paper."),
    ] = None,
    filters: Annotated[
        int | None, typer.Option("--filters", metavar="N", min=8, help="Of the first layer; 128 in the paper.")
    ] = None,
    stretch: Annotated[
        str | None,
        typer.Option("--stretch", metavar="NAME", help="minmax (linear) or log-minmax; by default the recipe's."),
    ] = None,
    no_denoiser: Annotated[
        bool, typer.Option("--no-denoiser", help="Extract features from the images themselves; not in the paper.")
    ] = False,
    pose_free: Annotated[
        bool,
        typer.Option("--pose-free", help="Average the embedding over the 8 rotations and mirrors: 8× the cost."),
    ] = False,
    ratios: Annotated[
        bool, typer.Option("--ratios", help="Metrics at 1:1 … 1:10 000 lenses to non-lenses.")
    ] = False,
    cut: Annotated[bool, typer.Option("--cut", help="Measure lenses of ≥ 100 lensed pixels and S/N ≥ 50 too.")] = False,
    orientations: Annotated[
        int,
        typer.Option(
            "--orientations", metavar="N", min=0, help="Test images to rotate: how often do they change cluster?"
        ),
    ] = 0,
    source_only: Annotated[
        bool, typer.Option("--source-only", help="Cluster the lensed light of the test set alone.")
    ] = False,
    sweep: Annotated[
        str | None, typer.Option("--sweep-embedding", metavar="4,8,…", help="AUROC against the size.")
    ] = None,
    reruns: Annotated[
        int, typer.Option("--reruns", metavar="N", min=1, help="Trainings per size of the sweep.")
    ] = 3,
    field_of_view: opt.TrainedField = None,
    seed: opt.Seed = 1,
    device: opt.Device = "auto",
    threads: opt.Threads = None,
    processes: opt.Processes = 1,
    restart: opt.Restart = False,
    as_json: opt.Json = False,
) -> None:  # fmt: skip
    """Cluster a set without labels, write a page to mark the clusters on, and measure (Cheng et al. 2020)."""
    from dataclasses import replace

    from lensaudit.cli.running import watching
    from lensaudit.clustering import (
        RATIOS,
        ClusterData,
        ClusterOptions,
        ClusterPlace,
        Extras,
        Sweep,
        sweep_embedding,
    )
    from lensaudit.clustering import cluster as run
    from lensaudit.finders import choose_device, load_finder, load_recipe
    from lensaudit.lensset import open_cutouts
    from lensaudit.training.fit import threads as with_threads

    choose_device(device)
    start: Any = opt.of_width(
        _changed(
            load_recipe(recipe),
            stretch,
            embedding=embedding,
            filters=filters,
            pose_free=pose_free or None,
            denoise=False if no_denoiser else None,
        ),
        field_of_view,
    )
    options = ClusterOptions.of(
        start,
        images=images,
        denoiser_epochs=denoiser_epochs,
        epochs=epochs,
        batch_size=batch,
        learning_rate=lr,
        augment=augment,
        precision=precision,
        seed=seed,
    )
    sizes = None if sweep is None else Sweep(_sizes(sweep), reruns)
    data = ClusterData(open_cutouts(lens_set), None if test is None else open_cutouts(test))
    place = ClusterPlace(out, marks, restart, device, processes)
    extras = Extras(RATIOS if ratios else (), cut, orientations, source_only)
    found = start
    if finder is not None:
        loaded = load_finder(finder)
        found = replace(loaded, recipe=opt.of_width(loaded.recipe, field_of_view))
    with with_threads(threads, processes), watching() as progress:
        clustered = run(found, data, place, options, extras, progress)
        swept = None if sizes is None else sweep_embedding(start, data, place, options, sizes, progress)
    _show(clustered, swept, out, as_json=as_json)


def _changed(recipe: Any, stretch: str | None, **options: int | bool | None) -> Any:
    """The recipe with the user's words on top; None leaves what it says."""
    from lensaudit.errors import UsageError
    from lensaudit.finders.stretch import NAMED

    if stretch is not None and stretch not in NAMED:
        raise UsageError(f"--stretch {stretch}: not known; allowed: {', '.join(NAMED)}")
    given = {name: value for name, value in options.items() if value is not None}
    taken = dict(recipe.architecture_options) | given
    return recipe.model_copy(
        update={"architecture_options": taken, **({} if stretch is None else {"stretch": stretch})}
    )


def _sizes(words: str) -> tuple[int, ...]:
    from lensaudit.errors import UsageError

    try:
        return tuple(int(word) for word in words.split(","))
    except ValueError:
        raise UsageError(f"--sweep-embedding {words}: give whole numbers with commas, as in 4,8,16,24") from None


def _show(clustered: Clustered, swept: SweepResult | None, out: Path, *, as_json: bool) -> None:
    record = clustered.record
    if as_json:
        say_json({**record, "sweep": None if swept is None else swept.to_json()})
        return
    filled = [one for one in clustered.clusters if not one.is_empty]
    empty = len(clustered.clusters) - len(filled)
    say(
        f"{out}: {sum(one.n for one in filled)} images in {len(filled)} clusters"
        + (f"; {empty} of {len(clustered.clusters)} clusters are empty and say nothing" if empty else "")
    )
    if record["metrics"]["mixture"].get("converged") is False:
        say("the mixture has not converged; its clusters may move with more iterations", err=True)
    for line in _measured(record["metrics"].get("test")):
        say(f"  {line}")
    if swept is not None:
        for one in swept.sizes:
            mean, spread = sum(one.auroc) / len(one.auroc), interval(min(one.auroc), max(one.auroc), 4)
            say(f"  {one.embedding} features: AUROC {decimal(mean, 4)} ({spread} in {swept.reruns} runs)")
    say(f"  mark the clusters in {out}/clusters.html, save marks.json into {out}, and run the same command again")
    say(f"  use it as: lensaudit score {clustered.marked.origin if clustered.marked else clustered.finder.origin} SET")


def _measured(test: dict[str, Any] | None) -> list[str]:
    """One line per number that was measured."""
    if not test:
        return []
    lines = []
    for name, title in (("known", "known fractions"), ("marks", "marks")):
        for part, what in (("all", "all"), ("cut", "cut")) if name in test else ():
            if part in test[name]:
                one = test[name][part]
                named = ", ".join(f"{words} {measured(one[metric], 3)}" for metric, words in _SHOWN.items())
                lines.append(f"{title}, {what}: {named}; {one['n_lenses']} lenses, {one['n_non_lenses']} non-lenses")
        for row in test.get(name, {}).get("ratios", []):
            named = ", ".join(
                f"{metric} {measured(row[metric], 3)}" for metric in ("recall", "precision", "f1", "accuracy")
            )
            lines.append(f"{title}, 1:{shortest(row['ratio'])}: {named}")
    rich = test["lenses_in_rich_clusters"]
    lines.append(f"lenses in clusters of lens fraction ≥ 0.6: {measured(rich, 3)}, n = {rich['n']}")
    if turned := test.get("orientations"):
        lines.append(
            f"turned images: another cluster in {measured(turned['by_one'], 3)} of the turns, in at least one for "
            f"{measured(turned['ever'], 3)}; two different images {decimal(turned['by_chance'])}; another call for "
            f"{measured(turned['call'], 3)}; n = {turned['n']}"
        )
    if light := test.get("source_only"):
        pure, radius, angle = (measured(light[name], 3) for name in ("pure", "radius", "angle"))
        lines.append(
            f"lensed light alone: {light['clusters']} clusters, {pure} of the images are of their cluster's majority; "
            f"variance between clusters of the Einstein radius {radius}, of the arc's place {angle}; "
            f"n = {light['n_lenses']} lenses, {light['n_empty']} empty"
        )
    return lines


_SHOWN = {"auroc": "AUROC", "tpr0": "TPR0", "tpr10": "TPR10", "accuracy": "accuracy"}
