"""No path is built from a foreign word but through `lensaudit.untrusted`, as far as syntax trees show it.

A word in a path counts as ours where it is a number, a hash, or stands in `OURS` with the reason; a constant is ours.
What a syntax tree cannot show, `make fuzz` tries: hostile words and links through every command that writes.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import cast

import pytest
import torch
from hostile import EVERY

from lensaudit.explaining.dreaming.settings import DreamSettings, KernelTarget
from lensaudit.explaining.dreaming.wish import DreamStart, Group
from lensaudit.explaining.explained_files import PICTURES, Request
from lensaudit.explaining.judging.judgement import FOLDER, scores_part
from lensaudit.finders import Finder

MADE_SAFE = {"file_stem", "short_name", "len", "as_identifier", "str"}

# Words that come from nowhere but our own code.
OURS = {
    "lensaudit.planted_bias.bench": {"plant", "key"},  # a plant that is known by name; a hash
    "lensaudit.clustering.network": {"self.stage.name"},  # denoiser or extractor
    "lensaudit.clustering.sweep": {"self.size", "self.rerun"},  # numbers
    "lensaudit.comparing.measuring": {"key[:32]"},  # a hash
    "lensaudit.explaining.dreaming.dream_files": {"self.group.stem"},  # made of file_stem
    "lensaudit.explaining.dreaming.wish": {"self.stem", "self.start.stem"},  # made of file_stem
    "lensaudit.explaining.explained_files": {"stem", "shown"},  # made of file_stem
    "lensaudit.finders.score_parts": {"number"},
    "lensaudit.files": {"path.name", "out.name"},  # of a path that is there already
    "lensaudit.realism_gate.describing": {"lens_set.content_hash[:12]"},  # a hash
    "lensaudit.report.judged": {"of", "name", "n", "options.seed"},  # an instrument and a population of ours
    "lensaudit.report.quickstart": {"n", "options.seed"},
    "lensaudit.training.ablation": {"seed"},
    "lensaudit.training.cross_validation": {"number"},
    "lensaudit.training.group": {"rank"},  # a number
    "lensaudit.training.prepared": {"key"},  # a hash
}
# Fields that hold a name where they are read from a file or are given by a user.
FOREIGN = re.compile(r"(^|[._])(id|ids|name|names|label|kind|layer|column|band|bands|population|probe|member|array)$")
NAMES_OF_OURS = {
    "lensaudit.api.auditing": {"self.page.name"},  # a page of ours
    "lensaudit.clustering.page": {"name"},  # template files
    "lensaudit.display.page": {"name"},  # style sheets; pictures match _PICTURE, which has no folder
    "lensaudit.evaluation.selection.page": {"name", "figures[one.name]"},  # files by our own names
    "lensaudit.explaining.judging.page": {"name"},  # pictures by our own names
    "lensaudit.ensembles.map_files": {"name"},
    "lensaudit.lensset.store": {"name"},  # files of a set, by the names that the format has
    "lensaudit.lensset.writer": {"name"},
    "lensaudit.files": {"name"},  # models, probes, reports
    "lensaudit.training.ablation": {"arm.name"},  # of ARMS
    "lensaudit.training.prepared": {"name"},  # files of the format
}


def divisions(tree: ast.Module) -> Iterator[ast.BinOp]:
    """Every ``left / right`` whose right side may be a part of a path."""
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            yield node


def test_words_in_file_names_are_ours_or_made_safe(trees):
    unsafe = {
        f"{module}:{node.lineno}: {ast.unparse(node)}"
        for module, tree in trees.items()
        for node in divisions(tree)
        if isinstance(node.right, ast.JoinedStr)
        for part in node.right.values
        if isinstance(part, ast.FormattedValue) and not _is_ours(part, OURS.get(module, set()))
    }
    assert not unsafe, f"a path is built from a foreign word; use path_within or file_stem: {sorted(unsafe)}"


def test_no_name_is_a_part_of_a_path_as_it_is(trees):
    unsafe = {
        f"{module}:{node.lineno}: {ast.unparse(node)}"
        for module, tree in trees.items()
        for node in divisions(tree)
        if isinstance(node.right, ast.Name | ast.Attribute | ast.Subscript)
        and FOREIGN.search(_words(node.right))
        and ast.unparse(node.right) not in NAMES_OF_OURS.get(module, set())
    }
    assert not unsafe, f"a path is built from a foreign word; use path_within or file_stem: {sorted(unsafe)}"


@pytest.mark.parametrize("kind", EVERY)
def test_files_called_by_foreign_words_lie_in_their_folder(tmp_path, kind):
    """Ids and layers; what the syntax tree takes for ours because it was made safe before."""
    word = EVERY[kind]
    start = DreamStart(word, word, torch.zeros(1))
    layer = Group(cast(Finder, None), (KernelTarget(word, 3),), start, cast(DreamSettings, None), tmp_path)
    paths = [
        *(path for picture in PICTURES for path in Request((), picture).paths(tmp_path, word)),
        layer.checkpoint,
        layer.path(layer.targets[0]),
        tmp_path / f"{layer.stem}.png",
        scores_part(tmp_path, word, word, {}).path,
    ]
    for path in paths:
        assert path.resolve().is_relative_to(tmp_path)
        assert path.relative_to(tmp_path).parts[:-1] in ((), (FOLDER,))
        assert path.name.isascii()
        assert path.name.isprintable()
        assert len(path.name) <= 255  # bytes, of most file systems


def test_the_rule_sees_what_it_is_for():
    tree = ast.parse("a = folder / f'{member.name}-{digest}'\nb = out / definition.name\nc = out / entry['array']\n")
    first, second, third = divisions(tree)
    assert isinstance(first.right, ast.JoinedStr)
    assert not all(_is_ours(part, set()) for part in first.right.values if isinstance(part, ast.FormattedValue))
    assert FOREIGN.search(_words(second.right))
    assert FOREIGN.search(_words(third.right))


def _is_ours(part: ast.FormattedValue, ours: set[str]) -> bool:
    if part.format_spec is not None:  # {number:06d}
        return True
    if isinstance(part.value, ast.Call) and isinstance(part.value.func, ast.Name):
        return part.value.func.id in MADE_SAFE or ast.unparse(part.value) in ours
    return ast.unparse(part.value) in ours


def _words(node: ast.expr) -> str:
    """``entry['array']`` as ``entry.array``."""
    return re.sub(r"\[['\"](\w+)['\"]\]", r".\1", ast.unparse(node))
