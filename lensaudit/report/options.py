"""What an audit is asked to do."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lensaudit import __version__, kept
from lensaudit.errors import UsageError
from lensaudit.kept import KEY, Arrays, ArraysForm, Piece
from lensaudit.probes import without_groups
from lensaudit.provenance import provenance
from lensaudit.verdicts import CHANCE, PAIRS, REALISM, fail_words

if TYPE_CHECKING:
    from lensaudit.finders import Finder, Scores
    from lensaudit.imaging import Instrument
    from lensaudit.probes import HostsAsked

FAIL_ON = (*fail_words(), CHANCE, REALISM)
"""What a user may choose to fail on: a verdict or a graver one, an AUROC that chance explains, or realism."""


@dataclass(frozen=True)
class AuditOptions:
    """Settings of :func:`lensaudit.report.build_audit`.

    Attributes
    ----------
    seed
        Root of every random draw of the audit (bootstrap, permutations, probe scenes).
    batch
        Cutouts per forward pass; ``None`` takes what runs fastest.
    beta
        β of the Fβ score.
    occlusion_n
        Images per gallery group (hits, worst misses, worst false positives); 0 leaves the gallery out.
    maps_n
        Images per gallery group that are explained by every method; 0 leaves that chapter out.
    judge_n
        Lenses of each kind on which the explanations themselves are judged; 0 leaves that out.
    judged
        Folder of `lensaudit judge` for this finder, whose verdict on methods comes before ours; None for none.
    kernels
        Whether the kernels' activation values are compared with the truth.
    embed
        Whether to say what the last layer knows: neighbours of errors, a map, what can be read.
    dream_steps
        Steps of the class images and Deep Dreams; 0 leaves them out.
    probe_n
        Pairs of each population of each probe; 0 leaves the probes out.
    probes
        Names of probes or paths of their YAML files, or ``quick``; empty or ``all`` takes all built-in ones that
        need no file.
    certificate
        ``planted.json`` of the planted-bias bench; None takes the one that came with lensaudit, if any.
    tolerance
        Largest gap in recall (or false-positive rate) that is still called equivalent within tolerance.
    workers
        Processes that render scenes.
    realism
        Folder or JSON of `lensaudit realism`, or a real set to compare the audited one with; None for neither.
    instrument
        Whose cutouts the probes draw; None takes that of the set where the set holds it, else what fits the finder.
    known
        Sets of known lenses or graded candidates, or tables of their ids or positions, whose recall is a check.
    hosts
        Real cutouts that the probes are asked on too, beside drawn scenes.
    sources
        Folder or catalogue of real galaxies, with which the probe source-texture is among all.
    """

    seed: int = 0
    batch: int | None = None
    beta: float = 0.03
    occlusion_n: int = 4
    maps_n: int = 1
    judge_n: int = 8
    judged: Path | None = None
    kernels: bool = True
    embed: bool = True
    dream_steps: int = 200
    probe_n: int = PAIRS
    probes: tuple[str, ...] = ()
    certificate: Path | None = None
    tolerance: float = 0.10
    workers: int = 1
    realism: Path | None = None
    instrument: Instrument | None = None
    known: tuple[Path, ...] = ()
    hosts: HostsAsked | None = None
    sources: Path | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "probes", without_groups(self.probes))
        _at_least("--seed", self.seed, 0)
        if self.batch is not None:
            _at_least("--batch", self.batch, 1)
        _at_least("--workers", self.workers, 1)
        _at_least("--occlusion-n", self.occlusion_n, 0)
        _at_least("--maps-n", self.maps_n, 0)
        _at_least("--judge-n", self.judge_n, 0)
        _at_least("--dream-steps", self.dream_steps, 0)
        if self.probe_n == 1:
            raise UsageError("--probe-n 1: a probe needs at least 2 pairs; 0 or --probe none leaves it out")
        _at_least("--probe-n", self.probe_n, 0)
        if self.seed >= 2**32:
            raise UsageError(f"--seed {self.seed}: must be below {2**32}")
        if not self.beta > 0:
            raise UsageError(f"beta {self.beta}: must be above 0; the paper uses 0.03")
        if not 0 < self.tolerance < 1:
            raise UsageError(f"--tolerance {self.tolerance}: must lie between 0 and 1; for instance 0.1")


def on_instrument_of(lens_set: Any, options: AuditOptions) -> AuditOptions:
    """The options with the instrument that the set holds, where none was chosen and it holds one."""
    if options.instrument is not None or getattr(getattr(lens_set, "header", None), "full_instrument", None) is None:
        return options
    from lensaudit.lensset import instrument_of

    return replace(options, instrument=instrument_of(lens_set))


def check_fail_on(word: str) -> None:
    """Raise UsageError unless `word` is empty or one of :data:`FAIL_ON`."""
    if word and word not in FAIL_ON:
        raise UsageError(f"--fail-on '{word}' is unknown; allowed: {', '.join(FAIL_ON)}")


def _at_least(name: str, value: int, minimum: int) -> None:
    if value < minimum:
        raise UsageError(f"{name} {value}: must be {minimum} or more")


def quiet(what: str, done: int, total: int) -> None:
    """Report progress to nobody."""


class Hashed(Protocol):
    """A set of images, by what its hash says."""

    @property
    def content_hash(self) -> str: ...


def key_of(finder: Finder, lens_set: Hashed | None = None, **settings: Any) -> str:
    """SHA-256 of everything a piece rests on: version, weights, recipe, content of the set and settings."""
    parts = {
        "lensaudit": __version__,
        "weights": finder.weights_hash,
        "recipe": finder.recipe.model_dump(mode="json"),
        "set": None if lens_set is None else lens_set.content_hash,
        **settings,
    }
    if finder.given_field_arcsec is not None:
        parts["field_of_view_arcsec"] = finder.given_field_arcsec
    return kept.key_of(parts)


def short_name(text: str) -> str:
    """File name for any id, however hostile: the first 16 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def arrays_piece(out: Path, path: str, key: str) -> Piece[Arrays]:
    """Arrays that lie at `path` in the folder `out` of the audit."""
    return Piece(Path(out) / path, ArraysForm(), key)


class Images(Hashed, Protocol):
    """Images with the hash of the set that they are of."""

    def __len__(self) -> int: ...


def scores_piece(finder: Finder, lens_set: Images, path: Path, key: str, seed: int | None = None) -> Piece[Scores]:
    """The scores of a set that lie in `path` under `key`, whole only with all that is asked of them."""
    from lensaudit.finders import clips
    from lensaudit.finders.scores_file import ScoresForm

    inputs = {"finder": finder.weights_hash, "set": lens_set.content_hash}
    record = {KEY: key, "finder": finder.name, **provenance(seed=seed, inputs=inputs)}

    def whole(scores: Scores) -> bool:
        return bool(scores.clipping) or len(scores.failed) == len(lens_set) or not clips(finder)

    return Piece(path, ScoresForm(record, whole=whole), key)
