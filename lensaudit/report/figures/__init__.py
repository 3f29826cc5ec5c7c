"""One file per figure: ``draw(block) -> Figure`` and ``alt(block) -> str``; none of them needs torch."""
