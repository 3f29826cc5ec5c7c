"""Twenty-four kinds of text that a file may bring and that must be shown, drawn and written as what it is: text."""

from __future__ import annotations

HOSTILE: dict[str, str] = {
    "escape": "red\x1b[31m\x1b[2Jgone",
    "osc-link": "\x1b]8;;http://evil.example\x1b\\here\x1b]8;;\x1b\\",
    "osc-clipboard": "\x1b]52;c;ZXZpbA==\x07",
    "newline": "one\ntwo\n# three\n- four",
    "carriage-return": "harmless\rlensaudit: all is well",
    "tab": "a\tb",
    "nul": "a\x00b",
    "backspace": "evil\x08\x08\x08\x08good",
    "c1": "a\x7f\x9b31m\x85b",
    "right-to-left": "abc\u202efed\u2066",
    "zero-width": "a\u200bb\ufeffc\u00adl",
    "mathtext": "$\\frac{",
    "mathtext-whole": "$x^2$ and $y$",
    "braces": "{",
    "format": "{0}{name!r:>99999999}{}",
    "percent": "%s%n%(name)s",
    "rich": "[red]x[/red][link=http://evil.example]y[/link][/]",
    "backquotes": "```x`` [a](http://evil.example) | b `",
    "script": "<script>alert(1)</script><!--",
    "image": "\"><img src=x onerror=alert(1)>' onload='alert(1)",
    "style": "</style></title><style>*{display:none}",
    "template": "{{7*7}}{% for x in y %}${7*7}",
    "parent": "../../evil",
    "absolute": "/tmp/evil/evil",
}
"""Kind → text. `LONG`, `SURROGATE`, `EMOJI` and `FORMULA` are four more, which not every file format can hold."""

LONG = "w" * 10_000
SURROGATE = "a\udc80b"
EMOJI = "θ🔭👩🏽‍🚀"
FORMULA = "=cmd|' /C calc'!A0"

EVERY: dict[str, str] = {**HOSTILE, "long": LONG, "surrogate": SURROGATE, "emoji": EMOJI, "formula": FORMULA}
