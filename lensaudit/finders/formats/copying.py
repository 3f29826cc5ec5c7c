"""The files of a finder in another program's format, copied as they are: into the folder of a committee with it."""

from __future__ import annotations

import shutil
from pathlib import Path

from torch import nn

from lensaudit.errors import DataError
from lensaudit.files import replacing
from lensaudit.finders.committee import Committee, FileMember
from lensaudit.finders.formats.declaration import format_of, read_declaration
from lensaudit.finders.formats.onnx_file import weights_of
from lensaudit.untrusted import path_within

MEMBERS = "members"
"""Folder in a committee's with a folder for each member that is a file."""
MEMBER_FILE = "member.yaml"


def file_members(module: nn.Module) -> dict[str, FileMember]:
    """Name of each member of a committee that is a file → its part of the module; nothing of other modules."""
    committees = [part for part in module.modules() if isinstance(part, Committee)][:1]
    found = [(name, body) for one in committees for name, body in one.bodies.items()]
    return {name: body for name, body in found if isinstance(body, FileMember)}


def member_declaration(folder: Path, name: str) -> Path:
    """The YAML of a member in a committee's folder."""
    return path_within(Path(folder), MEMBERS, name, MEMBER_FILE)


def copy_members(module: nn.Module, folder: Path) -> None:
    """Copy the files of a committee's members into its `folder`; those that lie there stay.

    Raises
    ------
    DataError
        A file is no longer there.
    """
    for name, member in file_members(module).items():
        if member.declaration is None:
            raise DataError(f"{folder}: the files of member {name} are not known; make the committee from its YAML")
        _copied(member.declaration, member_declaration(folder, name))


def _copied(declaration: Path, there: Path) -> None:
    """Copy a YAML to `there` and what it names beside it."""
    if there.exists() and there.resolve() == declaration.resolve():
        return
    told, file = read_declaration(declaration)
    here = file.parent
    wanted = [file.name]
    if format_of(file, told.format) == "onnx":
        wanted += weights_of(file).beside
    beside = told.file.removeprefix("./").split("/")[:-1]
    for name in wanted:
        _copy(path_within(here, *name.split("/")), path_within(there.parent, *beside, *name.split("/")))
    _copy(declaration, there)


def _copy(source: Path, target: Path) -> None:
    with replacing(target) as partial:
        shutil.copyfile(source, partial)
