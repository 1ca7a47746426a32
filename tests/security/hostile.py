"""Names as nobody would choose them, for whatever takes a name: what they ask for never happens."""

from __future__ import annotations

# Each would do, or break, something in one sink; RAN is what a shell would make of them.
NAMES = {
    "a shell's": "$(touch RAN)",
    "a shell's, between quotes": "'; touch RAN; echo '",
    "a shell's, in backquotes": "`touch RAN`",
    "a line of its own": "a\ntouch RAN\n",
    "an option": "-rf",
    "spaces": " a  b ",
    "quotes": 'it\'s "so"',
    "markup": "[red]x[/blue]",
    "an emoji's": ":bomb:",
    "an element": "<script>alert(1)</script>",
    "a formula": "=1+1",
    "TeX": r"\input{x}$_^&%#~{}",
    "a template": "${root}{{ 7 * 7 }}{% x %}%s",
    "an escape": "\x1b[2J\x1b]0;gone\x07",
    "written backwards": "a\u202etxt.exe",
    "letters of the world": "ℓ₁-größe-网络",
    "no letters": "a\udcffb",
}
WAYS_OUT = ("../../x", "/x", "a/../../x", "..", "a/b", "a\\..\\x")
