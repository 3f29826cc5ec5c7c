"""Can a finder tell the label from the orientation of the PSF, and what cures it?

Wilde et al. 2022 balanced their classes by turning and mirroring non-lenses only. With a three-fold PSF at one angle
of the detector, lenses then show it at one angle and non-lenses at eight, and the accuracy is spurious. Here the
labels are a coin: every image, "lens" or not, is a galaxy without a source, drawn alike and with the same PSF, so
that whatever a finder gets right beyond one half, it got from the balancing. Each is trained on VIS at its native
0.1″, 6.6″ around the galaxy (architecture `core`). In the galaxies of the arms with a nucleus stands a point of so
many magnitudes: without it, the three-fold part of the PSF is a few σ per image (the script says how many). A coin's
galaxies are alone; the arms with true labels have the scenes of the population, moved to the middle.

Whoever knows every PSF is right in 93.75 %: an eighth of the turns leaves a non-lens as it is.

    python benchmarks/psf_leak.py --out runs/psf-leak [--n 4000] [--n-test 1000] [--epochs 12] [--only ARM …]

Interrupted, the same command goes on; sets, finders (`load_finder` opens them) and results stay under --out.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lensaudit.files import write_json
from lensaudit.finders import Finder, Recipe, load_finder, read_record
from lensaudit.imaging import EUCLID, render
from lensaudit.imaging.render import noiseless_images
from lensaudit.lensset import LensSet, LensSetWriter, Records
from lensaudit.lensset.header import Header
from lensaudit.lensset.simulation import simulation_header, write_chunks
from lensaudit.scenes import Light, Psf, Scene, draw_scene
from lensaudit.statistics import wilson_interval
from lensaudit.training import AUGMENTATIONS, Machine, Place, TrainingData, TrainingOptions, train
from lensaudit.training.augment import UNIFORMS, Draws

VIS = replace(EUCLID, bands=EUCLID.bands[:1])
FIXED_DEG = 7.5
"""Of all angles the one whose eight turned and mirrored patterns differ most: 15° apart, of the 120° of the pattern."""
LENS_FRACTION = 2 / 3
TURNS_DEG = tuple(range(0, 120, 10))
BATCH = 50


@dataclass(frozen=True)
class World:
    """How the images of an arm are made.

    Attributes
    ----------
    population
        Scenes; with `coin` the label is drawn, else it is the scene's.
    psf
        Kind of the PSF.
    nucleus_mag
        VIS magnitude of a point in the middle galaxy; None for none.
    any_angle
        The PSF's angle is drawn per image, in both classes alike, instead of `FIXED_DEG`.
    """

    population: str = "no-source"
    psf: str = "trefoil"
    nucleus_mag: float | None = 17.0
    any_angle: bool = False

    @property
    def coin(self) -> bool:
        """Whether labels say nothing."""
        return self.population == "no-source"

    @property
    def name(self) -> str:
        """Folder of its sets."""
        core = "as-drawn" if self.nucleus_mag is None else f"nucleus-{self.nucleus_mag:g}"
        return f"{self.population}-{self.psf}-{core}" + ("-any-angle" if self.any_angle else "")

    def scene(self, seed: int, index: int) -> Scene:
        """Scene `index`."""
        scene = draw_scene(self.population, seed, index)
        angle = np.random.default_rng((seed, index, 7)).uniform(0, 120) if self.any_angle else FIXED_DEG
        if self.coin:
            scene = replace(scene, galaxies=tuple(galaxy for galaxy in scene.galaxies if galaxy.role == "lens"))
        scene = replace(centred(scene, seed, index), psf=Psf(self.psf, angle_deg=round(float(angle), 3)))
        if self.nucleus_mag is None:
            return scene
        point = Light("sersic", dict.fromkeys(EUCLID.band_names, self.nucleus_mag), r_eff_arcsec=0.05)
        galaxies = tuple(
            replace(galaxy, light=(*galaxy.light, point)) if galaxy.role == "lens" else galaxy
            for galaxy in scene.galaxies
        )
        return replace(scene, galaxies=galaxies)

    def label(self, scene: Scene, index: int, lens_fraction: float) -> int:
        """1 for a lens: the scene's own label, or by the index so that the fraction comes out."""
        return int((index * 0.6180339887) % 1 < lens_fraction) if self.coin else scene.label


