"""Arguments and options that several commands have, each declared once: its name, allowed values and help.

One idea has one option in all commands: ``--n`` is how many the command draws (systems, pairs), ``--first`` how many of
a given set it takes, ``--top`` how many rows it shows, ``--probe-n`` and ``--judge-n`` how many a part of a larger
command takes. Earlier spellings are hidden options that go on working.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from lensaudit.cli.console import say
from lensaudit.cli.groups import Group
from lensaudit.errors import UsageError
from lensaudit.files import builtin_folder
from lensaudit.verdicts import CHANCE, REALISM, fail_words, present_word

if TYPE_CHECKING:
    from lensaudit.finders import Recipe as Recipe_
    from lensaudit.imaging import Instrument as Instrument_

EXPLANATIONS = (
    *("saliency", "input-x-gradient", "integrated-gradients", "smoothgrad", "guided-backprop", "deeplift", "gradcam"),
    *("guided-gradcam", "occlusion", "attention-rollout", "attention-relevance", "token-drop"),
)
"""Names of ``lensaudit.explaining.METHODS``, which imports torch; a test holds the two together."""

PROBE_GROUPS = ("quick", "preprocessing", "all", "none")


def examples(*lines: str) -> str:
    """Examples of a command, as the end of its help page; a test parses every one of them."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def finder_names(incomplete: str) -> list[str]:
    """Built-in finders that have weights and begin with what was typed."""
    return _beginning(incomplete, (path.parent.name for path in builtin_folder("models").glob("*/finder.yaml")))


def recipe_names(incomplete: str) -> list[str]:
    """Built-in recipes that begin with what was typed."""
    return _beginning(incomplete, (path.parent.name for path in builtin_folder("models").glob("*/recipe.yaml")))


def instrument_names(incomplete: str) -> list[str]:
    """Shipped instruments that begin with what was typed."""
    return _beginning(incomplete, (path.stem for path in builtin_folder("instruments").glob("*.yaml")))


def probe_names(incomplete: str) -> list[str]:
    """Built-in probes that begin with what was typed."""
    return _beginning(incomplete, (path.stem for path in builtin_folder("probes").glob("*.yaml")))


def probe_or_group_names(incomplete: str) -> list[str]:
    """Built-in probes and groups of them that begin with what was typed."""
    return [*_beginning(incomplete, PROBE_GROUPS), *probe_names(incomplete)]


def method_names(incomplete: str) -> list[str]:
    """Methods of explanation that begin with what was typed."""
    return _beginning(incomplete, (*EXPLANATIONS, "all"))


def population_names(incomplete: str) -> list[str]:
    """Populations that begin with what was typed."""
    from lensaudit.scenes import POPULATIONS

    return _beginning(incomplete, POPULATIONS)


def _beginning(incomplete: str, names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if name.startswith(incomplete))


def processes(workers: int) -> int:
    """`workers`, or for 0 the number of processors that this process may use."""
    affinity: Callable[[int], Sequence[int] | set[int]] = getattr(
        os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1)
    )
    return workers or len(affinity(0))


def say_renamed(old: str, new: str) -> None:
    """Say on standard error that `old` is called `new` today; what was typed goes on working."""
    say(f"{old} is now called {new}", err=True)


def _old_option(old: str, new: str, **settings: Any) -> Any:
    """A hidden option that goes on working, and says what it is called today."""

    def told(value: Any) -> Any:
        if value is not None and value is not False:
            say_renamed(f"--{old}", new)
        return value

    return typer.Option(f"--{old}", hidden=True, callback=told, **settings)


NEGATIVES = tuple(f"no-{name}" for name in ("quick", "restart", "refit", "pose-free", "ratios", "cut", "source-only"))
"""Options that typer once made by itself beside a flag; off is what a flag is without them."""


class CommandWithOldOptions(TyperCommand):
    """A command that goes on taking options which typer once made by itself, and says what to write today."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words with the old ones taken out."""
        known = {name for one in self.params for name in one.opts}
        return super().parse_args(ctx, _present_words(args, known, quiet=ctx.resilient_parsing))


