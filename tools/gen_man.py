#!/usr/bin/env python3
"""Manual pages out of the binary's own help: ballast(1), and ballast-COMMAND(1) for each command with all that is below it.

  tools/gen_man.py BINARY FOLDER        writes FOLDER/ballast.1, FOLDER/ballast-serve.1, …; prints their names
"""
from __future__ import annotations

import datetime
import os
import pathlib
import re
import subprocess
import sys
from dataclasses import dataclass, field


@dataclass
class Help:
    """What `ballast … --help` says."""
    about: str = ""
    usage: str = ""
    parts: dict[str, list[tuple[str, str]]] = field(default_factory=dict)      # "Options": (term, what it is)
    end: list[str] = field(default_factory=list)                               # "Environment: …"


def parse(text: str) -> Help:
    """The about is what stands before Usage; a part has items of two spaces, whose text may go on, or begin, further in; no part: the end."""
    h, part, about = Help(), "", []
    for line in text.splitlines():
        item = re.match(r"  (\S.*?)(?:\s{2,}(\S.*))?$", line)
        if not h.usage:
            if line.startswith("Usage: "):
                h.usage = line.removeprefix("Usage: ").strip()
            else:
                about.append(line.strip())
        elif re.fullmatch(r"[A-Z][\w -]*:", line):
            part = line[:-1]
            h.parts[part] = []
        elif item and part:
            h.parts[part].append((item[1], item[2] or ""))
        elif line.startswith("    ") and h.parts.get(part):
            term, said = h.parts[part][-1]
            h.parts[part][-1] = (term, f"{said} {line.strip()}".strip())
        elif line.strip():
            part = ""
            h.end.append(line.strip())
    h.about = " ".join(filter(None, about))
    return h


def help_of(binary: str, *command: str) -> Help:
    return parse(subprocess.run([binary, *command, "--help"], capture_output=True, text=True, check=True).stdout)


def roff(text: str) -> str:
    """Nothing in it is an instruction of the formatter's. What is not ASCII is named by its code point: a page has no encoding of its own."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga").replace("^", "\\(ha").replace("~", "\\(ti")
    return "".join(c if ord(c) < 128 else f"\\[u{ord(c):04X}]" for c in text)


def quoted(text: str) -> str:
    return '"' + roff(text).replace('"', "\\(dq") + '"'


def items(lines: list[str], entries: list[tuple[str, str]]) -> None:
    for term, said in entries:
        lines += [".TP", f".B {quoted(term)}", "\\&" + roff(said)]


def below(lines: list[str], binary: str, command: tuple[str, ...]) -> None:
    """What every command under this one takes, as deep as they go."""
    for name, _ in help_of(binary, *command).parts.get("Subcommands", []):
        inner = (*command, name)
        h = help_of(binary, *inner)
        lines += [f".SS {quoted(h.usage)}", "\\&" + roff(h.about)]
        for part in ("Positionals", "Options"):
            items(lines, [e for e in h.parts.get(part, []) if e[0] != "-h,--help"])
        below(lines, binary, inner)


def page(binary: str, command: tuple[str, ...], version: str, date: str) -> tuple[str, str]:
    """The page's name and its text."""
    h, name = help_of(binary, *command), "-".join(("ballast", *command))
    brief = re.split(r"(?<=[a-z)])[.:] ", h.about)[0].rstrip(".")
    if not command:
        brief = h.about.removeprefix("Ballast: ").rstrip(".")
    lines = [f".TH {name.upper()} 1 {date} {quoted('Ballast ' + version)} \"User Commands\"", ".nh", ".ad l", ".SH NAME",
             f"{roff(name)} \\- {roff(brief)}", ".SH SYNOPSIS", f".B {quoted(h.usage)}", ".SH DESCRIPTION", "\\&" + roff(h.about)]
    for part, heading in (("Positionals", "ARGUMENTS"), ("Options", "OPTIONS")):
        if h.parts.get(part):
            lines.append(f".SH {heading}")
            items(lines, h.parts[part])
    if h.parts.get("Subcommands"):
        lines.append(".SH COMMANDS")
        if command:
            below(lines, binary, command)
        else:
            items(lines, [(f"ballast-{n}(1)", said) for n, said in h.parts["Subcommands"]])
    for line in h.end:
        heading, _, said = line.partition(": ")
        lines += [f".SH {quoted(heading.upper())}", "\\&" + roff(said)]
    if not command:
        lines += [".SH FILES", ".TP", ".I /etc/ballast/ballast.yaml", "The configuration of the service; every key is in /usr/share/doc/ballast/configuration.md.gz.",
                  ".TP", ".I /etc/ballast/credentials/", "Secrets of the service, a file each, named as in the configuration.",
                  ".TP", ".I /var/lib/ballast/", "Its database and its journal."]
    else:
        lines += [".SH \"SEE ALSO\"", ".BR ballast (1)"]
    return f"{name}.1", "\n".join(lines) + "\n"


def main() -> int:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    binary, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    version = subprocess.run([binary, "version"], capture_output=True, text=True, check=True).stdout.split()[1]
    seconds = int(os.environ.get("SOURCE_DATE_EPOCH") or datetime.datetime.now(datetime.timezone.utc).timestamp())
    date = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%d")
    for command in [(), *[(name,) for name, _ in help_of(binary).parts["Subcommands"]]]:
        name, text = page(binary, command, version, date)
        (folder / name).write_text(text)
        print(name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
