"""The realism gate as JSON, Parquet, Markdown, pictures and one HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lensaudit.display.colour import FAINT, LENS, NON_LENS
from lensaudit.display.figures import figure_of, legend_under, light_grid, row_of_axes, save_figure, styled
from lensaudit.display.images import main_band
from lensaudit.display.numbers import (
    count,
    decimal,
    p_short,
    p_value,
    percent,
    proportion,
    significant,
    with_interval,
)
from lensaudit.display.page import markdown_table, write_html
from lensaudit.evaluation.visual_inspection import plot_gallery
from lensaudit.files import replacing, writable_folder, write_text
from lensaudit.lensset import LensSet
from lensaudit.realism_gate.cutouts import Cutouts
from lensaudit.realism_gate.result import Extreme, Realism, Shift, TwoSample
from lensaudit.untrusted import in_markdown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]

RESULT_NAME = "realism.json"
TABLE_NAME = "cutouts.parquet"
PAGE_NAME = "index.html"
KEPT = "described"
"""Folder of what is known of the cutouts: a stopped comparison, or one with another label, goes on from there."""
SHOWN = 20
"""Statistics in the page's table; all stand in the JSON."""


def write_realism(record: Realism, cutouts: Cutouts, sets: tuple[LensSet, LensSet], out: Path) -> Path:
    """Write everything into the folder `out`, the record last; returns the path of the page.

    ``realism.json``, ``cutouts.parquet`` (id, set, label, distance, outside, p_real), ``realism.md``, the same as
    ``index.html``, and PNGs of the statistics, of the scores and distances, and of the farthest cutouts.
    """
    writable_folder(out)
    (out / RESULT_NAME).unlink(missing_ok=True)  # where it lies, everything it names lies too
    _draw_statistics(record, out / "statistics.png")
    _draw_spread(record, cutouts, out / "spread.png")
    _draw_farthest(sets[0], record.farthest_real, record, out / "farthest-real.png")
    _draw_farthest(sets[1], record.farthest_simulated, record, out / "farthest-simulated.png")
    with replacing(out / TABLE_NAME) as partial:
        pq.write_table(cutouts.table(), partial, compression="zstd")
    text = markdown(record)
    write_text(out / "realism.md", text)
    page = write_html(
        out / PAGE_NAME,
        text,
        f"The same as realism.md; all numbers stand in {RESULT_NAME} and {TABLE_NAME} beside it.",
    )
    record.write(out / RESULT_NAME)
    return page


def markdown(record: Realism) -> str:
    """The page: how far the simulation stands from the sky, what differs, and which cutouts lie outside."""
    one, other = record.real, record.simulated
    finder, real, simulated = (in_markdown(name) for name in (record.finder, one.name, other.name))
    lines = [
        f"# Realism of {simulated} beside {real}, for {finder}",
        "",
        f"**{in_markdown(record.sentence)}**",
        "",
        in_markdown(record.chosen),
        *(line for note in record.notes for line in ("", in_markdown(note))),
        "",
        "## Can they be told apart?",
        "",
        _explained(record),
        "",
        markdown_table(
            ("by", "AUROC [95 % interval]", "n real, simulated", "MMD²", "p of MMD", "classifier"),
            [_told(two) for two in (record.layer, record.statistics) if two is not None],
        ),
        "",
        "![Out-of-fold p(real) and distances of real and simulated cutouts](spread.png)",
        "",
        "## What differs most",
        "",
        _differs(record),
        "",
        "![AUROC of the image statistics that differ most](statistics.png)",
        "",
        markdown_table(
            (
                "statistic",
                "what it is",
                "AUROC [95 % interval]",
                "KS",
                "Holm p",
                "real",
                "simulated",
                "n",
            ),
            [_shift(shift) for shift in record.shifts[:SHOWN]],
        ),
        "",
        "## Cutouts outside the training domain",
        "",
        _outside(record),
        "",
        f"## Farthest real {record.compared}",
        "",
        "Most surely real to the classifier, so least like the simulation; each on its own grey scale.",
        "",
        "![The real cutouts that are least like the simulated ones](farthest-real.png)",
        "",
        f"## Farthest simulated {record.compared}",
        "",
        "Most surely simulated to the classifier, so least like the sky.",
        "",
        "![The simulated cutouts that are least like the real ones](farthest-simulated.png)",
        "",
        "## What was compared",
        "",
        markdown_table(("set", "instrument", "cutouts", "compared", "not scored", "content"), _sets(record)),
        "",
        f"Bands {in_markdown(', '.join(record.bands))}; seed {record.provenance.seed}.",
    ]
    return "\n".join(lines) + "\n"


def _explained(record: Realism) -> str:
    """What AUROC, folds and MMD are, for whom these words are new."""
    layer = f" (the input of `{in_markdown(record.layer_name)}`)" if record.layer_name else ""
    return (
        "AUROC: chance that a classifier that was fitted to other systems ranks a real cutout above a simulated one; "
        f"0.5 is guessing, 1 tells all apart. Cross-validated in {record.leading.folds} folds, no system in two of "
        "them; the interval is DeLong’s with twice its variance, as folds share training data (*: fewer than 20 of a "
        f"set, Wilson’s for half of them). The last layer{layer} is what the finder’s answer rests on; image "
        "statistics see what it may ignore. MMD² is the squared maximum mean discrepancy (Gaussian kernel, median "
        "distance; unbiased, so that it may be negative), p by 499 permutations."
    )


