"""The planted-bias bench: finders with one bias each, and clean ones, audited by somebody who does not know which.

Every planted bias should be the audit's leading finding, and no clean finder should be accused. The numbers that come
out are the certificate of the audit itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from lensaudit.documents import digest_of
from lensaudit.errors import UsageError
from lensaudit.files import writable_folder, write_text
from lensaudit.finders import Finder
from lensaudit.imaging import EUCLID, Instrument
from lensaudit.kept import JsonForm, Piece, key_of
from lensaudit.planted_bias.on_hosts import ENOUGH_HOSTS, Divided, TrainingHosts, divided
from lensaudit.planted_bias.planted_finders import (
    as_looked_at,
    load_small,
    save_small,
    small_finder,
    train_small,
    training_images,
)
from lensaudit.planted_bias.plants import ALL_PLANTS, CLEAN, POPULATION, Plant, plant_named
from lensaudit.planted_bias.result import (
    PLAIN_DIMMED_MAG,
    PLAIN_PLACE,
    PLAIN_THETA_E,
    Audited,
    BenchSettings,
    FoundOnHosts,
    PlantedResult,
    accused,
    bench_page,
    detected,
    hosts_needed,
    summary,
    told_of,
    unblinded,
)
from lensaudit.probes import Experiment, HostsAsked, OnHosts, ProbeAudit, ProbeDefinition, Step, audited
from lensaudit.probes.collect import collect
from lensaudit.probes.definition import Mode, load_definition
from lensaudit.probes.elsewhere import on_instrument
from lensaudit.probes.experiment import Source
from lensaudit.probes.on_hosts import HOSTS_LABEL, check_hosts, on_hosts
from lensaudit.probes.result import ProbeSettings
from lensaudit.probes.run import conclude, sample_of
from lensaudit.records import Json
from lensaudit.spread import StageProgress, spread
from lensaudit.untrusted import path_within

RESULT_FILE = "planted.json"
PAGE_FILE = "planted.md"
AUDITS_FILE = "audits.json"
"""What was found of each finder; one that stands there is neither trained nor audited again."""

RADIUS, NOISE = "einstein-radius-held-snr", "noise-level-held-snr"

DOSES: dict[str, tuple[float, ...]] = {
    "red-source": (0.5, 1.0),
    "psf-rotation": (30.0, 60.0, 90.0),
    "off-centre": (1.0,),
    NOISE: (1.7,),
    "lens-colour": (-0.9, 0.9),
    RADIUS: (1.4,),
    "second-arcs": (0.5, 1.0),
    "companions": (1.0, 2.0),
    "preprocessing-jpeg": (75.0,),
}
"""Probes of the bench and their doses: all within what the clean training set holds, so that a clean finder need not
lose anything, unlike the built-in doses that walk on until it must. Within is not enough: at 1.5″ off the centre or in
JPEG of quality 50 some clean finders do lose more than is tolerated (docs/planted-bias.md); these two end before."""

CONTROLS = {RADIUS: 2.0, NOISE: 0.7}
"""Strengths of controls that are not the built-in ones, so that control and dose span the clean training set."""
TURNED = "psf-angle"
"""The plant that turns the PSF."""

RECIPE_VERSION = 3
"""To be raised with the network, its training or the clean traits: finders trained before are then trained anew."""

AUDIT_VERSION = 2
"""To be raised with what an image, an edit or a verdict of the bench is: finders are then audited anew."""


@dataclass(frozen=True, order=True)
class Job:
    """One finder: what is planted in it, in which fraction of its images, and its number among those."""

    plant: str
    number: int
    strength: float = 1.0


@dataclass(frozen=True)
class TrainOne:
    """Trains finder number k of the list and saves it, on drawn scenes or on arcs in `hosts`; picklable."""

    folder: Path
    jobs: tuple[Job, ...]
    settings: BenchSettings
    instrument: Instrument = EUCLID
    hosts: TrainingHosts | None = None

    def words(self, job: int) -> str:
        """All that the weights of a job depend on."""
        plant, number, strength = (asked := self.jobs[job]).plant, asked.number, asked.strength
        version = f"{RECIPE_VERSION}.{plant_named(plant).version}"
        words = f"{plant} {number} {self.settings.images} {self.settings.epochs} {self.settings.seed} {version}"
        if strength != 1:
            words += f" {strength:g}"
        if self.instrument != EUCLID:
            words += f" {digest_of(self.instrument.to_json())}"
        if self.hosts is not None:
            words += f" on hosts {self.hosts.key}"
        return words

    def path(self, job: int) -> Path:
        """Weights of a job, named by all they depend on."""
        plant, number = self.jobs[job].plant, self.jobs[job].number
        key = hashlib.sha256(self.words(job).encode()).hexdigest()[:10]
        return Path(self.folder) / "finders" / f"{plant}-{number:02d}-{key}.safetensors"

    def unfinished(self, job: int) -> Path:
        """State of a training that has not ended."""
        return self.path(job).with_suffix(".unfinished")

    def __call__(self, job: int) -> int:
        """Render, train, save; nothing where it is there already."""
        if self.path(job).is_file():
            return job
        torch.set_num_threads(1)
        asked = self.jobs[job]
        place = [one.name for one in ALL_PLANTS].index(asked.plant)
        data_seed = self.settings.seed * 100_003 + place * 1009 + asked.number
        made = training_images if self.hosts is None else self.hosts.images
        images, labels = made(asked.plant, data_seed, self.settings.images, self.instrument, asked.strength)
        net = train_small(images, labels, data_seed, self.settings.epochs, self.unfinished(job))
        save_small(net, self.path(job))
        return job


def run_planted(
    out: Path,
    settings: BenchSettings | None = None,
    workers: int = 1,
    plants: Sequence[str] = (),
    progress: StageProgress | None = None,
    *,
    instrument: Instrument | None = None,
    hosts: HostsAsked | None = None,
) -> PlantedResult:
    """Train what is missing, audit all finders blind, write ``planted.json`` and ``planted.md``; returns the former.

    Trained finders, answers and audits are kept in `out`: an interrupted bench goes on, a larger one adds to it, and
    ``audits.json`` alone is enough to go on elsewhere.

    Parameters
    ----------
    instrument
        Whose images the finders are trained and audited on, in cutouts of 20″; None takes Euclid.
    hosts
        Real cutouts in which finders are audited too: others, trained on arcs in hosts that are not audited, or those
        of drawn scenes where there are fewer than `ENOUGH_HOSTS`.

    Raises
    ------
    UsageError
        A plant is unknown, a size is out of range, or the instrument has one band.
    DataError
        The hosts lack something, or are not of the finders' bands and width.
    """
    settings, seen_by = settings or BenchSettings(), as_looked_at(instrument or EUCLID)
    chosen = _chosen(plants, seen_by)
    _check(settings)
    if hosts is not None:
        check_hosts(small_finder("small", seen_by), hosts)
    folder = writable_folder(Path(out))
    parts = None if hosts is None else divided(hosts, settings, workers)
    jobs = tuple(
        Job(plant.name, number, strength)
        for plant in chosen
        for strength in ((1.0,) if plant is CLEAN else settings.strengths)
        for number in range(settings.clean if plant is CLEAN else settings.finders)
    )
    task = TrainOne(folder, jobs, settings, seen_by)
    found = _found(task, workers, progress)
    there = None if parts is None else _on_own_sky(parts, task, workers, progress)
    doses = {one.name: told_of(one.doses) for one in bench_probes(seen_by) if one.doses}
    record = summary(found, settings, doses, seen_by.name, there)
    write_text(folder / PAGE_FILE, bench_page(record))
    record.write(folder / RESULT_FILE)
    return record


def _found(
    task: TrainOne, workers: int, progress: StageProgress | None, hosts: OnHosts | None = None
) -> tuple[Audited, ...]:
    """What the audit says of each finder of the task, on drawn scenes or on `hosts`; what is kept is not done again."""
    kept: Piece[dict[str, Json]] = Piece(task.folder / AUDITS_FILE, JsonForm("audits"))
    known, keys = kept.load() or {}, _audit_keys(task, hosts)
    missing = [k for k, key in enumerate(keys) if key not in known]
    _train(task, missing, workers, progress, "training finders" if task.hosts is None else "training finders on hosts")
    finders = _trained(task, missing)
    if finders:
        seen_by, settings = task.instrument, task.settings
        audits = audit_blind(finders, task.folder, settings, workers, progress, instrument=seen_by, hosts=hosts)
        for k, audit in zip(missing, audits, strict=True):
            job = task.jobs[k]
            known[keys[k]] = unblinded(audit, job.plant, job.number, job.strength).to_json()
        kept.write(known)
    return tuple(Audited.from_json(known[key], AUDITS_FILE, "remove it and run again") for key in keys)


def _audit_keys(task: TrainOne, hosts: OnHosts | None) -> list[str]:
    """Per finder a name for all that its audit depends on."""
    settings = task.settings
    asked: list[Any] = [AUDIT_VERSION, settings.n, settings.seed, settings.tolerance]
    asked += [one.model_dump(mode="json") for one in bench_probes(task.instrument, hosts)]
    if hosts is not None:
        asked += [hosts.inputs, list(hosts.rows), repr(hosts.settings)]
    return [key_of([task.words(job), *asked]) for job in range(len(task.jobs))]


def _trained(task: TrainOne, jobs: Sequence[int]) -> list[Finder]:
    """Under names that say nothing of them."""
    seen_by = task.instrument
    return [small_finder(f"finder-{k:03d}", seen_by, load_small(task.path(k), seen_by)) for k in jobs]


def _on_own_sky(parts: Divided, drawn: TrainOne, workers: int, progress: StageProgress | None) -> FoundOnHosts:
    """Audits on hosts of finders that are trained on arcs in others, or on drawn scenes where these are too few."""
    asked = _asked_there(parts.audited, drawn.jobs)
    jobs = tuple(job for job in drawn.jobs if job.plant not in asked.unnamed)
    task = replace(drawn, jobs=jobs, hosts=parts.training)
    found, hosts = _found(task, workers, progress, parts.audited), parts.audited
    return FoundOnHosts(
        used=hosts.used,
        n_pairs=hosts.n,
        planted=detected(found),
        clean=accused(found),
        audits=found,
        probes=asked.probes,
        not_on_hosts=asked.refused,
        not_asked=asked.unnamed,
        trained_on=0 if parts.training is None else len(parts.training.rows),
        usable=parts.usable,
        enough=ENOUGH_HOSTS,
        needed=hosts_needed(task.settings.tolerance, sum(len(DOSES[name]) for name in asked.probes)),
    )


@dataclass(frozen=True)
class _AskedThere:
    """Probes of the bench on hosts, those refused and why, and plants that no probe there can name and why."""

    probes: tuple[str, ...]
    refused: dict[str, str]
    unnamed: dict[str, str]


def _asked_there(hosts: OnHosts, jobs: Iterable[Job]) -> _AskedThere:
    refused = {one.name: f"it {why}" for one in bench_probes(hosts=hosts) if (why := hosts.why_not(one))}
    asked = tuple(name for name in DOSES if name not in refused)
    if not asked:
        raise UsageError(f"--hosts {hosts.path}: no probe of the bench can be asked: {next(iter(refused.values()))}")
    unnamed = {
        plant: f"its probe {own[0]} {refused[own[0]][len('it ') :]}"
        for plant in dict.fromkeys(job.plant for job in jobs)
        if (own := [name for name in plant_named(plant).probes if name in DOSES]) and not {*own} & {*asked}
    }
    return _AskedThere(asked, refused, unnamed)


def _round(seen_by: Instrument) -> bool:
    """Whether its PSF is a round Gaussian."""
    return seen_by.sky.psf == "gaussian"


def _chosen(names: Sequence[str], seen_by: Instrument) -> tuple[Plant, ...]:
    """Those that are named, or all that can be planted where `seen_by` looks."""
    known = [plant.name for plant in ALL_PLANTS]
    for name in names:
        if name not in known:
            raise UsageError(f"plant '{name}' is unknown; allowed: {', '.join(known)}")
    if _round(seen_by) and TURNED in names:
        raise UsageError(f"plant '{TURNED}': the PSF of {seen_by.name} is round, which no turn changes; leave it out")
    return tuple(
        one for one in ALL_PLANTS if (one.name in names if names else not (_round(seen_by) and one.name == TURNED))
    )


def _check(settings: BenchSettings) -> None:
    if settings.images < 200 or settings.images % 100:
        raise UsageError(f"--images {settings.images}: give a multiple of 100, at least 200")
    if min(settings.finders, settings.clean, settings.epochs) < 1 or settings.n < 2:
        raise UsageError("--finders, --clean and --epochs must be at least 1, and --n at least 2")
    if not settings.strengths or not all(0 < one <= 1 for one in settings.strengths):
        told = ", ".join(f"{one:g}" for one in settings.strengths)
        raise UsageError(f"--strength {told}: give fractions of the images, above 0 and up to 1")
    if not 0 < settings.tolerance < 1:
        raise UsageError(f"--tolerance {settings.tolerance:g}: must lie between 0 and 1")


def _train(task: TrainOne, jobs: Sequence[int], workers: int, progress: StageProgress | None, stage: str) -> None:
    """Train those of the finders whose weights are missing."""
    total = len(task.jobs)
    missing = [job for job in jobs if not task.path(job).is_file()]
    done = total - len(missing)
    if progress is not None:
        progress(stage, done, total)
    with closing(spread(task, missing, workers)) as ended:
        for _ in ended:
            done += 1
            if progress is not None:
                progress(stage, done, total)
    for job in range(total):
        task.unfinished(job).unlink(missing_ok=True)


PLAIN = (
    Step(edit="einstein-radius", strength=PLAIN_THETA_E),
    Step(edit="source-offset", strength=PLAIN_PLACE),
    Step(edit="source-dimmed", strength=PLAIN_DIMMED_MAG),
)
"""What makes of a lens in a host one like those of the population: what it has before the probe's own edits."""


