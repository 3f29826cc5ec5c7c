"""``lensaudit embed``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lensaudit.cli import options as opt
from lensaudit.cli.console import say, say_json, say_table

if TYPE_CHECKING:
    from lensaudit.embedding import Embedding

SHOWN = 12


def register_embed(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(
        epilog=opt.examples(
            "lensaudit embed ou66 runs/test --out runs/embedding",
            "lensaudit embed ou66 runs/test --training runs/train --out runs/embedding",
            "lensaudit embed ou66 runs/test --layer 26 --colour theta_e_arcsec --out runs/maps",
            "lensaudit embed ou66 runs/test --concept arcs --concept spirals --out runs/concepts",
            "lensaudit embed ou66 runs/q1 --only-vectors --npy --out runs/vectors",
        )
    )(embed)


def embed(
    finder: opt.Finder,
    lens_set: opt.Set,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder of vectors, tables and page; a stopped run goes on.")
    ],
    layer: Annotated[
        str,
        typer.Option(
            "--layer", metavar="NAME",
            help="Layer whose output is taken, maps averaged; default: what goes into the last linear one.",
        ),
    ] = "",
    training: Annotated[
        Path | None,
        typer.Option("--training", metavar="SET", help="Look for errors' neighbours there: what it was trained on."),
    ] = None,
    neighbours: Annotated[
        int, typer.Option("--neighbours", metavar="K", min=0, help="Nearest images of each error; 0: none.")
    ] = 10,
    metric: Annotated[
        Literal["cosine", "euclidean"], typer.Option("--metric", help="Distance of neighbours and map.")
    ] = "cosine",
    map_n: Annotated[
        int, typer.Option("--map-n", metavar="N", min=0, help="Images on the t-SNE map at most; 0: no map.")
    ] = 2000,
    perplexity: Annotated[float, typer.Option("--perplexity", metavar="N", help="Of t-SNE.")] = 30.0,
    colour: Annotated[
        list[str],
        typer.Option("--colour", metavar="COLUMN", help="Colour the map by this column too; repeat it for more."),
    ] = [],
    concept: Annotated[
        list[str],
        typer.Option(
            "--concept", metavar="NAME",
            help="Whether lenses' scores rise along a concept (TCAV): arcs, companions, spirals; repeat it for more.",
        ),
    ] = [],
    concept_n: Annotated[
        int, typer.Option("--concept-n", metavar="N", help="Pairs of scenes, with and without each concept.")
    ] = 100,
    concept_layer: Annotated[
        str,
        typer.Option("--concept-layer", metavar="NAME", help="Layer of the concepts; default: the last convolution."),
    ] = "",
    only_vectors: Annotated[
        bool, typer.Option("--only-vectors", help="Write the vectors and measure nothing: memory stays flat.")
    ] = False,
    workers: opt.Workers = 1,
    dask: Annotated[
        str, typer.Option("--dask", metavar="ADDRESS", help="Dask scheduler whose workers see finder, set and --out.")
    ] = "",
    npy: Annotated[bool, typer.Option("--npy", help="Write all vectors as embedding.npy too.")] = False,
    force: opt.Force = False,
    seed: opt.Seed = 0,
    batch: opt.Batch = None,
    reading: opt.Reading = opt.READING,
    as_json: opt.Json = False,
) -> None:  # fmt: skip
    """What a network knows: a layer's numbers of every image, neighbours of errors, a map, what can be read."""
    from lensaudit.cli.running import check_sets, open_both, watching
    from lensaudit.cli.score_parts import named_absolutely
    from lensaudit.embedding import EmbedOptions
    from lensaudit.embedding import measure as room
    from lensaudit.embedding.page import RESULT_NAME
    from lensaudit.embedding.vectors import EmbedPart, embed_spread, layer_of, store_in
    from lensaudit.errors import UsageError
    from lensaudit.lensset import open_cutouts
    from lensaudit.provenance import refuse_other

    options = EmbedOptions(
        layer, metric, neighbours, map_n, perplexity, tuple(colour), seed=seed, batch=batch, concepts=tuple(concept),
        concept_n=concept_n, concept_layer=concept_layer,
    )  # fmt: skip
    if only_vectors and (training is not None or concept):
        more = "--concept" if concept else "--training"
        raise UsageError(f"--only-vectors measures nothing, so it takes no {more}; leave one of them out")
    other = None if training is None else open_cutouts(training)
    loaded, opened = open_both(finder, lens_set, reading)
    room.check_colours(opened, options)
    room.check_concepts(loaded, options)
    if other is not None:
        check_sets(loaded.for_units(other), [other])
    if not force:
        inputs = room.inputs_of(loaded, opened, other)
        refuse_other(out / RESULT_NAME, inputs, "embedding", "or --force to replace it")
    record: Embedding | None = None
    with watching() as progress:
        store = store_in(out.absolute() / room.VECTORS, loaded, opened, layer_of(loaded, layer), batch)
        task = EmbedPart(named_absolutely(finder), opened.path.absolute(), reading, layer, store, batch)
        embed_spread(task, (loaded, opened), dask or workers, lambda done, n: progress("embedding", done, n))
        if not only_vectors:  # which takes up the files
            found = room.measure_embedding(loaded, opened, out, options, progress, other)
            found.write(out)
            record = found.record
        if npy:
            room.npy_of(store, out)
    if as_json:
        say_json({"out": str(out), "n": store.n} if record is None else record)
        return
    if record is not None:
        _show(record)
    more = f", {room.NPY_NAME}" if npy else ""
    files = "" if record is None else f"; index.html, {RESULT_NAME}"
    say(f"{out}: vectors of {store.n} images in {room.VECTORS}/{more}{files}")


def _show(record: Embedding) -> None:
    from lensaudit.display.numbers import count, decimal, p_short, with_interval

    say(*record.sentences, *record.notes)
    if record.readability:
        say_table(
            ("read best", "n", "", "network", "shuffled", "image statistics"),
            [
                (
                    one.column, count(one.n), one.measure, with_interval(one.value, one.low, one.high, 2),
                    decimal(one.permuted_high, 2),
                    with_interval(one.statistics, one.statistics_low, one.statistics_high, 2),
                )
                for one in record.readability[:SHOWN]
            ],
        )  # fmt: skip
    if record.concepts is not None:
        say_table(
            ("concept", "pairs told apart", "TCAV score", "slope", "random concepts", "Holm p"),
            [
                (
                    one.name, with_interval(one.auroc, one.auroc_low, one.auroc_high, 2),
                    with_interval(one.score, one.low, one.high, 2),
                    with_interval(one.slope, one.slope_low, one.slope_high, 2, sign=True),
                    f"{decimal(one.random_low, 2, sign=True)} to {decimal(one.random_high, 2, sign=True)}",
                    p_short(one.p_holm),
                )
                for one in record.concepts.rows
            ],
        )  # fmt: skip
        say(f"concepts: {record.concepts.layer.words}", *record.concepts.notes)
    say(f"taken: {record.layer.words}")
