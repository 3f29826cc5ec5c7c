"""``--compile``: the same scores from machine code, never two kinds in one folder, and one line where it cannot be.

Only the first tests compile; the others put the module itself in the place of what the compiler makes of it.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from lensaudit.errors import UsageError
from lensaudit.finders import Finder, compiling, read_scores, score_set
from lensaudit.finders.compiling import Choice, Compiled, chosen, compiled
from lensaudit.finders.score import default_batch_size, first_batch
from lensaudit.parts import PartedTable
from tests.realism_gate.toys import drawn_set, toy_finder

N = 40
TOY = "tests.realism_gate.toys:toy_finder"


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory):
    return drawn_set(tmp_path_factory.mktemp("sky") / "set", N, 3)


class Weighted(nn.Module):
    """One kernel: to compile another takes two seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([0.7, -0.4])[:, None, None])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return 1e3 * (images * self.weight).tanh().mean((1, 2, 3))


def weighted() -> Finder:
    return toy_finder(Weighted())


@pytest.fixture(scope="module")
def truly(sky, tmp_path_factory: pytest.TempPathFactory):
    """Compiled without the processor's vector code, whose trials take most of the time."""
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        pytest.skip("there is no C++ compiler")
    from torch._inductor import config

    with pytest.MonkeyPatch.context() as patch, config.patch({"cpp.vec_isa_ok": False}):
        patch.setattr(config, "cpp_cache_precompile_headers", False)
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        return compiled(weighted(), first_batch(weighted(), sky))


def test_compiled_scores_are_the_eager_ones(truly, sky):
    eager, quick = score_set(weighted(), sky), score_set(truly.finder, sky, compiled=truly)
    rounding = compiling.SAME  # of float32, which sums in another order
    np.testing.assert_allclose(quick.logit, eager.logit, rtol=rounding, atol=rounding)
    assert (quick.compiled, eager.compiled) == (True, False)
    assert len(np.unique(quick.logit)) == N


def test_the_module_stays_as_it_is(truly, sky):
    assert truly.finder.weights_hash == weighted().weights_hash
    images = first_batch(truly.finder, sky).clone().requires_grad_()
    truly.finder.logit(images).sum().backward()
    assert images.grad.abs().sum() > 0
    before = images.detach().clone()
    with torch.inference_mode():
        truly(images)
    assert torch.equal(images, before)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[nn.Module]:
    """In place of compiling: modules that were handed to it."""
    seen: list[nn.Module] = []

    def in_its_place(module: nn.Module, images: torch.Tensor, whose: str) -> nn.Module:
        seen.append(module)
        return module

    monkeypatch.setattr(compiling, "_made", in_its_place)
    monkeypatch.setattr(compiling, "_refuse_without_compiler", lambda: None)
    return seen


def rates(monkeypatch: pytest.MonkeyPatch, eager: float, fast: float) -> None:
    monkeypatch.setattr(compiling, "_rates", lambda *_: (eager, fast))


def asked(sky, mode: str, n: int) -> Choice:
    finder = toy_finder()
    return chosen(finder, lambda: first_batch(finder, sky), n, mode)


def test_auto_tries_beyond_a_hundred_thousand_images_and_keeps_what_is_faster(made, sky, monkeypatch):
    assert asked(sky, "auto", 100_000) == asked(sky, "off", 100_001) == Choice()
    assert made == []
    rates(monkeypatch, 100, 141)
    found = asked(sky, "auto", 100_001)
    assert isinstance(found.compiled, Compiled)
    assert "is 1.41 times as fast as the module as it is (141 images/s after 100)" in found.line
    rates(monkeypatch, 100, 104)
    assert asked(sky, "auto", 100_001) == Choice(
        None,
        "finder custom is not compiled: it would be 1.04 times as fast as the module as it is (104 images/s after 100)",
    )
    assert asked(sky, "on", 3).compiled is not None  # as it was asked for


def test_rates_are_of_the_batch(made, sky):
    finder = toy_finder()
    images = first_batch(finder, sky)
    assert len(images) == default_batch_size(finder)
    assert min(compiling._rates(finder, compiled(finder, images), images)) > 0


def test_other_log_odds_are_refused(made, sky, monkeypatch):
    monkeypatch.setattr(compiling, "_made", lambda module, *_: lambda images: module(images) + 1e-3)
    with pytest.raises(UsageError, match=r"--compile on: finder custom, compiled, gives log-odds that are off by"):
        asked(sky, "on", N)
    assert asked(sky, "auto", 10**6) == Choice()


