"""``make kills``: long commands are killed at seeded moments and run again; what is there at the end must be the same.

``PYTHONPATH=.:tests python -m campaigns.kills --n 100 --seed 0``. SIGKILL goes to the command alone (its workers have
to leave by themselves), SIGTERM and SIGINT to all its processes, as from a batch system or a terminal. After the last
kill the same command is run to its end. Its folder must then be equal, byte for byte, to that of an undisturbed run; no
process may be left, no temporary file, nothing outside ``--out``, and no traceback in what was said. Most runs are
forks of a process that has imported what is slow, so that kills fall into the work; one in ten is a process of its own.

To add a command: an entry in `COMMANDS`.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from campaigns.fuzz import WARM

PATIENCE = 20.0
"""Seconds that processes may take to leave after the command was killed, on a busy machine."""
ALONE = 10
"""One run in so many is a process of its own, not a fork."""

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
EXPECTED = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}
TEMPORARY = (".partial", ".lock")

ALSO_WARM = (
    "lensaudit.planted_bias.bench", "lensaudit.finders", "lensaudit.injection.sets",
    "lensaudit.realism_gate.describing",
    "photutils.segmentation", "sklearn.covariance", "sklearn.ensemble",
)  # fmt: skip

RAW_WARNING = re.compile(r"^.*\w+Warning: .*$", re.MULTILINE)

# Words of a command; what a run needs lies in the folder MADE, and it writes to ``out`` in its working folder.
COMMANDS: dict[str, str] = {
    "simulate": "simulate euclid --n 32 --seed 3 --out out",
    "simulate, 2 workers": "simulate euclid --n 32 --seed 4 --workers 2 --out out",
    "ingest": "ingest fits {made}/fits --band VIS=*_VIS.fits --out out",
    "ingest --psf": "ingest fits {made}/fits --band VIS=*_VIS.fits --psf VIS={made}/psf.fits --rms VIS={made}/rms.fits "
    "--zero-point VIS=24.6 --out out",
    "inject": "inject {made}/set --out out",
    "inject, 2 workers": "inject {made}/set --n 20 --seed 2 --workers 2 --out out",
    "realism": "realism {made}/vis --real {made}/other --simulated {made}/set --label any --out out",
    "calibrate": "calibrate ou66 {made}/many --out out",
    "score": "score {made}/vis {made}/set --out out/scores.parquet",
    "score, parts": "score {made}/vis {made}/many --part-rows 10 --workers 1 --out out",
    "score, 2 workers": "score {made}/vis {made}/many --part-rows 10 --workers 2 --out out",
    "score, container": "score {made}/vis {made}/few.yaml --resample --part-rows 40 --workers 2 --out out",
    "ingest cutouts": "ingest cutouts {made}/few.yaml --out out",
    "embed": "embed {made}/vis {made}/many --map-n 40 --perplexity 5 --concept arcs --concept-n 20 --out out",
    "audit-plan": "audit-plan {made}/scores --budget 24 --strata 4 --least 2 --out out",
    "audit-labels": "audit-labels {made}/plan --labels {made}/labels.csv --out out",
    "to-label": "to-label {made}/scores --n 20 --force --out out/label.csv",
    "to-label, finders": "to-label ou66 {made}/vis --set {made}/many --n 10 --force --out out/label.parquet",
    "train": "train ou-vis --data {made}/set --epochs 2 --batch 8 --threads 1 --out out",
    "train --ablate": "train ou-vis --data {made}/set --test {made}/other --ablate clip --epochs 1 --batch 8 "
    "--threads 1 --out out",
    "cross-validate": "cross-validate ou-vis --data {made}/set --folds 2 --epochs 1 --batch 8 --threads 1 --out out",
    "cluster": "cluster {made}/vis101 --filters 8 --embedding 4 --epochs 1 --denoiser-epochs 1 --batch 8 --threads 1 "
    "--out out",
    "ensemble": "ensemble ou66 ou-vis --data {made}/set --perplexity 5 --out out",
    "committee": "ensemble ou66 {made}/vis --kind mean --data {made}/many --test {made}/set --out out",
    "committee, stack": "ensemble ou66 {made}/vis --kind stack --data {made}/many --out out",
    "ensemble-map": "ensemble-map {made}/ensemble {made}/set --out out",
    "selection": "selection {made}/vis {made}/set --out out",
    "kernels": "kernels {made}/vis {made}/set --layer 0 --kernel 0 --out out",
    "occlusion": "occlusion {made}/vis {made}/set --first 6 --out out",
    "explain": "explain {made}/vis {made}/set --first 4 --method saliency --method gradcam --out out",
    "gradcam": "gradcam {made}/vis {made}/set --first 4 --out out",
    "dream": "dream {made}/vis --steps 12 --out out",
    "judge": "judge {made}/vis {made}/set --methods saliency --with localisation,randomisation --per-kind 2 "
    "--check-images 3 --threads 1 --out out",
    "judge, 2 workers": "judge {made}/vis {made}/set --methods saliency --with localisation,randomisation "
    "--per-kind 2 --check-images 3 --workers 2 --out out",
    "probe": "probe red-source ou66 --n 24 --seed 5 --out out",
    "probe, 2 workers": "probe arc-snr ou66 --n 24 --seed 5 --workers 2 --out out",
    "probe all": "probe all ou66 --n 8 --probe red-source --probe orientation --out out",
    "probe export": "probe export --n 8 --probe red-source --probe orientation --out out",
    "bench": "planted-bias --finders 1 --clean 1 --images 200 --epochs 1 --n 8 --plant blue-sources --out out",
    "compare": "compare {made}/vis ou66 --set {made}/set --no-speed --probe orientation --probe-n 8 --judge-n 2 "
    "--out out",
    "compare --baseline": "compare ou66 --baseline {made}/vis --set {made}/set --no-speed --probe orientation "
    "--probe-n 8 --judge-n 0 --out out",
    "models card": "models card {made}/vis --audit {made}/audit --force --out out/README.md",
    "models compact": "models compact ou66 {made}/many --bits 6 --out out",
    "ci-template": "ci-template --for github --force --out out/gate.yml",
    "report": "report {made}/vis --set {made}/set --probe orientation --probe-n 8 --occlusion-n 1 --judge-n 0 "
    "--dream-steps 2 --out out",
    "quickstart": "quickstart --finder ou66 --n 24 --workers 1 --probe orientation --probe-n 8 --occlusion-n 1 "
    "--out out",
}

MAKING = (
    "simulate euclid --n 48 --seed 1 --out set",
    "simulate euclid --n 8 --seed 2 --out other",
    "simulate euclid --n 64 --seed 6 --out many",
    "simulate vis101 --n 40 --seed 3 --out vis101",
    "train ou-vis --data set --epochs 1 --batch 8 --threads 1 --out vis",
    "ensemble ou66 ou-vis --data set --perplexity 5 --out ensemble",
    "score vis many --part-rows 10 --workers 1 --out scores",
    "audit-plan scores --budget 24 --strata 4 --least 2 --out plan",
    "report vis --set set --probe none --occlusion-n 0 --judge-n 0 --dream-steps 0 --no-embed --out audit",
)


class CannotRun(RuntimeError):
    """A command fails undisturbed."""


@dataclass
class Tally:
    """What came of the kills of one command."""

    kills: Counter[str] = field(default_factory=Counter)
    trials: int = 0
    equal: int = 0
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Run:
    """A started command: its process, which leads a session of its own, and where it writes what it says."""

    process: int
    said: Path

    def wait(self, seconds: float) -> int | None:
        """Exit code, negative for a signal; None if it still runs after `seconds`."""
        deadline = time.monotonic() + seconds
        while True:
            done, status = os.waitpid(self.process, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() >= deadline:
                return None
            time.sleep(0.005)

    def left(self) -> list[int]:
        """Processes of its session that are still alive."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                state, _parent, _group, session = stat.read_text().rsplit(")", 1)[1].split()[:4]
                if int(session) == self.process and state not in "ZX":
                    found.append(int(stat.parent.name))
        return found

    def orphans(self) -> list[int]:
        """Those that have not left after some patience."""
        deadline = time.monotonic() + PATIENCE
        while (found := self.left()) and time.monotonic() < deadline:
            time.sleep(0.02)
        return found


