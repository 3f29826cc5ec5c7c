"""``judge``: score a finder's explanations on sets with truth, method by method; an interrupted run goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from lensaudit.display.numbers import duration
from lensaudit.errors import DataError, UsageError
from lensaudit.explaining.attribution.methods import METHODS
from lensaudit.explaining.functions import explainer_of
from lensaudit.explaining.judging.attributor import BASELINES, Attributor, attributor
from lensaudit.explaining.judging.believing import beliefs_of
from lensaudit.explaining.judging.compound_view import views_of
from lensaudit.explaining.judging.image_scores import NOISE_SAMPLES, TILES, ImageJudge
from lensaudit.explaining.judging.judgement import (
    JSON_FILE,
    Judgement,
    KeptScores,
    check_part,
    rows_of,
    scores_part,
    with_checks,
)
from lensaudit.explaining.judging.page import write_judgement
from lensaudit.explaining.judging.randomisation import DRAWS, layers_with_weights, randomisation_check
from lensaudit.explaining.judging.records import (
    INCONCLUSIVE,
    ImageScore,
    JudgeSettings,
    RandomisationResult,
)
from lensaudit.explaining.judging.sample import KindSample, System, choose, prepared
from lensaudit.explaining.judging.scores import FRACTIONS, RANDOM
from lensaudit.explaining.trace import evaluating
from lensaudit.files import writable_folder
from lensaudit.finders import Finder
from lensaudit.finders.score import default_batch_size
from lensaudit.kept import Piece
from lensaudit.lensset import LensSet
from lensaudit.provenance import Provenance, refuse_other
from lensaudit.scenes.scene import LENS_KINDS
from lensaudit.spread import Task, spread

DEFAULT_SETTINGS = JudgeSettings()
WARM_UP_SECONDS = 3.0
"""Most that a library's import and first call take."""

CHECK_AGAIN = 4
"""Times as many images a check is repeated on, and half as many times the draws, where it could not tell: coarse maps
as Grad-CAM's agree by accident more often than others, and cost least."""


@dataclass(frozen=True)
class Watcher:
    """Who is told how it goes: `told` with lines of text, `progress` with milliseconds of work done and in all."""

    told: Callable[[str], object] = field(default=lambda _line: None)
    progress: Callable[[int, int], object] = field(default=lambda _done, _all: None)


def judge(
    finder: Finder,
    sets: Sequence[LensSet],
    out: Path,
    settings: JudgeSettings = DEFAULT_SETTINGS,
    watcher: Watcher | None = None,
    elsewhere: tuple[Task[tuple[int, str]], int] | None = None,
) -> Judgement:
    """Score the explanations of `finder` on images of each kind of scene in `sets`, beside two baselines.

    Parameters
    ----------
    finder
        Its module is left as it was.
    sets
        One or more lens sets; kinds of scene are pooled over them. Without truth there is no localisation, all
        else still comes.
    out
        Folder. What is finished lies in ``parts``; the same call goes on from there.
    settings
        What is asked, on how many images.
    watcher
        Is told the time it will take, and how it goes.
    elsewhere
        A `lensaudit.explaining.judging.elsewhere.JudgeParts` of the same, and how many processes finish its parts.

    Returns
    -------
    Judgement
        What was also written as ``explanation-scores.parquet``, ``.json``, ``.md`` and pictures.

    Raises
    ------
    DataError
        The finder cannot take a set as input, no image can be used, or no method can explain the finder.
    UsageError
        No set is given, or `out` cannot be written.

    Examples
    --------
    Does Grad-CAM of a finder fall on the arcs::

        found = judge(load_finder("ou66"), [LensSet.open("set")], Path("scores"), JudgeSettings(methods=("gradcam",)))
        found.row("gradcam", "single", "positive-share")
    """
    if not sets:
        raise UsageError("no lens set is given; name one or more")
    settings = settings.settled()
    samples, left_out = samples_of(finder, sets, settings)
    inputs = {"finder": finder.weights_hash} | {str(lens_set.path): lens_set.content_hash for lens_set in sets}
    refuse_other(Path(out) / JSON_FILE, inputs, "judgement")
    run = Run(finder, sets, writable_folder(Path(out)), settings, samples, watcher or Watcher())
    run.work(elsewhere)
    found = run.judgement(left_out)
    write_judgement(found, run.out)
    return found


