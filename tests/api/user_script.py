"""A user's script with all names of the front door; `make lint` has mypy read it strictly, and nobody runs it."""

from pathlib import Path

import numpy as np
from torch import nn

import lensaudit as la


def net(size: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(size * size, 1))


lenses: la.LensSet = la.simulate("euclid", n=40, seed=7, progress=False)
mine: la.LensSet = la.ingest("folder", {"VIS": "*_vis.fits"}, label="lens", pixel_scale={"*": 0.1})
hosts: la.LensSet = la.cut(mine, 66, max_mag=22.5, exclude="lenses.csv")
injected: la.LensSet = la.inject(mine, n=20, seed=1, zero_point={"VIS": 24.6})
finder = la.load_finder("ou66", device="cpu")
own = la.declare_finder(net(40), bands=("VIS",), size=40, name="mine")
trained = la.train("ou66", lenses, epochs=1, batch_size=8, validation=Path("set"))
scores = la.score(trained.finder, lenses, batch_size=4)
auroc: float = la.evaluate(finder, lenses, scores=scores).metric("auroc").value
words: str = la.selection_function(finder, lenses, fpr=0.1).cut.words
calibrated = la.calibrate(finder, lenses, method="beta", prevalence=0.001, scores=scores)
print(calibrated.record.top[0].purity.value, calibrated.finder.name)
maps: np.ndarray = la.explain(own, lenses, [0, 1], method="gradcam").maps
patch = la.occlusion(finder, lenses, "euclid-000001", patch=5).patches
if patch is not None:
    print(patch.p_lost.shape)
print(la.kernels(finder, lenses, top=3).mean.shape)
print(la.dream(finder, target="lens", steps=10, seed=1).gain)
print(la.dream(finder, lenses, 3, target="13:4").image.shape)
judged = la.judge(finder, [lenses, mine], methods=["gradcam"], per_kind=4, seed=1)
row = judged.row("gradcam", "single", "positive-share")
print(row.value if row else None)
one = la.probe(finder, "red-source", n=20)
print(one.verdict.word, one.findings[0].recall_change.low)
close: float = la.realism(finder, mine, lenses, label="lens").record.leading.auroc
knows = la.embed(finder, lenses, training=mine, neighbours=5, seed=1)
print(knows.vectors.shape, knows.record.readability[0].low)
many = la.probe(finder, ["quick"], n=20)
print(many.biased, many.ranked[0].probe)
committee = la.ensemble([finder, trained.finder, "mine.yaml"], lenses, kind="median", name="three")
chosen = la.to_label([committee.finder, own], lenses, n=10, labelled=["euclid-000003"], out="label.csv")
print(committee.record.origin, chosen.plan.weight, chosen.ids[0])
audit = la.audit(finder, lenses, probes=["quick"], probe_n=10, workers=1)
print(audit.headline, audit.write("folder"))
compared = la.compare({"a": finder, "b": own}, lenses, speed=False)
print(compared.page)
page: Path = la.render_report(audit)
