"""The tables and figures of docs/real-hosts.md, from finished probes on hosts and on drawn scenes.

python benchmarks/real_hosts.py RUNS FIGURES

RUNS holds what the commands of that page write: hosts-NAME, euclid-q1-NAME and euclid-NAME of each finder
(`lensaudit probe all`), field (`lensaudit cut`), injected (`lensaudit inject`) and lenses (`lensaudit ingest`).
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lensaudit.display.colour import series_style
from lensaudit.display.figures import draw_pixels, new_figure, save_figure
from lensaudit.display.images import colour_picture, grey, grey_scale
from lensaudit.injection import InjectionSettings, of_set
from lensaudit.lensset import LensSet
from lensaudit.scenes.edits import source_colour
from lensaudit.statistics import grouped_mean, paired_difference_interval, wilson_interval

FINDERS = {"OU_66": "OU_66, published", "OU_200": "OU_200, published", "ou66": "ou66, shipped"}
SKIES = {"hosts": "Q1 hosts", "euclid-q1": "drawn, euclid-q1", "euclid": "drawn, euclid"}
PROBES = ("red-source", "red-source-total-flux", "einstein-radius", "second-arcs", "source-clumpiness")
FOUND = 0.5


@dataclass(frozen=True)
class Arms:
    """Which pairs are found in the control arm and at each dose; hosts (n,), found (doses + 1, n), control first."""

    hosts: NDArray[np.int64]
    doses: tuple[float, ...]
    found: NDArray[np.bool_]

    @property
    def n_hosts(self) -> int:
        """Distinct hosts; of drawn scenes every pair is one."""
        return len(set(self.hosts.tolist()))

    def change(self, dose: int) -> tuple[float, tuple[float, float], tuple[float, float]]:
        """Change of recall at a dose, its interval over pairs (Tango's), and over hosts (Student's)."""
        gained = int((self.found[dose] & ~self.found[0]).sum())
        lost = int((~self.found[dose] & self.found[0]).sum())
        differences = self.found[dose].astype(float) - self.found[0]
        over_pairs = paired_difference_interval(gained, lost, len(self.hosts))
        over_hosts = grouped_mean(differences, self.hosts)
        return over_hosts.value, over_pairs, (over_hosts.low, over_hosts.high)


def arms_of(folder: Path, n_hosts: int | None) -> Arms:
    """Of one probe; `n_hosts` is None of drawn scenes."""
    pairs = pq.read_table(folder / "pairs.parquet").to_pydict()
    index, control = np.array(pairs["index"]), np.array(pairs["p_control"]) >= FOUND
    hosts = index if n_hosts is None else index % n_hosts
    if not (folder / "doses.parquet").is_file():
        return Arms(hosts, (1.0,), np.stack([control, np.array(pairs["p_treated"]) >= FOUND]))
    table = pq.read_table(folder / "doses.parquet").to_pydict()
    arm, p, dose = (np.array(table[name]) for name in ("arm", "p", "dose"))
    found = np.stack([p[arm == number] >= FOUND for number in np.unique(arm)])
    return Arms(hosts, tuple(float(dose[arm == number][0]) for number in np.unique(arm)[1:]), found)


def main() -> None:
    """Print the tables and draw the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path)
    parser.add_argument("figures", type=Path)
    given = parser.parse_args()
    field = LensSet.open(given.runs / "field")
    measured = {
        (finder, sky, probe): arms_of(given.runs / f"{sky}-{finder}" / probe, len(field) if sky == "hosts" else None)
        for finder in FINDERS
        for sky in SKIES
        for probe in PROBES
        if (given.runs / f"{sky}-{finder}" / probe / "pairs.parquet").is_file()
    }
    print_table(measured)
    print_hosts(measured, field, given.runs)
    draw_recall(measured, given.figures / "recall.png")
    draw_hosts(field, given.figures / "hosts.png")
    draw_beside_lenses(
        LensSet.open(given.runs / "injected"), LensSet.open(given.runs / "lenses"), given.figures / "beside-lenses.png"
    )