def centred(scene: Scene, seed: int, index: int) -> Scene:
    """Move everything so that the middle galaxy is within 0.3″ of the middle, and never outside what `core` sees."""
    lens = next(galaxy for galaxy in scene.galaxies if galaxy.role == "lens")
    x, y = np.random.default_rng((seed, index, 8)).uniform(-0.3, 0.3, size=2)
    dx, dy = x - lens.x_arcsec, y - lens.y_arcsec
    return replace(
        scene,
        galaxies=tuple(replace(g, x_arcsec=g.x_arcsec + dx, y_arcsec=g.y_arcsec + dy) for g in scene.galaxies),
    )


@dataclass(frozen=True)
class Arm:
    """One training: its images, network and balancing."""

    name: str
    what: str
    world: World = World()
    architecture: str = "core"
    augment: str = "non-lenses"
    recipe: tuple[tuple[str, Any], ...] = ()
    epochs_fraction: float = 1.0


COIN = World()
SKY = World(population="conspicuous")
ARMS = (
    Arm("faulty", "non-lenses turned"),
    Arm("faulty-longer", "non-lenses turned, trained twice as long", epochs_fraction=2),
    Arm("gaussian", "non-lenses turned, round PSF", replace(COIN, psf="gaussian"), epochs_fraction=0.5),
    Arm("weights", "loss weighted instead", augment="none", epochs_fraction=0.25),
    Arm("both", "both classes turned", augment="dihedral", epochs_fraction=0.5),
    Arm("p4m", "non-lenses turned, group convolutions", architecture="core-p4m", epochs_fraction=1 / 6),
    Arm(
        "symmetrised",
        "non-lenses turned, logits averaged over the 8",
        recipe=(("symmetrise", True),),
        epochs_fraction=1 / 12,
    ),
    Arm("angle", "non-lenses turned, angle as input", recipe=(("extra_inputs", ("psf_angle",)),), epochs_fraction=0.5),
    Arm("any-angle", "non-lenses turned, any angle", replace(COIN, any_angle=True)),
    Arm(
        "any-angle-input",
        "non-lenses turned, any angle, angle as input",
        replace(COIN, any_angle=True),
        recipe=(("extra_inputs", ("psf_angle",)),),
    ),
    Arm("nucleus-19", "non-lenses turned, nucleus of 19 mag", replace(COIN, nucleus_mag=19.0)),
    Arm("nucleus-21", "non-lenses turned, nucleus of 21 mag", replace(COIN, nucleus_mag=21.0)),
    Arm("as-drawn", "non-lenses turned, no nucleus", replace(COIN, nucleus_mag=None), epochs_fraction=0.5),
    Arm("sky-faulty", "true labels: non-lenses turned", SKY),
    Arm("sky-weights", "true labels: loss weighted instead", SKY, augment="none"),
    Arm("sky-both", "true labels: both classes turned", SKY, augment="dihedral"),
    Arm(
        "sky-p4m",
        "true labels: non-lenses turned, group convolutions",
        SKY,
        architecture="core-p4m",
        epochs_fraction=0.5,
    ),
)
TURNED = ("faulty", "faulty-longer", "weights", "both", "p4m", "symmetrised", "sky-faulty", "sky-both")
"""Arms whose PSF is turned under the finished finder."""


@dataclass(frozen=True)
class Making:
    """Writes one chunk of a set; see `lensaudit.lensset.simulation.write_chunks`."""

    root: Path
    header: Header
    world: World
    lens_fraction: float

    def __call__(self, chunk: int) -> int:
        """Write chunk `chunk`; returns how many systems it holds."""
        span = self.header.span(chunk)
        numbers = range(span.start, span.stop)
        assert self.header.seed is not None
        scenes = [self.world.scene(self.header.seed, i) for i in numbers]
        rendered = [render(scene, VIS) for scene in scenes]
        rows = [
            {**one.truth.row, "label": self.world.label(scene, i, self.lens_fraction)}
            for i, scene, one in zip(numbers, scenes, rendered, strict=True)
        ]
        images = {"VIS": np.stack([one.images["VIS"] for one in rendered])}
        records = Records([f"leak-{i:06d}" for i in numbers], images, rows, scenes=[s.to_json() for s in scenes])
        LensSetWriter(self.root, self.header).write(chunk, records)
        return len(numbers)