def _present_words(words: Sequence[str], known: set[str], quiet: bool = False) -> list[str]:
    """`words` of a command with the options `known`, without those that are the default today.

    As ever the last of a flag and its negative counts, so an old word also takes out what it overruled. Behind ``--``
    nothing is an option.
    """
    kept: list[str] = []
    end = words.index("--") if "--" in words else len(words)
    for index, word in enumerate(words[:end]):
        name, following = word.removeprefix("--"), words[index + 1 : end]
        flag, negative = f"--{name.removeprefix('no-')}", f"--{'no-' + name}"
        if name in NEGATIVES and flag in known:
            overruled, advice = flag, f"{word} is what happens without {flag}; leave both out"
        elif word == "--probe" and negative in known and (not following or following[0].startswith("-")):
            overruled, advice = negative, "--probe alone is now the default; leave it out, or name a probe"
        else:
            kept.append(word)
            continue
        kept = [one for one in kept if one != overruled]
        if not quiet:
            say(advice, err=True)
    return [*kept, *words[end:]]


def _present_verdict(word: str | None) -> str | None:
    """What ``--fail-on`` names, by today's word."""
    if word is None or present_word(word) == word:
        return word
    say_renamed(f"--fail-on {word}", present_word(word))
    return present_word(word)


FINDER_HELP = (
    "Built-in name (lensaudit models list), a finder's folder, the YAML of a network's file, or package.module:factory."
)


def _finder_argument(metavar: str, **settings: Any) -> Any:
    return typer.Argument(metavar=metavar, help=FINDER_HELP, autocompletion=finder_names, **settings)


Finder = Annotated[str, _finder_argument("FINDER")]
FinderIfAny = Annotated[str, _finder_argument("FINDER", show_default=False)]
Finders = Annotated[list[str], _finder_argument("FINDER...")]
Recipe = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE", help="Built-in name (lensaudit models list), a recipe.yaml or its folder.",
        autocompletion=recipe_names,
    ),
]  # fmt: skip
FinderOption = Annotated[str, typer.Option("--finder", metavar="FINDER", help=FINDER_HELP, autocompletion=finder_names)]
_SET_HELP = "Lens set, or the YAML of cutouts in other files."
Set = Annotated[Path, typer.Argument(metavar="SET", help=_SET_HELP)]
SetOption = Annotated[Path | None, typer.Option("--set", metavar="SET", help=_SET_HELP)]
LabelledSet = Annotated[Path, typer.Argument(metavar="SET", help="Lens set, or YAML of cutouts, with labels.")]
_OUT = typer.Option("--out", metavar="DIR", help="Folder of the result; a stopped run goes on.")
Out = Annotated[Path, _OUT]
OutIfAny = Annotated[Path | None, _OUT]
Force = Annotated[bool, typer.Option("--force", help="Replace what is there from another run.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Everything random is derived from it.")]
Scores = Annotated[
    Path | None, typer.Option("--scores", metavar="FILE", help="Scores from lensaudit score, to save scoring.")
]


def _instrument(said: str) -> Any:
    return typer.Option("--instrument", metavar="NAME", autocompletion=instrument_names, help=said)


