"""The states of a verdict: one word and one definition each, in one table.

The glossary and badges of the pages, the words of ``--fail-on``, the terminal and the documents are derived from
`STATES`; `decide` is the rule that picks a state from numbers. Imports nothing, so that a page or a help text needs
no network.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SIGNIFICANCE = 0.05
"""A change is significantly beyond the tolerance where the p-value against the tolerance lies below this after Holm's
correction; so the chance that findings corrected together accuse a finder wrongly is about this at most."""


@dataclass(frozen=True)
class State:
    """What an audit can say of one comparison.

    Attributes
    ----------
    word
        How it is called everywhere.
    definition
        When it is said; the definitions exclude each other.
    open
        Whether the answer is still open: a loss is neither shown nor excluded.
    beyond
        Whether the whole interval lies beyond the tolerance, so that its numbers are shown unfolded.
    """

    word: str
    definition: str
    open: bool = False
    beyond: bool = False

    @property
    def css(self) -> str:
        """Class of its badge, and how ``--fail-on`` spells it."""
        return self.word.replace(" ", "-")

    @property
    def gravity(self) -> int:
        """Place among all states, the gravest 0."""
        return STATES.index(self) if self in STATES else STATES.index(_EARLIER[self.word][1])


BIAS = State(
    "bias",
    "the whole 95 % interval lies beyond the tolerance, and p < 0.05, tested against the tolerance, after Holm’s "
    "correction: a loss of lenses that must not be lost, or, where nothing may change (nuisance), any change",
    beyond=True,
)
FALSE_POSITIVES = State(
    "false positives",
    "as a bias, where scenes hold no lens (contaminant): more of them than is tolerated are called one",
    beyond=True,
)
SELECTION = State(
    "selection function",
    "as a bias, where losing some lenses is natural (difficulty): a loss that the survey must count, not a fault",
    beyond=True,
)
TENTATIVE = State(
    "tentative",
    "the whole interval lies beyond the tolerance, but p ≥ 0.05 after Holm’s correction: likely, not significant among "
    "so many findings",
    open=True,
    beyond=True,
)
INCONCLUSIVE = State(
    "inconclusive",
    "the interval reaches across the tolerance: a loss beyond it is neither shown nor excluded",
    open=True,
)
NOT_ASSESSABLE = State(
    "not assessable",
    "no pair; or nothing lies beyond the tolerance, nothing is gained, and the finder finds too few of the control "
    "lenses for a loss to show: the interval of their recall does not lie above the tolerance (contaminant: above the "
    "interval of the fraction called a lens)",
    open=True,
)
EQUIVALENT = State(
    "equivalent within tolerance",
    "the whole interval lies within the tolerance, whether or not a small change is shown; a loss is limited, and "
    "where nothing may change (nuisance) a gain too",
)
GAIN = State(
    "gain",
    "the whole interval lies above zero: more lenses are found (population and difficulty only)",
)

REGRESSION = State(
    "regression",
    "a new finder against an earlier one: the whole 95 % interval of the loss lies beyond the tolerance, and p < "
    "0.05, tested against the tolerance, after Holm’s correction over all groups and metrics",
    beyond=True,
)

STATES = (BIAS, FALSE_POSITIVES, SELECTION, TENTATIVE, INCONCLUSIVE, NOT_ASSESSABLE, EQUIVALENT, GAIN)
"""All states, the gravest first."""

_EARLIER = {
    "too few to tell": (
        State("too few to tell", "an earlier version’s word: inconclusive, tentative or not assessable", open=True),
        INCONCLUSIVE,
    ),
    "no effect shown": (
        State("no effect shown", "an earlier version’s word: equivalent within tolerance, a gain, or not assessable"),
        EQUIVALENT,
    ),
}
"""Words of results that an earlier version wrote for several states, and where they stand among the states."""

_RENAMED = {"undecided": INCONCLUSIVE, "within tolerance": EQUIVALENT}
"""Earlier words of the same states: results that say them are shown with today's."""

NATURES = (
    ("nuisance", "says nothing of the lens: no answer may change, neither to a loss nor to a gain"),
    ("population", "such lenses exist on the sky and must not be lost"),
    ("difficulty", "losing some is natural, and the survey must know how many"),
    ("contaminant", "the treated scene holds no lens: the fraction called one must stay low"),
)
"""Kinds of probes with what a fair finder would do."""