def _told(one: TwoSample) -> tuple[str, ...]:
    few = "*" if one.weak else ""
    return (
        f"{one.of} ({plural_features(one)})",
        with_interval(one.auroc, one.low, one.high) + few,
        f"{count(one.n_real)}, {count(one.n_simulated)}",
        f"{significant(one.mmd_squared)} (n = {count(one.mmd_n_real)} + {count(one.mmd_n_simulated)})",
        p_short(one.mmd_p),
        one.classifier,
    )


def plural_features(one: TwoSample) -> str:
    """How many numbers describe a cutout."""
    return f"{count(one.features)} number{'' if one.features == 1 else 's'}"


def _differs(record: Realism) -> str:
    if not record.shifts:
        return "No statistic has two values in both sets."
    first = record.shifts[0]
    side = "more" if first.auroc >= 0.5 else "less"
    significant_ones = sum(one.p_holm < 0.05 for one in record.shifts)
    return (
        f"Most of all **{in_markdown(first.name)}** ({first.words}): real cutouts have {side} of it, median "
        f"{significant(first.real)} against {significant(first.simulated)} ({p_value(first.p_holm)} after Holm). "
        f"{significant_ones} of {len(record.shifts)} statistics differ significantly (Kolmogorov–Smirnov, "
        "Holm-corrected). Columns real and simulated are medians, in the unit of the simulated set’s pixels."
    )


def _shift(one: Shift) -> tuple[str, ...]:
    name = in_markdown(one.name)
    return (
        f"**{name}**" if one.p_holm < 0.05 else name,
        one.words,
        with_interval(one.auroc, one.low, one.high),
        decimal(one.ks, 2),
        p_short(one.p_holm),
        significant(one.real),
        significant(one.simulated),
        f"{count(one.n_real)}, {count(one.n_simulated)}",
    )


def _outside(record: Realism) -> str:
    domain = record.domain
    where = "the finder’s last layer" if record.layer is not None else "image statistics"
    return (
        f"{proportion(domain.outside)} real cutouts of any label (95 % Wilson interval) lie farther from the simulated "
        f"ones than {percent(1 - domain.beyond)} of these do themselves: Mahalanobis distance above "
        f"{significant(domain.threshold)} in {where}, n = {count(domain.n_simulated)} simulated. On them the finder "
        f"answers beyond what it was shown. Each cutout’s distance and flag stand in `{TABLE_NAME}`."
    )


def _sets(record: Realism) -> list[tuple[str, ...]]:
    return [
        (
            in_markdown(one.name),
            in_markdown(one.instrument),
            count(one.n),
            count(one.n_compared),
            count(one.n_left_out),
            f"`{one.content_hash[:16]}`",
        )
        for one in (record.real, record.simulated)
    ]


def _draw_statistics(record: Realism, path: Path) -> None:
    save_figure(path, figure_of(record.plot()))


@styled
def _draw_spread(record: Realism, cutouts: Cutouts, path: Path) -> None:
    """Histograms of both sets: what the classifier says, and how far each lies from the simulated ones."""
    figure, (left, right) = row_of_axes(9.4, 3.1, 2)
    _histograms(left, cutouts.p_real, cutouts, np.linspace(0, 1, 26))
    one = record.leading
    left.set(xlabel=f"out-of-fold p(real), {one.of}", ylabel="fraction of the set’s cutouts", xlim=(0, 1))
    left.set_title(f"{record.compared}: AUROC {with_interval(one.auroc, one.low, one.high)}")
    far = cutouts.distance[np.isfinite(cutouts.distance)]
    top = float(max(np.percentile(far, 99), 1.1 * cutouts.threshold))
    _histograms(right, np.minimum(cutouts.distance, top), cutouts, np.linspace(0, top, 31))
    right.axvline(cutouts.threshold, color=FAINT, linewidth=1, linestyle="--", label="1 % of simulated beyond")
    right.set(xlabel=f"distance from the simulated, {record.domain.of}; last bin: and beyond", xlim=(0, top))
    right.set_title(f"all labels: {proportion(record.domain.outside)} real outside")
    for axes in (left, right):
        light_grid(axes, "y")
        legend_under(axes)
    save_figure(path, figure)


def _histograms(axes: Axes, values: Floats, cutouts: Cutouts, edges: Floats) -> None:
    """Both sets, each with an area of 1, of the cutouts that have a value."""
    for which, colour, name in ((cutouts.real, LENS, "real"), (~cutouts.real, NON_LENS, "simulated")):
        mine = values[which & np.isfinite(values)]
        style: Any = {"histtype": "step", "color": colour, "linewidth": 1.5, "label": f"{name}, n = {count(len(mine))}"}
        axes.hist(mine, edges.tolist(), weights=np.full(len(mine), 1 / max(len(mine), 1)), **style)


def shortened(name: str, most: int = 18) -> str:
    """A name of at most so many characters, cut in the middle."""
    return name if len(name) <= most else f"{name[: most // 2]}…{name[len(name) - most // 2 + 1 :]}"


def _draw_farthest(lens_set: LensSet, shown: Sequence[Extreme], record: Realism, path: Path) -> None:
    band = main_band(record.bands)
    rows = [lens_set.index_of(one.id) for one in shown]
    images = [lens_set.images(band, row)[0] for row in rows]
    said = (f"p(real) {decimal(one.p_real, 2)}, distance {significant(one.distance)}" for one in shown)
    captions = [f"{shortened(one.id)}\n{words}" for one, words in zip(shown, said, strict=True)]
    width = lens_set.shape[band][1] * lens_set.pixel_scale_arcsec[band]
    plot_gallery(path, images, captions, width, f"{lens_set.path.name}, {band}: {len(shown)} farthest of the other set")
