"""``make fuzz``: seeded mutations of every file that is read, and hostile strings through every command that writes.

``PYTHONPATH=tests python -m campaigns.fuzz --n 3000 --seed 0 --jobs 2``. Prints the counts and every fault with what
makes it again; exit code 1 where there is a fault.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from campaigns.harness import CHANGED, FAULTS, REFUSED, SAME, TAKEN, UNTRIED, Ended, Sandbox, copied, run
from campaigns.hostile_cases import WRITING, plain, scenarios
from campaigns.mutators import mutate
from campaigns.readers import CASES, Case
from campaigns.samples import make_samples, register_tiny
from typer.main import get_command

WARM = (
    "lensaudit.clustering", "lensaudit.comparing", "lensaudit.ensembles", "lensaudit.evaluation.selection",
    "lensaudit.explaining", "lensaudit.lensset.ingest", "lensaudit.probes.outside", "lensaudit.report",
    "lensaudit.training", "captum.attr", "matplotlib.backends.backend_agg", "matplotlib.backends.backend_svg",
    "matplotlib.figure", "sklearn.linear_model", "sklearn.manifold", "sklearn.metrics", "sklearn.mixture",
    "skypy.pipeline", "lenstronomy.LensModel.lens_model", "PIL.PngImagePlugin", "astropy.visualization",
    "astropy.wcs", "pyarrow.compute", "pyarrow.dataset", "pyarrow.pandas_compat", "rich._emoji_codes", "rich.progress",
    "jinja2", "encodings.utf_8_sig", "encodings.unicode_escape", "safetensors.numpy",
    "lensaudit.evaluation.audit_labels", "lensaudit.evaluation.audit_plan", "lensaudit.finders.detections",
    "lensaudit.lensset.containers", "lensaudit.explaining.explained_files", "lensaudit.explaining.attribution.methods",
    "lensaudit.explaining.occluding.occluder", "lensaudit.report.build", "lensaudit.report.quickstart",
)  # fmt: skip


@dataclass(frozen=True)
class Trial:
    """One mutation of one case, or one hostile scenario: everything it depends on is its name and its seed."""

    case: str
    seed: int


@dataclass(frozen=True)
class Result:
    """What a trial did and how it ended."""

    trial: Trial
    deed: str
    ended: Ended


HOSTILE = "hostile words"
LINKS = "links in --out"
NOT_THERE = "the word cannot stand there"
SCENARIOS = tuple(scenarios())
LIGHT = (
    "score", "evaluate", "grades", "threshold", "occlusion", "gradcam", "explain", "models", "ingest", "simulate",
    "probe export", "quickstart", "planted-bias", "report --from {word}", "audit-plan", "audit-labels", "to-label",
    "ci-template",
)  # fmt: skip
"""How commands begin that take a fraction of a second."""
_BY_NAME = {case.name: case for case in CASES}
_made = Path()
_baseline: dict[str, Ended] = {}
_told_apart = True


def placed(needs: Sequence[str], root: Path) -> Sandbox:
    """A sandbox with what a case needs."""
    sandbox = Sandbox(root)
    for need in needs:
        source, _, target = need.partition(">")
        place = sandbox.work / (target or source)
        if (_made / source).is_dir():
            copied(_made / source, place)
        else:
            os.link(_made / source, place)
    return sandbox


def one(trial: Trial) -> Result:
    """Run a trial in this process's forks; what the campaign itself cannot do is a fault like any other."""
    try:
        return _one(trial)
    except Exception as error:
        return Result(trial, f"{type(error).__name__}: {error}"[:300], Ended(UNTRIED, 0, traceback.format_exc()[-600:]))


def _one(trial: Trial) -> Result:
    if trial.case in _OTHERS:
        return _OTHERS[trial.case](trial)
    case = _BY_NAME[trial.case]
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=_made.parent) as folder:
        sandbox = placed(case.needs, Path(folder) / "box")
        rng = np.random.default_rng([trial.seed, *case.name.encode()])
        deed, wrong = mutate(next(iter(sorted(sandbox.work.glob(case.file)))), case.kind, rng)
        told = case.skipped if wrong else None
        ended = run(case.act, sandbox, expect_refusal=wrong and not (case.remade or case.skipped), expect_named=told)
    if _told_apart and ended.word == SAME and ended.digest != _plain(case).digest:
        ended = Ended(CHANGED, ended.code, ended.said, ended.digest, ended.seconds)
    return Result(trial, deed, ended)