_WHOSE = "Whose cutouts are drawn: a name (lensaudit instruments list) or a YAML file."
_WHOSE_OF_PROBES = "Whose cutouts the probes draw, a name or a YAML file; default: the set's, or what fits the finder."
Instrument = Annotated[str, _instrument(_WHOSE)]
ProbesInstrument = Annotated[str, _instrument(_WHOSE_OF_PROBES)]
FieldOfView = Annotated[
    float | None,
    typer.Option(
        "--field-of-view", metavar="ARCSEC", help="Width of the cutouts, where the finder was trained on another."
    ),
]
TrainedField = Annotated[
    float | None,
    typer.Option("--field-of-view", metavar="ARCSEC", help="Width of the cutouts; by default the recipe's."),
]
Resample = Annotated[
    bool, typer.Option("--resample", help="Take pixels of another scale than it was trained on, resampled to its own.")
]
Refit = Annotated[
    bool,
    typer.Option("--refit", help="Take the statistics of the stretch from this set: its pixels have another unit."),
]
Device = Annotated[Literal["auto", "cpu", "cuda"], typer.Option("--device", help="auto: the GPU if there is one.")]
Threads = Annotated[
    int | None, typer.Option("--threads", metavar="N", min=1, help="CPU threads; by default torch's choice.")
]
Processes = Annotated[
    int,
    typer.Option("--processes", metavar="N", min=1, help="Divide each batch over N processes, one a GPU; as torchrun."),
]
Batch = Annotated[
    int | None, typer.Option("--batch", metavar="N", min=1, help="Images at a time; by default what runs fastest.")
]
TrainingBatch = Annotated[
    int | None, typer.Option("--batch", metavar="N", min=1, help="Images per step; by default the recipe's.")
]
Workers = Annotated[
    int,
    typer.Option(
        "--workers", metavar="N", min=0, callback=processes,
        help="Processes; the result is the same whatever their number. 0: one per processor.",
    ),
]  # fmt: skip

LearningRate = Annotated[
    float | None, typer.Option("--lr", metavar="RATE", help="Adam's learning rate; by default the recipe's.")
]
Epochs = Annotated[int | None, typer.Option("--epochs", metavar="N", min=1, help="By default the recipe's.")]
Inputs = Annotated[
    Literal["as-is", "standardised"],
    typer.Option("--inputs", help="as-is (the paper), or standardised, folded into the first layer."),
]
_PRECISION = typer.Option("--precision", help="bf16: quicker steps where the processor has it.")
Precision = Annotated[Literal["full", "bf16"], _PRECISION]
PrecisionIfAny = Annotated[Literal["full", "bf16"] | None, _PRECISION]
Pretrained = Annotated[
    str | None,
    typer.Option("--pretrained", metavar="FILE", help="Weights of others for the body; or hub, hub:OWNER/NAME."),
]
Body = Annotated[
    Literal["frozen", "fine-tuned", "random"] | None, typer.Option("--body", help="Of transfer-…, convnext, vit.")
]
Quick = Annotated[bool, typer.Option("--quick", help="The recipe's quick protocol: few epochs, for a first look.")]
Restart = Annotated[bool, typer.Option("--restart", help="Forget an earlier run in --out.")]
TestSet = Annotated[
    Path | None, typer.Option("--test", metavar="SET", help="Set measured once at the end, for the model card.")
]
Becomes = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="Becomes the finder's folder; a stopped run goes on.")
]

Ids = Annotated[list[str], typer.Option("--id", metavar="ID", help="A system's id; repeat it for more.")]
First = Annotated[int | None, typer.Option("--first", metavar="N", help="The first N systems of the set.")]
OldFirst = Annotated[int | None, _old_option("n", "--first")]
OldTop = Annotated[int | None, _old_option("n", "--top", min=1)]
All = Annotated[bool, typer.Option("--all", help="Every system of the set.")]
Images = Annotated[
    int | None, typer.Option("--images", metavar="N", min=1, help="Number of images of the set, evenly spread.")
]
Threshold = Annotated[
    float | None, typer.Option("--threshold", metavar="P", min=0, max=1, help="p of a lens; default: the finder's.")
]

