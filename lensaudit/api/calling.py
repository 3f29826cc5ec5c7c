"""What every function of the front door does: errors that speak of arguments, folders that go again, progress."""

from __future__ import annotations

import re
import shutil
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from lensaudit.errors import LensauditError, LensauditWarning, UsageError
from lensaudit.lensset import Cutouts, LensSet, open_cutouts
from lensaudit.provenance import called_as
from lensaudit.untrusted import path_within

if TYPE_CHECKING:
    from lensaudit.finders import Finder, Scores

P = ParamSpec("P")
R = TypeVar("R")

Data = LensSet | str | Path
"""A lens set or a container, or where one lies: see `lensaudit.lensset.open_cutouts`."""

AnyData = Cutouts | str | Path
"""The same, or other cutouts in memory."""

Watcher = Callable[[str, int, int], None]
"""Called with the name of a stage, its steps done and its steps in all."""

FLAGS = frozenset(
    {
        "all",
        "any-host",
        "balanced",
        "compile",
        "cut",
        "force",
        "npy",
        "only-vectors",
        "half",
        "quick",
        "ratios",
        "refit",
        "resample",
        "restart",
        "reuse-hosts",
    }
    | {"paint-out", "skip-bad", "source-only", "speed", "stars"}
)
"""Options that take no value: the argument is True."""

ARGUMENTS = {
    "as": "name",
    "band": "bands",
    "batch": "batch_size",
    "class": "classes",
    "colour": "colours",
    "concept": "concepts",
    "filter": "filters",
    "first": "n",
    "from": "start",
    "id": "ids",
    "inspect": "inspected",
    "kernel": "kernels",
    "layer": "layers",
    "lr": "learning_rate",
    "method": "methods",
    "no-probe": "probe_n=0",
    "probe": "probes",
    "set": "data",
    "with": "parts",
}
"""Options whose argument has another name; of all others it has the option's own, with underscores."""

FUNCTIONS = (
    {"report": "audit", "selection": "selection_function"}
    | {name: name for name in ("calibrate", "compare", "dream", "evaluate", "explain", "ingest", "judge", "kernels")}
    | {name: name for name in ("cut", "embed", "inject", "occlusion", "realism", "score", "simulate", "train")}
)
"""Commands that are functions too."""

_COMMAND = re.compile(r"(`[^`]*`|\blensaudit [a-z][^;,`]*)")
"""A command to type."""

_VALUE = r"'[^']*'|[\w*]+=[^\s;,]+|[-+]?\d[\w.+-]*|[A-Z]{2,}(?![\w-])|(?:zero|median|keep|none|quick|hub)\b"
_OPTION = re.compile(rf"(?<![\w-])--(?P<name>[a-z][a-z0-9-]*)(?:[ =](?P<value>{_VALUE}))?")


def in_python(message: str) -> str:
    """A message of ours with options written as arguments.

    Examples
    --------
    >>> in_python("set: pixels of 0.1″; have it resampled with --resample, or give --field-of-view 14")
    'set: pixels of 0.1″; have it resampled with resample=True, or give field_of_view=14'
    >>> in_python("give --pixel-scale VIS=ARCSEC, or choose another --out")
    "give pixel_scale={'VIS': ARCSEC}, or choose another out"
    >>> in_python("train it with lensaudit train ou66 --data SET --out DIR.")
    "train it with la.train('ou66', data=SET, out=DIR)."
    >>> in_python("make it with lensaudit ensemble A B --data SET")
    'make it with lensaudit ensemble A B --data SET'
    """
    parts = _COMMAND.split(message)
    return "".join(_called(part) if place % 2 else _OPTION.sub(_argument, part) for place, part in enumerate(parts))


def _called(command: str) -> str:
    """A command with options as a call; one that is no function stays as it is."""
    bare = command.strip("`. ")
    name, *words = bare.removeprefix("lensaudit ").split()
    if "--" not in command or name not in FUNCTIONS:
        return command
    arguments: list[str] = []
    for word, following in zip(words, [*words[1:], "--"], strict=True):
        if word.startswith("--"):
            flag = "True" if word[2:] in FLAGS else "…" if following.startswith("--") else ""
            arguments.append(f"{_named(word[2:])}={flag}")
        elif arguments and arguments[-1].endswith("="):
            arguments[-1] += _literal(word)
        else:
            arguments.append(_literal(word))
    return command.replace("`", "").replace(bare, f"la.{FUNCTIONS[name]}({', '.join(arguments)})")


def _named(option: str) -> str:
    return ARGUMENTS.get(option, option.replace("-", "_"))


def _literal(word: str) -> str:
    return word if word.isupper() or word == "…" or re.fullmatch(r"[\d.]+", word) else repr(word)


