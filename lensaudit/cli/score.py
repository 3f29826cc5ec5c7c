"""``lensaudit score``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from lensaudit.cli.pixels import RESAMPLE, bands_left_out, warn_of_clipping, warn_of_pixels


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command()
    def score(
        finder: str = typer.Argument(help="Built-in name, a finder's folder, or package.module:factory."),
        lens_set: Path = typer.Argument(metavar="SET", help="Lens set, from lensaudit simulate or ingest."),
        out: Path = typer.Option(Path("scores.parquet"), help="Parquet file with id, p_lens, logit, status."),
        batch: int | None = typer.Option(None, min=1, help="Images at a time; by default what runs fastest."),
        field_of_view: float | None = typer.Option(
            None, metavar="ARCSEC", help="Width of the cutouts, where the finder was trained on another."
        ),
        resample: bool = RESAMPLE,
        prior: float | None = typer.Option(
            None, help="Share of lenses where the scores are used: adds p_lens_prior; ranks stay."
        ),
        refit: bool = typer.Option(False, help="Take the stretch's figures from this set: its unit is another."),
        device: str = typer.Option("auto", help="auto, cpu or cuda."),
        threads: int | None = typer.Option(None, min=1, help="CPU threads; by default torch's choice."),
        as_json: bool = typer.Option(False, "--json", help="Print the summary as JSON."),
    ) -> None:
        """Score every image of a set with a finder."""
        import torch

        from lensaudit.cli.set_summary import progress_bar
        from lensaudit.errors import DataError
        from lensaudit.files import writable_folder
        from lensaudit.finders import (
            load_finder,
            pixel_record,
            prior_shift,
            refitted,
            score_set,
            share_expected_by,
            with_prior,
            write_scores,
        )
        from lensaudit.lensset import LensSet
        from lensaudit.provenance import provenance

        opened = LensSet.open(lens_set)
        loaded = load_finder(finder, device).for_field(field_of_view, resample)
        if refit:
            loaded = refitted(loaded, opened)
        loaded.check(opened)
        warn_of_pixels(loaded, opened)
        if prior is not None:
            prior_shift(prior)  # a wrong one is refused before anything is read
        writable_folder(out.parent)
        if threads is not None:
            torch.set_num_threads(threads)
        with progress_bar(f"scoring with {loaded.name}") as report:
            scores = score_set(loaded, opened, batch_size=batch, progress=report)
        inputs = {"finder": loaded.weights_hash, "set": opened.content_hash}
        record: dict[str, Any] = {"finder": loaded.name, "recipe": loaded.recipe.model_dump(mode="json")}
        record["pixels"] = pixel_record(loaded, opened, scores.clipping)
        shifted = None
        if prior is not None:
            trained = share_expected_by(finder, loaded)
            shifted = with_prior(scores.p_lens, prior, trained)
            record |= {"prior": prior, "trained_share": trained}
        write_scores(scores, out, {**record, "provenance": provenance(inputs=inputs)}, shifted)

        warn_of_clipping(loaded, scores, opened.path)
        failed = scores.failed
        if len(failed) == len(opened):
            name, why = next(iter(failed.items()))
            raise DataError(
                f"{lens_set}: none of {len(opened)} images could be scored (first {name}: {why}); see {out}"
            )
        if as_json:
            summary = {"out": str(out), "finder": loaded.name, "n": len(opened), "n_failed": len(failed)}
            summary["pixels"] = record["pixels"]
            summary |= {key: record[key] for key in ("prior", "trained_share") if key in record}
            typer.echo(json.dumps({**summary, "failed": failed}, indent=2, ensure_ascii=False))
            return
        done = f"{len(opened) - len(failed)} of {len(opened)} images scored with {loaded.name}"
        typer.echo(f"{out}: {done}{bands_left_out(loaded, opened)}")
        if shifted is not None:
            typer.echo(
                f"  column p_lens_prior: lenses are {prior:g} of the images instead of the {record['trained_share']:g} "
                f"the finder was trained to expect"
            )
        if failed:
            name, why = next(iter(failed.items()))
            typer.echo(f"{len(failed)} not scored (NaN, see column status), first {name}: {why}", err=True)
