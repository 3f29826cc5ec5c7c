"""The wheel carries what the package reads, and works where the repository is not."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

# -S keeps the editable install of this environment out; its libraries are then added by hand.
OUTSIDE = """
import sys
sys.path[:0] = [sys.argv.pop(1)]
sys.path.append(sys.argv.pop(1))
import importlib.util
assert importlib.util.find_spec("benchmarks") is None, "the repository is on the path"
"""


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(repository)]
    built = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return next(out.glob("lensaudit-*.whl"))


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def outside(site: Path, folder: Path, program: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `program` in `folder` with only the unpacked wheel and the installed libraries on the path."""
    command = [sys.executable, "-S", "-P", "-c", OUTSIDE + program, str(site), sysconfig.get_path("purelib"), *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=280, check=False)


def test_the_wheel_holds_the_package_and_nothing_of_the_workshop(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
    assert {top.partition("-")[0] for top in tops} == {"lensaudit"}


def test_every_file_the_package_reads_is_in_the_wheel(wheel: Path, tracked: list[Path], repository: Path):
    wanted = set()
    for path in tracked:
        inside = path.relative_to(repository)
        if inside.parts[0] == "lensaudit":
            wanted.add(inside.as_posix())
        elif inside.parts[0] in {"instruments", "models", "probes"}:
            wanted.add(f"lensaudit/builtin/{inside.as_posix()}")
    with zipfile.ZipFile(wheel) as archive:
        missing = {name for name in wanted if not name.endswith(".gitkeep")} - set(archive.namelist())
    assert not missing


def test_builtin_files_are_found_outside_the_repository(site: Path, tmp_path: Path):
    program = (
        "from lensaudit.files import builtin_folder\n"
        "import lensaudit\n"
        "print(lensaudit.__file__, builtin_folder('models'), builtin_folder('probes'), sep='\\n')\n"
    )
    ran = outside(site, tmp_path, program)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == [
        str(site / "lensaudit" / "__init__.py"),
        str(site / "lensaudit" / "builtin" / "models"),
        str(site / "lensaudit" / "builtin" / "probes"),
    ]


def test_models_list_works_outside_the_repository(site: Path, tmp_path: Path, repository: Path):
    program = "sys.argv[0] = 'lensaudit'\nfrom lensaudit.cli.app import main\nmain()\n"
    ran = outside(site, tmp_path, program, "models", "list")
    assert ran.returncode == 0, ran.stderr
    for recipe in sorted((repository / "models").iterdir()):
        if recipe.is_dir():
            assert recipe.name in ran.stdout
    assert not list(tmp_path.iterdir()), "models list wrote something"