def tasks_left(finder: Finder, sets: Sequence[LensSet], out: Path, settings: JudgeSettings) -> tuple[int, int]:
    """How many parts of a judgement an earlier run into `out` has not finished, and how many there are."""
    settings = settings.settled()
    samples, _ = samples_of(finder, sets, settings)
    run = Run(finder, sets, out, settings, samples, Watcher())
    tasks = run.tasks()
    return sum(not run.kept(task) for task in tasks), len(tasks)


def samples_of(
    finder: Finder, sets: Sequence[LensSet], settings: JudgeSettings
) -> tuple[tuple[KindSample, ...], dict[str, str]]:
    """The images that settled settings ask for; see `lensaudit.explaining.judging.sample.choose`."""
    both_sources = "compound" in settings.parts
    return choose(finder, sets, settings.per_kind, settings.kinds, both_sources=both_sources)


@dataclass(frozen=True, eq=False)
class _Task:
    """One part: an explainer's scores on one kind, or its randomisation check (no sample)."""

    explainer: Attributor
    sample: KindSample | None
    part: Piece[Any]


class Run:
    """One call of `judge`, or what another process does of it."""

    def __init__(
        self,
        finder: Finder,
        sets: Sequence[LensSet],
        out: Path,
        settings: JudgeSettings,
        samples: tuple[KindSample, ...],
        watcher: Watcher,
    ) -> None:
        self.finder, self.sets, self.out, self.settings = finder, sets, out, settings
        self.samples, self.watcher = samples, watcher
        self.judge = ImageJudge(finder, settings)
        self.scored: dict[tuple[str, str], tuple[ImageScore, ...]] = {}
        self.checks: dict[str, RandomisationResult] = {}
        self.failed: dict[str, str] = {}

    def work(self, elsewhere: tuple[Task[tuple[int, str]], int] | None = None) -> None:
        """Do what no earlier run has finished, here or `elsewhere`."""
        tasks = self.tasks()
        costs = self._costs([task for task in tasks if not self.kept(task)])
        total, done = sum(costs.values()), 0
        if kept := len(self.scored) + len(self.checks):
            self.watcher.told(f"{kept} parts kept from an earlier run")
        if costs:
            self.watcher.told(f"about {duration(total / 1000)} of work; --method, --with, --per-kind shorten it")
        if elsewhere is not None:
            self._take(tasks, costs, *elsewhere)
            costs = {}
        for task, cost in costs.items():
            self._do(task, self._progress(done, cost, total))
            done += cost
            self.watcher.progress(done, total)
        if self.failed.keys() >= set(self.settings.methods):
            raise DataError(f"no method can explain {self.finder.name}: {next(iter(self.failed.values()))}")

    def _take(
        self, tasks: Sequence[_Task], costs: Mapping[_Task, int], finish: Task[tuple[int, str]], workers: int
    ) -> None:
        """Have others finish what `costs` names and take it up, as if it had been done here one after the other."""
        left, done, total = [i for i, task in enumerate(tasks) if task in costs], 0, sum(costs.values())
        ends: dict[str, tuple[int, str]] = {}  # method → the first of its parts that failed, and why
        with closing(spread(finish, left, workers)) as finished:
            for number, why in finished:
                name = tasks[number].explainer.name
                if why:
                    ends[name] = min(ends.get(name, (number, why)), (number, why))
                done += costs[tasks[number]]
                self.watcher.progress(done, total)
        self.failed |= {name: why for name, (_, why) in ends.items()}
        for number in left:
            task = tasks[number]
            if number < ends.get(task.explainer.name, (len(tasks), ""))[0] and not self.kept(task):
                self._do(task, lambda _fraction: None)

    def finish(self, number: int) -> str:
        """Do one of `tasks`, write it, and say why it failed; empty where it did not."""
        task = self.tasks()[number]
        self._do(task, lambda _fraction: None)
        return self.failed.get(task.explainer.name, "")

    def judgement(self, left_out: Mapping[str, str]) -> Judgement:
        """All parts put together."""
        name, seed = self.finder.name, self.settings.seed
        no_mask = {sample.kind: sample.no_mask for sample in self.samples if sample.no_mask}
        asked = "localisation" in self.settings.parts
        rows = rows_of(name, self.scored, no_mask if asked else {}, seed)
        checks = tuple(self.checks.values())
        hashes = {str(lens_set.path): lens_set.content_hash for lens_set in self.sets}
        return Judgement(
            finder=name,
            finder_hash=self.finder.weights_hash,
            settings=self.settings,
            sets=hashes,
            images={sample.kind: len(sample) for sample in self.samples},
            left_out=dict(left_out),
            rows=with_checks(name, rows, checks),
            checks=checks,
            views=views_of(self.finder, self.samples, self.scored, seed) if "compound" in self.settings.parts else (),
            failed=self.failed,
            provenance=Provenance.here(seed=seed, inputs={"finder": self.finder.weights_hash, **hashes}),
            partial=self._partial(),
            beliefs=beliefs_of(name, self.scored, {check.method: check.verdict for check in checks}, seed),
        )

    def _partial(self) -> dict[str, str]:
        """What methods that gave scores do not reach of the finder."""
        made = [METHODS[name] for name in self.settings.methods if name in METHODS and name not in self.failed]
        missing = {method.name: explainer_of(self.finder).missed(method.name) for method in made}
        return {name: words for name, words in missing.items() if words}

    def tasks(self) -> list[_Task]:
        """Random maps first, as they are the chance of the others; a method's check before its scores."""
        tasks = []
        methods = [attributor(name) for name in self.settings.methods]
        for one in (*BASELINES.values(), *methods):
            if "randomisation" in self.settings.parts and one.name not in BASELINES:
                tasks.append(self._task(one, None))
            if any(self.judge.asked(one, part) for part in self.settings.parts if part != "randomisation"):
                tasks += [self._task(one, sample) for sample in self.samples]
        return tasks

    def _task(self, one: Attributor, sample: KindSample | None) -> _Task:
        systems = self._check_systems() if sample is None else sample.systems
        facts = {
            "finder": self.finder.weights_hash,
            "recipe": self.finder.recipe.model_dump(mode="json"),
            "field": self.finder.field_arcsec,
            "sets": list(dict.fromkeys(system.lens_set.content_hash for system in systems)),
            "explainer": f"{one.name} {one.quantity}".rstrip(),
            "kind": None if sample is None else sample.kind,
            "seed": self.settings.seed,
        }
        if sample is None:
            facts |= {"systems": [system.name for system in systems], "check_images": self.settings.check_images}
            facts |= {} if self.settings.layers else {"layers": False}
            return _Task(one, None, check_part(self.out, one.name, facts))
        parts = [part for part in self.settings.parts if part != "randomisation"]
        facts |= {"parts": parts, "few": self.settings.few, "fill": self.settings.fill}
        return _Task(one, sample, scores_part(self.out, one.name, sample.kind, facts))

    def _check_systems(self) -> list[System]:
        """Lenses where there are any: on them the finder has something to explain."""
        lenses = [one for sample in self.samples if sample.kind in (*LENS_KINDS, "lens") for one in sample.systems]
        every = [one for sample in self.samples for one in sample.systems]
        return (lenses or every)[: CHECK_AGAIN * self.settings.check_images]

    def kept(self, task: _Task) -> bool:
        """Take over what an earlier run finished."""
        if task.sample is None:
            check = task.part.load()
            if check is not None:
                self.checks[task.explainer.name] = check
            return check is not None
        begun = self._begun(task)
        if begun is None or len(begun.systems) < len(task.sample):
            return False
        self.scored[task.explainer.name, task.sample.kind] = begun.scores
        return True

    def _begun(self, task: _Task) -> KeptScores | None:
        """Scores of the first images, from a run that was stopped or asked for fewer; None for no run."""
        kept: KeptScores | None = None if task.sample is None else task.part.load()
        return None if kept is None or task.sample is None else kept.first_of(task.sample.names)

    def _do(self, task: _Task, progress: Callable[[float], object]) -> None:
        one, sample = task.explainer, task.sample
        if one.name in self.failed:
            return
        try:
            if sample is None:
                self.checks[one.name] = self._checked(one, progress)
                task.part.write(self.checks[one.name])
            else:
                self.scored[one.name, sample.kind] = self._scored(task, sample, progress)
        except DataError as error:
            self.failed[one.name] = str(error)

    def _scored(self, task: _Task, sample: KindSample, progress: Callable[[float], object]) -> tuple[ImageScore, ...]:
        """All images of a kind, each few of them written as soon as they are done."""
        kept = self._begun(task) or KeptScores()
        names, first = sample.names, len(kept.systems)
        told = lambda done: progress((done - first) / (len(sample) - first))  # noqa: E731 - one line, used once
        for done, scores in self.judge.scores(task.explainer, sample, first, told):
            kept = kept.and_then(names[len(kept.systems) : done], scores)
            task.part.write(kept)
        return kept.scores

    def _checked(self, one: Attributor, progress: Callable[[float], object]) -> RandomisationResult:
        """The check on the images asked for, and on more where these cannot tell."""
        seed, systems = self.settings.seed, self._check_systems()
        images = prepared(self.finder, systems[: self.settings.check_images])
        layers = self.settings.layers
        check = randomisation_check(
            self.finder, images, one, seed=seed, layers=layers, progress=lambda done, n: progress(done / n)
        )
        if check.verdict == INCONCLUSIVE and len(systems) > len(images):
            again, draws = prepared(self.finder, systems), DRAWS * CHECK_AGAIN // 2
            check = randomisation_check(self.finder, again, one, draws=draws, seed=seed, layers=layers)
        return check

    def _progress(self, done: int, cost: int, total: int) -> Callable[[float], object]:
        """Of a task that begins with `done` of `total` behind it; takes the fraction of the task that is finished."""
        return lambda fraction: self.watcher.progress(done + round(cost * fraction), total)

    def _costs(self, tasks: Sequence[_Task]) -> dict[_Task, int]:
        """Task → milliseconds, from one image explained by each method and one batch through the finder."""
        if not tasks:
            return {}
        image = prepared(self.finder, self.samples[0].systems[:1])
        forward = self._seconds_of_forward(image)
        seconds: dict[str, float] = {}
        costs = {}
        for task in tasks:
            name = task.explainer.name
            if name not in seconds:
                seconds[name] = self._seconds_of_map(task.explainer, image)
            if name not in self.failed:
                costs[task] = 1 + round(1000 * self._cost(task, seconds[name], forward))
        return costs

    def _seconds_of_map(self, one: Attributor, image: torch.Tensor) -> float:
        """Of one image; where the first was quick it only warmed up, and a second is timed."""
        seconds = 0.0
        try:
            for _ in range(2):
                began = time.perf_counter()
                one.maps(self.finder, image, self.settings.seed)
                seconds = time.perf_counter() - began
                if seconds > WARM_UP_SECONDS:
                    break
        except DataError as error:
            self.failed[one.name] = str(error)
        return seconds

    def _cost(self, task: _Task, maps: float, forward: float) -> float:
        if task.sample is None:
            networks = DRAWS + (len(layers_with_weights(self.finder.module)) if self.settings.layers else 0)
            return networks * min(len(self._check_systems()), self.settings.check_images) * maps
        asked = {part: self.judge.asked(task.explainer, part) for part in self.settings.parts}
        curves = 2 * len(FRACTIONS) * forward * (asked.get("deletion", False) or asked.get("insertion", False))
        infidelity = TILES**2 * forward * (task.explainer.name == RANDOM) * asked.get("infidelity", False)  # then known
        sensitivity = (1 + NOISE_SAMPLES) * maps * asked.get("sensitivity", False)
        begun = self._begun(task)
        n, few = len(task.sample), min(len(task.sample), self.settings.few)
        done = 0 if begun is None else len(begun.systems)
        return (n - done) * (maps + curves + infidelity) + max(few - done, 0) * sensitivity

    def _seconds_of_forward(self, image: torch.Tensor) -> float:
        """Of one image in a batch; the first run warms up."""
        batch = image.repeat(default_batch_size(self.finder), 1, 1, 1)
        with evaluating(self.finder.module):
            for _ in range(2):
                began = time.perf_counter()
                self.finder.logit(batch).cpu()
        return (time.perf_counter() - began) / len(batch)
