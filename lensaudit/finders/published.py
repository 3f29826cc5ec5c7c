"""Weights that others published, matched to an architecture by name, or by order and shape where that says enough."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from lensaudit.errors import DataError, UsageError
from lensaudit.files import sha256
from lensaudit.finders.architectures.timm_networks import TimmNetwork, classifiers
from lensaudit.finders.build import blueprint
from lensaudit.finders.compact import expanded
from lensaudit.finders.finder import STATISTICS_PREFIX, Finder
from lensaudit.finders.formats.hugging_face import as_timm
from lensaudit.finders.recipe import CUSTOM, Recipe
from lensaudit.finders.store import checked_statistics, fill
from lensaudit.finders.weights_file import Weights, most_bytes, read_weights
from lensaudit.untrusted import printable

COUNTS = "num_batches_tracked"
"""Last part of the names of tensors that say how many batches a batch norm has seen; older files lack them."""

_MOST_PARTS = 4
"""Of the names, that may be a prefix: ``module.model.net.``."""


def read_published(path: Path, recipe: Recipe) -> Finder:
    """Read a state dict or checkpoint of the published finders, or of ours, as a finder of `recipe`.

    Nothing in the file is run, and no value is read before its shape is known to be right. See `found_in` for how
    names are matched. Statistics of the stretch are taken where the file has them under our names.

    Raises
    ------
    UsageError
        The recipe asks for what published weights do not have.
    DataError
        Not a file of weights, or none in it fit the architecture exactly; one line names the first difference.
    """
    if recipe.symmetrise or recipe.extra_inputs:
        raise UsageError(f"recipe {recipe.name}: published weights go without symmetrise and extra_inputs; drop them")
    if recipe.members:
        names = " ".join(member.name for member in recipe.members)
        raise UsageError(
            f"recipe {recipe.name}: is an ensemble, whose map is made of scores; import its members, then make it with "
            f"lensaudit ensemble {names} --data SET --out DIR"
        )
    if recipe.architecture == CUSTOM:
        raise UsageError(f"recipe {recipe.name}: a user's own module loads its own weights; see declare_finder")
    module = blueprint(recipe)
    expected = module.state_dict()
    path = Path(path)
    mappings = read_weights(path, most_bytes(expected))
    mappings = [replace(one, tensors=expanded(one.tensors, expected, path)) for one in mappings]
    if isinstance(module, TimmNetwork):
        mappings = [replace(one, tensors=as_timm(one.tensors)) for one in mappings]
    statistics = {
        key.removeprefix(STATISTICS_PREFIX): one.tensors.pop(key)
        for one in mappings[:1]
        for key in [key for key in one.tensors if key.startswith(STATISTICS_PREFIX)]
    }
    found = _found_for(module, mappings, expected, path)
    kept = checked_statistics(statistics, recipe, path)
    fill(module, with_counts(found.tensors, expected), path)
    origin = f"imported from {printable(path.name, 100)} (SHA-256 {sha256(path)}){found.words}"
    return Finder(recipe, module, origin, statistics=kept)


def _found_for(
    module: nn.Module, mappings: Sequence[Weights], expected: Mapping[str, torch.Tensor], path: Path
) -> Found:
    """The module's tensors in a file; of a network of timm its last layer may stand apart, see `head_apart`."""
    names = published_names(module)
    try:
        return found_in(mappings, expected, [names], path)
    except DataError:
        found = head_apart(module, mappings, names, path) if isinstance(module, TimmNetwork) else None
        if found is None:
            raise
        return found


def head_apart(network: TimmNetwork, mappings: Sequence[Weights], names: Mapping[str, str], path: Path) -> Found | None:
    """An encoder by timm's names and, beside it under any name, one layer of the last one's shapes; None without.

    So are finders fine-tuned on an encoder without classes, such as Zoobot's: ``encoder.stem…`` and ``head.linear…``.
    """
    expected = network.state_dict()
    last = {f"network.{layer}.{kind}" for layer in classifiers(network.timm_name) for kind in ("weight", "bias")}
    encoder = {theirs: expected[ours] for theirs, ours in names.items() if ours not in last}
    try:
        found = found_in(mappings, encoder, [], path)
    except DataError:
        return None
    whole = next(one for one in mappings if one.where == found.group.where)
    beside = {key: whole.tensors[key] for key in found.left_out}
    taken: dict[str, torch.Tensor] = {}
    for key in last & expected.keys():
        fitting = [name for name, tensor in beside.items() if tensor.shape == expected[key].shape]
        if len(fitting) != 1:
            return None
        taken[key] = beside.pop(fitting[0])
    tensors = {names[theirs]: tensor for theirs, tensor in found.tensors.items()}
    return Found({**tensors, **taken}, found.group, found.by, tuple(beside))


