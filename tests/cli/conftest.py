"""Commands as these tests type them."""

from __future__ import annotations

import pytest
from command_tree import APPLICATION

from lensaudit.cli import app


@pytest.fixture(scope="session")
def run(cli):
    """Words of a command that ends well → what it prints."""
    return lambda *words: cli(*words).stdout


@pytest.fixture(scope="session")
def refused(cli):
    """(Error, words of a command) → its message, which is one line."""

    def run(error: type[Exception], *words: object) -> str:
        with pytest.raises(error) as caught:
            cli(*words)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return run


@pytest.fixture
def built_once(monkeypatch):
    """Commands in this process need not be built anew for each."""
    monkeypatch.setattr(app, "build", lambda: APPLICATION)