def bench_probes(instrument: Instrument = EUCLID, hosts: OnHosts | None = None) -> list[ProbeDefinition]:
    """The built-in probes of `DOSES` on plain lenses, with the doses of the bench; a round PSF is not turned."""
    found = []
    for name, doses in DOSES.items():
        if hosts is None and _round(instrument) and plant_named(TURNED).probes[0] == name:
            continue
        definition = load_definition(name)
        assert definition.doses is not None
        note = "Plain lenses (lensaudit.scenes.populations.compound): bright arcs, one three-fold PSF, few neighbours."
        update: dict[str, Any] = {
            "modes": {definition.default_mode: Mode(populations={"lenses": POPULATION}, note=note)},
            "doses": definition.doses.model_copy(update={"values": doses}),
        }
        if (at := CONTROLS.get(name)) is not None:
            first, *held = definition.edits.control
            control = (first.model_copy(update={"strength": at}), *held)
            update["edits"] = definition.edits.model_copy(update={"control": control})
            update["doses"] = update["doses"].model_copy(update={"control": at})
        definition = definition.model_copy(update=update)
        found.append(on_instrument(definition, instrument) if hosts is None else _on_plain(definition, hosts))
    return found


def _on_plain(definition: ProbeDefinition, hosts: OnHosts) -> ProbeDefinition:
    """The probe on hosts, its lenses made plain ones in both arms."""
    edits = definition.edits
    plain = {"control": (*PLAIN, *edits.control), "treated": (*PLAIN, *edits.treated)}
    return on_hosts(definition, hosts).model_copy(update={"edits": edits.model_copy(update=plain)})