def published_names(module: nn.Module) -> dict[str, str]:
    """Key in the files of others → ours: of timm, or of Wilde et al.; nothing for an architecture of neither kind.

    Those of Wilde et al. hold two sequences: ``layer`` for what comes before the flattening, counted as we do, and
    ``fc_layer`` for what comes after it, counted from 0 again.
    """
    if isinstance(module, TimmNetwork):
        return {key.removeprefix("network."): key for key in module.state_dict()}
    if not isinstance(module, nn.Sequential):
        return {}
    flatten = next((index for index, layer in enumerate(module) if isinstance(layer, nn.Flatten)), None)
    if flatten is None:
        return {}
    names = {}
    for key in module.state_dict():
        index, _, kind = key.partition(".")
        body = int(index) < flatten
        names[f"layer.{index}.{kind}" if body else f"fc_layer.{int(index) - flatten - 1}.{kind}"] = key
    return names


@dataclass(frozen=True)
class Found:
    """The tensors of a file that are an architecture's.

    Attributes
    ----------
    tensors
        By our names.
    group
        Mapping and prefix that they were found in.
    by
        ``name`` or ``order``.
    left_out
        Names of the tensors beside them, in the file's words.
    """

    tensors: dict[str, torch.Tensor]
    group: Group
    by: str
    left_out: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """Where they were and how they were matched, as clauses after a comma; empty for plain names."""
        clauses = [f"entry {printable(self.group.where, 60)}"] if self.group.where else []
        clauses += [f"names without {printable(self.group.prefix, 60)}"] if self.group.prefix else []
        clauses += ["by order and shape"] if self.by == "order" else []
        if self.left_out:
            more = f" and {len(self.left_out) - 3} more" if len(self.left_out) > 3 else ""
            clauses.append(f"left out: {printable(', '.join(self.left_out[:3]), 120)}{more}")
        return "".join(f", {clause}" for clause in clauses)


@dataclass(frozen=True)
class Group:
    """Tensors of one mapping whose names share a prefix, by the rest of their names and in the order of the file."""

    where: str
    prefix: str
    tensors: Mapping[str, torch.Tensor]
    ordered: bool

    @property
    def members(self) -> frozenset[int]:
        """Which tensors they are."""
        return frozenset(id(tensor) for tensor in self.tensors.values())


def found_in(
    mappings: Sequence[Weights],
    expected: Mapping[str, torch.Tensor],
    aliases: Sequence[Mapping[str, str]],
    path: Path,
) -> Found:
    """The one group of tensors in a file that is exactly the architecture's.

    Mappings may lie in one another (``state_dict``, ``net``, ``model_state_dict``), and names may have a prefix that
    others share (``module.``, ``model.``, ``_orig_mod.``, ``VIS_``); what lies outside the prefix is left out. A group
    fits **by name** if its names without the prefix are ours, or one of the `aliases`; the number of batches that a
    batch norm has seen may be missing. Where none fits by name, a group fits **by order** if its tensors are, one by
    one in the order of the file, of the kinds (``weight``, ``bias`` …) and shapes of ours; numbers in the names of
    tensors that are alike in both must then rise. A safetensors file keeps no order: there, it is that of the numbers
    in the names, and tensors that are alike must differ in numbers alone.

    Raises
    ------
    DataError
        None fits, or more than one does; one line names the file's first key and what was expected.
    """
    groups = [group for one in mappings for group in _groups(one, len(without_counts(expected)))]
    for by in ("name", "order"):
        fitting: dict[frozenset[int], tuple[Group, dict[str, torch.Tensor]]] = {}
        for group in groups:
            tensors = _by_name(group, expected, aliases) if by == "name" else _by_order(group, expected)
            if tensors is not None:
                fitting.setdefault(group.members, (group, tensors))
        if len(fitting) > 1:
            places = " and ".join(f"{one.where}:{one.prefix}*" for one, _ in list(fitting.values())[:3])
            raise DataError(
                f"{path}: holds {len(fitting)} sets of weights that fit ({printable(places, 120)}); save the one alone"
            )
        for group, tensors in fitting.values():
            whole = next(one for one in mappings if one.where == group.where)
            inside = group.members
            outside = tuple(key for key, tensor in whole.tensors.items() if id(tensor) not in inside)
            return Found(tensors, group, by, outside)
    raise DataError(_why_not(mappings, groups, expected, aliases, path))