def made(out: Path, world: World, n: int, seed: int, lens_fraction: float) -> LensSet:
    """The lens set of `n` images of a world, made if need be."""
    header = simulation_header("euclid", world.population, n, seed)
    command = f"benchmarks/psf_leak.py: {world.name}, lens share {lens_fraction:.3f}"
    changes = {"bands": header.bands[:1], "has_truth": False, "provenance": replace(header.provenance, command=command)}
    return write_chunks(Making(out, header.model_copy(update=changes), world, lens_fraction))


def recipe_of(arm: Arm, epochs: int) -> Recipe:
    """What the finder of an arm is."""
    training = {"epochs": epochs, "batch_size": BATCH, "learning_rate": 3e-3, "validation_fraction": 0.15}
    words = {"name": f"psf-leak-{arm.name}", "architecture": arm.architecture, "bands": ("VIS",), "size": 200}
    words["stretch"] = "sqrt"  # beside a bright nucleus nothing else shows in a linear one
    return Recipe.model_validate(words | {"training": training} | dict(arm.recipe))


def trained(arm: Arm, sets: LensSet, out: Path, epochs: int) -> Finder:
    """The finder of an arm, trained if need be."""
    recipe = recipe_of(arm, epochs)
    options = TrainingOptions.of(
        recipe.training, augment=arm.augment, inputs="standardised", schedule="one-cycle", seed=1
    )
    train(recipe, TrainingData(sets), Place(out, out.parent.parent / "prepared"), options, Machine("cpu", 1))
    return load_finder(str(out))


def batches(finder: Finder, lens_set: LensSet) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Prepared images and labels (0.0, 1.0)."""
    labels, angles = lens_set.labels, lens_set.column("psf_angle_deg")
    for span, cutouts in lens_set.batches(BATCH):
        images = finder.preprocess({**cutouts, "psf_angle_deg": angles[span]})
        yield images, torch.from_numpy(labels[span].astype(np.float32))


@torch.inference_mode()
def right(finder: Finder, lens_set: LensSet, augment: str, seed: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(whether each image is called right, whether it is a lens), the set balanced by `augment`."""
    draws, calls, truth = np.random.default_rng(seed), [], []
    for images, is_lens in batches(finder, lens_set):
        choices = torch.from_numpy(draws.integers(8, size=len(images)))
        drawn = Draws(choices, torch.zeros(len(images), UNIFORMS), is_lens)  # turns and mirrors draw nothing else
        shown = AUGMENTATIONS[augment](images, drawn, len(finder.recipe.extra_inputs))
        calls.append((finder.logit(shown) > 0).numpy() == (is_lens > 0.5).numpy())
        truth.append((is_lens > 0.5).numpy())
    return np.concatenate(calls), np.concatenate(truth)


@lru_cache(maxsize=len(TURNS_DEG))
def turned_images(world: World, n: int, seed: int, turn_deg: int) -> NDArray[np.float32]:
    """The first `n` lenses of a world in VIS, the PSF turned by so much, with the noise of the unturned."""
    lenses: list[Scene] = []
    for index in itertools.count():
        scene = world.scene(seed, index)
        if world.label(scene, index, 0.5) == 1:
            lenses.append(replace(scene, psf=replace(scene.psf, angle_deg=scene.psf.angle_deg + turn_deg)))
        if len(lenses) == n:
            break
    return np.stack([render(scene, VIS).images["VIS"] for scene in lenses])


@torch.inference_mode()
def turned_recall(finder: Finder, world: World, n: int, seed: int) -> dict[str, dict[str, int]]:
    """Of the first `n` lenses, how many are found at each turn of the PSF, with the same noise; paired with no turn."""
    found: dict[int, NDArray[np.bool_]] = {}
    for turn in TURNS_DEG:
        images = finder.preprocess({"VIS": turned_images(world, n, seed, turn)})
        found[turn] = np.concatenate([(finder.logit(piece) > 0).numpy() for piece in images.split(BATCH)])
    plain = found[0]
    return {
        str(turn): {
            "n": n,
            "found": int(calls.sum()),
            "lost": int((plain & ~calls).sum()),
            "gained": int((calls & ~plain).sum()),
        }
        for turn, calls in found.items()
    }


def separation(world: World, n: int = 100, turn_deg: float = 15.0) -> list[float]:
    """How many σ lie between a scene and itself with its PSF turned, for one who knows both: quartiles over `n`."""
    band, middle = VIS.bands[0], slice(67, 133)
    found = []
    for index in range(n):
        scene = world.scene(11, index)
        other = replace(scene, psf=replace(scene.psf, angle_deg=scene.psf.angle_deg + turn_deg))
        first, second = (noiseless_images(one, VIS)["VIS"][middle, middle] for one in (scene, other))
        variance = band.background_sigma**2 + np.maximum(first, 0) / band.total_exposure_s
        found.append(float(np.sqrt(((first - second) ** 2 / variance).sum())))
    return [round(float(value), 2) for value in np.quantile(found, [0.25, 0.5, 0.75])]


