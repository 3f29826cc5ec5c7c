"""Runs a reader or a command in a child process with limits, and says in one word how it ended.

The parent imports what is slow once; each trial is a fork of it in a sandbox folder of its own, so that a trial costs
what the reader costs. Used by ``make fuzz`` (`campaigns.fuzz`); how to add a reader stands in `campaigns.readers`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import resource
import shutil
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from campaigns.pages import raw_signs, unsafe

SECONDS = 60
"""Wall-clock seconds after which a trial hangs; the slowest honest one takes two on an idle core."""
MEMORY = 3 << 30
"""Bytes of address space a trial may add to those of the parent."""

# Words for how a trial ended. Those of FAULTS must never happen.
SAME, CHANGED, REFUSED = "accepted, equal content", "accepted, other content", "refused in one line"
TRACEBACK, CRASH, HANG, MEMORY_OUT = "traceback", "crash", "hang", "memory"
OUTSIDE, RAW, UNCLEAR, TAKEN = "wrote outside", "raw control character", "not one line", "accepted though wrong"
UNSAFE, UNTRIED = "unsafe page", "not tried"
FAULTS = (TRACEBACK, CRASH, HANG, MEMORY_OUT, OUTSIDE, RAW, UNCLEAR, TAKEN, UNSAFE, UNTRIED)

_DOCUMENTED = (1, 2, 3, 4)
_PYTHON_WARNING = re.compile(r"\.py:\d+: \w*Warning: |^WARNING: |Exception ignored in", re.MULTILINE)


@dataclass(frozen=True)
class Ended:
    """How a trial ended.

    Attributes
    ----------
    word
        One of the words above.
    code
        Exit code; negative for a signal.
    said
        The last lines of standard error, or what was found outside.
    digest
        SHA-256 of what it wrote below ``out`` and printed; empty unless it was accepted.
    seconds
        Wall-clock time.
    """

    word: str
    code: int
    said: str
    digest: str = ""
    seconds: float = 0.0


@dataclass
class Sandbox:
    """A folder with ``work`` (the working folder of the trial) and things around it that must stay as they are."""

    root: Path
    sentinel: str = field(default="untouched", init=False)

    def __post_init__(self) -> None:
        self.work.mkdir(parents=True)
        (self.root / "sentinel").write_text(self.sentinel)

    @property
    def work(self) -> Path:
        """Working folder; what is read lies here, and the command writes to its folder ``out``."""
        return self.root / "around" / "work"

    def listing(self) -> dict[str, tuple[int, int]]:
        """Everything in the sandbox but what lies below ``work/out``: path → (size, time of change in ns)."""
        found = {}
        for folder, folders, files in os.walk(self.root):
            if Path(folder) == self.work:
                folders[:] = [name for name in folders if name != "out"]
            for name in (*folders, *files):
                facts = os.lstat(os.path.join(folder, name))
                size = 0 if name in folders else facts.st_size
                found[os.path.relpath(os.path.join(folder, name), self.root)] = (size, _changed(facts, name in folders))
        return found

    def strays(self, before: dict[str, tuple[int, int]]) -> list[str]:
        """What appeared, changed or went since `before`, outside ``out``."""
        after = self.listing()
        return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def _changed(facts: os.stat_result, folder: bool) -> int:
    return 0 if folder else facts.st_mtime_ns  # a folder's time changes with the files in it, which are listed


def run(
    act: Callable[[], int | None], sandbox: Sandbox, expect_refusal: bool = False, expect_named: str | None = None
) -> Ended:
    """Run `act` in a fork, in the sandbox's working folder, and judge how it ended.

    Parameters
    ----------
    act
        Returns the exit code (None is 0), or raises SystemExit.
    expect_refusal
        Accepting this input is a fault.
    expect_named
        Accepting this input without printing these words, or writing them in a page, is a fault.
    """
    before = sandbox.listing()
    place = sandbox.root.with_name(sandbox.root.name + ".said")
    place.mkdir()
    began = time.monotonic()
    code, hung = _forked(act, sandbox.work, place)
    seconds = time.monotonic() - began
    out, err = ((place / name).read_bytes().decode("utf-8", "surrogateescape") for name in ("out", "err"))
    shutil.rmtree(place)
    word, said = _judged(code, hung, out, err)
    if strays := sandbox.strays(before):
        word, said = OUTSIDE, ", ".join(strays)[:500]
    if word == SAME and (found := unsafe(sandbox.work / "out")):
        word, said = UNSAFE, found
    if word == SAME and (expect_refusal or (expect_named and expect_named not in out + err + _pages(sandbox.work))):
        word = TAKEN
    digest = _digest(sandbox.work / "out", out) if word == SAME else ""
    return Ended(word, code, said, digest, seconds)


def _forked(act: Callable[[], int | None], folder: Path, place: Path) -> tuple[int, bool]:
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        child = os.fork()
    if child == 0:
        _be_child(act, folder, place)
    hung = False
    deadline = time.monotonic() + SECONDS
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status), hung
        if time.monotonic() > deadline and not hung:
            hung = True
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
        time.sleep(0.005)


def _be_child(act: Callable[[], int | None], folder: Path, place: Path) -> None:
    code = 99
    try:
        os.setpgid(0, 0)
        os.chdir(folder)
        for name, number in (("out", 1), ("err", 2)):
            os.dup2(os.open(place / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        sys.stdout = open(1, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
        size = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY,) * 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        code = act() or 0
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 98
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _judged(code: int, hung: bool, out: str, err: str) -> tuple[str, str]:
    said = err[-600:]
    if hung:
        return HANG, said
    if "Traceback (most recent call last)" in out + err or code in (70, 98):
        return TRACEBACK, said
    if code < 0:
        return CRASH, f"signal {-code}; {said}"
    if raw := raw_signs(out) or raw_signs(err):
        return RAW, f"{raw!r} in {(out + err)[-300:]!r}"
    if "out of memory" in err:
        return MEMORY_OUT, said
    if warned := _PYTHON_WARNING.search(err):
        return UNCLEAR, err[max(warned.start() - 200, 0) :][:500]
    if code == 0:
        return SAME, ""
    lines = [line for line in err.splitlines() if line.startswith("lensaudit: ")]
    errors = [line for line in lines if not line.startswith("lensaudit: warning: ")]
    if code not in _DOCUMENTED or len(errors) != 1:
        return UNCLEAR, f"exit code {code}: {said}"
    return REFUSED, errors[0][:300]


def _pages(work: Path) -> str:
    return "".join(path.read_text(encoding="utf-8") for path in sorted((work / "out").rglob("*.html")))


def _digest(out: Path, printed: str) -> str:
    """Content of the folder `out` and of what was printed."""
    told = hashlib.sha256(printed.encode("utf-8", "surrogateescape"))
    for path in sorted(_files(out)):
        told.update(os.fsencode(path.relative_to(out)))
        told.update(path.read_bytes() if path.is_file() else b"no regular file")  # a device has no end
    return told.hexdigest()


def _files(out: Path) -> Iterator[Path]:
    if out.is_file():
        yield out
    for folder, _, names in os.walk(out):
        yield from (Path(folder, name) for name in names)


def command(*words: object) -> Callable[[], int]:
    """A command line as what `run` takes."""

    def act() -> int:
        from lensaudit.cli.app import main

        sys.argv = ["lensaudit", *map(str, words)]
        main()
        return 0

    return act


def reading(read: Callable[[], object]) -> Callable[[], int]:
    """A call of the library as what `run` takes: our own errors leave as the command line does it."""

    def act() -> int:
        from lensaudit.errors import LensauditError
        from lensaudit.untrusted import printable

        try:
            print(printable(repr(read())))
        except LensauditError as error:
            print(f"lensaudit: {printable(error)}", file=sys.stderr)
            return error.exit_code
        return 0

    return act


def copied(source: Path, target: Path) -> None:
    """Copy a tree; files are links to the same bytes, since trials replace what they change."""
    shutil.copytree(source, target, copy_function=os.link, dirs_exist_ok=True, symlinks=True)
