"""An interrupted optimisation goes on to the same bytes; what is not its own checkpoint is not touched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lensaudit.explaining.dreaming import dream as dreaming
from lensaudit.explaining.dreaming.dream import Checkpoint, dream
from lensaudit.explaining.dreaming.settings import (
    ClassTarget,
    DreamSettings,
    Regularisation,
    layer_targets,
    noise_start,
)

CLASSES = [ClassTarget(True), ClassTarget(False)]
EVERYTHING = Regularisation(jitter=2, tv=0.2, fourier=True)


def stopping_at(step: int, seen: list[int] | None = None):
    """A progress callback that is Ctrl-C after so many steps."""

    def progress(done: int, _steps: int) -> None:
        if seen is not None:
            seen.append(done)
        if done == step:
            raise KeyboardInterrupt

    return progress


@pytest.mark.parametrize("regular", [Regularisation(), EVERYTHING], ids=str)
@pytest.mark.parametrize("kind", ["class", "kernel"])
@pytest.mark.parametrize("optimiser", ["adam", "ascent"])
def test_an_interrupted_dream_goes_on_to_the_same_bytes(plain_finder, tmp_path, monkeypatch, regular, kind, optimiser):
    monkeypatch.setattr(dreaming, "CHECKPOINT_SECONDS", 0.0)
    targets = CLASSES if kind == "class" else layer_targets(plain_finder.module, "4")
    settings = DreamSettings(12, 0.1, optimiser=optimiser, decay=1e-6, regularisation=regular)
    start, path = noise_start(plain_finder, 1), tmp_path / "checkpoint"
    straight = dream(plain_finder, targets, start, settings)
    with pytest.raises(KeyboardInterrupt):
        dream(plain_finder, targets, start, settings, checkpoint=path, progress=stopping_at(7))
    seen: list[int] = []
    resumed = dream(plain_finder, targets, start, settings, checkpoint=path, progress=stopping_at(99, seen))
    assert seen == [7, 8, 9, 10, 11, 12]  # the seventh was done but not yet kept
    for one, other in zip(straight, resumed, strict=True):
        assert one.image.tobytes() == other.image.tobytes()
        assert one.values.tobytes() == other.values.tobytes()
        assert one.p_lens.tobytes() == other.p_lens.tobytes()
        assert one.path.tobytes() == other.path.tobytes()


@pytest.mark.parametrize("change", ["settings", "start", "targets", "torn"])
def test_another_optimisations_checkpoint_is_not_used(plain_finder, tmp_path, monkeypatch, change):
    monkeypatch.setattr(dreaming, "CHECKPOINT_SECONDS", 0.0)
    start, path = noise_start(plain_finder, 1), tmp_path / "checkpoint"
    with pytest.raises(KeyboardInterrupt):
        dream(plain_finder, CLASSES, start, DreamSettings(9, 0.1), checkpoint=path, progress=stopping_at(5))
    targets, settings = CLASSES, DreamSettings(9, 0.1)
    if change == "settings":
        settings = DreamSettings(9, 0.1, objective="log-odds")
    elif change == "start":
        start = noise_start(plain_finder, 2)
    elif change == "targets":
        targets = CLASSES[::-1]
    else:
        path.write_bytes(path.read_bytes()[:-300])
    seen: list[int] = []
    made = dream(plain_finder, targets, start, settings, checkpoint=path, progress=stopping_at(99, seen))
    assert seen[0] == 1
    assert made[0].image.tobytes() == dream(plain_finder, targets, start, settings)[0].image.tobytes()


def test_a_checkpoint_holds_arrays_only(tmp_path: Path):
    kept = Checkpoint(tmp_path / "c", ["this"])
    assert kept.load() is None
    kept.save({"step": np.array(3), "image": np.ones((2, 2), np.float32)})
    state = kept.load()
    assert state is not None
    assert int(state["step"]) == 3
    assert Checkpoint(tmp_path / "c", ["that"]).load() is None
    Checkpoint(None, ["this"]).save({})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c"]