def _linked(trial: Trial) -> Result:
    """A command into an ``--out`` where a link to elsewhere stands for one of the things that it writes."""
    scenario = plain(WRITING[trial.seed % len(WRITING)])
    with tempfile.TemporaryDirectory(prefix="links-", dir=_made.parent) as folder:
        sandbox = placed(scenario.needs, Path(folder) / "first")
        act = scenario.act(sandbox.work)
        assert act is not None
        run(act, sandbox)
        out = sandbox.work / "out"
        written = sorted(path.relative_to(out) for path in out.rglob("*"))
        if not written:
            return Result(trial, f"{scenario.command}: writes nothing", Ended(NOT_THERE, 0, ""))
        chosen = written[int(np.random.default_rng(trial.seed).integers(len(written)))]
        again = placed(scenario.needs, Path(folder) / "box")
        elsewhere, link = again.work / "elsewhere", again.work / "out" / chosen
        link.parent.mkdir(parents=True)
        if (out / chosen).is_dir():
            elsewhere.mkdir()
        else:
            elsewhere.write_text("of somebody else")
        link.symlink_to(elsewhere)
        return Result(trial, f"{scenario.command}: {chosen} is a link", run(act, again))


def _hostile(trial: Trial) -> Result:
    """A hostile word in a place, through a command."""
    scenario = SCENARIOS[trial.seed]
    with tempfile.TemporaryDirectory(prefix="hostile-", dir=_made.parent) as folder:
        sandbox = placed(scenario.needs, Path(folder) / "box")
        act = scenario.act(sandbox.work)
        ended = Ended(NOT_THERE, 0, "") if act is None else run(act, sandbox)
    return Result(trial, scenario.name, ended)


_OTHERS = {HOSTILE: _hostile, LINKS: _linked}


def _plain(case: Case) -> Ended:
    """How the case ends on the file as it was made."""
    if case.name not in _baseline:
        with tempfile.TemporaryDirectory(prefix="plain-", dir=_made.parent) as folder:
            _baseline[case.name] = run(case.act, placed(case.needs, Path(folder) / "box"))
        if _baseline[case.name].word != SAME:
            raise RuntimeError(f"{case.name}: the good file is not taken: {_baseline[case.name]}")
    return _baseline[case.name]


def trials(n: int, seed: int, names: Sequence[str], *, quick: bool = False) -> list[Trial]:
    """`n` trials: of twenty, one has a link in ``--out``, six a hostile word, the rest damage; the cases in turn.

    With `quick` those that take a second of a core come once, and no command that does is given words or links.
    """
    cases = [name for name in names if name not in _OTHERS]
    rng = np.random.default_rng([seed, 24])
    links = 0 if LINKS not in names else n if names == [LINKS] else n // 20
    words = 0 if HOSTILE not in names else n * 3 // 10 if cases else n - links
    linked = [i for i, text in enumerate(WRITING) if not quick or text.startswith(LIGHT)]
    worded = [i for i, one in enumerate(SCENARIOS) if not quick or one.command.startswith(LIGHT)]
    found = [Trial(LINKS, int(i)) for i in rng.permutation(np.resize(linked, max(links, len(linked))))[:links]]
    found += [Trial(HOSTILE, int(i)) for i in rng.permutation(worded)[:words]]
    turn = sorted(cases, key=lambda name: quick and _BY_NAME[name].heavy)
    light = [name for name in turn if not (quick and _BY_NAME[name].heavy)]
    order = [*turn, *(light[i % len(light)] for i in range(n))] if light else turn * n
    return [Trial(name, seed * 1_000_003 + i) for i, name in enumerate(order[: n - len(found)])] + found