def print_table(measured: dict[tuple[str, str, str], Arms]) -> None:
    """Recall of both arms at the dose that costs most on hosts, and the change with both intervals."""
    print("| probe | finder | sky | hosts | arcs | control | treated | change | over arcs | over hosts |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for probe in PROBES:
        for finder, named in FINDERS.items():
            on_hosts = measured.get((finder, "hosts", probe))
            if on_hosts is None:
                continue
            dose = 1 + int(np.argmin(on_hosts.found[1:].sum(axis=1)))
            for sky, where in SKIES.items():
                arms = measured.get((finder, sky, probe))
                if arms is None or len(arms.found) <= dose:
                    continue
                change, over_arcs, over_hosts = arms.change(dose)
                recall = [proportion(arms.found[at]) for at in (0, dose)]
                hosts = f"[{over_hosts[0]:+.2f}, {over_hosts[1]:+.2f}]" if sky == "hosts" else "–"
                n_hosts = arms.n_hosts if sky == "hosts" else "–"
                print(
                    f"| {probe} {arms.doses[dose - 1]:g} | {named} | {where} | {n_hosts} | {len(arms.hosts)} | "
                    f"{recall[0]} | {recall[1]} | {change:+.3f} | "
                    f"[{over_arcs[0]:+.2f}, {over_arcs[1]:+.2f}] | {hosts} |"
                )
    print()


def proportion(found: NDArray[np.bool_]) -> str:
    """A fraction with Wilson's interval."""
    low, high = wilson_interval(int(found.sum()), len(found))
    return f"{found.mean():.2f} [{low:.2f}, {high:.2f}]"


def print_hosts(measured: dict[tuple[str, str, str], Arms], field: LensSet, runs: Path) -> None:
    """Each host: what it is, and its recall with blue and with red sources."""
    print("| host | VIS mag | mirrored | painted | finder | arcs | control | red source |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for finder, named in FINDERS.items():
        arms = measured.get((finder, "hosts", "red-source"))
        if arms is None:
            continue
        ids = pq.read_table(runs / f"hosts-{finder}" / "red-source" / "pairs.parquet")["pair_id"].to_pylist()
        dose = 1 + int(np.argmin(arms.found[1:].sum(axis=1)))
        for host in range(arms.n_hosts):
            own = arms.hosts == host
            row = field.index_of(ids[host])
            facts = [field.column(name)[row] for name in ("host_mag_VIS", "mirrored_fraction", "painted_fraction")]
            print(
                f"| {short(ids[host])} | {facts[0]:.1f} | {facts[1]:.0%} | {facts[2]:.0%} | {named} | "
                f"{own.sum()} | {arms.found[0, own].mean():.2f} | {arms.found[dose, own].mean():.2f} |"
            )
    print()


def short(name: str) -> str:
    """A host's tile and number."""
    return f"{name.split('_')[0]}-{name[-1]}"


def draw_recall(measured: dict[tuple[str, str, str], Arms], path: Path) -> None:
    """Recall along the colour of the source, hosts beside drawn scenes; thin lines are single hosts."""
    figure = new_figure(10.0, 3.4)
    for axes, (finder, named) in zip(figure.subplots(1, len(FINDERS), sharey=True), FINDERS.items(), strict=True):
        for place, (sky, where) in enumerate(SKIES.items()):
            arms = measured.get((finder, sky, "red-source"))
            if arms is None:
                continue
            doses, style = [0.0, *arms.doses], series_style(place)
            recall = arms.found.mean(axis=1)
            bounds = np.array([wilson_interval(int(one.sum()), len(one)) for one in arms.found]).T
            label = f"{where}, {len(arms.hosts)} arcs" + (f" in {arms.n_hosts}" if sky == "hosts" else "")
            axes.errorbar(doses, recall, np.abs(bounds - recall), label=label, capsize=2, marker="o", ms=3, **style)
            if sky == "hosts":
                for host in range(arms.n_hosts):
                    axes.plot(doses, arms.found[:, arms.hosts == host].mean(axis=1), lw=0.6, alpha=0.5, **style)
        axes.set(title=named, xlabel="source's colour: 0 blue, 1 the lens galaxy's", ylim=(-0.03, 1.03))
        axes.legend(fontsize=6.5, loc="lower left")
    figure.axes[0].set_ylabel("recall (bars: 95 %, arcs as if independent)", fontsize=8)
    save_figure(path, figure)


def draw_hosts(field: LensSet, path: Path) -> None:
    """Every host: its field, its middle, with an arc, and with the arc of a red source; VIS, and H, J, Y as R, G, B."""
    hosts = of_set(field, InjectionSettings(seed=1))
    figure = new_figure(1.65 * hosts.n, 8.0)
    grid = figure.subplots(5, hosts.n)
    near = slice(67, 133)
    for column in range(hosts.n):
        scene = hosts.scene(column)
        alone = hosts.cutout(column).images
        blue, red = (one.images for one in hosts.render(column, [scene, source_colour(scene, 1.25)]))
        cut = [{band: plane[near, near] for band, plane in images.items()} for images in (alone, blue, red)]
        scale = grey_scale(*(images["VIS"] for images in cut))
        draw_pixels(grid[0, column], grey(alone["VIS"]), 20.0)
        for row, images in enumerate(cut[:2], 1):
            draw_pixels(grid[row, column], grey(images["VIS"], scale), 6.6)
        for row, images in enumerate(cut[1:], 3):
            draw_pixels(grid[row, column], colour_picture(images), 6.6)
        name = hosts.id(column)
        grid[0, column].set_title(short(name), fontsize=8)
    words = ("field, VIS", "host, VIS", "host + arc, VIS", "host + arc, HJY", "red source, HJY")
    for axes, label in zip(grid[:, 0], words, strict=True):
        axes.set_ylabel(label, fontsize=8)
    save_figure(path, figure)


def draw_beside_lenses(injected: LensSet, lenses: LensSet, path: Path) -> None:
    """Real Q1 lenses in the first row, injected ones below, each in VIS and in H, J, Y, 10″ wide."""
    rows = np.flatnonzero(injected.column("arm") == "lens")[:9]
    cutouts = [(lenses, i, f"Q1 {lenses.ids[i].split('_')[0]}") for i in range(len(lenses))]
    cutouts += [(injected, int(i), "injected") for i in rows]
    figure = new_figure(9.6, 6.6)
    grid = figure.subplots(4, 6)
    middle = slice(50, 150)
    for place, (lens_set, row, name) in enumerate(cutouts):
        images = {band: one[0][middle, middle] for band, one in lens_set.cutouts(row).items()}
        at = grid[place // 3, 2 * (place % 3) : 2 * (place % 3) + 2]
        draw_pixels(at[0], grey(images["VIS"]), 10.0)
        draw_pixels(at[1], colour_picture(images), 10.0)
        at[0].set_title(name, fontsize=8)
    save_figure(path, figure)


if __name__ == "__main__":
    main()
