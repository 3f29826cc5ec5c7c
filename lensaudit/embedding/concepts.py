"""Concept vectors (TCAV, Kim et al. 2018): do arcs, companions, spirals move the log-odds of lenses, at a layer.

A concept is pairs of scenes with and without it, the same galaxy and noise; its vector is the normal of a ridge
classifier of their activations. The directional derivatives are captum's (`captum.concept.TCAV` with plain gradients;
a test compares them); captum itself keeps vectors as pickles, which nothing here reads. Maps are averaged over their
positions, and a vector then acts on every position alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from lensaudit.embedding.readability import ALPHAS
from lensaudit.embedding.result import Concept, Concepts, Layer
from lensaudit.errors import DataError, UsageError
from lensaudit.explaining.layers import logit_module, not_in_place
from lensaudit.realism_gate.last_layer import LastLayer, last_layer, named_layer, pooled
from lensaudit.scenes import Scene, edits
from lensaudit.statistics import cross_validated_auroc, holm

if TYPE_CHECKING:
    from lensaudit.finders import Finder
    from lensaudit.imaging import Instrument
    from lensaudit.lensset import Cutouts

Floats = NDArray[np.float64]
Images = dict[str, NDArray[np.float32]]

COMPANIONS = 2
RANDOM = 499
REFITS = 100
FOLDS = 5
LEAST = 20
MOST_IMAGES = 500
"""Lenses of the set whose gradients are taken, evenly spread."""
EVERY = 1 << 30


@dataclass(frozen=True)
class Kind:
    """A concept: what has it and what has not, and the edit of a lens scene that makes the former."""

    meaning: str
    edit: Callable[[Scene], Scene]


KINDS = {
    "arcs": Kind("single lenses, against the same galaxies without their source", lambda scene: scene),
    "companions": Kind(
        "galaxies without a source but with two blue companions where arcs would be, against the same without",
        lambda scene: edits.without_source(edits.companions(scene, COMPANIONS)),
    ),
    "spirals": Kind("galaxies with spiral arms as bright as the arcs were, against the same without", edits.as_spiral),
}
WITHOUT = "without"


def measure_concepts(
    finder: Finder,
    lens_set: Cutouts,
    names: tuple[str, ...],
    layer: str,
    n: int,
    seed: int,
    progress: Callable[[int, int], object],
) -> Concepts:
    """TCAV scores of the lenses of a set for concepts of `KINDS`.

    Parameters
    ----------
    layer
        Whose output is taken; empty for the last convolution, or the input of the last linear layer without one.
    n
        Pairs of scenes.
    progress
        Called with (pairs rendered, pairs in all).

    Raises
    ------
    UsageError
        There is no such concept or layer, too few pairs are asked for, or the finder has no gradient.
    DataError
        No shipped instrument's cutouts fit the finder, or the set has no lens that can be scored.
    """
    check_concepts(finder, names, n)
    chosen = _layer(finder, layer)
    slopes = Slopes(finder, chosen)
    lenses = np.flatnonzero(lens_set.labels == 1)
    if not len(lenses):
        raise DataError(f"{lens_set.path}: has no lens, and concepts are asked of lenses; give a set with labels")
    rows = lenses[np.linspace(0, len(lenses) - 1, min(MOST_IMAGES, len(lenses))).round().astype(np.intp)]
    gradients = slopes.gradients_of(lens_set, rows)
    found = activations_of_scenes(finder, slopes, names, n, seed, progress, _own_instrument(lens_set))
    rng = np.random.default_rng([seed, 4])
    made = [concept_of(name, KINDS[name].meaning, found[name], found[WITHOUT], gradients, rng) for name in names]
    corrected = holm([one.p for one in made])
    rows_of = tuple(Concept(**{**vars(one), "p_holm": float(p)}) for one, p in zip(made, corrected, strict=True))
    return Concepts(_facts(chosen), rows_of, tuple(_notes(gradients)))


def check_concepts(finder: Finder, names: tuple[str, ...], n: int) -> None:
    """Raise UsageError for concepts that are not known, too few pairs, or a finder without gradient."""
    for name in names:
        if name not in KINDS:
            raise UsageError(f"--concept '{name}' is not known; allowed: {', '.join(KINDS)}")
    if n < LEAST:
        raise UsageError(f"--concept-n {n}: at least {LEAST} pairs are needed")
    if not finder.differentiable:
        raise UsageError(f"--concept does not apply to finder {finder.name}, whose score has no gradient; leave it out")


def _layer(finder: Finder, name: str) -> LastLayer:
    if name:
        return named_layer(finder, name, EVERY)
    convolutions = [place for place, part in finder.module.named_modules() if isinstance(part, torch.nn.Conv2d)]
    if convolutions:
        return named_layer(finder, convolutions[-1], EVERY)
    found = last_layer(finder, EVERY)
    if isinstance(found, str):
        raise UsageError(f"finder {finder.name}: {found}, so no concepts; name a layer with --concept-layer")
    return found


def _facts(layer: LastLayer) -> Layer:
    return Layer(layer.name, layer.side, layer.features, layer.wide, layer.pooled)


def _notes(gradients: Floats) -> list[str]:
    spread = np.linalg.norm(gradients - gradients.mean(axis=0), axis=1).max()
    if spread > 1e-6 * np.linalg.norm(gradients.mean(axis=0)):
        return []
    return ["The log-odds are linear in this layer: every image has one gradient, so a TCAV score is 0 or 1."]


def _own_instrument(lens_set: Cutouts) -> Instrument | None:
    if getattr(getattr(lens_set, "header", None), "full_instrument", None) is None:
        return None
    from lensaudit.lensset import instrument_of

    return instrument_of(lens_set)  # type: ignore[arg-type]


class Slopes:
    """Activations of a layer, averaged over positions, and gradients of the log-odds with respect to them.

    Parameters
    ----------
    layer
        One of the finder's module; what is hooked is a copy of it.
    """

    def __init__(self, finder: Finder, layer: LastLayer) -> None:
        self._finder, self._layer = finder, layer
        body = not_in_place(finder.module)
        parts = dict(body.named_modules())
        if layer.name not in parts:
            raise UsageError(f"--concept-layer {layer.name}: cannot be copied with finder {finder.name}; name another")
        self._part, self._module = parts[layer.name], logit_module(finder, body)

    def of(self, images: torch.Tensor, gradient: bool) -> tuple[Floats, Floats]:
        """Activations and, if asked for, gradients (n, d) of prepared images; a gradient is of a shift everywhere."""
        seen: list[torch.Tensor] = []
        if self._layer.side == "input":
            handle = self._part.register_forward_pre_hook(
                lambda _module, inputs, named: seen.append(inputs[0] if inputs else named["input"]), with_kwargs=True
            )
        else:
            handle = self._part.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
        try:
            with torch.set_grad_enabled(gradient):
                logit = self._module(images.clone().requires_grad_(gradient))
        finally:
            handle.remove()
        activation = _numbers(torch.stack([pooled(one, self._layer.side) for one in seen]).mean(dim=0))
        if not gradient:
            return activation, np.empty_like(activation)
        found = torch.autograd.grad(logit.sum(), seen)
        summed = [pooled(one, self._layer.side) * _positions(one, self._layer.side) for one in found]
        return activation, _numbers(torch.stack(summed).sum(dim=0))

    def gradients_of(self, lens_set: Cutouts, rows: NDArray[np.intp], at_once: int = 16) -> Floats:
        """Gradients (m, d) of the images that can be scored."""
        found: list[Floats] = []
        for start in range(0, len(rows), at_once):
            images, good = self._finder.prepare(lens_set.cutouts(rows[start : start + at_once]))
            usable = good.all(dim=1)
            if bool(usable.any()):
                found.append(self.of(images[usable], True)[1])
        if not found:
            raise DataError(f"{lens_set.path}: none of its lenses can be scored, and concepts are asked of them")
        return np.concatenate(found)


def _numbers(tensor: torch.Tensor) -> Floats:
    return tensor.detach().double().cpu().numpy()


def _positions(found: torch.Tensor, side: str) -> int:
    return found[0].numel() // pooled(found, side)[0].numel()


def activations_of_scenes(
    finder: Finder,
    slopes: Slopes,
    names: tuple[str, ...],
    n: int,
    seed: int,
    progress: Callable[[int, int], object],
    instrument: Instrument | None = None,
) -> dict[str, Floats]:
    """Concept, and ``without``, → activations (n, d) of scenes 0 … n − 1 in that arm; a pair is one row of both."""
    from lensaudit.imaging import render_arms
    from lensaudit.probes import load_definition
    from lensaudit.probes.elsewhere import cutouts_of, reading_drawn, seen_by
    from lensaudit.scenes import draw_scene

    definition = seen_by(load_definition("companions"), finder, instrument)
    where = definition.seen_by
    fields = cutouts_of(where)
    reader = reading_drawn(finder, instrument).for_units(fields)
    reader.check(fields)
    population = next(iter(definition.modes[definition.default_mode].populations.values()))
    arms = (WITHOUT, *names)
    found: dict[str, list[Floats]] = {arm: [] for arm in arms}
    for index in range(n):
        scene = draw_scene(population, seed, index, where.sky)
        scenes = [edits.without_source(scene), *(KINDS[name].edit(scene) for name in names)]
        rendered = render_arms(scenes, where)
        cutouts = {band: np.stack([one.images[band] for one in rendered]) for band in reader.recipe.bands}
        activation = slopes.of(reader.preprocess(cutouts), False)[0]
        for arm, row in zip(arms, activation, strict=True):
            found[arm].append(row)
        progress(index + 1, n)
    return {arm: np.stack(rows) for arm, rows in found.items()}


def concept_of(
    name: str, meaning: str, there: Floats, without: Floats, gradients: Floats, generator: np.random.Generator
) -> Concept:
    """TCAV of one concept.

    Parameters
    ----------
    there, without
        Activations (n, d) of pairs.
    gradients
        Of the log-odds at the layer (m, d).
    """
    from sklearn.linear_model import RidgeCV

    n = len(there)
    scale = _scale(there, without)
    strength = float(RidgeCV(alphas=ALPHAS).fit(*_pairs(there, without, scale)).alpha_)
    vector = vector_of(there, without, strength, scale)
    step = float(((there - without) @ vector).mean())
    mean = gradients.mean(axis=0)
    halves = np.stack([generator.permutation(np.arange(n) % 2) for _ in range(RANDOM)]) * 2.0 - 1
    chance = step * (_normals(without / scale, halves, strength, scale) @ mean)
    slope, score = step * float(mean @ vector), float((gradients @ vector > 0).mean())
    refits = []
    for _ in range(REFITS):
        rows, images = generator.integers(n, size=n), generator.integers(len(gradients), size=len(gradients))
        own = vector_of(there[rows], without[rows], strength, scale)
        along = gradients[images] @ own
        refits.append((float((along > 0).mean()), float(((there - without)[rows] @ own).mean() * along.mean())))
    ends = np.quantile(np.array(refits), [0.025, 0.975], axis=0)
    p = (1 + int((np.abs(chance) >= abs(slope) * (1 - 1e-12)).sum())) / (1 + RANDOM)
    low, high = np.quantile(chance, [0.025, 0.975])
    return Concept(
        name, meaning, n, *_told(there, without, strength, scale, generator), len(gradients),
        score, float(ends[0, 0]), float(ends[1, 0]), slope, float(ends[0, 1]), float(ends[1, 1]),
        float(low), float(high), RANDOM, p, p,
    )  # fmt: skip


def _scale(there: Floats, without: Floats) -> Floats:
    """One number for all features: were each scaled by its own, those that hardly vary would lead the vector."""
    deviation = np.sqrt((np.concatenate([there, without]).std(axis=0) ** 2).mean())
    return np.full(there.shape[1], deviation if deviation > 0 else 1.0)


def _pairs(there: Floats, without: Floats, scale: Floats) -> tuple[Floats, Floats]:
    return np.concatenate([there, without]) / scale, np.repeat([1.0, -1.0], len(there))


def vector_of(there: Floats, without: Floats, strength: float, scale: Floats) -> Floats:
    """Unit vector (d,) from without to with: the normal of a ridge classifier of both (n, d) over `scale` (d,)."""
    rows, wanted = _pairs(there, without, scale)
    return _normals(rows, wanted[None], strength, scale)[0]


def _normals(rows: Floats, wanted: Floats, strength: float, scale: Floats) -> Floats:
    """Unit normals (k, d) of ridge classifiers of `rows` (n, d), each towards where its `wanted` (k, n) is 1."""
    from sklearn.linear_model import Ridge

    weights = np.asarray(Ridge(alpha=strength).fit(rows, wanted.T).coef_).reshape(len(wanted), -1) / scale
    return np.asarray(weights / np.maximum(np.linalg.norm(weights, axis=1, keepdims=True), 1e-300))


def _told(
    there: Floats, without: Floats, strength: float, scale: Floats, generator: np.random.Generator
) -> tuple[float, float, float]:
    """AUROC of pairs that the vector was not fitted to, and its interval."""
    n = len(there)
    fold = generator.permutation(n) % FOLDS
    score = np.empty(2 * n)
    for one in range(FOLDS):
        test = fold == one
        own = vector_of(there[~test], without[~test], strength, scale)
        score[:n][test], score[n:][test] = there[test] @ own, without[test] @ own
    return cross_validated_auroc(score, np.repeat([True, False], n), np.tile(fold, 2))