def _warm() -> None:
    """Import what commands import, and render once, so that forks need not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SkyPy 0.5 calls a deprecated part of astropy when it is first imported
        for name in WARM:
            import_module(name)
        from lensaudit.imaging import INSTRUMENTS, render
        from lensaudit.scenes import draw_scene

        render(draw_scene("single", 1, 0), INSTRUMENTS["euclid"])
    app = import_module("lensaudit.cli.app")
    built = get_command(app.build())
    app.build = lambda: built  # which takes longer than most commands
    gc.collect()
    gc.freeze()  # forks neither look through what was imported nor copy its pages


def campaign(wanted: Sequence[Trial], made: Path, jobs: int, *, told_apart: bool = True) -> list[Result]:
    """Run the trials on `jobs` forks of this process, which is warm; results in the order of the trials.

    Without `told_apart` what is accepted counts as equal: no command is run on the good file to compare with.
    """
    global _made, _told_apart
    _made, _told_apart = made, told_apart
    with ProcessPoolExecutor(jobs, get_context("fork")) as pool:
        results = []
        for number, result in enumerate(pool.map(one, wanted, chunksize=4), 1):
            results.append(result)
            if result.ended.word in FAULTS:  # said at once: a campaign that is stopped has told what it found
                print(*_fault(result), sep="\n", file=sys.stderr, flush=True)
            if number % 100 == 0:
                print(f"{number}/{len(wanted)}", file=sys.stderr, flush=True)
    return results


def _make_apart(made: Path) -> None:
    """Make the samples in a fork, so that this process has no threads when the trials' processes are forked."""
    made.mkdir(parents=True)
    maker = get_context("fork").Process(target=make_samples, args=(made,))
    maker.start()
    try:
        maker.join()
    finally:
        if maker.exitcode != 0:
            maker.kill()
            shutil.rmtree(made)
    if maker.exitcode != 0:
        raise SystemExit("the samples could not be made")


def _fault(result: Result) -> list[str]:
    first = f"FAULT {result.ended.word}: {result.trial.case} seed {result.trial.seed}: {result.deed}"
    return [first, *(f"      {line}" for line in result.ended.said.strip().splitlines()[-4:])]


def told(results: Sequence[Result], seconds: float) -> str:
    """Counts, a table by case, and every fault."""
    words = Counter(result.ended.word for result in results)
    lines = [
        f"{len(results)} trials in {seconds:.0f} s: " + "; ".join(f"{n} {word}" for word, n in words.most_common())
    ]
    for case in dict.fromkeys(result.trial.case for result in results):
        inside = Counter(result.ended.word for result in results if result.trial.case == case)
        lines.append(f"  {case:<24}" + "; ".join(f"{n} {word}" for word, n in inside.most_common()))
    slow = sorted(results, key=lambda result: -result.ended.seconds)[:3]
    lines.append("  slowest: " + "; ".join(f"{r.trial.case} {r.ended.seconds:.1f} s" for r in slow))
    lines += [f"changed: {r.trial.case} seed {r.trial.seed}: {r.deed}" for r in results if r.ended.word == CHANGED]
    for result in results:
        lines += _fault(result) if result.ended.word in FAULTS else []
    faults = sum(words[word] for word in FAULTS)
    accepted = words[TAKEN]
    lines.append(
        f"{faults} faults: " + ", ".join(f"{words[word]} {word}" for word in FAULTS)
        + f"; {words[REFUSED]} refused, {words[SAME] + words[CHANGED]} taken rightly, {accepted} wrongly"
    )  # fmt: skip
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument(
        "--quick", action="store_true", help="Mostly what takes a fraction of a second; accepted is equal."
    )
    parser.add_argument("--case", action="append", help="Only cases whose name has this in it.")
    parser.add_argument("--trial", type=int, help="Only this seed, of one --case.")
    parser.add_argument("--samples", type=Path, help="Keep the samples here, and take them from here.")
    parser.add_argument("--json", type=Path, help="Write all results here.")
    options = parser.parse_args(arguments)
    known = [*(case.name for case in CASES), *_OTHERS]
    names = [name for name in known if not options.case or any(part in name for part in options.case)]
    wanted = trials(options.n, options.seed, names, quick=options.quick)
    if options.trial is not None:
        wanted = [Trial(name, options.trial) for name in names]
    with tempfile.TemporaryDirectory(prefix="lensaudit-fuzz-") as temporary:
        made = Path(temporary) / "made" if options.samples is None else options.samples.absolute()
        register_tiny()
        _warm()
        if not made.exists():
            _make_apart(made)
        began = time.monotonic()
        results = campaign(wanted, made, options.jobs, told_apart=not options.quick)
        print(told(results, time.monotonic() - began))
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(result) for result in results], indent=1))
    return int(any(result.ended.word in FAULTS for result in results))


if __name__ == "__main__":
    sys.exit(main())
