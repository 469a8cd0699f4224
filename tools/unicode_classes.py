#!/usr/bin/env python3
"""Writes src/tokens/data/unicode_classes.txt: which class each code point has for the splitters of src/tokens, as runs in order.

    python3 -m venv V && V/bin/pip install unicodedata2==16.0.0 && V/bin/python tools/unicode_classes.py

Unicode 16.0, because the reference tokenizer's regular expressions know that version: another one splits newer letters elsewhere.
"""
import pathlib

import unicodedata2

VERSION = "16.0.0"
LETTERS = {"Lu": "U", "Lt": "U", "Ll": "l", "Lm": "o", "Lo": "o"}
SPACES = {*range(0x09, 0x0E), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000}


def class_of(code: int) -> str:
    """U upper or title case, l lower case, o another letter, m mark, n number, s space, r end of line, p anything else."""
    if code in (0x0A, 0x0D):
        return "r"
    if code in SPACES:
        return "s"
    category = unicodedata2.category(chr(code))
    return LETTERS.get(category) or {"M": "m", "N": "n"}.get(category[0], "p")


def main() -> None:
    assert unicodedata2.unidata_version == VERSION, f"needs unicodedata2 {VERSION}"
    runs: list[list] = []
    for code in range(0x110000):
        kind = class_of(code)
        if runs and runs[-1][1] == kind:
            runs[-1][0] += 1
        else:
            runs.append([1, kind])
    lines = [""]
    for length, kind in runs:
        word = f"{length}{kind}" if length > 1 else kind
        if len(lines[-1]) + len(word) > 150:
            lines.append("")
        lines[-1] += word
    target = pathlib.Path(__file__).resolve().parent.parent / "src/tokens/data/unicode_classes.txt"
    target.write_text("\n".join(lines) + "\n", encoding="ascii")
    print(f"{target.name}: Unicode {VERSION}, {len(runs)} runs, {len(lines)} lines")


if __name__ == "__main__":
    main()
