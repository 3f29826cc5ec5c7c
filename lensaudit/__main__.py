"""``python -m lensaudit``."""

from lensaudit.cli.app import main

main()