def percentage(k: int, n: int) -> str:
    """k / n with its 95 % interval of Wilson, in per cent."""
    low, high = wilson_interval(k, n)
    return f"{100 * k / n:.1f} ({100 * low:.1f}–{100 * high:.1f})"


def show(results: dict[str, Any]) -> None:
    """Print the tables as Markdown."""
    print("| arm | what | accuracy, non-lenses turned | accuracy, none turned | lenses found | n | epoch kept |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, row in _in_order(results["arms"]).items():
        n, lenses = row["n"], row["n_lenses"]
        cells = [percentage(row["turned"], n), percentage(row["plain"], n), percentage(row["lenses_found"], lenses)]
        print(f"| {name} | {row['what']} | {' | '.join(cells)} | {n} | {row['best_epoch']} of {row['epochs']} |")
    turns = _in_order(results["turns"])
    print("\n| turn of the PSF | " + " | ".join(turns) + " |")
    print("| --- |" + " --- |" * len(turns))
    for turn in map(str, TURNS_DEG):
        cells = []
        for rows in turns.values():
            row = rows[turn]
            cells.append(f"{percentage(row['found'], row['n'])} −{row['lost']} +{row['gained']}")
        print(f"| {turn}° | " + " | ".join(cells) + " |")
    for name, quartiles in results["separation"].items():
        print(f"\nσ between a scene and itself with the PSF turned by 15°, {name}: quartiles {quartiles}", end="")
    print()


def _in_order(rows: dict[str, Any]) -> dict[str, Any]:
    return {arm.name: rows[arm.name] for arm in ARMS if arm.name in rows}


def main() -> None:
    """Make the sets, train the arms, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--n", type=int, default=4000)
    parser.add_argument("--n-test", type=int, default=1000)
    parser.add_argument("--n-turned", type=int, default=150)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--only", nargs="*", choices=[arm.name for arm in ARMS], default=[arm.name for arm in ARMS])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    file = arguments.out / "results.json"
    results: dict[str, Any] = {"arms": {}, "turns": {}, "separation": {}}
    if file.is_file():
        results = json.loads(file.read_text(encoding="utf-8"))
    for arm in sorted(
        (arm for arm in ARMS if arm.name in arguments.only), key=lambda arm: arguments.only.index(arm.name)
    ):
        epochs = round(arm.epochs_fraction * arguments.epochs)
        key = {"n_training": arguments.n, "n": arguments.n_test, "epochs": epochs}
        done = results["arms"].get(arm.name, {})
        if arm.name not in results["arms"] or any(done[name] != value for name, value in key.items()):
            sets = arguments.out / "sets" / arm.world.name
            training = made(sets / f"train-{arguments.n}", arm.world, arguments.n, 1, LENS_FRACTION)
            test = made(sets / f"test-{arguments.n_test}", arm.world, arguments.n_test, 2, 0.5)
            finder = trained(arm, training, arguments.out / "finders" / f"{arm.name}-{arguments.n}-{epochs}", epochs)

            results["arms"][arm.name] = key | measured(arm, finder, test)
            if arm.name in TURNED:
                results["turns"][arm.name] = turned_recall(finder, arm.world, arguments.n_turned, 3)
            if arm.world.name not in results["separation"]:
                results["separation"][arm.world.name] = separation(arm.world)
            write_json(file, results)
            print(arm.name, results["arms"][arm.name], flush=True)
    show(results)


def measured(arm: Arm, finder: Finder, test: LensSet) -> dict[str, Any]:
    """Counts of right calls on the test set, non-lenses turned and not."""
    (turned, is_lens), (plain, _) = (right(finder, test, augment, 5) for augment in ("non-lenses", "none"))
    record = read_record(Path(finder.origin)).metrics
    return {
        "what": arm.what,
        "n_lenses": int(is_lens.sum()),
        "turned": int(turned.sum()),
        "plain": int(plain.sum()),
        "lenses_found": int(plain[is_lens].sum()),
        "best_epoch": record.best_epoch,
        "validation_accuracy": record.validation_accuracy,
    }


if __name__ == "__main__":
    main()