def audit_blind(
    finders: Sequence[Finder],
    folder: Path,
    settings: BenchSettings,
    workers: int = 1,
    progress: StageProgress | None = None,
    *,
    instrument: Instrument = EUCLID,
    hosts: OnHosts | None = None,
) -> list[ProbeAudit]:
    """Audit finders of which nothing but their answers is known; each pair is rendered once for all."""
    results: list[list[Any]] = [[] for _ in finders]
    seed, place = settings.seed + 7, "probes" if hosts is None else "probes-on-hosts"
    for definition in bench_probes(instrument, hosts):
        if hosts is not None and hosts.why_not(definition):
            continue
        source: Source = definition.drawn(POPULATION, seed, settings.n) if hosts is None else hosts.of(definition)
        experiment = Experiment(source, definition.arms())

        def advance(done: int, total: int, name: str = definition.name) -> None:
            if progress is not None:
                progress(f"probe {name}{'' if hosts is None else ' on hosts'}", done, total)

        answers = collect(experiment, finders, path_within(folder, place, definition.name), workers, advance)
        probe = ProbeSettings(source.n, seed, definition.default_mode, settings.tolerance)
        probe = probe if hosts is None else replace(probe, hosts=hosts.used)
        label = "lenses" if hosts is None else HOSTS_LABEL
        for finder, answer, own in zip(finders, answers, results, strict=True):
            own.append(conclude(definition, probe, finder, [sample_of(definition, label, experiment, answer, finder)]))
    return [audited(own) for own in results]
