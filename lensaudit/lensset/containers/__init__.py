"""Cutouts in files of other programs, read in place: one adapter for each format, declared in a YAML."""

from lensaudit.lensset.containers.container import Container
from lensaudit.lensset.containers.declaration import ContainerFile, declaration_at, is_declaration

__all__ = ["Container", "ContainerFile", "declaration_at", "is_declaration"]
