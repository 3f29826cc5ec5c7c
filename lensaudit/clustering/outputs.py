"""What a clustering leaves on disk beside its finders and its page, and the measurements on test images among it."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.special import expit, logit

from lensaudit.clustering.embed import Posed, embeddings, logits, responsibilities
from lensaudit.clustering.examinations import at_ratios, source_only, splitting_of
from lensaudit.clustering.network import History, named
from lensaudit.clustering.page import LENS_RICH, Cluster, lenses_in_rich_clusters
from lensaudit.display.colour import SERIES
from lensaudit.display.figures import legend_below, new_figure, save_figure, styled
from lensaudit.display.page import markdown_table
from lensaudit.errors import DataError, UsageError
from lensaudit.evaluation import evaluate
from lensaudit.files import replacing, write_text
from lensaudit.finders import Finder
from lensaudit.finders.architectures.cae_bgm import CaeBgm
from lensaudit.spread import StageProgress
from lensaudit.training.finish import METRIC_ROWS, measured_record, metric_words
from lensaudit.training.prepared import PreparedSet, prepare_set
from lensaudit.untrusted import in_code, in_markdown

if TYPE_CHECKING:
    from lensaudit.lensset import LensSet


_UNITS = {
    "id": "",
    "label": "1 lens, 0 non-lens, -1 unknown",
    "cluster": "most likely cluster",
    "responsibility": "posterior probability of that cluster",
}


def write_members(path: Path, ids: Sequence[str], labels: NDArray[np.int8], posterior: NDArray[np.float64]) -> None:
    """Write one row per clustered image as Parquet: id, label, most likely cluster and its responsibility."""
    columns = {
        "id": pa.array(list(ids)),
        "label": pa.array(labels.astype(np.int8)),
        "cluster": pa.array(posterior.argmax(axis=1).astype(np.int32)),
        "responsibility": pa.array(posterior.max(axis=1)),
    }
    fields = [pa.field(name, array.type, metadata={"unit": _UNITS[name]}) for name, array in columns.items()]
    with replacing(path) as partial:
        pq.write_table(pa.table(list(columns.values()), schema=pa.schema(fields)), partial)


def write_history(path: Path, history: History) -> None:
    """Write one line per epoch of each stage as CSV."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["stage", "epoch", "train_cross_entropy", "validation_cross_entropy"])
    for stage, rows in history.items():
        for epoch, (train, validation) in enumerate(rows, start=1):
            table.writerow([stage, epoch, f"{train:.7g}", f"{validation:.7g}"])
    write_text(path, text.getvalue())


@styled
def plot_curves(path: Path, history: History, title: str) -> None:
    """Draw the reconstruction error of each stage against epoch as PNG."""
    figure = new_figure(4.5 * len(history), 3.6)
    for axes, (stage, rows) in zip(figure.subplots(1, len(history), squeeze=False)[0], history.items(), strict=True):
        epochs = range(1, len(rows) + 1)
        for column, (part, colour) in enumerate((("training", SERIES[0]), ("validation", SERIES[1]))):
            axes.plot(epochs, [row[column] for row in rows], color=colour, marker="o", markersize=3, label=part)
        axes.set(title=stage, xlabel="epoch", ylabel="cross-entropy per pixel / nat")
        axes.xaxis.get_major_locator().set_params(integer=True)
    legend_below(figure, figure.axes[0])
    figure.suptitle(title)
    save_figure(path, figure)


def clustering_card(finder: Finder, clusters: Sequence[Cluster], facts: Mapping[str, Any]) -> str:
    """Markdown of the card.

    Parameters
    ----------
    finder
        With its mixture.
    clusters
        Of the images it was made from.
    facts
        ``origin``, ``training_data``, ``metrics`` and ``provenance``, as `save_finder` takes them.
    """
    sections = {
        f"# {finder.name}": [f"{in_markdown(facts['origin'])}."],
        "## What it takes and gives": _declaration(finder),
        "## Training": _training(facts["training_data"], facts["metrics"]),
        "## Clusters": _clusters(clusters),
        "## Measured": _measurements(facts["metrics"]),
        "## Limits": _limits(finder, facts["metrics"]),
        "## Made by": [f"`{in_code(facts['provenance']['command'])}`, lensaudit {facts['provenance']['lensaudit']}."],
    }
    return "\n\n".join(f"{title}\n\n" + "\n".join(lines) for title, lines in sections.items()) + "\n"


def _declaration(finder: Finder) -> list[str]:
    recipe = finder.recipe
    options = recipe.architecture_options
    by = "a person's marks" if options.get("marked") else "the known lens fractions"
    return [
        f"* Architecture `{recipe.architecture}`, {finder.parameters} parameters and {options.get('embedding', 24)} "
        f"clusters of as many features; {options.get('filters', 128)} filters in its first layer (the paper: 128).",
        f"* Bands in this order: {', '.join(recipe.bands)}; {recipe.size}×{recipe.size} pixels over "
        f"{recipe.field_of_view_arcsec:g}″; stretch `{recipe.stretch}`.",
        f"* p is the mean of {by} of the clusters, weighted by their responsibilities.",
        *(["* Embedding averaged over the 8 rotations and mirrors of the image."] if options.get("pose_free") else []),
        f"* Called a lens from p = {recipe.threshold:g}.",
        f"* Weights SHA-256 `{finder.weights_hash}`.",
    ]


