"""The planted-bias bench: finders with one bias each, and clean ones, audited by somebody who does not know which.

Every planted bias should be the audit's leading finding, and no clean finder should be accused. The numbers that come
out are the certificate of the audit itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from lensaudit.display.page import markdown_table
from lensaudit.errors import UsageError
from lensaudit.files import writable_folder, write_text
from lensaudit.finders import Finder
from lensaudit.planted_bias.planted_finders import (
    ALL_PLANTS,
    CLEAN,
    EPOCHS,
    PLANTS,
    POPULATION,
    Plant,
    load_small,
    plant_named,
    save_small,
    small_finder,
    train_small,
    training_images,
)
from lensaudit.probes import Experiment, ProbeAudit, ProbeDefinition, audited
from lensaudit.probes.collect import collect
from lensaudit.probes.definition import Mode, load_definition
from lensaudit.probes.result import ProbeSettings
from lensaudit.probes.run import conclude, sample_of
from lensaudit.provenance import provenance
from lensaudit.records import Json, Number, Record
from lensaudit.spread import StageProgress, spread
from lensaudit.statistics import wilson_interval
from lensaudit.untrusted import path_within
from lensaudit.verdicts import BIAS, SELECTION

FORMAT = "lensaudit-planted-bias/1"
RESULT_FILE = "planted.json"
PAGE_FILE = "planted.md"
COMMAND = "lensaudit planted-bias"

DOSES: dict[str, tuple[float, ...]] = {
    "red-source": (0.5, 1.0),
    "psf-rotation": (30.0, 60.0, 90.0),
    "off-centre": (1.5, 2.5),
    "noise-level": (1.6,),
    "lens-colour": (-0.9, 0.9),
    "einstein-radius": (1.4,),
    "second-arcs": (0.5, 1.0),
    "companions": (1.0, 2.0),
}
"""Probes of the bench and their doses: all within what the clean training set holds, so that a clean finder need not
lose anything, unlike the built-in doses that walk on until it must."""

CONTROL_THETA_E = 2.0

RECIPE_VERSION = 1
"""To be raised with the network, its training or the clean traits: finders trained before are then trained anew."""


@dataclass(frozen=True)
class BenchSettings:
    """How large the bench is.

    Attributes
    ----------
    finders, clean
        Finders trained for each plant, and clean ones.
    images, epochs
        Size and length of each training.
    n
        Pairs of each probe.
    seed
        Of training sets, weights and pairs.
    tolerance
        Change of recall that is accepted.
    """

    finders: int = 3
    clean: int = 8
    images: int = 3000
    epochs: int = EPOCHS
    n: int = 200
    seed: int = 0
    tolerance: float = 0.1


@dataclass(frozen=True)
class TrainOne:
    """Trains finder number k of the list and saves it; picklable."""

    folder: Path
    jobs: tuple[tuple[str, int], ...]
    settings: BenchSettings

    def path(self, job: int) -> Path:
        """Weights of a job, named by all they depend on."""
        plant, number = self.jobs[job]
        version = f"{RECIPE_VERSION}.{plant_named(plant).version}"
        words = f"{plant} {number} {self.settings.images} {self.settings.epochs} {self.settings.seed} {version}"
        key = hashlib.sha256(words.encode()).hexdigest()[:10]
        return Path(self.folder) / "finders" / f"{plant}-{number:02d}-{key}.safetensors"

    def unfinished(self, job: int) -> Path:
        """State of a training that has not ended."""
        return self.path(job).with_suffix(".unfinished")

    def __call__(self, job: int) -> int:
        """Render, train, save; nothing where it is there already."""
        if self.path(job).is_file():
            return job
        torch.set_num_threads(1)
        plant, number = self.jobs[job]
        place = [one.name for one in ALL_PLANTS].index(plant)
        data_seed = self.settings.seed * 100_003 + place * 1009 + number
        images, labels = training_images(plant, data_seed, self.settings.images)
        save_small(train_small(images, labels, data_seed, self.settings.epochs, self.unfinished(job)), self.path(job))
        return job


@dataclass(frozen=True)
class Audited(Record):
    """One blind audit, and then what the finder was.

    Attributes
    ----------
    plant, number
        What was planted (``clean``: nothing), and which of its finders.
    recall
        Fraction of plain lenses found.
    leading
        Probe of the largest shown change beyond the tolerance; None where there is none.
    effect
        That change.
    biases
        All probes with the verdict "bias".
    shown
        All probes with a shown change beyond the tolerance, losses to difficulty among them.
    """

    plant: str
    number: int
    recall: Number
    leading: str | None
    effect: float
    biases: tuple[str, ...]
    shown: tuple[str, ...]


@dataclass(frozen=True)
class Detected(Record):
    """Finders with one planted bias, which leads the findings of `named_first` (Wilson's 95 % interval)."""

    bias: str
    told: str
    probes: tuple[str, ...]
    finders: int
    named_first: int
    named: int
    low: float
    high: float


@dataclass(frozen=True)
class Accused(Record):
    """Clean finders: how many were audited and accused of a bias, with the 95 % interval (Wilson)."""

    audits: int
    accused: int
    low: float
    high: float


@dataclass(frozen=True)
class PlantedResult(Record):
    """``planted.json``: planted × detected, and every audit."""

    planted: tuple[Detected, ...]
    clean: Accused
    audits: tuple[Audited, ...]
    settings: BenchSettings
    n_pairs: int
    probes: tuple[str, ...]
    command: str
    provenance: Json
    format: str = FORMAT


def run_planted(
    out: Path,
    settings: BenchSettings | None = None,
    workers: int = 1,
    plants: Sequence[str] = (),
    progress: StageProgress | None = None,
) -> PlantedResult:
    """Train what is missing, audit all finders blind, write ``planted.json`` and ``planted.md``; returns the former.

    Trained finders and answers are kept in `out`: an interrupted bench goes on, a larger one adds to it.

    Raises
    ------
    UsageError
        A plant is unknown or a size is out of range.
    """
    settings = settings or BenchSettings()
    chosen = _chosen(plants)
    _check(settings)
    folder = writable_folder(Path(out))
    jobs = tuple(
        (plant.name, number)
        for plant in chosen
        for number in range(settings.clean if plant is CLEAN else settings.finders)
    )
    task = TrainOne(folder, jobs, settings)
    _train(task, workers, progress)
    finders = [small_finder(f"finder-{k:02d}", load_small(task.path(k))) for k in range(len(jobs))]
    audits = audit_blind(finders, folder, settings, workers, progress)
    found = [_unblinded(audit, *job) for audit, job in zip(audits, jobs, strict=True)]
    record = summary(found, settings)
    write_text(folder / PAGE_FILE, bench_page(record))
    record.write(folder / RESULT_FILE)
    return record


def _chosen(names: Sequence[str]) -> tuple[Plant, ...]:
    known = [plant.name for plant in ALL_PLANTS]
    for name in names:
        if name not in known:
            raise UsageError(f"plant '{name}' is unknown; allowed: {', '.join(known)}")
    return tuple(plant for plant in ALL_PLANTS if not names or plant.name in names)


def _check(settings: BenchSettings) -> None:
    if settings.images < 200 or settings.images % 100:
        raise UsageError(f"--images {settings.images}: give a multiple of 100, at least 200")
    if min(settings.finders, settings.clean, settings.epochs) < 1 or settings.n < 2:
        raise UsageError("--finders, --clean and --epochs must be at least 1, and --n at least 2")
    if not 0 < settings.tolerance < 1:
        raise UsageError(f"--tolerance {settings.tolerance:g}: must lie between 0 and 1")


def _train(task: TrainOne, workers: int, progress: StageProgress | None) -> None:
    total = len(task.jobs)
    missing = [job for job in range(total) if not task.path(job).is_file()]
    done = total - len(missing)
    if progress is not None:
        progress("training finders", done, total)
    with closing(spread(task, missing, workers)) as ended:
        for _ in ended:
            done += 1
            if progress is not None:
                progress("training finders", done, total)
    for job in range(total):
        task.unfinished(job).unlink(missing_ok=True)


def bench_probes() -> list[ProbeDefinition]:
    """The built-in probes of `DOSES` on plain lenses, with the doses of the bench."""
    found = []
    for name, doses in DOSES.items():
        definition = load_definition(name)
        assert definition.doses is not None
        note = "Plain lenses (lensaudit.scenes.populations.compound): bright arcs, one three-fold PSF, few neighbours."
        update: dict[str, Any] = {
            "modes": {definition.default_mode: Mode(populations={"lenses": POPULATION}, note=note)},
            "doses": definition.doses.model_copy(update={"values": doses}),
        }
        if name == "einstein-radius":
            control = tuple(step.model_copy(update={"strength": CONTROL_THETA_E}) for step in definition.edits.control)
            update["edits"] = definition.edits.model_copy(update={"control": control})
            update["doses"] = update["doses"].model_copy(update={"control": CONTROL_THETA_E})
        found.append(definition.model_copy(update=update))
    return found


def audit_blind(
    finders: Sequence[Finder],
    folder: Path,
    settings: BenchSettings,
    workers: int = 1,
    progress: StageProgress | None = None,
) -> list[ProbeAudit]:
    """Audit finders of which nothing but their answers is known; each pair is rendered once for all."""
    results: list[list[Any]] = [[] for _ in finders]
    for definition in bench_probes():
        source = definition.drawn(POPULATION, settings.seed + 7, settings.n)
        experiment = Experiment(source, definition.arms())

        def advance(done: int, total: int, name: str = definition.name) -> None:
            if progress is not None:
                progress(f"probe {name}", done, total)

        answers = collect(experiment, finders, path_within(folder, "probes", definition.name), workers, advance)
        probe = ProbeSettings(settings.n, settings.seed + 7, definition.default_mode, settings.tolerance)
        for finder, answer, own in zip(finders, answers, results, strict=True):
            sample = sample_of(definition, "lenses", experiment, answer, finder)
            own.append(conclude(definition, probe, finder, [sample]))
    return [audited(own) for own in results]


def _unblinded(audit: ProbeAudit, plant: str, number: int) -> Audited:
    shown = [one for one in audit.ranked if one.verdict.state in (BIAS, SELECTION)]
    shown.sort(key=lambda one: -abs(one.effect))
    first = audit.results[0].findings[0]
    return Audited(
        plant,
        number,
        first.control.value,
        shown[0].probe if shown else None,
        shown[0].effect if shown else 0.0,
        tuple(one.probe for one in shown if one.verdict.state is BIAS),
        tuple(one.probe for one in shown),
    )


def summary(found: Sequence[Audited], settings: BenchSettings) -> PlantedResult:
    """Planted × detected with Wilson intervals, and every audit."""
    clean = [one for one in found if one.plant == CLEAN.name]
    accused = sum(bool(one.biases) for one in clean)
    low, high = wilson_interval(accused, len(clean), 0.95) if clean else (0.0, 1.0)
    of_each = ((plant, [one for one in found if one.plant == plant.name]) for plant in PLANTS)
    return PlantedResult(
        planted=tuple(_detected(plant, own) for plant, own in of_each if own),
        clean=Accused(len(clean), accused, low, high),
        audits=tuple(found),
        settings=settings,
        n_pairs=settings.n,
        probes=tuple(DOSES),
        command=command(settings),
        provenance=provenance(seed=settings.seed) | {"command": command(settings)},  # without this machine's --out
    )


def _detected(plant: Plant, own: Sequence[Audited]) -> Detected:
    first = sum(one.leading in plant.probes for one in own)
    named = sum(any(probe in one.shown for probe in plant.probes) for one in own)
    low, high = wilson_interval(first, len(own), 0.95)
    return Detected(plant.name, plant.description, plant.probes, len(own), first, named, low, high)


def command(settings: BenchSettings) -> str:
    """The command that repeats it."""
    words = " ".join(f"--{name} {value:g}" for name, value in asdict(settings).items())
    return f"{COMMAND} --out runs/planted {words}"


def bench_page(result: PlantedResult) -> str:
    """The table planted × detected as Markdown."""
    settings, clean = result.settings, result.clean
    lines = [
        "# The audit, audited: planted biases",
        "",
        f"Small finders (`lensaudit/planted_bias/`), each trained on {settings.images} images in which one "
        "trait is tied to the label, and clean ones in which none is; every finder has a training set and weights of "
        f"its own. Each was audited blind with {len(result.probes)} probes of {settings.n} pairs, tolerance "
        f"{settings.tolerance:g}; verdicts are corrected over all findings of an audit (Holm). Intervals are 95 % "
        "(Wilson) over finders.",
        "",
        f"`{result.command}`",
        "",
    ]
    rows = []
    for one in result.planted:
        leading = f"{one.named_first} of {one.finders} [{one.low:.2f}, {one.high:.2f}]"
        rows.append((one.bias, one.told, str(one.finders), leading, f"{one.named} of {one.finders}"))
    total, first = sum(one.finders for one in result.planted), sum(one.named_first for one in result.planted)
    if total:
        low, high = wilson_interval(first, total, 0.95)
        rows.append(("**all**", "", str(total), f"**{first} of {total}** [{low:.2f}, {high:.2f}]", ""))
    lines += [
        markdown_table(("planted", "what was done", "finders", "leading finding", "found at all"), rows),
        "",
        f"Clean finders accused of a bias: **{clean.accused} of {clean.audits}** [{clean.low:.2f}, {clean.high:.2f}].",
        "",
    ]
    audits = [
        (
            f"{one.plant} {one.number}",
            f"{one.recall:.2f}",
            one.leading or "none",
            f"{one.effect:+.2f}",
            ", ".join(one.biases) or "none",
        )
        for one in result.audits
    ]
    head = ("finder", "recall of plain lenses", "leading finding", "change of recall", "all biases named")
    return "\n".join([*lines, markdown_table(head, audits)]) + "\n"