_BY_WORD = {state.word: state for state in STATES} | {old: state for old, (state, _) in _EARLIER.items()} | _RENAMED

PAIRS = 300
"""Pairs of each population by default: `lensaudit probe power` says that 277 exclude a loss of 0.05 nine times in
ten, of a finder without any change, where 5 % of the pairs differ by chance."""

CHANCE = "chance"
REALISM = "realism"
"""What ``--fail-on`` of a report takes beside verdicts: an AUROC that chance explains, scenes far from real ones."""
FAIL_ON = (BIAS, FALSE_POSITIVES, TENTATIVE, INCONCLUSIVE, NOT_ASSESSABLE)
"""States that ``--fail-on`` may name: it fails where one of them, or one before it in this list, is found."""


REGRESSION_LADDER = (REGRESSION, TENTATIVE, INCONCLUSIVE)
"""States that ``--fail-on`` of a comparison with a baseline may name, as `FAIL_ON`; they are of no probe."""


def state_of(word: str) -> State:
    """The state called `word`; also of the words an earlier version wrote.

    Raises
    ------
    KeyError
        There is none.
    """
    return _BY_WORD[word]


def present_word(word: str) -> str:
    """Today's word for a verdict; any other word as it is.

    Examples
    --------
    >>> present_word("undecided"), present_word("not applicable")
    ('inconclusive', 'not applicable')
    """
    return _BY_WORD[word].word if word in _BY_WORD else word


def fail_words() -> tuple[str, ...]:
    """What ``--fail-on`` takes."""
    return tuple(state.css for state in FAIL_ON)


def failing(words: Sequence[str], fail_on: str) -> tuple[str, ...]:
    """Those of the verdict `words` on which ``--fail-on`` fails."""
    ladder = FAIL_ON[: fail_words().index(present_word(fail_on)) + 1]
    return tuple(word for word in words if _stands_for(word) in ladder)


def _stands_for(word: str) -> State:
    return _EARLIER[word][1] if word in _EARLIER else state_of(word)


def decide(nature: str, interval: tuple[float, float], tolerance: float, significant: bool, assessable: bool) -> State:
    """The state of a change.

    Parameters
    ----------
    nature
        Of `NATURES`.
    interval
        95 % interval of the change of recall, negative for a loss; of a contaminant, of the fraction called a lens.
        NaN where nothing was measured.
    tolerance
        Loss (of a nuisance: change either way; of a contaminant: fraction) that is still accepted.
    significant
        Whether p < `SIGNIFICANCE` after Holm's correction, tested against the tolerance.
    assessable
        Whether the finder finds enough of the control lenses to lose some.
    """
    low, high = interval
    if math.isnan(low) or math.isnan(high):
        return NOT_ASSESSABLE
    beyond, within = _position(nature, low, high, tolerance)
    if beyond:
        return _SHOWN[nature] if significant else TENTATIVE
    if nature in ("population", "difficulty") and low > 0:
        return GAIN
    if not assessable:
        return NOT_ASSESSABLE
    return EQUIVALENT if within else INCONCLUSIVE


_SHOWN = {"nuisance": BIAS, "population": BIAS, "difficulty": SELECTION, "contaminant": FALSE_POSITIVES}


def _position(nature: str, low: float, high: float, tolerance: float) -> tuple[bool, bool]:
    """Whether the interval lies wholly beyond the tolerance, and whether it lies wholly within."""
    if nature == "contaminant":
        return low > tolerance, high < tolerance
    if nature == "nuisance":
        return high < -tolerance or low > tolerance, low > -tolerance and high < tolerance
    return high < -tolerance, low > -tolerance


def states_table() -> str:
    """The states as a table of Markdown, for the documents."""
    lines = ["| verdict | when |", "| --- | --- |"]
    return "\n".join([*lines, *(f"| **{state.word}** | {state.definition} |" for state in STATES)]) + "\n"


