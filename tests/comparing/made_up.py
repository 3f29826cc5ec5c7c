"""A comparison of believable size of finders that are only scores: measured as ever, without networks and pixels."""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from lensaudit.comparing.comparison import (
    SCHEMA,
    ArcFraction,
    ComparedProbes,
    ComparedSet,
    Comparison,
    Explained,
    FinderOnSet,
    FinderProbes,
    LeftOut,
    NotApplicable,
    ProbeTitle,
    ProbeVerdict,
    Refused,
    SetComparison,
    Speed,
)
from lensaudit.comparing.entrants import ComparedFinder, CompareOptions, TrainedOn
from lensaudit.comparing.pairs import Told, pairs_of, ranking_of
from lensaudit.evaluation import calibrate, evaluate
from lensaudit.probes.finding import Change, Recall
from lensaudit.provenance import Clipping, Pixels, Provenance

NAMES = ("ou66", "ou200", "ou-j", "ou-vis", "deeplens <b>", "cae-bgm")
REFUSED = Refused("deeplens <b>", "finder deeplens needs band g, the set (instrument euclid) has VIS; use g")


def logits(names: tuple[str, ...], n: int, seed: int = 4) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Labels (n,) and logits (n,) of each finder, the first the best; the last two rank alike."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    shared = rng.normal(0, 1, n)
    found = {
        name: (labels - 0.5) * (4 - 1.1 * place) + 1.2 * shared + rng.normal(0, 1, n)
        for place, name in enumerate(names)
    }
    found[names[-1]] = found[names[-2]] * 1.3
    return labels, found


def row(name: str, labels: np.ndarray, logit: np.ndarray, seen: str = "") -> FinderOnSet:
    result = evaluate(labels, expit(logit), logit)
    odd = name == "ou200"
    return FinderOnSet(
        finder=name,
        n=result.n,
        n_lenses=result.n_lenses,
        n_non_lenses=result.n_non_lenses,
        n_unlabelled=result.n_unlabelled,
        n_unscored=result.n_unscored,
        threshold=result.threshold,
        counts=result.counts,
        roc=result.roc,
        metrics={metric.name: metric for metric in result.metrics},
        calibration=calibrate(labels, expit(logit)),
        seen=seen,
        unused_bands=("Y", "J", "H") if name == "ou-vis" else (),
        other_pixels="band VIS has pixels of 0.2″, finder ou200 was trained on 0.1″" if odd else "",
        pixels=Pixels(
            units={"VIS": "unknown"},
            finder_units={},
            clipping={"VIS": Clipping(0.25, 0.0, "odd")} if odd else {},
            remarks=("these are no ordinary pixels for finder ou200",) if odd else (),
        ),
    )


def areas(rows: list[FinderOnSet]) -> dict[str, float]:
    return {one.finder: one.metrics["auroc"].value for one in rows}


def on_set(names: tuple[str, ...], n: int) -> SetComparison:
    able = tuple(name for name in names if name != REFUSED.finder)
    labels, found = logits(able, n)
    rows = [row(name, labels, found[name], "training" if name == "ou-j" else "") for name in able]
    pairs = pairs_of(labels, [Told(name, expit(found[name]), found[name], 0.5) for name in able], seed=0)
    return SetComparison(
        set=ComparedSet(
            name="test",
            content_hash="cd" * 32,
            instrument="euclid",
            n=2 * n,
            n_lenses=n,
            n_non_lenses=n,
            n_unlabelled=0,
            bands=("VIS 200×200 at 0.1″", "Y 66×66 at 0.3″"),
            population="euclid",
            seed=3,
            simulated=True,
            has_truth=True,
        ),
        n=n,
        rows=tuple(rows),
        refused=(REFUSED,) if REFUSED.finder in names else (),
        n_compared=n,
        pairs=pairs,
        ranking=ranking_of(areas(rows), pairs),
        explanations=tuple(explained(name) for name in able),
        main_kind="single",
    )


def explained(name: str) -> Explained:
    if name == "cae-bgm":
        return Explained(name, (), (), "it has no gradient")
    rows = [
        ArcFraction(method, "single", 0.4, 0.3, 0.6, 0.03, 8, "ok", 0.2, 0.5, method.title())
        for method in ("occlusion", "input-x-gradient")
    ]
    return Explained(name, tuple(rows), (LeftOut("deeplift", "no ReLU"),), "")


def verdict(probe: str, word: str, dose: float | None) -> ProbeVerdict:
    return ProbeVerdict(
        probe=probe,
        word=word,
        sentence="…",
        meaning="…",
        dose=dose,
        population="lenses",
        n=100,
        change=Change(-0.21, -0.3, -0.11, "Tango 1998 score interval"),
        treated=Recall.of(40, 100),
        p_holm=0.001,
        instrument="euclid",
    )


def probed(name: str) -> FinderProbes:
    if name == REFUSED.finder:
        return FinderProbes((), (NotApplicable("red-source", "it needs band g"),), finder=name)
    verdicts = verdict("red-source", "bias", 1.0), verdict("false-positive", "equivalent within tolerance", None)
    return FinderProbes(verdicts, (), finder=name)


def compared_finder(name: str) -> ComparedFinder:
    return ComparedFinder(
        finder=name,
        origin="built-in",
        weights_hash="ab" * 32,
        architecture="ou66",
        bands=("J", "Y", "H", "VIS"),
        size=66,
        stretch="minmax",
        field_of_view_arcsec=20.0,
        threshold=0.5,
        parameters=203192,
        bytes_in_memory=812768,
        bytes_on_disk=814384,
        differentiable=True,
        trained_on=TrainedOn("euclid", "euclid", 45000),
    )


def comparison(names: tuple[str, ...] = NAMES, n: int = 400) -> Comparison:
    titles = (
        ProbeTitle("red-source", "Red sources", "population"),
        ProbeTitle("false-positive", "No lensing", "contaminant"),
    )
    return Comparison(
        schema=SCHEMA,
        finders=tuple(compared_finder(name) for name in names),
        sets=(on_set(names, n),),
        probes=ComparedProbes(100, 0, titles, tuple(probed(name) for name in names)),
        options=CompareOptions(n=n),
        provenance=Provenance.here(seed=0),
        speed=tuple(Speed(name, 84.3 - place, 71.2, 88.0, 5, 32, 16, "CPU", 1) for place, name in enumerate(names)),
    )
