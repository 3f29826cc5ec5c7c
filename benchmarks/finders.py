"""Training and scoring speed of every finder against plain PyTorch loops, and its fraction of the machine's peak.

For each recipe, on noise images of its own instrument and with random weights:

* training: `lensaudit.training.train` itself (images read from disk in shuffled order, dropout from seeded streams)
  against the shortest loop that trains the same net on tensors in memory: Adam, the same batch, channels
  last, the same threads, float32. Without augmentation on both sides; ours with the recipe's is shown beside it.
* scoring: `score_set` from disk against the bare module on prepared tensors in memory, same batch, channels last.
* forward FLOPs of one image by torch's counter (a multiplication and an addition are two), and the fraction of the peak
  that plain scoring and training reach; the peak is that of a large matrix product in the same run, no data sheet's.

The two sides take turns, so that a busy minute of the machine falls on both; a ratio is that of one turn, and the
median over the turns counts (lowest to highest beside it). On a CPU ratios and fractions are by the processor time of
this process, which other programs hardly touch, and the ratio by the clock stands beside; on a GPU they are by the
clock, and the papers' own speeds are printed too.

    python benchmarks/finders.py [--finders ou66 deeplens] [--threads 1] [--rounds 5] [--device cpu] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lensaudit.errors import LensauditError
from lensaudit.finders import Finder, Recipe, builtin_recipes, choose_device, initialised_module, load_recipe, score_set
from lensaudit.finders.finder import lens_logit
from lensaudit.finders.running import channels_last
from lensaudit.finders.score import default_batch_size
from lensaudit.imaging.instruments import INSTRUMENTS
from lensaudit.lensset import BandHeader, CatalogueColumn, Header, LensSet, LensSetWriter, Records, chunk_for
from lensaudit.training import Machine, Place, Progress, TrainingData, TrainingOptions, Watch, train
from lensaudit.training.sets import fit_to

LEAST_RATIO = 0.9
VALIDATION = 8
MATMUL = 2048
PIXELS_AT_ONCE = 500_000  # of a training batch on a CPU: larger ones are no quicker, and would make a run last hours
PAPERS = (
    "OU-66 and OU-200 (Wilde et al. 2022): about 446 images/s scored on a P100",
    "CMU DeepLens (Lanusse et al. 2018): 16 000 images × 120 epochs in one hour (533 images/s trained), "
    "350 µs per classification (2 857 images/s), Titan X",
    "CAE (Cheng et al. 2020): 100 000 images in five days",
)


WALL, CPU = 0, 1
Speed = tuple[float, float]
"""Images per second by the clock, and per second of processor time."""


@dataclass(frozen=True)
class Turns:
    """Speeds of both sides, turn by turn, and which clock counts."""

    ours: list[Speed]
    plain: list[Speed]
    clock: int

    def ratios(self, clock: int) -> list[float]:
        """Ours over plain, of each turn."""
        return [mine[clock] / other[clock] for mine, other in zip(self.ours, self.plain, strict=True)]

    @property
    def ratio(self) -> float:
        """Median over the turns."""
        return statistics.median(self.ratios(self.clock))

    def described(self) -> str:
        """Medians, and the ratio with its range."""
        ratios = self.ratios(self.clock)
        speeds = f"{middle(self.ours, self.clock):9.1f} against {middle(self.plain, self.clock):9.1f} images/s"
        line = f"{speeds}, ratio {self.ratio:.2f} ({min(ratios):.2f}–{max(ratios):.2f}, n = {len(ratios)} turns)"
        return line + (f", by the clock {statistics.median(self.ratios(WALL)):.2f}" if self.clock == CPU else "")


def middle(speeds: list[Speed], clock: int) -> float:
    """Median speed."""
    return statistics.median(speed[clock] for speed in speeds)


@dataclass(frozen=True)
class Bench:
    """What all measurements of one run have in common."""

    device: torch.device
    threads: int
    rounds: int
    steps: int
    peak: float

    @property
    def clock(self) -> int:
        """Which of a speed's two numbers counts."""
        return WALL if self.device.type == "cuda" else CPU


def noise_set(recipe: Recipe, path: Path, n: int) -> LensSet:
    """`n` noise images of the recipe's bands, half of them called lenses, as its instrument has them."""
    rng = np.random.default_rng(1)
    bands = tuple(
        BandHeader(name=name, shape=(pixels, pixels), pixel_scale_arcsec=scale, unit="electron / s")
        for name, (pixels, scale) in native(recipe).items()
    )
    label = CatalogueColumn(name="label", unit="", description="1 lens, 0 non-lens", dtype="int64")
    header = Header(instrument="noise", bands=bands, n=n, chunk=chunk_for(n), columns=(label,))
    writer = LensSetWriter(path, header)
    writer.start()
    for chunk in range(header.n_chunks):
        rows = range(header.span(chunk).start, header.span(chunk).stop)
        images = {b.name: rng.normal(1, 1, size=(len(rows), *b.shape)).astype(np.float32) for b in bands}
        ids = [f"noise-{row}" for row in rows]
        writer.write(chunk, Records(ids=ids, images=images, rows=[{"label": row % 2} for row in rows]))
    writer.finish()
    return LensSet.open(path)


