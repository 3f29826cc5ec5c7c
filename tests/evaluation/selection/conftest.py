"""A set that is only a catalogue, and scores that are a known function of one of its columns."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import expit

from lensaudit.evaluation.selection import drivers


@pytest.fixture(autouse=True, scope="module")
def few_resamples():
    """Enough for an interval, a tenth of the time; scikit-learn takes a millisecond or two for each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drivers, "RESAMPLES", 60)
        yield


@dataclass
class FakeSet:
    """What selection asks of a lens set."""

    table: dict[str, np.ndarray]
    path: str = "sets/fake"
    bands: tuple[str, ...] = ("VIS", "H")
    read: list[str] = field(default_factory=list)

    @property
    def labels(self):
        return self.table["label"].astype(np.int8)

    @property
    def columns(self):
        return tuple(self.table)

    def column(self, name):
        return self.table[name]


def drawn_catalogue():
    """1 500 lenses, 500 non-lenses; S/N follows the source's magnitude and the magnification, as in nature."""
    rng = np.random.default_rng(7)
    lenses, others = 1500, 500
    magnitude, magnification = rng.normal(24, 0.8, lenses), rng.lognormal(1.2, 0.4, lenses)
    theta = rng.uniform(0.5, 3.0, lenses)
    snr = 40 * 10 ** (-0.4 * (magnitude - 24)) * magnification / 3.3 * rng.lognormal(0, 0.6, lenses)
    columns = {
        "theta_e_arcsec": theta,
        "arc_snr": np.minimum(snr, 600),
        "mag_source_VIS": magnitude,
        "magnification": magnification,
        "lens_axis_ratio": rng.uniform(0.4, 1.0, lenses),
    }
    gap = np.full(others, np.nan)
    table = {name: np.r_[values, gap] for name, values in columns.items()}
    return table | {"label": np.repeat([1, 0], [lenses, others])}


@pytest.fixture
def catalogue():
    return drawn_catalogue()


@pytest.fixture
def fake_set(catalogue):
    return FakeSet(catalogue)


def scores_of(logit):
    """Scores with these logits."""
    logit = np.asarray(logit, float)
    return SimpleNamespace(p_lens=expit(logit), logit=logit)


def noisy_scores_of(catalogue):
    """Found with log-odds that rise with log S/N alone; non-lenses low."""
    rng = np.random.default_rng(8)
    log_snr = np.nan_to_num(np.log10(catalogue["arc_snr"], where=catalogue["label"] == 1, out=np.full(2000, np.nan)))
    logit = np.where(catalogue["label"] == 1, 4 * (log_snr - 1.6) + rng.logistic(size=2000), rng.normal(-3, 1.5, 2000))
    return scores_of(logit)


@pytest.fixture
def noisy_scores(catalogue):
    return noisy_scores_of(catalogue)
