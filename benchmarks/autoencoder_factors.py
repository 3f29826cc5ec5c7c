"""Why the autoencoder and mixture of Cheng et al. 2020 find few lenses here: one thing changed at a time.

    python benchmarks/autoencoder_factors.py --sets runs --out runs/factors [--only 'base;components'] [--figure PNG]

`--sets` holds `challenge1`, `challenge1-test` and so on, as docs/autoencoder-factors.md simulates them. Each arm is
one training (or principal components in place of the autoencoder); a stopped run goes on, a finished arm is
read from its file. The first `VALIDATION` images of a test set are for choosing between arms, the rest for reporting.

Columns: AUROC of the mixture by known lens fractions (training images, validation, test with its 95 % interval), of a
supervised tree on the same embedding (test); fraction of the embedding's variance in one direction; of the test pixels'
variance that the reconstruction has, and how much of the lensed light denoiser and reconstruction have: the slope of
what they draw more where the lensed light is put in, on what was put in; 1 is all, 0 nothing.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from astropy.io import fits
from realism import shortcut_features
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from torch import nn

from lensaudit.clustering import ClusterOptions
from lensaudit.clustering.embed import Posed, embeddings, fit_mixture, logits, responsibilities
from lensaudit.clustering.network import Images, Network, Workplace, drawn_images, train_network
from lensaudit.clustering.outputs import passes_cut
from lensaudit.clustering.page import clusters_of, known_fractions
from lensaudit.display.figures import new_figure, save_figure
from lensaudit.display.images import prepared_grey
from lensaudit.finders import Finder, Recipe, load_recipe
from lensaudit.finders.layers import MixtureHead
from lensaudit.finders.stretch import LOG_SCALE
from lensaudit.kept import JsonForm, Piece
from lensaudit.lensset import LensSet
from lensaudit.statistics import Proportion, auroc, auroc_interval
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
DIRECT = replace(BASE, denoise=False)
"""Half the cost; the other trained arms differ from this one."""
ARMS: dict[str, Arm] = {
    "base": BASE,
    "no denoiser": DIRECT,
    "no denoiser, another seed": replace(DIRECT, seed=2),
    **{f"no denoiser, {n} epochs": replace(DIRECT, epochs=n) for n in (16, 40, 100)},
    "no denoiser, 12 features": replace(DIRECT, embedding=12),
    "no denoiser, images 4000": replace(DIRECT, images=4000),
    "no denoiser, log": replace(DIRECT, stretch="log-minmax"),
    **{f"no denoiser, filters {n}": replace(DIRECT, filters=n) for n in (16, 32)},
    "no denoiser, pixels 101": replace(DIRECT, pixels=101),
    "no denoiser, conspicuous": replace(DIRECT, population="conspicuous", images=1500),
}
COMPONENTS = replace(BASE, pca=True)
ARMS |= {
    "components": COMPONENTS,
    "components, log": replace(COMPONENTS, stretch="log-minmax"),
    "components, conspicuous": replace(COMPONENTS, population="conspicuous", images=1500),
    **{f"components, images {n}": replace(COMPONENTS, images=n) for n in (1000, 1500, 4000)},
    "components, pixels 101": replace(COMPONENTS, pixels=101),
    "components, another seed": replace(COMPONENTS, seed=2),
    **{f"{n} components": replace(COMPONENTS, embedding=n) for n in (4, 8, 12, 16, 48)},
    **{f"{n} components, images 4000": replace(COMPONENTS, embedding=n, images=4000) for n in (8, 12, 16)},
}


@dataclass(frozen=True)
class Middle:
    """A lens set whose cutouts are their middle `pixels`; what `prepare_set` asks of a set."""

    whole: LensSet
    pixels: int

    def __len__(self) -> int:
        return len(self.whole)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.whole, name)

    @property
    def content_hash(self) -> str:
        return f"{self.whole.content_hash}-{self.pixels}"

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
        lens_set: Any = self.place.middle(self.arm)
        return drawn_images(self.finder, lens_set, self.options, self.place.out, _say)

    @cached_property
    def test(self) -> PreparedSet:
        lens_set: Any = self.place.middle(self.arm, test=True)
        return prepare_set(self.finder, lens_set, self.place.out)

    @cached_property
    def network(self) -> Network:
        """Trained, or gone on with; arms that differ in the extractor alone share a denoiser."""
        of_denoiser = replace(self.arm, epochs=0, embedding=0)
        denoiser, extractor = (self.place.out / _name(one) for one in (of_denoiser, self.arm))
        return train_network(self.recipe, self.images, self.options, Workplace(denoiser, extractor, device="cpu"), _say)

    @cached_property
    def components(self) -> PCA:
        components = PCA(self.arm.embedding, svd_solver="randomized", random_state=self.arm.seed)
        return components.fit(_flat(self.images.prepared))

    def points(self) -> tuple[np.ndarray, np.ndarray]:
        """Embeddings of the images and of the test images."""
        if self.arm.pca:
            known, test = (self.components.transform(_flat(one)) for one in (self.images.prepared, self.test))
            return known, test
        sets = (self.images.prepared, self.test)
        return tuple(embeddings(self.network.module, Posed(one, np.arange(len(one))))[:, 0] for one in sets)  # type: ignore[return-value]

    def measured(self) -> dict[str, Any]:
        """Everything that the table shows."""
        points, tested = self.points()
        labels, own = self.test.labels, self.images.prepared.labels
        head = MixtureHead(self.arm.embedding, self.arm.embedding)
        head.reset_parameters()
        fit_mixture(head, points, self.arm.seed)
        assigned = responsibilities(head, points).argmax(1)
        head.known.copy_(torch.from_numpy(known_fractions(clusters_of(assigned, own, self.arm.embedding))))
        scores, trained_on = logits(head, tested.astype(np.float32)), logits(head, points.astype(np.float32))
        tree = _tree().fit(points, own).predict_proba(tested)[:, 1]
        return {
            "training": _auroc(own, trained_on),
            "validation": _auroc(labels[:VALIDATION], scores[:VALIDATION]),
            "test": _auroc(labels[VALIDATION:], scores[VALIDATION:]),
            "tree": _auroc(labels[VALIDATION:], tree[VALIDATION:]),
            "direction": float(PCA(1).fit(points).explained_variance_ratio_[0]),
            **self.kept(),
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
    def kept(self) -> dict[str, float]:
        """Fraction of the pixels' variance that is drawn, and slope of what is drawn more where lensed light is."""
        rows = np.flatnonzero(self.test.labels[VALIDATION:] == 1)[:ARC_LENSES] + VALIDATION
        images, without, mask = self.with_and_without(rows)
        put_in, found = (images - without).numpy()[mask], {}
        for name, of in self.drawn(images).items():
            change = (of - self.drawn(without)[name]).numpy()[mask]
            found[f"arc_{name}"] = float((change * put_in).sum() / (put_in**2).sum())
        everything = decoded(*self.test.read(np.arange(VALIDATION, len(self.test))))
        drawn = torch.cat([self.drawn(part)["reconstructed"] for part in everything.split(200)])
        spread = (everything - everything.mean(0)).square().sum()
        return {**found, "variance": 1 - float((everything - drawn).square().sum() / spread)}

    @torch.inference_mode()
    def drawn(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """What denoiser and decoder, or the principal components, make of prepared images."""
        if self.arm.pca:
            flat = self.components.inverse_transform(self.components.transform(images.flatten(1).numpy()))
            return {"reconstructed": torch.from_numpy(flat).float().reshape(images.shape)}
        module, mirrored = self.network.module, self.network.decoder
        denoised = module.denoiser(images)
        first = {"denoised": denoised} if self.arm.denoise else {}
        return {**first, "reconstructed": torch.sigmoid(mirrored(module.encoder(denoised)))}


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


def _say(what: str, done: int, total: int) -> None:
    if done % 50 == 0 or done == total:
        print(f"\r{what}: {done} of {total}", end="", flush=True)


COLUMNS = {"training": "training images", "validation": "validation", "test": "test", "tree": "tree on the embedding"}
KEPT = {
    "direction": "in one direction",
    "variance": "variance drawn",
    "arc_denoised": "arcs denoised",
    "arc_reconstructed": "arcs reconstructed",
}


def table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """The results in Markdown."""
    heads = [*COLUMNS.values(), *KEPT.values()]
    lines = [f"| arm | {' | '.join(heads)} |", "| --- " * (len(heads) + 1) + "|"]
    for name, result in results.items():
        cells = [_cell(result.get(column)) for column in COLUMNS]
        cells += [_cell([result[key]] if key in result else None) for key in KEPT]
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


def draw(runs: Mapping[str, Run], path: Path, lenses: int = 5, others: int = 2) -> None:
    """Test images, their lensed light, and what the runs draw of them."""
    last = list(runs.values())[-1]
    labels = last.test.labels
    rows = np.concatenate([np.flatnonzero(labels == value)[:n] for value, n in ((1, lenses), (0, others))])
    images, without, _ = last.with_and_without(rows)
    pictures = {"image": images, "lensed light": images - without}
    for name, run in runs.items():
        pictures |= {f"{name}:\n{what}": drawn for what, drawn in run.drawn(images).items()}
    figure = new_figure(1.1 * len(rows) + 0.6, 1.1 * len(pictures))
    for line, (name, block) in zip(figure.subplots(len(pictures), len(rows)), pictures.items(), strict=True):
        line[0].set_ylabel(name, fontsize=6)
        for panel, picture, row in zip(line, block[:, 0].numpy(), rows, strict=True):
            panel.imshow(prepared_grey(picture[None])[0], origin="lower", cmap="gray", vmin=0, vmax=1)
            panel.set(xticks=[], yticks=[])
            if name == "image":
                panel.set_title("lens" if labels[row] else "non-lens", fontsize=7)
    save_figure(path, figure)


def facts(lens_set: LensSet) -> None:
    """Print 5, 50 and 95 % of what a set's lenses are, and how many pass the paper's cut."""
    lens = lens_set.labels == 1
    columns = ("mag_lens_VIS", "mag_arc_VIS", "theta_e_arcsec", "n_arc_pixels", "arc_snr")
    values = {name: np.asarray(lens_set.column(name), np.float64)[lens] for name in columns}
    values["lensed light over the galaxy's"] = 10 ** (0.4 * (values["mag_lens_VIS"] - values["mag_arc_VIS"]))
    passed = Proportion.among(passes_cut(lens_set)[lens], 0.95)
    print(f"{lens_set.path.name}: {len(lens)} images, {lens.sum()} lenses, of which {passed} pass the cut")
    for name, column in values.items():
        print(f"  {name}: {np.round(np.percentile(column, [5, 50, 95]), 2)}")


def real(folder: Path) -> None:
    """Print magnitude within 1.5″ of the middle, zero point 0, and peak over noise, of images of challenge 1."""
    for path in sorted(folder.rglob("*.fits")):
        pixels = fits.getdata(path).astype(np.float64)
        steps = np.diff(pixels, axis=1)
        noise = 1.4826 * float(np.median(np.abs(steps - np.median(steps)))) / np.sqrt(2)
        y, x = np.mgrid[: pixels.shape[0], : pixels.shape[1]] - (pixels.shape[0] - 1) / 2
        flux = (pixels - np.median(pixels))[np.hypot(x, y) < 15].sum()
        told = f"{-2.5 * np.log10(flux):.2f} mag, peak {pixels.max() / noise:.0f} σ"
        print(f"{path.parent.name} {path.stem}: {told}, σ {-2.5 * np.log10(noise):.2f} mag")


def main() -> None:
    """Run the arms and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", type=lambda words: words.split(";"), help="names of arms, with ; between them")
    parser.add_argument("--figure", type=Path, help="reconstructions by the arms of --only, as PNG")
    parser.add_argument("--real", type=Path, help="folder of challenge-1 images to measure")
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
        results[f"photometry, {population}"] = kept.or_made(partial(photometry, place, arm))
        facts(place.middle(arm, test=True).whole)
    print(table(results))
    if given.figure:
        draw({name: Run(ARMS[name], place) for name in names}, given.figure)
    if given.real:
        real(given.real)


if __name__ == "__main__":
    main()
