"""Numbers in words: one way to write a value, an interval, a fraction, p, a count, a duration."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Protocol

MISSING = "—"
"""Shown where a number is not defined; the status beside it says why."""

_THIN = "\u202f"  # narrow no-break space: a number and its unit never part at a line end
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def decimal(value: float | None, digits: int = 3, sign: bool = False) -> str:
    """``0.9273`` → ``0.927``; a missing value → an em dash; the minus sign is a true minus; `sign` shows a plus too."""
    if value is None or not math.isfinite(value):
        return MISSING
    rounded = round(value, digits) + 0.0
    return (f"{rounded:+.{digits}f}" if sign else f"{rounded:.{digits}f}").replace("-", "−")


def significant(value: float | None, digits: int = 3) -> str:
    """Write `value` with `digits` significant figures and without exponent where it is readable."""
    if value is None or not math.isfinite(value):
        return MISSING
    if value != 0 and not 1e-3 <= abs(value) < 1e5:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return f"{mantissa}×10{str(int(exponent)).translate(_RAISED)}".replace("-", "−")
    import numpy as np  # here, so that help pages do not wait for it

    return np.format_float_positional(value, precision=digits, fractional=False, trim="-").replace("-", "−")


def shortest(value: float) -> str:
    """As short as it goes, with a true minus: ``0.25``, ``−1``; of a dose or a tolerance, which somebody typed."""
    return f"{value:g}".replace("-", "−")


def signed(value: float) -> str:
    """A number with its sign, as ``+0.250``, ``−4.0e−03`` and ``0``."""
    text = "0" if value == 0 else f"{value:+.3g}" if 0.01 <= abs(value) < 1000 else f"{value:+.1e}"
    return text.replace("-", "−")


def percent(fraction: float | None) -> str:
    """``0.214`` → ``21 %``; one decimal below 1 % and above 99 %, so that 0.4 % is not called 0 %."""
    if fraction is None or not math.isfinite(fraction):
        return MISSING
    return f"{_hundred(fraction)}{_THIN}%"


def percent_interval(low: float | None, high: float | None) -> str:
    """``(0.173, 0.261)`` → ``17–26 %``."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return MISSING
    return f"{_hundred(low)}–{_hundred(high)}{_THIN}%"


def interval(low: float | None, high: float | None, digits: int = 3) -> str:
    """``(0.173, 0.261)`` → ``0.173–0.261``, with "to" between negative ends; a missing interval → an em dash."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return MISSING
    between = " to " if low < 0 or high < 0 else "–"
    return f"{decimal(low, digits)}{between}{decimal(high, digits)}"


def with_interval(
    value: float | None, low: float | None, high: float | None, digits: int = 3, sign: bool = False
) -> str:
    """``(0.214, 0.173, 0.261)`` → ``0.214 [0.173, 0.261]``, the value alone where it has no interval."""
    return _bracketed(*(decimal(one, digits, sign) for one in (value, low, high)))


def significant_with_interval(value: float | None, low: float | None, high: float | None, digits: int = 3) -> str:
    """As `with_interval`, with `digits` significant figures each."""
    return _bracketed(*(significant(one, digits) for one in (value, low, high)))


def percent_with_interval(value: float | None, low: float | None, high: float | None, digits: int = 1) -> str:
    """``(0.793, 0.672, 0.877)`` → ``79.3 % [67.2, 87.7]``."""
    shown, *ends = (decimal(None if one is None else 100 * one, digits) for one in (value, low, high))
    return _bracketed(shown if shown == MISSING else f"{shown}{_THIN}%", *ends)


def plus_minus(value: float, deviation: float, digits: int = 4) -> str:
    """``(0.91, 0.02)`` → ``0.9100 ± 0.0200``, the value alone where it has no deviation."""
    shown, spread = decimal(value, digits), decimal(deviation, digits)
    return shown if MISSING in (shown, spread) else f"{shown} ± {spread}"


def _bracketed(value: str, low: str, high: str) -> str:
    return value if MISSING in (value, low, high) else f"{value} [{low}, {high}]"


class WithInterval(Protocol):
    """A number with the ends of its interval."""

    @property
    def value(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


class _Counted(WithInterval, Protocol):
    """k of n with an interval, as `lensaudit.statistics.Proportion` has it."""

    @property
    def k(self) -> int: ...
    @property
    def n(self) -> int: ...


def proportion(one: _Counted, digits: int = 1) -> str:
    """``79.3 % [67.2, 87.7], 46 of 58``; an em dash where there is nobody."""
    if not one.n:
        return MISSING
    return f"{percent_with_interval(one.value, one.low, one.high, digits)}, {count(one.k)} of {count(one.n)}"


class _Measured(Protocol):
    """A number with its interval, and why it has none, of a `Metric` or of a finder's facts."""

    @property
    def value(self) -> float | None: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...
    @property
    def status(self) -> str: ...


