"""What the house tests look at: the repository's files, and the package's syntax trees."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def trees() -> dict[str, ast.Module]:
    """Dotted module name (a room's ``__init__`` counts as the room) → syntax tree, for all of lensaudit."""
    found = {}
    for path in sorted((REPOSITORY / "lensaudit").rglob("*.py")):
        parts = path.relative_to(REPOSITORY).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    return found


@pytest.fixture(scope="session")
def tracked() -> list[Path]:
    """Files that git holds, as absolute paths."""
    try:
        listing = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout: there is no list of tracked files")
    files = [REPOSITORY / name for name in listing.decode().split("\0") if name]
    return [path for path in files if path.is_file()]
