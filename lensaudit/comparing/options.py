"""What a comparison is asked to do."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from lensaudit.errors import UsageError
from lensaudit.resources import without_groups
from lensaudit.verdicts import PAIRS

METHODS = ("occlusion", "input-x-gradient", "integrated-gradients")
"""Explanations that are scored: the first asks for no gradient, so that it stands for every finder; the other two are
cheap and depend on the weights."""

NO_PROBES = "none"


@dataclass(frozen=True)
class CompareOptions:
    """Settings of :func:`lensaudit.comparing.compare`.

    Attributes
    ----------
    seed
        Root of every random draw.
    n
        Only the first so many images of each set; None for all.
    batch
        Cutouts per forward pass; None takes what runs fastest.
    probes
        Names of probes or paths of their YAML files, ``quick`` or ``all``; empty leaves them out.
    probe_n
        Pairs of each population of each probe.
    explanations
        Lenses of each kind whose explanations are scored; 0 leaves that out.
    methods
        Names of the methods of explanation; a finder without gradients gets those that need none.
    speed
        Whether images per second are measured.
    workers
        Processes that render the probes' scenes.
    refit
        Whether finders whose stretch takes statistics of a training set take them from each set instead.
    """

    seed: int = 0
    n: int | None = None
    batch: int | None = None
    probes: tuple[str, ...] = ()
    probe_n: int = PAIRS
    explanations: int = 0
    methods: tuple[str, ...] = METHODS
    speed: bool = True
    workers: int = 1
    refit: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "probes", _named(self.probes))
        for name, lowest in (("seed", 0), ("explanations", 0), ("workers", 1), ("probe_n", 2)):
            if getattr(self, name) < lowest:
                option = {"explanations": "judge-n"}.get(name, name.replace("_", "-"))
                raise UsageError(f"--{option} {getattr(self, name)} is not possible; give {lowest} or more")
        for name in ("n", "batch"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                option = {"n": "first"}.get(name, name)
                raise UsageError(f"--{option} {getattr(self, name)} is not possible; give 1 or more")
        if self.seed >= 2**32:
            raise UsageError(f"--seed {self.seed} is not possible; give less than {2**32}")

    def to_json(self) -> dict[str, Any]:
        """What the results depend on."""
        words = asdict(self)
        names = ("seed", "n", "probes", "probe_n", "explanations", "methods")
        return {name: words[name] for name in names} | ({"refit": True} if self.refit else {})


def _named(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of probes with the groups written out."""
    if tuple(names) == (NO_PROBES,):
        return ()
    if "all" in names:
        from lensaudit.probes.audit import audited_probes

        return (*(definition.name for definition in audited_probes()), *without_groups(names)[1:])
    return without_groups(names)
