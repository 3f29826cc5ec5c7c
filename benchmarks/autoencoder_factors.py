"""Why the autoencoder and mixture of Cheng et al. 2020 find few lenses here: one thing changed at a time.

    python benchmarks/autoencoder_factors.py --sets runs --out runs/factors [--only base,filters-32] [--figure PNG]

`--sets` holds `challenge1`, `challenge1-test` and so on, as docs/autoencoder-factors.md simulates them. Each arm is
one training (or, for `pca`, principal components in place of the autoencoder); a stopped run goes on, a finished arm is
read from its file. The first `VALIDATION` images of a test set are for choosing between arms, the rest for reporting.

Columns: AUROC of the mixture by known lens fractions (training images, validation, test with its 95 % interval), of a
supervised tree on the same embedding (test), and how much of the lensed light denoiser and embedding keep: the slope of
what they draw more where the lensed light is put in, on what was put in; 1 is all, 0 nothing.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from realism import shortcut_features
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from torch import nn

from lensaudit.clustering import ClusterOptions
from lensaudit.clustering.embed import Posed, embeddings, fit_mixture, logits, responsibilities
from lensaudit.clustering.network import Images, Network, Workplace, drawn_images, train_network
from lensaudit.clustering.page import clusters_of, known_fractions
from lensaudit.display.figures import new_figure, save_figure
from lensaudit.display.images import prepared_grey
from lensaudit.finders import Finder, Recipe, load_recipe
from lensaudit.finders.layers import MixtureHead
from lensaudit.finders.stretch import LOG_SCALE
from lensaudit.kept import JsonForm, Piece
from lensaudit.lensset import LensSet
from lensaudit.statistics import auroc, auroc_interval
from lensaudit.training.prepared import PreparedSet, decoded, prepare_set

VALIDATION = 500
ARC_LENSES = 200
PIXEL_ARCSEC = 0.1


@dataclass(frozen=True)
class Arm:
    """One configuration; the defaults are the base, from which every other arm differs in what its name says."""

    population: str = "challenge1"
    filters: int = 8
    images: int = 2000
    denoiser_epochs: int = 8
    epochs: int = 8
    stretch: str = "minmax"
    embedding: int = 24
    denoise: bool = True
    pixels: int = 51
    augment: str = "none"
    seed: int = 1
    pca: bool = False


BASE = Arm()
ARMS: dict[str, Arm] = {
    "base": BASE,
    "base, another seed": replace(BASE, seed=2),
    "log": replace(BASE, stretch="log-minmax"),
    "no denoiser": replace(BASE, denoise=False),
    "population conspicuous": replace(BASE, population="conspicuous", images=1500),
    "filters 16": replace(BASE, filters=16),
    "filters 32": replace(BASE, filters=32),
    "images 1000": replace(BASE, images=1000),
    "images 4000": replace(BASE, images=4000),
    "epochs x3": replace(BASE, denoiser_epochs=24, epochs=24),
    "embedding 8": replace(BASE, embedding=8),
    "embedding 48": replace(BASE, embedding=48),
    "pixels 101": replace(BASE, pixels=101),
    "turned images": replace(BASE, augment="dihedral"),
}
PCA_OF = (
    "base",
    "log",
    "population conspicuous",
    "images 1000",
    "images 4000",
    "embedding 8",
    "embedding 48",
    "pixels 101",
)
ARMS |= {f"pca, {name}": replace(ARMS[name], pca=True) for name in PCA_OF}


@dataclass(frozen=True)
class Middle:
    """A lens set whose cutouts are their middle `pixels`; what `prepare_set` asks of a set."""

    whole: LensSet
    pixels: int

    def __len__(self) -> int:
        return len(self.whole)

    @property
    def content_hash(self) -> str:
        return f"{self.whole.content_hash}-{self.pixels}"

    @property
    def labels(self) -> np.ndarray:
        return self.whole.labels

    @property
    def ids(self) -> Any:
        return self.whole.ids

    @property
    def path(self) -> Path:
        return self.whole.path

    def images(self, band: str, rows: Any) -> np.ndarray:
        return self.cut(self.whole.images(band, rows))

    def cut(self, images: np.ndarray) -> np.ndarray:
        first = (images.shape[-1] - self.pixels) // 2
        part = slice(first, first + self.pixels)
        return np.ascontiguousarray(images[..., part, part])


@dataclass(frozen=True)
class Place:
    """Where sets lie and results go."""

    sets: Path
    out: Path

    def middle(self, arm: Arm, test: bool = False) -> Middle:
        return Middle(LensSet.open(self.sets / (arm.population + "-test" * test)), arm.pixels)


def recipe_of(arm: Arm) -> Recipe:
    """The published recipe with the arm's changes."""
    taken = {"filters": arm.filters, "embedding": arm.embedding, **({} if arm.denoise else {"denoise": False})}
    words = {
        "size": arm.pixels,
        "field_of_view_arcsec": arm.pixels * PIXEL_ARCSEC,
        "stretch": arm.stretch,
        "architecture_options": taken,
    }
    return load_recipe("cae-bgm").model_copy(update=words)


