"""``python -m lensaudit`` and the ``lensaudit`` script: signals are answered before anything large is imported."""

import os
import sys

try:
    from lensaudit.starting import answer_signals
except KeyboardInterrupt:  # the first milliseconds, before signals have a handler
    os.write(2, b"lensaudit: interrupted; run the same command again to go on where it stopped\n")
    sys.exit(130)


def main() -> None:
    """Run the command that the command line asks for."""
    answer_signals()
    from lensaudit.cli.app import main as run

    run()


if __name__ == "__main__":
    main()