def _training(data: Mapping[str, Any], metrics: Mapping[str, Any]) -> list[str]:
    if not data:
        return ["* Clusters of another finder."]
    options = data["options"]
    labelled = f"{data['n_lenses']} lenses and {data['n_non_lenses']} non-lenses with a label"
    mixture = metrics["mixture"]
    ended = "converged" if mixture["converged"] else "not converged"
    return [
        f"* Set `{data['set'][:16]}`, instrument `{in_code(data['instrument'])}`: {data['n_images']} images, "
        f"{labelled}, which gave the clusters their known fractions and nothing else.",
        f"* {_stages(options, metrics)}; "
        f"Adam at {options['learning_rate']:g}, batches of {options['batch_size']}, cross-entropy per pixel, "
        f"augmentation `{options['augment']}`, steps in `{options['precision']}`, seed {options['seed']}.",
        f"* Cross-entropy per pixel of {data['n_validation']} images kept aside, after the last epoch: "
        + ", ".join(f"{stage} {value:.5f}" for stage, value in metrics["validation_cross_entropy"].items())
        + ". `history.csv` has every epoch.",
        f"* Mixture: {mixture['iterations']} iterations, {ended}.",
        "",
        "![Reconstruction error against epoch](curves.png)",
    ]


def _stages(options: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    extractor = f"extractor {options['epochs']} epochs"
    if "denoiser" not in metrics["validation_cross_entropy"]:
        return f"No denoiser, {extractor}"
    return f"Denoiser {options['denoiser_epochs']} epochs, {extractor} on the denoised images"


def _clusters(clusters: Sequence[Cluster]) -> list[str]:
    rows = []
    for one in clusters:
        mark = "–" if one.mark is None else f"{one.mark:g}"
        rows.append((str(one.number), f"{one.n}{' (empty)' if one.is_empty else ''}", str(one.lenses), mark))
    return [markdown_table(("cluster", "n", "lens fraction", "mark"), rows), "", "95 % intervals by Wilson."]


def _measurements(metrics: Mapping[str, Any]) -> list[str]:
    columns = measured_columns(metrics.get("test") or {})
    if not columns:
        return ["No test set was measured."]
    titles = [f"{title}, {one['n_lenses']} + {one['n_non_lenses']}" for title, one in columns.items()]
    rows = [(label, *(metric_words(one[name]) for one in columns.values())) for name, label in METRIC_ROWS.items()]
    rich = metrics["test"]["lenses_in_rich_clusters"]
    fraction = metric_words({**rich, "status": "no lenses"})
    return [
        markdown_table(("", *titles), rows),
        "",
        "Lenses + non-lenses of the test set in the head; 95 % intervals.",
        f"Lenses in clusters of a lens fraction of at least {LENS_RICH:g}: {fraction}, n = {rich['n']}.",
    ]


def measured_columns(test: Mapping[str, Any]) -> dict[str, Any]:
    """Title → metrics of each way the test set was measured."""
    named = {"known": "known fractions", "marks": "marks"}
    columns = {}
    for name, title in named.items():
        if name in test:
            columns[title] = test[name]["all"]
            if "cut" in test[name]:
                columns[f"{title}, cut"] = test[name]["cut"]
    return columns


def _limits(finder: Finder, metrics: Mapping[str, Any]) -> list[str]:
    lines = [
        "* It was trained without labels: its clusters are what differs most between the images, which need not be "
        "lensing. Run `lensaudit probe` and `lensaudit report` on it before using its scores for science.",
        "* Scores are not calibrated probabilities of being a lens in the sky, where lenses are rare.",
    ]
    if not finder.recipe.architecture_options.get("pose_free"):
        lines.append("* A turned image may be in another cluster; see the orientation splitting.")
    return lines


LEAST_PIXELS, LEAST_SNR = 100, 50.0
"""The paper counts lensed pixels above 1 σ of the noise, our truth above 0.5 σ."""


def passes_cut(lens_set: LensSet) -> NDArray[np.bool_]:
    """Which images are kept (n,): lenses with at least 100 lensed pixels and S/N 50, and all non-lenses.

    Raises
    ------
    DataError
        The set has no truth.
    """
    if not {"n_arc_pixels", "arc_snr"} <= set(lens_set.columns):
        raise DataError(f"{lens_set.path}: has no n_arc_pixels and arc_snr to cut at; give a simulated set as --test")
    pixels, ratio = (np.asarray(lens_set.column(name), dtype=np.float64) for name in ("n_arc_pixels", "arc_snr"))
    labels: NDArray[Any] = lens_set.labels
    return (labels == 0) | ((labels == 1) & (pixels >= LEAST_PIXELS) & (ratio >= LEAST_SNR))


@dataclass(frozen=True)
class Extras:
    """Which of the paper's examinations are run on the test set beside the metrics.

    Attributes
    ----------
    ratios
        Non-lenses per lens.
    cut
        Measure again with lenses above 100 lensed pixels and S/N 50 only.
    orientations
        Test images to turn; 0 for none.
    source_only
        Cluster the lensed light alone.
    """

    ratios: tuple[float, ...] = ()
    cut: bool = False
    orientations: int = 0
    source_only: bool = False

    @property
    def any(self) -> bool:
        """Whether a test set is needed."""
        return bool(self.ratios or self.cut or self.orientations or self.source_only)


@dataclass(frozen=True)
class TestImages:
    """Labelled test images and what the finder made of them.

    Attributes
    ----------
    prepared
        The images.
    points
        Embeddings (n, features).
    cache
        Folder for embeddings.
    """

    __test__ = False  # no test case, whatever pytest makes of the name

    lens_set: LensSet
    prepared: PreparedSet
    points: NDArray[np.float32]
    cache: Path

    @property
    def labels(self) -> NDArray[np.int8]:
        """0 or 1 of each."""
        return self.prepared.labels


def embedded_test(finder: Finder, lens_set: LensSet, cache: Path, progress: StageProgress) -> TestImages:
    """Prepare and embed the labelled images of a test set.

    Raises
    ------
    DataError
        None of its images has a label.
    """
    assert isinstance(finder.module, CaeBgm)
    prepared = prepare_set(finder, lens_set, cache, named(progress, "preparing test images"))
    if not len(prepared):
        raise DataError(f"{lens_set.path}: no image has a label; give a labelled set as --test")
    posed = Posed(prepared, np.arange(len(prepared)))
    store = cache / "test-embeddings.safetensors"
    points = embeddings(finder.module, posed, store, named(progress, "embedding test images"))[:, 0]
    return TestImages(lens_set, prepared, points, cache)


def measurements(
    finders: Sequence[tuple[str, Finder]],
    test: TestImages,
    fractions: NDArray[np.float64],
    extras: Extras,
    seed: int,
    progress: StageProgress,
) -> dict[str, Any]:
    """All that is measured on the test images, as plain values.

    Parameters
    ----------
    finders
        (``known``, finder) and, with marks, (``marks``, finder): the same clusters, other lens probabilities.
    fractions
        Known lens fraction of each cluster (K,).
    """
    (_, first), labels = finders[0], test.labels
    assert isinstance(first.module, CaeBgm)
    assigned = responsibilities(first.module.head, test.points).argmax(1)
    found: dict[str, Any] = {
        "set": test.lens_set.content_hash,
        "lenses_in_rich_clusters": lenses_in_rich_clusters(fractions, assigned, labels).to_json(),
    }
    for name, finder in finders:
        assert isinstance(finder.module, CaeBgm)
        scores = logits(finder.module.head, test.points)
        found[name] = {"all": measured_record(labels, scores, finder, seed).to_json()}
        if extras.ratios:
            threshold = float(logit(finder.recipe.threshold))
            rare = at_ratios(labels, scores, threshold, extras.ratios, seed)
            found[name]["ratios"] = [one.to_json() for one in rare]
        if extras.cut:
            found[name]["cut"] = {
                "least_pixels": LEAST_PIXELS,
                "least_snr": LEAST_SNR,
                **_cut(finder, test, scores, seed),
            }
    if extras.orientations:
        found["orientations"] = _orientations(first, test, extras.orientations, seed, progress)
    if extras.source_only:
        light = source_only(first, test.lens_set, seed, named(progress, "embedding lensed light"))
        found["source_only"] = light.to_json()
    return found


def auroc_of(finder: Finder, points: NDArray[np.float32], labels: NDArray[np.int8]) -> dict[str, Any]:
    """AUROC of embeddings (n, features), as plain values."""
    assert isinstance(finder.module, CaeBgm)
    scores = logits(finder.module.head, points)
    return evaluate(labels, expit(scores), scores).metric("auroc").to_json()


def _cut(finder: Finder, test: TestImages, scores: NDArray[np.float64], seed: int) -> dict[str, Any]:
    kept = passes_cut(test.lens_set)[test.prepared.rows]
    if not (test.labels[kept] == 1).any():
        raise UsageError(f"{test.lens_set.path}: no lens has {LEAST_PIXELS} lensed pixels and S/N {LEAST_SNR:g}")
    return measured_record(test.labels[kept], scores[kept], finder, seed).to_json()


def _orientations(finder: Finder, test: TestImages, count: int, seed: int, progress: StageProgress) -> dict[str, Any]:
    assert isinstance(finder.module, CaeBgm)
    rows = np.arange(min(count, len(test.prepared)))
    store = test.cache / "turned-embeddings.safetensors"
    turned = embeddings(
        finder.module, Posed(test.prepared, rows, turned=True), store, named(progress, "turning images")
    )
    return splitting_of(finder.module.head, turned, seed).to_json()