@dataclass(frozen=True)
class Run:
    """One arm with its images."""

    arm: Arm
    place: Place

    @cached_property
    def recipe(self) -> Recipe:
        return recipe_of(self.arm)

    @cached_property
    def options(self) -> ClusterOptions:
        arm = self.arm
        words = {name: getattr(arm, name) for name in ("denoiser_epochs", "epochs", "augment", "images", "seed")}
        return ClusterOptions.of(self.recipe, batch_size=8, **words)

    @cached_property
    def finder(self) -> Finder:
        return Finder(self.recipe, nn.Identity(), "factors")

    @cached_property
    def images(self) -> Images:
        return drawn_images(self.finder, self.place.middle(self.arm), self.options, self.place.out, _silent)

    @cached_property
    def test(self) -> PreparedSet:
        return prepare_set(self.finder, self.place.middle(self.arm, test=True), self.place.out)

    @cached_property
    def network(self) -> Network:
        """Trained, or gone on with; arms that differ in the extractor alone share a denoiser."""
        of_denoiser = replace(self.arm, epochs=0, embedding=0)
        folders = [self.place.out / _name(one) for one in (of_denoiser, self.arm)]
        return train_network(self.recipe, self.images, self.options, Workplace(*folders, device="cpu"), _say)

    def points(self) -> tuple[np.ndarray, np.ndarray]:
        """Embeddings of the images and of the test images."""
        if self.arm.pca:
            components = PCA(self.arm.embedding, svd_solver="randomized", random_state=self.arm.seed)
            return components.fit_transform(_flat(self.images.prepared)), components.transform(_flat(self.test))
        sets = (self.images.prepared, self.test)
        return tuple(embeddings(self.network.module, Posed(one, np.arange(len(one))))[:, 0] for one in sets)  # type: ignore[return-value]

    def measured(self) -> dict[str, Any]:
        """Everything that the table shows."""
        points, tested = self.points()
        labels, own = self.test.labels, self.images.prepared.labels
        head = MixtureHead(self.arm.embedding, self.arm.embedding)
        head.reset_parameters()
        fitted = fit_mixture(head, points, self.arm.seed)
        assigned = responsibilities(head, points).argmax(1)
        head.known.copy_(torch.from_numpy(known_fractions(clusters_of(assigned, own, self.arm.embedding))))
        scores, trained_on = logits(head, tested.astype(np.float32)), logits(head, points.astype(np.float32))
        tree = _tree().fit(points, own).predict_proba(tested)[:, 1]
        kept = {} if self.arm.pca else self.arcs_kept()
        return {
            "training": _auroc(own, trained_on),
            "validation": _auroc(labels[:VALIDATION], scores[:VALIDATION]),
            "test": _auroc(labels[VALIDATION:], scores[VALIDATION:]),
            "tree": _auroc(labels[VALIDATION:], tree[VALIDATION:]),
            "clusters": len(set(assigned.tolist())),
            "converged": fitted.converged,
            "cross_entropy": {} if self.arm.pca else {k: v[-1][1] for k, v in self.network.history.items()},
            **kept,
        }

    def with_and_without(self, rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
        """Prepared test lenses, the same without their lensed light on the same scale, and where that light is."""
        middle = self.place.middle(self.arm, test=True)
        native, light = middle.images("VIS", rows), middle.cut(middle.whole.source_light("VIS", rows))
        images = self.finder.preprocess({"VIS": native}, [middle.ids[row] for row in rows])
        span = np.ptp(native.reshape(len(native), -1), axis=1)[:, None, None, None]
        without = _unstretched(images, self.arm.stretch) - torch.from_numpy(light[:, None] / span).float()
        mask = light > 0.1 * light.max(axis=(1, 2), keepdims=True)
        return images, _stretched(without, self.arm.stretch), mask[:, None]

    @torch.inference_mode()
    def arcs_kept(self) -> dict[str, float]:
        """Slope of the change that denoiser and decoder draw on the change that the lensed light makes."""
        rows = np.flatnonzero(self.test.labels[VALIDATION:] == 1)[:ARC_LENSES] + VALIDATION
        images, without, mask = self.with_and_without(rows)
        put_in = (images - without).numpy()[mask]
        kept = {}
        for name, of in self.drawn(images).items():
            change = (of - self.drawn(without)[name]).numpy()[mask]
            kept[f"arc_{name}"] = float((change * put_in).sum() / (put_in**2).sum())
        return kept

    @torch.inference_mode()
    def drawn(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """What denoiser and decoder make of prepared images."""
        module, mirrored = self.network.module, self.network.decoder
        denoised = module.denoiser(images)
        return {"denoised": denoised, "reconstructed": torch.sigmoid(mirrored(module.encoder(denoised)))}


def _stretched(linear: torch.Tensor, stretch: str) -> torch.Tensor:
    return linear if stretch == "minmax" else torch.log1p(LOG_SCALE * linear.clamp(min=0)) / np.log1p(LOG_SCALE)


def _unstretched(images: torch.Tensor, stretch: str) -> torch.Tensor:
    return images if stretch == "minmax" else torch.expm1(images * np.log1p(LOG_SCALE)) / LOG_SCALE


def _flat(prepared: PreparedSet) -> np.ndarray:
    return decoded(*prepared.read(np.arange(len(prepared)))).flatten(1).numpy()


def _tree() -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(random_state=0, max_iter=150, learning_rate=0.06)


def _auroc(labels: np.ndarray, scores: np.ndarray) -> list[float]:
    """AUROC and its 95 % interval."""
    lenses, others = scores[labels == 1], scores[labels == 0]
    return [float(auroc(lenses, others)), *map(float, auroc_interval(lenses, others))]


def _name(arm: Arm) -> str:
    return "-".join(str(value) for value in asdict(arm).values())


def _silent(what: str, done: int, total: int) -> None:
    pass


def _say(what: str, done: int, total: int) -> None:
    if done % 50 == 0 or done == total:
        print(f"\r{what}: {done} of {total}", end="", flush=True)


COLUMNS = {"training": "training images", "validation": "validation", "test": "test", "tree": "tree on the embedding"}


def table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """The results in Markdown."""
    heads = [*COLUMNS.values(), "arcs kept by the denoiser", "by the embedding"]
    lines = [f"| changed | {' | '.join(heads)} |", "| --- " * (len(heads) + 1) + "|"]
    for name, result in results.items():
        cells = [_cell(result.get(column)) for column in COLUMNS]
        cells += [_cell([result[key]] if key in result else None) for key in ("arc_denoised", "arc_reconstructed")]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(value: list[float] | None) -> str:
    if value is None:
        return "–"
    words = [f"{number:.3f}".replace("0.", ".") for number in value]
    return words[0] if len(words) == 1 else f"{words[0]} [{words[1]}, {words[2]}]"


def photometry(place: Place, arm: Arm) -> dict[str, Any]:
    """A tree on fluxes, peaks and noise (benchmarks/realism.py), trained on the arm's images, on the same test."""
    run, (known, test) = Run(arm, place), (place.middle(arm, test=one).whole for one in (False, True))
    rows = run.images.prepared.rows
    tree = _tree().fit(shortcut_features(known)[rows], known.labels[rows])
    guess = tree.predict_proba(shortcut_features(test))[:, 1]
    parts = {"validation": slice(0, VALIDATION), "test": slice(VALIDATION, None)}
    return {name: _auroc(test.labels[part], guess[part]) for name, part in parts.items()}


def draw(run: Run, path: Path, lenses: int = 5, others: int = 2) -> None:
    """Images, what denoiser and embedding draw of them, what is left over, and the lensed light."""
    labels = run.test.labels
    rows = np.concatenate([np.flatnonzero(labels == value)[:n] for value, n in ((1, lenses), (0, others))])
    images, without, _ = run.with_and_without(rows)
    with torch.inference_mode():
        pictures = {"image": images, **run.drawn(images), "lensed light": images - without}
    pictures["image − reconstructed"] = images - pictures["reconstructed"]
    figure = new_figure(1.15 * len(rows) + 1.2, 1.15 * len(pictures))
    axes = figure.subplots(len(pictures), len(rows))
    for line, (name, block) in zip(axes, pictures.items(), strict=True):
        line[0].set_ylabel(name, fontsize=7)
        for panel, picture, row in zip(line, block[:, 0].numpy(), rows, strict=True):
            panel.imshow(prepared_grey(picture[None])[0], origin="lower", cmap="gray", vmin=0, vmax=1)
            panel.set(xticks=[], yticks=[])
            if line is axes[0]:
                panel.set_title("lens" if labels[row] else "non-lens", fontsize=7)
    save_figure(path, figure)


def main() -> None:
    """Run the arms and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", type=lambda words: words.split(";"), help="names of arms, with ; between them")
    parser.add_argument("--figure", type=Path, help="reconstructions by the first of --only, as PNG")
    given = parser.parse_args()
    torch.set_num_threads(1)
    place, names = Place(given.sets, given.out), given.only or list(ARMS)
    place.out.mkdir(parents=True, exist_ok=True)
    results = {}
    for name in names:
        arm = ARMS[name]
        kept: Piece[dict[str, Any]] = Piece(place.out / f"{_name(arm)}.json", JsonForm("measured"), asdict(arm))
        began = time.process_time()
        results[name] = kept.or_made(Run(arm, place).measured)
        print(f"\r{name}: {results[name]}, {time.process_time() - began:.0f} s of processor", flush=True)
    for population in dict.fromkeys(ARMS[name].population for name in names):
        arm = next(ARMS[name] for name in names if ARMS[name].population == population)
        kept = Piece(place.out / f"photometry-{population}.json", JsonForm("measured"), population)
        results[f"photometry, {population}"] = kept.or_made(lambda arm=arm: photometry(place, arm))
    print(table(results))
    if given.figure:
        draw(Run(ARMS[names[0]], place), given.figure)


if __name__ == "__main__":
    main()