@dataclass(frozen=True)
class Answer:
    """What a probe said, as far as a summary needs it.

    Attributes
    ----------
    probe, title
        Its name, and what it is called in a sentence.
    word
        Of its state.
    n
        Pairs it rests on.
    needed
        Pairs that would settle it; None where it is settled or no number would do.
    """

    probe: str
    title: str
    word: str
    n: int
    needed: int | None = None

    @property
    def state(self) -> State:
        """The state it names."""
        return state_of(self.word)


PLANTED_IN_PART = (
    "What is planted in part of the images takes hold in part, and a finder that loses no more than what is tolerated "
    "is not to be named."
)
"""Beside the results of finders whose bias was planted in a fraction of their training images."""

MOST_PAIRS_AT_ONCE = 2000
"""Probes that need more pairs than this have a command of their own."""

_VERBS = {
    BIAS: ("shows a bias", "show a bias"),
    FALSE_POSITIVES: ("shows false positives", "show false positives"),
    SELECTION: ("measures a selection function", "measure a selection function"),
    GAIN: ("shows a gain", "show a gain"),
}


def in_short(answers: Sequence[Answer]) -> str:
    """How many probes said what, the gravest first, each group with its probes; empty without any."""
    groups: dict[State, list[str]] = {}
    for one in sorted(answers, key=lambda answer: answer.state.gravity):
        groups.setdefault(one.state, []).append(one.title)
    parts = [f"{len(titles)} {_verb(state, len(titles))} ({', '.join(titles)})" for state, titles in groups.items()]
    if not parts:
        return ""
    return f"Of {_probes(len(answers))} with {pairs_each(one.n for one in answers)}, {', '.join(parts)}."


def pairs_each(numbers: Iterable[int]) -> str:
    """How many pairs probes had: ``60 pairs each``, or ``6 to 60 pairs``, for hosts without an arc are few."""
    sizes = sorted(set(numbers))
    return f"{sizes[0]} pairs each" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]} pairs"


def _verb(state: State, k: int) -> str:
    return _VERBS[state][k != 1] if state in _VERBS else f"{'is' if k == 1 else 'are'} {state.word}"


def _probes(k: int) -> str:
    return f"{k} probe{'' if k == 1 else 's'}"


@dataclass(frozen=True)
class Step:
    """What to do next: why, and the command that does it (empty where there is none)."""

    why: str
    command: str = ""


def next_steps(answers: Sequence[Answer], finder: str, seed: int) -> list[Step]:
    """What would settle the probes that are open, as commands.

    Parameters
    ----------
    finder
        As the command line takes it; empty where it does not run here, so that its cutouts are exported again.
    seed
        Of the probes' scenes.
    """
    ask = f"lensaudit probe all {shlex.quote(finder)}" if finder else "lensaudit probe export"
    few = [one for one in answers if one.state is NOT_ASSESSABLE and one.needed is None]
    waiting = [one for one in answers if one.state.open and one.needed is not None]
    stuck = [one for one in answers if one.state.open and one.needed is None and one not in few]
    soon = [one for one in waiting if (one.needed or 0) <= MOST_PAIRS_AT_ONCE]
    later = [one for one in waiting if one not in soon]
    steps = []
    for group in filter(None, (soon, later)):
        n = max(one.needed or 0 for one in group)
        named = " ".join(f"--probe {one.probe}" for one in group)
        settles = f"{n} pairs would settle {_named(group)} with a probability of 80 %, were the rates those seen here"
        steps.append(Step(settles, f"{ask} {named} --n {n} --seed {seed} --out runs/probes-{n}"))
    if stuck:
        steps.append(Step(f"no number of pairs settles {_named(stuck)}: the change lies at the tolerance itself"))
    if few:
        steps.append(Step(f"too few control lenses are found for {_named(few)}: lower the finder's threshold"))
    return steps


def in_sentence(title: str) -> str:
    """A title inside a sentence: its first letter small, unless it begins a name or an abbreviation."""
    if title.startswith("Einstein") or not title[1:2].islower():
        return title
    return title[0].lower() + title[1:]


def on_the_command_line(name: str, origin: str) -> str:
    """A finder as commands take it: a built-in one by its name, any other by where it came from."""
    return name if origin == "built-in" else origin


def _named(answers: Sequence[Answer]) -> str:
    titles = [one.title for one in answers]
    return titles[0] if len(titles) == 1 else f"{', '.join(titles[:-1])} and {titles[-1]}"