def start(words: Sequence[str], folder: Path, said: Path, alone: bool = False) -> Run:
    """Start a command in `folder`; `alone`: as a process of its own, else as a fork of this one."""
    if alone:
        with open(said, "wb") as stream:
            command = [sys.executable, "-m", "lensaudit", *words]
            process = subprocess.Popen(command, cwd=folder, stdout=stream, stderr=stream, start_new_session=True)
        process.returncode = 0  # waited for below, not by subprocess
        return Run(process.pid, said)
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        child = os.fork()
    if child == 0:
        _be_command(words, folder, said)
    return Run(child, said)


def _be_command(words: Sequence[str], folder: Path, said: Path) -> None:
    code = 70
    try:
        os.setsid()
        os.chdir(folder)
        stream = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(stream, 1)
        os.dup2(stream, 2)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        sys.argv = ["lensaudit", *words]
        from lensaudit.cli.app import main

        main()
        code = 0
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 1
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def tree(root: Path) -> dict[str, str]:
    """Path → digest of every file below `root`, times that were measured left out; folders and links by their kind."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        found[name] = "link" if path.is_symlink() else "folder" if path.is_dir() else _digest(path)
    return found


def _digest(path: Path) -> str:
    data = path.read_bytes()
    if path.name == "history.csv":  # seconds of each epoch
        rows = [line.split(",") for line in data.decode().splitlines()]
        keep = [k for k, name in enumerate(rows[0]) if name != "seconds"]
        data = "\n".join(",".join(row[k] for k in keep) for row in rows).encode()
    elif path.suffix == ".safetensors":
        size = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + size])
        if "progress" in header.get("__metadata__", {}):  # the state of a training
            progress = json.loads(header["__metadata__"]["progress"])
            header["__metadata__"]["progress"] = _timeless(progress)
            data = json.dumps(header, sort_keys=True).encode() + data[8 + size :]
    return hashlib.sha256(data).hexdigest()


def _timeless(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _timeless(item) for key, item in value.items() if key != "seconds"}
    return [_timeless(item) for item in value] if isinstance(value, list) else value


class Campaign:
    """Runs one command undisturbed, and then again and again with kills."""

    def __init__(self, root: Path, rng: random.Random) -> None:
        self.root, self.rng, self.number = root, rng, 0
        self.signals: list[signal.Signals] = []
        self.made = root / "made"

    def make(self, making: Sequence[str] = MAKING) -> None:
        """What the commands read."""
        self.made.mkdir()
        for words in making:
            self._to_the_end(words.split(), self.made)
        if "set" in os.listdir(self.made):
            _write_fits(self.made)
            _write_cutouts(self.made)
            _write_labels(self.made)

    def undisturbed(self, words: Sequence[str]) -> tuple[dict[str, str], float]:
        """What a run leaves, and the seconds it takes."""
        folder = self._folder()
        began = time.monotonic()
        self._to_the_end(words, folder)
        seconds = time.monotonic() - began
        found = tree(folder)
        shutil.rmtree(folder)
        return found, seconds

    def trial(self, words: Sequence[str], wanted: dict[str, str], seconds: float, tally: Tally) -> None:
        """Kill a run once, sometimes twice or thrice, run it to the end and judge what is there."""
        folder, kills = self._folder(), self.rng.choice((1, 1, 1, 2, 3))
        tally.trials += 1
        faults = [fault for _ in range(kills) for fault in self._killed(words, folder, seconds, tally)]
        faults += self._judged(words, folder, wanted)
        tally.faults += faults
        tally.equal += not faults
        shutil.rmtree(folder)

    def _killed(self, words: Sequence[str], folder: Path, seconds: float, tally: Tally) -> list[str]:
        self.signals = self.signals or self.rng.sample(SIGNALS, len(SIGNALS))
        number = self.signals[-1]
        alone = self.rng.randrange(ALONE) == 0
        moment = self.rng.uniform(0.0, 1.0) * seconds + (self.rng.uniform(0.0, 3.0) if alone else 0.0)
        run = start(words, folder, folder.with_suffix(".said"), alone)
        code = run.wait(moment)
        if code is not None:  # it was quicker this time
            return [] if code == 0 else [f"ended with {code} unkilled: {_last(run.said)}"]
        what = self.signals.pop().name
        if number == signal.SIGKILL:
            os.kill(run.process, number)
        else:
            os.killpg(run.process, number)
        code = run.wait(PATIENCE)
        tally.kills[what] += 1
        faults = []
        if code is None:
            os.killpg(run.process, signal.SIGKILL)
            run.wait(PATIENCE)
            faults.append(f"did not leave after {what}")
        elif code not in (EXPECTED[number], 0) and not _before_it_began(run, folder, code, number, alone):
            faults.append(f"left with {code} after {what}: {_last(run.said)}")
        if orphans := run.orphans():
            faults.append(f"processes left after {what}: {orphans}")
            os.killpg(run.process, signal.SIGKILL)
        if not alone and "Traceback" in run.said.read_text(errors="replace"):
            faults.append(f"traceback after {what}: {_last(run.said)}")
        return faults

    def _judged(self, words: Sequence[str], folder: Path, wanted: dict[str, str]) -> list[str]:
        said = folder.with_suffix(".said")
        run = start(words, folder, said)
        code = run.wait(600)
        if code != 0:
            return [f"the run after it ended with {code}: {_last(said)}"]
        found = tree(folder)
        differing = [name for name in sorted(found.keys() | wanted.keys()) if found.get(name) != wanted.get(name)]
        left = [name for name in found if name.endswith(TEMPORARY)]
        faults = [f"differs: {', '.join(differing[:4])}"] if differing else []
        faults += [f"temporary files left: {', '.join(left)}"] if left else []
        if shown := RAW_WARNING.search(said.read_text(errors="replace")):
            faults.append(f"a raw warning: {shown[0]}")
        outside = [name for name in os.listdir(folder) if name != "out"]
        return faults + ([f"outside --out: {', '.join(outside)}"] if outside else [])

    def _folder(self) -> Path:
        self.number += 1
        folder = self.root / f"run-{self.number:04d}"
        folder.mkdir()
        return folder

    def _to_the_end(self, words: Sequence[str], folder: Path) -> None:
        said = self.root / "said"
        code = start(words, folder, said).wait(1200)
        if code != 0:
            raise CannotRun(f"lensaudit {' '.join(words)}: ended with {code}: {_last(said)}")


def _before_it_began(run: Run, folder: Path, code: int, number: int, alone: bool) -> bool:
    """Whether the signal came before the command had set what it does at one: it has said and written nothing then."""
    if alone and code == -number:
        return True
    silent = not (run.said.exists() and run.said.read_text(errors="replace").strip())
    return code in (-number, 70) and silent and not any(folder.rglob("*"))  # 70: this fork, not yet lensaudit


def _last(said: Path) -> str:
    lines = said.read_text(errors="replace").strip().splitlines()
    return lines[-1][-200:] if lines else ""


def _write_fits(made: Path) -> None:
    import numpy as np
    from astropy.io import fits

    from lensaudit.lensset import LensSet

    lens_set = LensSet.open(made / "set")
    (made / "fits").mkdir()
    cards = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 10.0, "CRVAL2": 2.0, "CRPIX1": 100.0}
    cards |= {"CRPIX2": 100.0, "CD1_1": -0.1 / 3600, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 0.1 / 3600}
    for row, name in enumerate(lens_set.ids):
        image = np.asarray(lens_set.images("VIS", row)[0])
        fits.writeto(made / "fits" / f"{name}_VIS.fits", image, fits.Header(cards))
    offset = np.arange(21) - 10
    fits.writeto(made / "psf.fits", np.exp(-(offset[:, None] ** 2 + offset**2) / 4.0))
    fits.writeto(made / "rms.fits", np.full(image.shape, 0.01, np.float32))


def _write_cutouts(made: Path) -> None:
    import numpy as np

    np.save(made / "few.npy", np.random.default_rng(8).normal(size=(200, 1, 16, 16)).astype(np.float32))
    (made / "few.yaml").write_text("format: npy\ndata: few.npy\nbands: [VIS]\nfield_of_view_arcsec: 20\n")


def _write_labels(made: Path) -> None:
    import csv

    from lensaudit.lensset import LensSet

    many = LensSet.open(made / "many")
    known = dict(zip(many.ids, many.labels.tolist(), strict=True))
    with open(made / "plan" / "labels.csv", newline="") as asked, open(made / "labels.csv", "w", newline="") as told:
        writer = csv.writer(told)
        writer.writerows([("id", "label"), *((row["id"], known[row["id"]]) for row in csv.DictReader(asked))])


def warm(modules: Sequence[str] = WARM) -> None:
    """Import what is slow, so that forks need not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in (*modules, *ALSO_WARM):
            import_module(name)


