"""Makes the helpers of this folder and the slow references importable; fixtures made of them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "reference")]

from occlusion_nets import ROUNDING, filled, picture, run_engine  # noqa: E402
from plain_occlusion import plain_logits  # noqa: E402

from lensaudit.explain.occluding.exact import Outcome  # noqa: E402


@pytest.fixture
def assert_exact():
    """Compare the exact engine with the slow reference: (module, image, patch, stride) → outcome, to look into."""

    def compare(module: nn.Module, image: torch.Tensor, patch: int, stride: int, **options: object) -> Outcome:
        outcome = run_engine(module, image, patch, stride, **options)
        logits, base = plain_logits(module, image, patch, stride)
        scale = 1 + np.abs(logits).max()
        np.testing.assert_allclose(outcome.logits, logits, rtol=0, atol=ROUNDING * scale)
        assert outcome.base_logit == pytest.approx(base, abs=ROUNDING * scale)
        assert np.ptp(logits) > 1e-6 * scale, "the occlusion changes nothing, so nothing was tested"
        return outcome

    return compare


@pytest.fixture
def make_module():
    """Fill a module with seeded weights."""
    return filled


@pytest.fixture
def make_picture():
    """(size, bands) → image."""
    return picture


@pytest.fixture
def command(monkeypatch, capsys):
    """Run ``lensaudit`` with these words in this process: → (exit code, standard output, standard error)."""
    from lensaudit.cli import app

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["lensaudit", *map(str, words)])
        try:
            app.main()
            code = 0
        except SystemExit as leaving:
            code = leaving.code or 0
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