Method = Annotated[
    list[str],
    typer.Option(
        "--method", metavar="NAME", autocompletion=method_names,
        help=f"Method of explanation; repeat it for more. {', '.join(EXPLANATIONS)}, or all.",
    ),
]  # fmt: skip
OldMethods = Annotated[str | None, _old_option("methods", "--method")]
Probes = Annotated[
    list[str],
    typer.Option(
        "--probe", metavar="NAME", autocompletion=probe_or_group_names,
        help="A probe (lensaudit probe list), its YAML file, quick, preprocessing, all or none; repeat it for more.",
    ),
]  # fmt: skip
OldProbes = Annotated[str | None, _old_option("probes", "--probe")]
NoProbe = Annotated[bool, _old_option("no-probe", "--probe none")]
OnlyProbes = Annotated[
    list[str],
    typer.Option(
        "--probe", metavar="NAME", autocompletion=probe_or_group_names,
        help="Only this one (lensaudit probe list), quick or preprocessing; repeat it for more.",
    ),
]  # fmt: skip
ProbeN = Annotated[
    int,
    typer.Option(
        "--probe-n", metavar="N", help="Pairs of each population of a probe; see lensaudit probe power; 0: no probes."
    ),
]
OcclusionN = Annotated[
    int, typer.Option("--occlusion-n", metavar="N", help="Images per group of the gallery; 0: no gallery.")
]
JudgeN = Annotated[
    int,
    typer.Option("--judge-n", metavar="N", help="Lenses of each kind for the evaluation of attributions; 0: none."),
]
Judged = Annotated[
    Path | None,
    typer.Option("--judged", metavar="DIR", help="Result of lensaudit judge for this finder: which maps to believe."),
]
OldJudgeN = Annotated[int | None, _old_option("explanations", "--judge-n")]
Tolerance = Annotated[
    float | None,
    typer.Option("--tolerance", metavar="LOSS", help="Loss of recall that is accepted; default: each probe's own."),
]

_FAIL_ON = "Exit code 1 at this verdict or a graver one: "
FailOn = Annotated[
    str | None,
    typer.Option(
        "--fail-on", metavar="VERDICT", callback=_present_verdict, help=f"{_FAIL_ON}{', '.join(fail_words())}."
    ),
]
FailOnChance = Annotated[
    str,
    typer.Option(
        "--fail-on", metavar="VERDICT", callback=_present_verdict,
        help=f"{_FAIL_ON}{', '.join((*fail_words(), CHANCE, REALISM))}.",
    ),
]  # fmt: skip


def instrument_named(name: str) -> Instrument_ | None:
    """The instrument that ``--instrument`` names; None where it does not."""
    if not name:
        return None
    from lensaudit.imaging import load_instrument

    return load_instrument(name)


def named(repeated: Sequence[str], commas: str | None = None, option: str = "--method") -> tuple[str, ...]:
    """Names from a repeated option and from its earlier spelling, whose value was a list with commas; each once.

    Raises
    ------
    UsageError
        The option is given, and no name.

    Examples
    --------
    >>> named(["gradcam"], "saliency, gradcam")
    ('gradcam', 'saliency')
    """
    old = (name.strip() for name in (commas or "").split(","))
    names = tuple(dict.fromkeys(name for name in (*repeated, *old) if name))
    if not names and (repeated or commas is not None):
        raise UsageError(f"{option} is empty; give a name, or leave it out")
    return names


def of_width(recipe: Recipe_, arcsec: float | None) -> Recipe_:
    """The recipe for cutouts `arcsec` wide; None leaves it.

    Raises
    ------
    UsageError
        `arcsec` is not a width.
    """
    if arcsec is None:
        return recipe
    if not 0 < arcsec < float("inf"):
        raise UsageError(f"--field-of-view {arcsec:g} is not a width; give the cutouts' in arcseconds")
    return recipe.model_copy(update={"field_of_view_arcsec": arcsec})


@dataclass(frozen=True)
class Reading:
    """How a finder reads sets: the options that every command with a finder and a set has.

    The help of each says what it is; `field_of_view` is in arcseconds, and `threads` None leaves torch its choice.
    """

    field_of_view: FieldOfView = None
    resample: Resample = False
    refit: Refit = False
    device: Device = "auto"
    threads: Threads = None


READING: Any = Group(Reading)
"""Takes the place of the options of `Reading` in a command."""