def closest_to(expected: Mapping[str, torch.Tensor], mappings: Sequence[Weights]) -> Group:
    """The group with most names in common with the expected ones; the largest mapping where none has half of them."""
    groups = [group for one in mappings for group in _groups(one, len(expected) // 2)]
    common = [len(group.tensors.keys() & expected.keys()) for group in groups]
    if groups and max(common) >= len(expected) // 2:
        return groups[common.index(max(common))]
    largest = max(mappings, key=lambda one: len(one.tensors))
    return Group(largest.where, "", largest.tensors, largest.ordered)


def without_counts(names: Mapping[str, torch.Tensor]) -> list[str]:
    """The names, but for the counts of batches."""
    return [name for name in names if not name.endswith(COUNTS)]


def with_counts(tensors: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors, and 0 for counts of batches that they lack, which change nothing in evaluation."""
    missing = [key for key in expected if key.endswith(COUNTS) and key not in tensors]
    return {**tensors, **{key: torch.zeros((), dtype=torch.int64) for key in missing}}


def _groups(one: Weights, least: int) -> list[Group]:
    """The mapping's tensors by each prefix that at least `least` names share, the shortest first."""
    named: dict[str, list[str]] = {"": list(one.tensors)}
    for name in one.tensors:
        parts = name.split(".")
        for count in range(1, min(len(parts), _MOST_PARTS + 1)):
            named.setdefault(".".join(parts[:count]) + ".", []).append(name)
    for names in list(named.values()):
        common = _common_start(min(names), max(names))
        named.setdefault(common[: common.rfind("_") + 1], names)  # VIS_layer, VIS_fc_layer
    return [
        Group(one.where, prefix, {name[len(prefix) :]: one.tensors[name] for name in names}, one.ordered)
        for prefix, names in named.items()
        if len(names) >= least
    ]


def _common_start(one: str, other: str) -> str:
    """What two names begin with; of the first and the last in alphabetical order, it is what all between begin with."""
    count = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return one[:count]


def _by_name(
    group: Group, expected: Mapping[str, torch.Tensor], aliases: Sequence[Mapping[str, str]]
) -> dict[str, torch.Tensor] | None:
    needed = set(without_counts(expected))
    for names in ({key: key for key in expected}, *aliases):
        if not group.tensors.keys() <= names.keys():
            continue
        tensors = {names[key]: tensor for key, tensor in group.tensors.items()}
        if needed <= tensors.keys():
            return tensors
    return None


def _by_order(group: Group, expected: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor] | None:
    names = list(group.tensors) if group.ordered else sorted(group.tensors, key=_numbered)
    for ours in (list(expected), without_counts(expected)):
        theirs = [(_kind(name), group.tensors[name].shape) for name in names]
        if theirs == [(_kind(name), expected[name].shape) for name in ours] and _rising(names, theirs, group.ordered):
            return {key: group.tensors[name] for key, name in zip(ours, names, strict=True)}
    return None


def _rising(names: list[str], alike: Sequence[object], ordered: bool) -> bool:
    """Whether the numbers in the names of tensors that are alike rise in their order; see `found_in`."""
    last: dict[object, tuple[str, tuple[int, ...]]] = {}
    for name, kind in zip(names, alike, strict=True):
        stem, numbers = re.sub(r"\d+", "#", name), tuple(int(digits[:18]) for digits in re.findall(r"\d+", name))
        if kind in last:
            before, lower = last[kind]
            if (before == stem and numbers < lower) or (before != stem and not ordered):
                return False
        last[kind] = (stem, numbers)
    return True


def _kind(name: str) -> str:
    return name.rpartition(".")[2]


def _numbered(name: str) -> list[tuple[int, int, str]]:
    """Sorts ``layer.10`` after ``layer.9``, and weights before biases."""
    parts = re.findall(r"\d+|\D+", name.replace(".weight", ".!").replace(".bias", ".#"))
    return [(0, int(part[:18]), "") if part.isdigit() else (1, 0, part) for part in parts]


def _why_not(
    mappings: Sequence[Weights],
    groups: Sequence[Group],
    expected: Mapping[str, torch.Tensor],
    aliases: Sequence[Mapping[str, str]],
    path: Path,
) -> str:
    """The first difference between the file and the architecture, in the group that comes closest by name."""
    named: list[Mapping[str, str]] = [{key: key for key in expected}, *aliases]
    every = [*groups, *(Group(one.where, "", one.tensors, one.ordered) for one in mappings)]
    closest, names = max(
        ((group, names) for group in every for names in named),
        key=lambda pair: len(pair[0].tensors.keys() & pair[1].keys()),
    )
    if len(closest.tensors.keys() & names.keys()) < len(expected) / 2:
        key, tensor = next(iter(mappings[0].tensors.items()))
        first = next(iter(expected))
        also = "".join(f" or {other!r}" for other in (next(iter(alias), None) for alias in aliases) if other)
        return (
            f"{path}: its {len(mappings[0].tensors)} tensors fit neither by name nor, kind and shape one by one, by "
            f"order: the first is {printable(key, 80)!r} {tuple(tensor.shape)}, expected are {len(expected)}, the "
            f"first {first!r}{also} {tuple(expected[first].shape)}; give the weights of this architecture"
        )
    for key in closest.tensors:
        if key not in names:
            name = printable(closest.prefix + key, 80)
            return f"{path}: tensor {name!r} does not belong to this architecture; give its own weights"
    for theirs, ours in names.items():
        if theirs not in closest.tensors and not ours.endswith(COUNTS):
            called = "" if theirs == ours else f" ({printable(closest.prefix + theirs, 80)!r} in the file's words)"
            return f"{path}: tensor {ours!r} is missing{called}; give the weights of this architecture"
    raise AssertionError("a group with all the names fits by name")