def _argument(option: re.Match[str]) -> str:
    name, value = option["name"], option["value"]
    argument = _named(name)
    if name in FLAGS:
        return f"{argument}=True" + (f" {value}" if value else "")
    if value is None:
        return argument
    key, is_mapping, of_key = value.partition("=")
    if is_mapping:
        return f"{argument}={{{key!r}: {of_key if of_key.isupper() else repr(of_key)}}}"
    return f"{argument}={value!r}" if value.islower() and value.isalpha() else f"{argument}={value}"


def front_door(function: Callable[P, R]) -> Callable[P, R]:
    """Have errors and warnings of ours speak of arguments, and results say that they were made by this function."""

    @wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with called_as(f"lensaudit.{function.__name__} in Python"):
                return function(*args, **kwargs)
        except LensauditError as error:
            error.args = (in_python(str(error)), *error.args[1:])
            raise

    return called


def warn(line: str) -> None:
    """Tell the caller of the front door what need not be acted on."""
    warnings.warn(in_python(line), LensauditWarning, stacklevel=4)


@contextmanager
def folder_for(out: Path | str | None) -> Iterator[Path]:
    """The folder `out`, or one that is gone when the block ends."""
    if out is not None:
        yield Path(out)
        return
    with TemporaryDirectory(prefix="lensaudit-") as folder:
        yield Path(folder) / "result"


def temporary_folder(name: str) -> Path:
    """A new folder called `name`, for `kept_with`."""
    return path_within(Path(mkdtemp(prefix="lensaudit-")), name)


def kept_with(owner: R, folder: Path) -> R:
    """Remove a `temporary_folder` when `owner`, which reads from it, is gone, or Python ends."""
    weakref.finalize(owner, shutil.rmtree, folder.parent, ignore_errors=True)
    return owner


@contextmanager
def watching(progress: bool | Watcher) -> Iterator[Watcher]:
    """What rooms report to: nobody, a bar per stage (in a notebook or on standard error), or the caller's function."""
    if not progress:
        yield lambda stage, done, total: None
        return
    if callable(progress):
        yield progress
        return
    bars = _Bars()
    try:
        yield bars
    finally:
        bars.close()


class _Bars:
    """A bar of tqdm per stage."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that ipywidgets are not installed: then bars are text
            from tqdm.auto import tqdm
        self._make: Callable[..., Any] = tqdm
        self._bars: dict[str, Any] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        if stage not in self._bars:
            self._bars[stage] = self._make(total=total, desc=stage)
        bar = self._bars[stage]
        bar.total = total
        bar.update(done - bar.n)

    def close(self) -> None:
        """Leave the bars as they are."""
        for bar in self._bars.values():
            bar.close()


def counting(watch: Watcher, stage: str) -> Callable[[int, int], None]:
    """The callback (done, total) of one stage."""
    return partial(watch, stage)


def as_set(data: Data) -> LensSet:
    """The lens set, opened where its folder is given."""
    return data if isinstance(data, LensSet) else open_cutouts(data)


def as_sets(data: Data | Iterable[Data]) -> list[LensSet]:
    """The lens set, or each of several, opened where a folder is given; UsageError where there is none."""
    sets = [as_set(one) for one in ([data] if isinstance(data, Data) else data)]
    if not sets:
        raise UsageError("data: no lens set is given; name one or more")
    return sets


def as_cutouts(data: AnyData) -> Cutouts:
    """The cutouts, opened where a path is given."""
    return open_cutouts(data) if isinstance(data, str | Path) else data


def as_finder(finder: Finder | str | Path) -> Finder:
    """The finder, loaded where a name or a folder is given."""
    from lensaudit.finders import Finder, load_finder

    return finder if isinstance(finder, Finder) else load_finder(str(finder), "auto")


def as_pair(finder: Finder | str | Path, data: AnyData, refit: bool = False) -> tuple[Finder, Cutouts]:
    """Both, the finder as it reads the set; one that it cannot take as input is refused, and pixels are remarked on."""
    from lensaudit.finders import refitted

    opened = as_cutouts(data)  # a wrong path is told before torch is imported
    loaded = as_finder(finder)
    loaded = refitted(loaded, opened) if refit else loaded.for_units(opened)
    loaded.check(opened)
    if other := loaded.other_pixels(opened):
        warn(f"{opened.path}: {other}; resampled as asked")
    for remark in (*loaded.notes, *loaded.unit_remarks(opened)):
        warn(remark)
    return loaded, opened


def of_this_set(scores: Scores | None, data: Cutouts) -> Scores | None:
    """`scores`, if any were given; UsageError where they are of other images than `data`."""
    if scores is not None and list(scores.ids) != data.ids:
        raise UsageError(f"scores: {len(scores.ids)} ids are not those of {data.path}; score this set, or leave it out")
    return scores
