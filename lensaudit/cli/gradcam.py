"""``lensaudit gradcam``."""

from __future__ import annotations

from typing import Annotated

import typer

from lensaudit.cli import options as opt


def register(app: typer.Typer) -> None:
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
    field_of_view: opt.FieldOfView = None,
    resample: opt.Resample = False,
    refit: opt.Refit = False,
    device: opt.Device = "auto",
    threads: opt.Threads = None,
    as_json: opt.Json = False,
) -> None:
    """Grad-CAM and Guided Grad-CAM of the last convolution, as in Fig. 17 of Wilde et al. 2022."""
    from lensaudit.cli.explain import carry_out
    from lensaudit.cli.opening import check_sets, read_by
    from lensaudit.errors import UsageError
    from lensaudit.explain import Request, chosen_systems, no_gradient
    from lensaudit.lensset import LensSet

    if not threshold > 0:
        raise UsageError(f"--threshold {threshold:g} would show everything; give a value above 0")
    opened = LensSet.open(lens_set)
    systems = chosen_systems(opened, ids, first, every)
    loaded = read_by(finder, opt.Reading(field_of_view, resample, refit, device, threads), [opened])
    if not loaded.differentiable:
        raise UsageError(no_gradient("Grad-CAM", loaded))
    check_sets(loaded, [opened])
    request = Request(loaded, ("gradcam", "guided-gradcam"), threshold=threshold)
    carry_out(request, opened, systems, out, force=force, as_json=as_json)