def native(recipe: Recipe) -> dict[str, tuple[int, float]]:
    """Band → pixels and their scale in the instrument whose cutouts the recipe takes; else of its own grid."""
    for instrument in INSTRUMENTS.values():
        found = {band.name: (band.pixels, band.pixel_scale_arcsec) for band in instrument.bands}
        fields = [found[name][0] * found[name][1] for name in recipe.bands if name in found]
        wanted = recipe.field_of_view_arcsec
        if len(fields) == len(recipe.bands) and all(abs(field - wanted) < 0.03 * wanted for field in fields):
            return {name: found[name] for name in recipe.bands}
    return dict.fromkeys(recipe.bands, (recipe.size, recipe.field_of_view_arcsec / recipe.size))


def training_turns(recipe: Recipe, bench: Bench, folder: Path) -> tuple[Turns, list[Speed]]:
    """Ours and plain without augmentation, and ours with the recipe's own (empty where it has none)."""
    batch = batch_of(recipe, bench.device)
    data = noise_set(recipe, folder / "training", bench.steps * batch + VALIDATION)
    turns, augmented = Turns([], [], bench.clock), list[Speed]()
    for _ in range(bench.rounds):
        turns.ours.append(ours(recipe, data, folder, bench, "none"))
        turns.plain.append(plain_training(recipe, batch, bench))
        if recipe.training.augment != "none":
            augmented.append(ours(recipe, data, folder, bench, recipe.training.augment))
    return turns, augmented


