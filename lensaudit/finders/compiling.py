"""Scoring with machine code that torch's compiler makes of a module, for batches of one shape and for scores alone."""

from __future__ import annotations

import logging
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from torch import nn

from lensaudit.errors import LensauditError, MachineError, OutOfMemory, UsageError
from lensaudit.finders.committee import Committee, logit_and_members
from lensaudit.finders.finder import Finder, lens_logit
from lensaudit.finders.recipe import CUSTOM
from lensaudit.finders.running import channels_last
from lensaudit.foreign_code import is_out_of_memory, on_its_account

AUTO, ON, OFF = "auto", "on", "off"

MANY = 100_000
"""Images beyond which `AUTO` tries it: compiling takes about as long as scoring some thousands."""

WORTH = 1.05
"""How many times as fast as the eager call it must be for `AUTO` to keep it."""

SAME = 1e-5
"""Most that compiled log-odds z may differ from the eager ones, as a fraction of 1 + |z|: float32's rounding."""

_TURNS = 7
_CACHE = "TORCHINDUCTOR_CACHE_DIR"

Forward = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Compiled:
    """What is called in place of a finder's module; see `compiled`."""

    finder: Finder
    forward: Forward

    def __call__(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """As `lensaudit.finders.committee.logit_and_members` of prepared images, which stay as they are."""
        recipe = self.finder.recipe
        found = self.forward(_given(self.finder, images))
        if isinstance(self.finder.module, Committee):
            return self.finder.module.joined(found), found
        return lens_logit(found, recipe.outputs, recipe.lens_index), None


@dataclass(frozen=True)
class Choice:
    """Whether scores are computed by compiled code, and the line to be told of it, if any."""

    compiled: Compiled | None = None
    line: str = ""


class _Members(nn.Module):
    """A committee that answers with each member's log-odds."""

    def __init__(self, committee: Committee) -> None:
        super().__init__()
        self.committee = committee

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.committee.member_logits(images)


def chosen(finder: Finder, images: Callable[[], torch.Tensor], n: int, asked: str) -> Choice:
    """Compile the module if that is `asked` for (`ON`), or (`AUTO`) if there are many images and it is faster.

    Parameters
    ----------
    images
        Gives the first batch, prepared and padded to the size of all: `lensaudit.finders.score.first_batch`.
    n
        Images in all.

    Raises
    ------
    UsageError, MachineError
        As `compiled`; of `AUTO` none.
    """
    if asked == OFF or (asked == AUTO and (n <= MANY or finder.device.type != "cpu")):
        return Choice()
    try:
        first, began = images(), time.perf_counter()
        quick = compiled(finder, first)
        took = time.perf_counter() - began
    except OutOfMemory:
        raise
    except LensauditError:
        if asked == ON:
            raise
        return Choice()
    eager, fast = _rates(finder, quick, first)
    ratio = f"{fast / eager:.2f} times as fast as the module as it is ({fast:.0f} images/s after {eager:.0f})"
    if asked == AUTO and fast < WORTH * eager:
        return Choice(None, f"finder {finder.name} is not compiled: it would be {ratio}")
    return Choice(quick, f"finder {finder.name}, compiled in {took:.0f} s, is {ratio} on the first batch")


def compiled(finder: Finder, images: torch.Tensor) -> Compiled:
    """The finder's module as machine code for batches like `images`, with one or as many threads as torch uses now.

    Weights become constants laid out for the processor, batch normalisations part of their convolutions, and what
    follows a convolution one pass over its maps. The arithmetic stays float32. It is called for scores; whoever takes
    gradients or looks at layers calls the module, which stays as it is.

    Raises
    ------
    UsageError
        The finder is on a GPU, its module is none that torch compiles as a whole, or the log-odds of these images
        would be others.
    MachineError
        There is no C++ compiler.
    """
    whose = f"--compile on: finder {finder.name}"
    if finder.device.type != "cpu":
        raise UsageError(f"{whose} is on a GPU, and it is for processors; give --device cpu, or --compile off")
    module = _Members(finder.module) if isinstance(finder.module, Committee) else finder.module
    with _said_nothing():
        _refuse_without_compiler()
        quick = Compiled(finder, _made(module, _given(finder, images), whose))
        with torch.inference_mode():
            expected, found = logit_and_members(finder, images)[0], quick(images)[0]
    off = float(((found - expected).abs() / (1 + expected.abs())).nan_to_num().max())
    if off > SAME or bool((found.isfinite() != expected.isfinite()).any()):
        raise UsageError(f"{whose}, compiled, gives log-odds that are off by {off:.1g} of 1 + |log-odds|; leave it out")
    return quick


def _given(finder: Finder, images: torch.Tensor) -> torch.Tensor:
    """Images as `Finder.outputs` hands them to the module: a foreign one may write into its own."""
    if finder.recipe.architecture == CUSTOM:
        return images.clone(memory_format=torch.contiguous_format)
    return channels_last(images)


_one_at_a_time = threading.Lock()
"""The compiler's settings are the process's; threads of a dask worker take turns."""


def _made(module: nn.Module, images: torch.Tensor, whose: str) -> Forward:
    """Compile and call once; whatever goes wrong is one line."""
    from torch._inductor import config

    # Nothing is read back from pickles (graph cache), and no pool of processes outlives the command.
    settings = {"freezing": True, "fx_graph_cache": False, "compile_threads": 1}
    try:
        with _one_at_a_time, config.patch(settings), torch.inference_mode(), on_its_account(whose):
            made: Forward = torch.compile(module, dynamic=False, fullgraph=True)
            made(images)
    except Exception as error:  # of the compiler: there are dozens of kinds, none of which says what to do
        if is_out_of_memory(error):
            raise
        what = "its module is none that torch compiles as a whole (ONNX, scikit-learn, Python that looks at values)"
        raise UsageError(f"{whose}: {what}; leave --compile out") from error
    return made


def _refuse_without_compiler() -> None:
    """Say what is missing before anything is traced, and refuse a folder of machine code that others may write."""
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler
    from torch._inductor.runtime.cache_dir_utils import cache_dir

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler as error:
        raise MachineError(
            "--compile on needs a C++ compiler, and there is none; install g++, name another by CXX, or leave it out"
        ) from error
    place = Path(cache_dir())
    if hasattr(os, "getuid") and place.stat().st_uid not in (os.getuid(), 0):
        raise MachineError(f"{place}: is another user's, and machine code is run from it; set {_CACHE} to a folder")


@contextmanager
def _said_nothing() -> Iterator[None]:
    """Hold back what torch's compiler logs and warns of: it speaks of itself, not of the finder."""
    with suppress(
        ImportError
    ):  # torch's tracing asks it for a lock between processes, which a worker would leave behind
        from tqdm import tqdm

        tqdm.set_lock(threading.RLock())
    loggers = [logging.getLogger(f"torch.{name}") for name in ("_dynamo", "_inductor", "_functorch", "fx")]
    before = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        for one, level in zip(loggers, before, strict=True):
            one.setLevel(level)


def _rates(finder: Finder, quick: Compiled, images: torch.Tensor) -> tuple[float, float]:
    """Images a second of the eager call and of the compiled one, warm, in turns."""
    calls: tuple[Callable[[], object], ...] = (lambda: logit_and_members(finder, images), lambda: quick(images))
    spent: tuple[list[float], list[float]] = ([], [])
    with torch.inference_mode():
        for _ in range(_TURNS + 1):
            for call, times in zip(calls, spent, strict=True):
                began = time.perf_counter()
                call()
                times.append(time.perf_counter() - began)
    eager, fast = (len(images) / median(times[1:]) for times in spent)  # the first one warms caches up
    return eager, fast