def test_a_module_that_torch_does_not_compile_is_refused_in_one_line(cli, lensaudit, sky, tmp_path, monkeypatch):
    """One that looks at values, as those of other programs do."""

    class Looks(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.flatten(1).mean(1) if float(images.sum().item()) > -1e9 else images.flatten(1).sum(1)

    monkeypatch.setattr(compiling, "_refuse_without_compiler", lambda: None)
    monkeypatch.setattr("tests.realism_gate.toys.toy_module", Looks)
    code, out, err = lensaudit("score", TOY, sky.path, "--compile", "on", "--out", tmp_path / "s.csv")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("lensaudit: --compile on: finder custom: its module is none that torch compiles as a whole (")
    assert err.endswith("; leave --compile out\n")
    assert not (tmp_path / "s.csv").exists()
    monkeypatch.setattr(compiling, "MANY", 10)
    assert cli("score", TOY, sky.path, "--out", tmp_path / "s.csv").stderr == ""


def test_no_compiler_is_told_with_the_fix(lensaudit, sky, tmp_path, monkeypatch):
    from torch._inductor import cpp_builder
    from torch._inductor.exc import InvalidCxxCompiler

    def none() -> str:
        raise InvalidCxxCompiler

    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", none)
    code, out, err = lensaudit("score", TOY, sky.path, "--compile", "on", "--out", tmp_path / "scores")
    assert (code, out) == (4, "")
    assert err == (
        "lensaudit: --compile on needs a C++ compiler, and there is none; install g++, name another by CXX, or "
        "leave it out\n"
    )


def test_machine_code_of_another_user_is_not_run(lensaudit, sky, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("torch._inductor.cpp_builder.get_cpp_compiler", lambda: "g++")
    monkeypatch.setattr(os, "getuid", lambda: 4321)
    (tmp_path / "cache").mkdir()
    if (tmp_path / "cache").stat().st_uid == 0:
        os.chown(tmp_path / "cache", 99, 99)
    code, _, err = lensaudit("score", TOY, sky.path, "--compile", "on", "--out", tmp_path / "s.csv")
    assert (code, err.count("\n")) == (4, 1)
    assert f"{tmp_path / 'cache'}: is another user's, and machine code is run from it" in err


def folder(sky, out: Path, *more: object) -> tuple[object, ...]:
    return ("score", TOY, sky.path, "--part-rows", 15, "--workers", 1, "--out", out, *more)


def parts_of(place: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(place.glob("*.parquet"))}


def test_a_folder_is_never_a_mixture(cli, lensaudit, made, sky, tmp_path, monkeypatch):
    done = cli(*folder(sky, tmp_path / "on", "--compile", "on"))
    assert "finder custom, compiled in 0 s, is " in done.stderr
    assert read_scores(tmp_path / "on")[1].compiled
    code, _, err = lensaudit(*folder(sky, tmp_path / "on", "--compile", "off"))
    assert code == 2
    assert "holds other scores (finder, set or options)" in err
    whole = parts_of(tmp_path / "on")
    (tmp_path / "on" / "part-000001.parquet").unlink()
    monkeypatch.setattr(compiling, "chosen", lambda *_: pytest.fail("decided anew"))
    tried = len(made)
    done = cli(*folder(sky, tmp_path / "on"))  # auto: what the earlier run decided
    assert len(made) == tried + 1  # by the process that makes the part, without measuring
    assert done.stderr == ""
    assert parts_of(tmp_path / "on") == whole


def test_eager_parts_stay_eager(cli, made, sky, tmp_path, monkeypatch):
    cli(*folder(sky, tmp_path / "parts"))
    index = json.loads((tmp_path / "parts" / "scores.json").read_text())
    assert "compiled" not in index["record"]  # a folder of an earlier version has the same key
    (tmp_path / "parts" / "part-000000.parquet").unlink()
    monkeypatch.setattr(compiling, "MANY", 10)
    rates(monkeypatch, 1, 2)
    cli(*folder(sky, tmp_path / "parts"))
    assert made == []
    assert PartedTable.open(tmp_path / "parts").index.complete


def test_files_and_evaluations_say_it(cli, made, sky, tmp_path):
    cli("score", TOY, sky.path, "--compile", "on", "--out", tmp_path / "s.parquet")
    assert read_scores(tmp_path / "s.parquet")[1].compiled
    cli("score", TOY, sky.path, "--out", tmp_path / "s.parquet")  # a file is replaced whole
    assert not read_scores(tmp_path / "s.parquet")[1].compiled
    found = json.loads(cli("evaluate", TOY, sky.path, "--compile", "on", "--json").stdout)
    assert found["compiled"] is True
    assert "compiled" not in json.loads(cli("evaluate", TOY, sky.path, "--json").stdout)
