"""Weighted metrics the slow way: every image written down as often as it stands for others."""

from __future__ import annotations


def written_out(hits: list[int], copies: list[int]) -> list[int]:
    """Each hit as often as its whole weight says."""
    return [hit for hit, n in zip(hits, copies, strict=True) for _ in range(n)]


def fraction(hits: list[int], copies: list[int]) -> float:
    """Mean of the images written out."""
    whole = written_out(hits, copies)
    return sum(whole) / len(whole)


def recall(lenses: list[int], called: list[int], copies: list[int]) -> float:
    """Lenses called among the lenses written out."""
    pairs = [pair for pair, n in zip(zip(lenses, called, strict=True), copies, strict=True) for _ in range(n)]
    among = [call for lens, call in pairs if lens]
    return sum(among) / len(among)