def shares(n: int, names: Sequence[str]) -> dict[str, int]:
    """So many kills of each command, as evenly as `n` allows."""
    return {name: n // len(names) + (k < n % len(names)) for k, name in enumerate(names)}


def main() -> int:
    """Run the campaign and print its counts; 1 where anything was at fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=100, help="kills in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", action="append", default=[], help="only this command; may be repeated")
    chosen = parser.parse_args()
    names = chosen.only or list(COMMANDS)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it, and so would ours
    warm()
    tallies: dict[str, Tally] = {name: Tally() for name in names}
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        campaign = Campaign(Path(folder), random.Random(chosen.seed))
        campaign.make()
        before = tree(campaign.made)
        for name, kills in shares(chosen.n, names).items():
            words, tally = COMMANDS[name].format(made=campaign.made).split(), tallies[name]
            try:
                wanted, seconds = campaign.undisturbed(words)
            except CannotRun as refused:
                tally.faults.append(str(refused))
                kills, wanted, seconds = 0, {}, 0.0
            while tally.kills.total() < kills and tally.trials < 3 * kills:
                campaign.trial(words, wanted, seconds, tally)
            _show(name, tally, seconds)
        read_only = "unchanged" if tree(campaign.made) == before else "CHANGED"
    faults = sum(len(tally.faults) for tally in tallies.values()) + (read_only != "unchanged")
    total = sum((tally.kills for tally in tallies.values()), Counter[str]())
    kinds = ", ".join(f"{count} {name}" for name, count in sorted(total.items()))
    print(f"{total.total()} kills ({kinds}), {faults} faults; what the commands read: {read_only}")
    return 1 if faults else 0


def _show(name: str, tally: Tally, seconds: float) -> None:
    kinds = " ".join(f"{kind.removeprefix('SIG')} {count}" for kind, count in sorted(tally.kills.items()))
    print(
        f"{name:22s} {seconds:5.1f} s  {tally.kills.total():3d} kills ({kinds}); "
        f"{tally.equal} of {tally.trials} ended equal, {len(tally.faults)} faults",
        flush=True,
    )
    for fault in tally.faults:
        print(f"    {fault}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