def batch_of(recipe: Recipe, device: torch.device) -> int:
    """The recipe's batch; on a CPU at most `PIXELS_AT_ONCE`."""
    batch = recipe.training.batch_size
    return batch if device.type == "cuda" else max(4, min(batch, PIXELS_AT_ONCE // recipe.size**2))


def ours(recipe: Recipe, data: LensSet, folder: Path, bench: Bench, augment: str) -> Speed:
    """Images per second of `train` between the end of its first step and the end of its last one."""
    batch, marks = batch_of(recipe, bench.device), list[np.ndarray]()

    def stepped(progress: Progress, steps: int) -> None:
        if progress.batch:
            marks.append(now(bench.device))

    protocol = recipe.training.model_copy(update={"threshold_fpr": None, "balanced_batches": False})
    options = TrainingOptions.of(
        protocol, epochs=1, batch_size=batch, augment=augment, validation_fraction=VALIDATION / len(data)
    )
    machine = Machine(bench.device.type, bench.threads, True)
    place = Place(folder / "out", folder / "cache", restart=True)
    train(recipe, TrainingData(data), place, options, machine, Watch(stepped=stepped))
    return speed((len(marks) - 1) * batch, marks[-1] - marks[0])


def plain_training(recipe: Recipe, batch: int, bench: Bench) -> Speed:
    """Images per second of the shortest loop over tensors in memory."""
    torch.set_num_threads(bench.threads)
    generator = torch.Generator().manual_seed(1)
    net = initialised_module(recipe, generator).train().to(bench.device)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    shape = (bench.steps * batch, recipe.channels, recipe.size, recipe.size)
    images = channels_last(torch.rand(shape, generator=generator))
    labels = (torch.arange(len(images)) % 2).float()
    optimizer, loss, marks = torch.optim.Adam(net.parameters(), 3e-4), nn.BCEWithLogitsLoss(), list[np.ndarray]()
    for step in range(bench.steps):
        part = slice(step * batch, (step + 1) * batch)
        optimizer.zero_grad()
        outputs = net(images[part].to(bench.device))
        loss(lens_logit(outputs, recipe.outputs, recipe.lens_index), labels[part].to(bench.device)).backward()
        optimizer.step()
        marks.append(now(bench.device))
    return speed((len(marks) - 1) * batch, marks[-1] - marks[0])


def scoring_turns(finder: Finder, bench: Bench, folder: Path) -> Turns:
    """`score_set` from disk, and the bare module on as many prepared tensors in memory."""
    torch.set_num_threads(bench.threads)
    batch = default_batch_size(finder)
    batches = max(3, round(bench.steps * batch_of(finder.recipe, bench.device) / batch))
    data = noise_set(finder.recipe, folder / "scoring", batches * batch)
    with torch.inference_mode():
        prepared = channels_last(finder.preprocess(data.cutouts(np.arange(batch))))
        finder.module(prepared)
        score_set(finder, data)
        turns = Turns([], [], bench.clock)
        for _ in range(bench.rounds):
            turns.ours.append(speed(len(data), seconds(lambda: score_set(finder, data), bench.device)))
            forward = seconds(lambda: [finder.module(prepared) for _ in range(batches)], bench.device)
            turns.plain.append(speed(len(data), forward))
    return turns


def forward_flops(finder: Finder) -> int:
    """Floating-point operations of one image's forward pass: convolutions and matrix products."""
    recipe = finder.recipe
    image = torch.rand((1, recipe.channels, recipe.size, recipe.size), device=finder.device)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        finder.module(image)
    return int(counter.get_total_flops())


def matmul_peak(device: torch.device, threads: int) -> float:
    """Highest float32 operations per second of a square matrix product; on a CPU per second of processor time."""
    torch.set_num_threads(threads)
    left, right = (torch.rand((MATMUL, MATMUL), device=device) for _ in range(2))
    left @ right
    clock = WALL if device.type == "cuda" else CPU
    return float(max(2 * MATMUL**3 / seconds(lambda: left @ right, device)[clock] for _ in range(8)))


def seconds(work: Callable[[], object], device: torch.device) -> np.ndarray:
    """Time of `work` by both clocks, that of a GPU included."""
    began = now(device)
    work()
    return now(device) - began


def speed(images: int, spent: np.ndarray) -> Speed:
    """Images per second by both clocks."""
    return images / float(spent[WALL]), images / float(spent[CPU])


def now(device: torch.device) -> np.ndarray:
    """Clock and processor time, once a GPU has finished what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return np.array([time.perf_counter(), time.process_time()])


def measure(name: str, bench: Bench, folder: Path) -> dict[str, object]:
    """Print and return all that is measured of one finder; a kind of training that is not ours is named."""
    recipe = load_recipe(name)
    fitted, statistics = fit_to([noise_set(recipe, folder / "figures", 2 * VALIDATION)], recipe)
    try:
        module = initialised_module(recipe, torch.Generator().manual_seed(1)).to(bench.device)
    except LensauditError as refused:  # an ensemble has no random start; a body of timm needs timm
        print(f"{name}: not measured: {refused}")
        return {"finder": name, "not_measured": str(refused)}
    finder = Finder(fitted, module, "benchmark", statistics=statistics)
    flops = forward_flops(finder)
    print(f"{name}: {finder.parameters} parameters, {flops / 1e6:.1f} MFLOP per image forward", flush=True)
    scoring = scoring_turns(finder, bench, folder)
    print(f"  scoring   {scoring.described()}; {peak_fraction(flops, scoring.plain, bench)} of the peak", flush=True)
    record: dict[str, object] = {"finder": name, "flops": flops, "scoring": asdict(scoring)}
    try:
        training, augmented = training_turns(recipe, bench, folder)
    except LensauditError as refused:
        print(f"  training  not by lensaudit train: {refused}")
        return {**record, "training": None, "quick": scoring.ratio >= LEAST_RATIO}
    backward = peak_fraction(3 * flops, training.plain, bench)  # a backward pass is about two forward passes
    print(f"  training  {training.described()}; about {backward} of the peak, batch {batch_of(recipe, bench.device)}")
    if augmented:
        print(f"            {middle(augmented, bench.clock):9.1f} images/s with augmentation {recipe.training.augment}")
    fast = min(scoring.ratio, training.ratio) >= LEAST_RATIO
    return {**record, "training": asdict(training), "augmented": augmented, "quick": fast}


def peak_fraction(flops: int, speeds: list[Speed], bench: Bench) -> str:
    """Fraction of the measured peak that so many operations per image are at the median speed."""
    return f"{flops * middle(speeds, bench.clock) / bench.peak:.0%}"


def main() -> None:
    """Measure each finder; exit 1 if one is slower than claimed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--finders", nargs="+", default=list(builtin_recipes()))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4, help="of a training, and as many images scored")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    device = choose_device(options.device)
    peak = matmul_peak(device, options.threads)
    cpu = f"CPU, {options.threads} thread(s), speeds per second of processor time"
    machine = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu
    print(f"{machine}: {peak / 1e9:.0f} GFLOP/s in a {MATMUL}×{MATMUL} float32 matrix product", flush=True)
    bench = Bench(device, options.threads, options.rounds, options.steps, peak)
    records = []
    for name in options.finders:
        with tempfile.TemporaryDirectory() as folder:
            records.append(measure(name, bench, Path(folder)))
    if device.type == "cuda":
        print("The papers':\n  " + "\n  ".join(PAPERS))
    if options.json is not None:
        options.json.write_text(json.dumps({"machine": machine, "peak": peak, "finders": records}, indent=2) + "\n")
    raise SystemExit(0 if all(record.get("quick", True) for record in records) else 1)


if __name__ == "__main__":
    main()
