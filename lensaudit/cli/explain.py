"""``lensaudit explain``, ``gradcam``, ``occlusion`` and ``kernels``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from lensaudit.cli import options as opt
from lensaudit.cli.console import say, say_json


def register_explain(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(
        epilog=opt.examples(
            "lensaudit explain ou66 runs/test --id euclid-000007 --out runs/explained",
            "lensaudit explain ou66 runs/test --first 5 --method deeplift --out runs/explained",
        )
    )(explain)


def explain(
    finder: opt.Finder,
    lens_set: opt.Set,
    out: opt.Out,
    method: opt.Method = [],
    old_methods: opt.OldMethods = None,
    ids: opt.Ids = [],
    first: opt.First = None,
    every: opt.All = False,
    judged: opt.Judged = None,
    force: opt.Force = False,
    seed: opt.Seed = 0,
    reading: opt.Reading = opt.READING,
    as_json: opt.Json = False,
) -> None:
    """Map which pixels speak for "lens": gradients, Grad-CAM, DeepLIFT, occlusion and more; FITS and pictures."""
    from lensaudit.cli.running import check_sets, read_by
    from lensaudit.errors import UsageError
    from lensaudit.explaining import METHODS, Explainer, Request, applicable_methods, chosen_systems
    from lensaudit.explaining.attribution.methods import default_methods, not_applicable
    from lensaudit.explaining.judging.recommending import advise, found_in, kind_of
    from lensaudit.lensset import open_cutouts

    opened = open_cutouts(lens_set)
    systems = chosen_systems(opened, ids, first, every)
    loaded = read_by(finder, reading, [opened])
    names = methods_named(method, old_methods) or default_methods(loaded)
    check_sets(loaded, [opened])
    if not set(names) & set(applicable_methods(loaded)) and set(names) <= set(METHODS):
        raise UsageError(not_applicable(METHODS[names[0]], loaded))
    own = {} if judged is None else found_in(judged, loaded.name, loaded.weights_hash)
    kinds = dict.fromkeys(kind_of(opened, system) for system in systems)
    apply = that_apply(loaded, names)
    advice = tuple(advise(kind, loaded.weights_hash, own, among=apply) for kind in kinds)
    request = Request(apply, seed=seed, advice=advice)
    carry_out(Explainer(loaded), request, opened, systems, out, force=force, as_json=as_json)


def methods_named(repeated: Sequence[str], commas: str | None) -> tuple[str, ...]:
    """Methods that were named; empty for all."""
    names = opt.named(repeated, commas)
    return () if "all" in names else names


def that_apply(finder: Any, names: tuple[str, ...]) -> tuple[str, ...]:
    """Of the methods `names` those that apply, with a line on the error stream where some need what is not there."""
    from lensaudit.explaining import METHODS, applicable_methods

    apply = applicable_methods(finder)
    if left := [name for name in names if name in METHODS and name not in apply]:
        lacks = "attention" if finder.differentiable else "gradient"
        say(f"finder {finder.name} has no {lacks}, so these do not apply: {', '.join(left)}", err=True)
    return tuple(name for name in names if name not in left)


def carry_out(
    explainer: Any, request: Any, lens_set: Any, systems: Any, out: Path, *, force: bool, as_json: bool
) -> None:
    """Make the files and say which; shared with ``lensaudit gradcam``."""
    from lensaudit.cli.running import progress_bar
    from lensaudit.explaining import explain_systems

    name = explainer.finder.name
    with progress_bar(f"explaining {name}") as report:
        files = explain_systems(explainer, request, lens_set, systems, out, force=force, progress=report)
    if as_json:
        facts = {"finder": name, "methods": list(request.methods), "seed": request.seed}
        facts |= {"advice": [one.to_json() for one in request.advice]} if request.advice else {}
        say_json({**facts, "systems": [one.to_json() for one in files]})
        return
    for entry in files:
        say(f"{entry.id}: {entry.status}" + (f", {entry.fits} and .png" if entry.fits else ""), err=entry.fits is None)
    notes = [note for entry in files for result in entry.results for note in result.notes]
    notes += [why for entry in files if entry.fits for why in entry.failed.values()]
    say(*dict.fromkeys(notes), err=True)
    say(*(one.sentence for one in request.advice))


def register_gradcam(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(epilog=opt.examples("lensaudit gradcam ou66 runs/test --first 5 --out runs/gradcam"))(gradcam)


def gradcam(
    finder: opt.Finder,
    lens_set: opt.Set,
    out: opt.Out,
    ids: opt.Ids = [],
    first: opt.First = None,
    every: opt.All = False,
    threshold: Annotated[
        float,
        typer.Option(
            "--threshold", metavar="VALUE", help="Pixels are shown from this value of Guided Grad-CAM (the paper's)."
        ),
    ] = 0.05,
    force: opt.Force = False,
    reading: opt.Reading = opt.READING,
    as_json: opt.Json = False,
) -> None:
    """Grad-CAM and Guided Grad-CAM of the last convolution, as in Fig. 17 of Wilde et al. 2022."""
    from lensaudit.cli.running import check_sets, read_by
    from lensaudit.errors import UsageError
    from lensaudit.explaining import Explainer, Request, chosen_systems, no_gradient
    from lensaudit.lensset import open_cutouts

    if not threshold > 0:
        raise UsageError(f"--threshold {threshold:g} would show everything; give a value above 0")
    opened = open_cutouts(lens_set)
    systems = chosen_systems(opened, ids, first, every)
    loaded = read_by(finder, reading, [opened])
    if not loaded.differentiable:
        raise UsageError(no_gradient("Grad-CAM", loaded))
    check_sets(loaded, [opened])
    request = Request(("gradcam", "guided-gradcam"), "threshold", threshold=threshold)
    carry_out(Explainer(loaded), request, opened, systems, out, force=force, as_json=as_json)


def register_occlusion(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(
        epilog=opt.examples(
            "lensaudit occlusion ou66 runs/test --id euclid-000007 --out runs/occlusion",
            "lensaudit occlusion ou66 runs/test --first 20 --stride 1 --out runs/occlusion",
        )
    )(occlusion)


def occlusion(
    finder: opt.Finder,
    lens_set: opt.Set,
    out: opt.Out,
    ids: opt.Ids = [],
    first: opt.First = None,
    every: opt.All = False,
    patch: Annotated[
        int | None,
        typer.Option("--patch", metavar="N", help="Side of the patch in the finder's pixels; default: the paper's."),
    ] = None,
    stride: Annotated[
        int | None, typer.Option("--stride", metavar="N", help="Pixels between patches; default: the patch.")
    ] = None,
    engine: Annotated[
        Literal["exact", "captum"], typer.Option("--engine", help="captum is the slow reference.")
    ] = "exact",
    view: Annotated[
        Literal["log-odds", "paper"],
        typer.Option("--view", help="Of the picture: log-odds, on one scale; or paper: p(lens), each side on its own."),
    ] = "log-odds",
    force: opt.Force = False,
    batch: opt.Batch = None,
    reading: opt.Reading = opt.READING,
    as_json: opt.Json = False,
) -> None:
    """Map where hiding a patch changes the log-odds of lens: FITS with WCS and a picture per system."""
    from lensaudit.cli.running import check_sets, progress_bar, read_by
    from lensaudit.explaining import Explainer, Request, chosen_systems, explain_systems
    from lensaudit.lensset import open_cutouts

    opened = open_cutouts(lens_set)
    systems = chosen_systems(opened, ids, first, every)
    loaded = read_by(finder, reading, [opened])
    check_sets(loaded, [opened])
    explainer, request = Explainer(loaded, patch, stride, engine, batch), Request(("occlusion",), view)
    with progress_bar(f"occluding with {loaded.name}") as report:
        files = explain_systems(explainer, request, opened, systems, out, force=force, progress=report)
    if as_json:
        grid = explainer.occluder.grid
        facts = {"finder": loaded.name, "patch": grid.patch, "stride": grid.stride, "engine": engine}
        say_json({**facts, "maps": [entry.occlusion_summary() for entry in files]})
        return
    for entry in files:
        say(f"{entry.id}: {entry.status}" + (f", {entry.fits} and .png" if entry.fits else ""), err=entry.fits is None)
    patches = [result.patches for entry in files for result in entry.results if result.patches]
    say(*sorted({note for one in patches for note in (one.note, _without_rule(one.fallbacks)) if note}), err=True)


def _without_rule(fallbacks: tuple[str, ...]) -> str:
    """Which layers the exact engine had no rule for; empty if none."""
    return f"no window rule for {', '.join(fallbacks)}: plain batches from there on" if fallbacks else ""


def register_kernels(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(
        epilog=opt.examples(
            "lensaudit kernels ou66 runs/test --out runs/kernels",
            "lensaudit kernels ou66 runs/test --layer 13 --kernel 4 --out runs/kernels",
        )
    )(kernels)


def kernels(
    finder: opt.Finder,
    lens_set: opt.Set,
    out: opt.Out,
    layers: Annotated[
        list[str], typer.Option("--layer", metavar="NAME", help="Draw kernels of this convolution; repeat it for more.")
    ] = [],
    numbers: Annotated[
        list[int], typer.Option("--kernel", metavar="N", help="This kernel of the layer; by default all of it.")
    ] = [],
    top: Annotated[int, typer.Option("--top", metavar="N", min=1, help="Cutouts at either end.")] = 9,
    force: opt.Force = False,
    batch: opt.Batch = None,
    reading: opt.Reading = opt.READING,
    as_json: opt.Json = False,
) -> None:
    """Show what excites each kernel of a finder over a set, and what it correlates with among the lenses."""
    from lensaudit.cli.running import open_both, progress_bar
    from lensaudit.explaining import KernelWish, look_at_kernels, named_kernels

    loaded, opened = open_both(finder, lens_set, reading)
    chosen = named_kernels(loaded.module, layers, numbers) if layers or numbers else None
    with progress_bar(f"kernels of {loaded.name}") as report:
        made = look_at_kernels(loaded, opened, out, KernelWish(top, chosen, batch, force), report)
    if as_json:
        say_json(made.to_json())
        return
    study = made.study
    say(f"{made.activations}: {len(study.kernels)} kernels, {study.n} of {study.table.n} images")
    say(f"{made.kernels}: a row per kernel")
    say(*(str(path) for path in filter(None, (made.correlations, *made.sheets.values()))))
    lines = made.strongest if chosen is None else [line for k in chosen for line in made.statements_of(k)]
    say(*(f"  {line}" for line in lines))
    for kernel in chosen or ():
        if study.correlations is not None and not made.statements_of(kernel):
            say(f"  {kernel}: correlates with none of the truth columns")
    say(*made.notes(), err=True)
