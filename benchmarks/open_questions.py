"""The questions Wilde et al. 2022 leave open, put to several finders at once: red sources, and the angle of the PSF.

Every pair is rendered once for all finders. Prints a table per probe and writes one figure; the answers of every block
are kept, so that an interrupted run goes on.

    python benchmarks/open_questions.py FINDER [FINDER …] --out DIR [--n 400] [--psf FITS] [--workers 2]
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from lensaudit.finders import Finder, load_finder
from lensaudit.probes import Drawn, Experiment, ProbeAudit, ProbeDefinition, audited, load_definition
from lensaudit.probes.collect import collect
from lensaudit.probes.definition import with_kernel
from lensaudit.probes.finding import ALL_PAIRS
from lensaudit.probes.page import crossing_sentence
from lensaudit.probes.result import ProbeResult, ProbeSettings
from lensaudit.probes.run import conclude, sample_of, why_not_applicable

PROBES = ("red-source", "red-source-total-flux", "psf-rotation")
REAL = "psf-rotation-real"
COLOURS = ("#4477AA", "#CC3311", "#228833", "#AA3377", "#BBBB00", "#66CCEE")


def definitions(psf: Path | None) -> list[ProbeDefinition]:
    """The probes; with a kernel of a FITS file also the one that turns it."""
    found = [load_definition(name) for name in PROBES]
    return found if psf is None else [*found, with_kernel(load_definition(REAL), psf, "VIS_PSF")]


def answers_of(
    finders: Sequence[Finder], probe: ProbeDefinition, arguments: argparse.Namespace
) -> list[ProbeResult | None]:
    """One result per finder; None where the probe does not apply."""
    applies = [finder for finder in finders if why_not_applicable(probe, finder) is None]
    population = next(iter(probe.modes[probe.default_mode].populations.values()))
    experiment = Experiment(Drawn(population, arguments.seed, arguments.n, probe.instrument), probe.arms())
    settings = ProbeSettings(arguments.n, arguments.seed, probe.default_mode, probe.tolerance)
    answers = iter(collect(experiment, applies, arguments.out / probe.name, arguments.workers))
    return [
        conclude(probe, settings, finder, [sample_of(probe, "lenses", experiment, next(answers), finder)])
        if finder in applies
        else None
        for finder in finders
    ]


def table(audits: Sequence[ProbeAudit], names: Sequence[str], probe: str) -> str:
    """Recall of the control and at every dose, change at the last one, verdict."""
    lines = []
    for name, audit in zip(names, audits, strict=True):
        result = next((one for one in audit.results if one.definition.name == probe), None)
        if result is None:
            lines.append(f"| {name} | not applicable: {audit.not_applicable.get(probe, '')} |")
            continue
        own = [f for f in result.findings if f.subset == ALL_PAIRS]
        doses = " | ".join(f"{f.treated.value:.3f}" for f in own)
        worst = max(own, key=lambda f: abs(f.recall_change.value))
        ranked = next(one for one in audit.ranked if one.probe == probe)
        head = " | ".join(f"{f.dose:g}" for f in own)
        if not lines:
            lines += [
                f"| finder | control | {head} | largest change | mean Δ logit there | verdict |",
                "|" + " --- |" * (len(own) + 5),
            ]
        c, z = worst.recall_change, worst.logit_change
        lines.append(
            f"| {name} | {own[0].control.value:.3f} [{own[0].control.low:.3f}, {own[0].control.high:.3f}] | {doses} | "
            f"{c.value:+.3f} [{c.low:+.3f}, {c.high:+.3f}] | {z.value:+.3f} [{z.low:+.3f}, {z.high:+.3f}] | "
            f"{ranked.verdict.word} |"
        )
    return "\n".join(lines)


def draw(results: Mapping[str, Sequence[ProbeResult | None]], names: Sequence[str], path: Path) -> None:
    """Recall along the strength, one panel per probe, one line per finder, 95 % Wilson intervals."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6 * len(results), 4.2), dpi=90, layout="constrained")
    for axes, (probe, own) in zip(figure.subplots(1, len(results), squeeze=False)[0], results.items(), strict=True):
        for k, (name, result) in enumerate(zip(names, own, strict=True)):
            if result is None:
                continue
            doses = result.definition.doses
            assert doses is not None
            found = [f for f in result.findings if f.subset == ALL_PAIRS]
            recalls = [found[0].control, *(f.treated for f in found)]
            x = [doses.control, *doses.values]
            y = [one.value for one in recalls]
            errors = [[one.value - one.low for one in recalls], [one.high - one.value for one in recalls]]
            axes.errorbar(x, y, errors, fmt="o-", color=COLOURS[k % len(COLOURS)], label=name, capsize=2, markersize=3)
            axes.set_xlabel(doses.label)
            axes.set_title(f"{probe}, n = {found[0].n} pairs", fontsize=10)
        axes.set_ylim(0, 1)
        axes.set_ylabel("recall at the finder's threshold")
        axes.grid(color="0.9")
    figure.axes[0].legend(fontsize=8, frameon=False)
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("finders", nargs="+", help="NAME=FINDER, or a finder's name or folder")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--n", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--psf", type=Path)
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    names = [one.split("=")[0] for one in arguments.finders]
    finders = [load_finder(one.split("=")[-1]) for one in arguments.finders]
    results = {probe.name: answers_of(finders, probe, arguments) for probe in definitions(arguments.psf)}
    audits = [
        audited(
            [one for own in results.values() if (one := own[k]) is not None],
            {probe: "it does not see it" for probe, own in results.items() if own[k] is None},
        )
        for k in range(len(finders))
    ]
    for probe, own in results.items():
        print(f"\n## {probe}\n\n{table(audits, names, probe)}\n")
        first = next(one for one in own if one is not None)
        for answer in first.responses:
            medians = {key: [round(v, 3) for v in values] for key, values in answer.truth.items()}
            print(f"medians of the arms, the control first: {medians}")
        for name, result in zip(names, own, strict=True):
            if result is not None:
                print("\n".join(f"{name}: {crossing_sentence(one, result)}" for one in result.responses))
    draw(results, names, arguments.out / "open-questions.png")


if __name__ == "__main__":
    main()