def measured(one: _Measured | Mapping[str, Any], digits: int = 4) -> str:
    """``0.9177 [0.8555, 0.9545]``, or ``not measured (no lenses)``; of a record or of its JSON."""
    names = ("value", "low", "high", "status")
    found = [one.get(name) if isinstance(one, Mapping) else getattr(one, name) for name in names]
    value, low, high, status = found
    if value is None or math.isnan(value):
        return f"not measured ({status or 'nothing to measure'})"
    return with_interval(value, low, high, digits)


SIGNIFICANCE = 0.05


def p_value(p: float | None) -> str:
    """``0.00004`` → ``p < 0.001``; otherwise two significant figures, or what tells on which side of 0.05 it lies."""
    if p is None or not math.isfinite(p):
        return f"p {MISSING}"
    if p < 0.001:
        return "p < 0.001"
    texts = (f"{min(p, 1.0):.{digits}g}" for digits in range(2, 18))
    return f"p = {next(text for text in texts if (float(text) < SIGNIFICANCE) == (p < SIGNIFICANCE))}"


def p_short(p: float | None) -> str:
    """As `p_value`, without its name: for a column of a table that is called p."""
    return p_value(p).removeprefix("p = ").removeprefix("p ")


def probability(p: float) -> str:
    """p(lens): three decimals, more near 0 and 1 where three would round to certainty."""
    near = min(p, 1 - p)
    if not near < 5e-4:
        return decimal(p)
    return significant(p, 2) if p < 0.5 else f"1 − {significant(1 - p, 2)}"


def count(n: int | None) -> str:
    """``45000`` → ``45 000`` with narrow spaces."""
    return MISSING if n is None else f"{n:,}".replace(",", _THIN)


def plural(n: int, one: str, many: str | None = None) -> str:
    """``(1, "lens", "lenses")`` → ``1 lens``."""
    return f"{count(n)} {one if n == 1 else (many or one + 's')}"


_STATEMENT = re.compile(r"(?<=\b[np])\s+(=|<|≥|≤|&lt;)\s+(?=[\d−.])")


def unbroken(text: str) -> str:
    """`text` with each ``n = 185`` and ``p < 0.001`` in it kept on one line.

    Examples
    --------
    >>> unbroken("17–26 % (n\\n= 185)")
    '17–26 % (n\\xa0=\\xa0185)'
    """
    return _STATEMENT.sub("\u00a0\\1\u00a0", text)


def duration(seconds: float) -> str:
    """Seconds, minutes or hours, as one says them.

    Examples
    --------
    >>> duration(41.6), duration(600), duration(7200)
    ('42 s', '10 min', '2.0 h')
    """
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _hundred(fraction: float) -> str:
    value = 100 * fraction
    near_edge = 0 < value < 1 or 99 < value < 100
    text = f"{value:.1f}" if near_edge else f"{value:.0f}"
    return text.replace("-", "−")
