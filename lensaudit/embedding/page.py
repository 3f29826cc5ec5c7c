"""An embedding as JSON, Parquet, Markdown, pictures and one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from lensaudit.display.figures import figure_of, save_figure
from lensaudit.display.images import main_band
from lensaudit.display.numbers import (
    count,
    decimal,
    p_short,
    percent,
    percent_with_interval,
    significant,
    with_interval,
)
from lensaudit.display.page import markdown_table, write_html
from lensaudit.embedding.pictures import (
    chosen_errors,
    cutouts_of,
    draw_readability,
    map_figure,
    neighbours_figure,
    tiles_of,
)
from lensaudit.embedding.result import Concept, Embedding, Readable
from lensaudit.files import replacing, writable_folder, write_text
from lensaudit.untrusted import in_markdown

if TYPE_CHECKING:
    import pyarrow as pa

    from lensaudit.lensset import Cutouts

RESULT_NAME = "embedding.json"
PAGE_NAME = "index.html"
MARKDOWN_NAME = "embedding.md"
NEIGHBOURS_NAME = "neighbours.parquet"
MAP_PICTURE, READ_PICTURE, NEIGHBOURS_PICTURE = "map.png", "reading.png", "neighbours.png"


def write_embedding(
    record: Embedding, errors: pa.Table | None, sets: tuple[Cutouts, Cutouts | None], out: Path
) -> Path:
    """Write everything into the folder `out`, the record last; returns the path of the page.

    ``embedding.json``, ``neighbours.parquet`` (every error and neighbour), ``embedding.md``, the same as
    ``index.html``, and PNGs of the map, of what can be read, and of errors beside their neighbours.
    """
    writable_folder(out)
    (out / RESULT_NAME).unlink(missing_ok=True)  # where it lies, everything it names lies too
    for old in (NEIGHBOURS_NAME, MAP_PICTURE, READ_PICTURE, NEIGHBOURS_PICTURE):
        (out / old).unlink(missing_ok=True)
    if record.map is not None:
        save_figure(out / MAP_PICTURE, map_figure(record.map, record.threshold, _title(record)))
    if record.readability:
        save_figure(out / READ_PICTURE, figure_of(draw_readability(record.readability)))
    if errors is not None:
        with replacing(out / NEIGHBOURS_NAME) as partial:
            pq.write_table(errors, partial, compression="zstd")
        _draw_neighbours(record, sets, out / NEIGHBOURS_PICTURE)
    text = markdown(record)
    write_text(out / MARKDOWN_NAME, text)
    about = f"The same as {MARKDOWN_NAME}; all numbers stand in {RESULT_NAME} beside it."
    page = write_html(out / PAGE_NAME, text, about)
    record.write(out / RESULT_NAME)
    return page


def _title(record: Embedding) -> str:
    return f"{record.set.name} as {record.finder} sees it: {record.layer.words}"


def _draw_neighbours(record: Embedding, sets: tuple[Cutouts, Cutouts | None], path: Path) -> None:
    data, training = sets
    bands = data.bands
    own, near = cutouts_of(data, bands), cutouts_of(data if training is None else training, bands)
    rows = [tiles_of(one, own, near) for one in chosen_errors(record.neighbours)]
    band = main_band(bands)
    width = data.shape[band][1] * data.pixel_scale_arcsec[band]
    if rows:
        save_figure(
            path,
            neighbours_figure(rows, width, "Errors, and their nearest neighbours; frames: blue lens, red non-lens"),
        )


def markdown(record: Embedding) -> str:
    """The page: neighbours of errors, the map, what can be read, and concepts."""
    finder, name = in_markdown(record.finder), in_markdown(record.set.name)
    lines = [f"# What {finder} knows of {name}", ""]
    for sentence in record.sentences:
        lines += [f"**{in_markdown(sentence)}**", ""]
    failed = f"; {count(record.set.failed)} of them cannot be scored and are left out" if record.set.failed else ""
    lines += [f"Taken: {in_markdown(record.layer.words)}, of {count(record.set.n)} images{failed}.", ""]
    lines += [line for note in record.notes for line in (in_markdown(note), "")]
    lines += _neighbour_lines(record)
    if record.map is not None:
        lines += ["## Map", "", _map_words(record), "", f"![t-SNE map of the embedding]({MAP_PICTURE})", ""]
    lines += reading_lines(record)
    lines += concept_lines(record)
    return "\n".join(lines).rstrip() + "\n"


def _neighbour_lines(record: Embedding) -> list[str]:
    found = record.neighbours
    if found is None:
        return []
    heads = ("images", "n", "non-lenses among the neighbours [95 % interval]", "distance of the nearest, median")
    rows = [
        (one.outcome, count(one.n), percent_with_interval(one.non_lenses, one.low, one.high), significant(one.nearest))
        for one in found.groups
    ]
    lines = [
        "## Who lies near the errors",
        "",
        f"The {found.k} nearest of {in_markdown(found.where)}, {found.metric} distance, exact; "
        f"{percent(found.base)} of its {count(found.n_among)} images are non-lenses. A false negative among non-lenses "
        "looks to the network as they do: more such lenses in training may help. One among lenses is a matter of the "
        "threshold or of the last step.",
        "",
        markdown_table(heads, rows),
        "",
    ]
    if found.errors:
        lines += [f"![Errors beside their nearest neighbours]({NEIGHBOURS_PICTURE})", ""]
        lines += [f"Every error and neighbour stands in `{NEIGHBOURS_NAME}`.", ""]
    return lines


def _map_words(record: Embedding) -> str:
    assert record.map is not None
    m, n = len(record.map.labels), record.map.n
    some = "" if m == n else f" of {count(n)}, evenly spread"
    return (
        f"t-SNE (openTSNE, perplexity {significant(record.map.perplexity)}, seed {record.map.seed}) of {count(m)} "
        f"images{some}. Near means alike to the network; far, and how far, means little."
    )


def reading_lines(record: Embedding) -> list[str]:
    """Table and picture of what can be read."""
    if not record.readability:
        return []
    heads = ("column", "n", "measure", "from the network", "shuffled (largest)", "from image statistics", "more")
    return [
        "## What can be read from it",
        "",
        READING_EXPLAINED.format(n=count(record.read_n), statistics=count(record.statistics_n)),
        "",
        f"![How well columns are read]({READ_PICTURE})",
        "",
        markdown_table(heads, [_read_row(one) for one in record.readability]),
        "",
    ]


READING_EXPLAINED = (
    "Ridge regression from the layer’s numbers (of a yes or no on 0 and 1), cross-validated in 5 folds with no system "
    "in two of them, over {n} images, or those of them that have a value; 95 % bootstrap intervals over images (over "
    "systems where several show one), of the answers as they are: refits are not in them. R² is against the mean, "
    "AUROC of guessing is 0.5; angles are read as cosine and sine. Beside it the same with the column shuffled 20 "
    "times, and the same from {statistics} simple image statistics that know nothing of the finder. **Bold**: the "
    "whole interval lies above every shuffled column. What can be read need not be used."
)


def _read_row(one: Readable) -> tuple[str, ...]:
    name = in_markdown(one.column)
    more = with_interval(one.more, one.more_low, one.more_high, 2, sign=True)
    return (
        f"**{name}**" if one.known else name,
        count(one.n) + (f" ({count(one.positive)})" if one.positive else ""),
        one.measure,
        with_interval(one.value, one.low, one.high, 2),
        decimal(one.permuted_high, 2),
        with_interval(one.statistics, one.statistics_low, one.statistics_high, 2),
        f"**{more}**" if one.beyond else more,
    )


def concept_lines(record: Embedding) -> list[str]:
    """Table of the concepts."""
    found = record.concepts
    if found is None:
        return []
    heads = ("concept", "pairs", "told apart, AUROC", "TCAV score", "slope", "random concepts", "p", "Holm p")
    lines = ["## Concepts", "", CONCEPTS_EXPLAINED.format(layer=in_markdown(found.layer.words)), ""]
    lines += [line for note in found.notes for line in (in_markdown(note), "")]
    lines += [markdown_table(heads, [_concept_row(one) for one in found.rows]), ""]
    lines += [f"* {in_markdown(one.name)}: {in_markdown(one.meaning)}" for one in found.rows]
    return lines


CONCEPTS_EXPLAINED = (
    "Concept activation vectors (TCAV, Kim et al. 2018) at the {layer}. TCAV score: fraction of the set’s lenses whose "
    "log-odds rise along the vector. Slope: mean change of the log-odds as an image moves by the mean distance of the "
    "pairs along it; beside it the middle 95 % over the same distance along random concepts, the scenes without "
    "divided by chance, which p counts (two-sided; the score itself saturates where all gradients are alike). A "
    "concept whose pairs are not told apart (AUROC near 0.5) says nothing."
)


def _concept_row(one: Concept) -> tuple[str, ...]:
    name = in_markdown(one.name)
    return (
        f"**{name}**" if one.significant else name,
        count(one.n),
        with_interval(one.auroc, one.auroc_low, one.auroc_high, 2),
        with_interval(one.score, one.low, one.high, 2) + f" (n = {count(one.n_images)})",
        with_interval(one.slope, one.slope_low, one.slope_high, 2, sign=True),
        f"{decimal(one.random_low, 2, sign=True)} to {decimal(one.random_high, 2, sign=True)}",
        p_short(one.p),
        p_short(one.p_holm),
    )
