#!/usr/bin/env python3
"""The house's rules as code. Prints FILE:LINE: what is wrong, why, and what to do instead; exits 1 if anything is.

Floors: a file includes its own module and strictly lower floors, never a sibling. Third-party headers stay in the rooms
the design gives them to. Files and functions stay readable. No words that hide something missing, no machine's own paths.
"""
from __future__ import annotations

import pathlib
import re
import subprocess
import sys

FLOORS = {"base": 0, "net": 1, "store": 1, "tokens": 1, "records": 2, "cluster": 2, "schema": 2, "llm": 2, "search": 2, "classify": 2, "gateway": 3,
          "watch": 3, "work": 4, "query": 4, "agents": 5, "evals": 6, "server": 7, "app": 8}
# Siblings of one floor that the build lets see each other, each with its reason.
ALLOWED = {("llm", "net")}       # lower floor anyway; listed so that the exception is looked for here

# Header pattern → (files of src/ that may include it, what to use instead). Tests and benchmarks may use anything.
THIRD_PARTY = [
    (r"sys/epoll|sys/socket|netdb", r"src/net/|src/store/postgres/silence\.cpp", "net/loop.hpp, net/client.hpp, net/server.hpp", True),
    (r"boost/asio|boost/beast", r"(?!)", "net/ has a loop and a codec of its own", False),
    (r"openssl/", r"src/net/|src/base/", "base/hash.hpp for digests, net/tls.hpp for TLS", False),
    (r"yaml-cpp|yaml\.h", r"src/base/config[^/]*\.cpp", "base/config_node.hpp reads YAML", False),
    (r"sqlite3\.h", r"src/store/sqlite/", "store/database.hpp", False),
    (r"libpq-fe\.h|pg_config", r"src/store/postgres/", "store/database.hpp", False),
    (r"zstd\.h", r"src/base/|src/records/", "base/compress.hpp", False),
    (r"pcre2\.h", r"src/schema/", "schema/schema.hpp", False),
    (r"jq\.h|jv\.h", r"src/work/jq(_values\.hpp|[^/]*\.cpp)", "work/jq.hpp", False),
    (r"date/", r"src/work/cron[^/]*\.cpp", "work/cron.hpp", False),
    (r"CLI/", r"src/app/", "parse flags in app/ and pass values down", False),
    (r"simdjson\.h", r"src/base/|src/llm/|src/gateway/", "base/json.hpp, or llm/facts.hpp on the hot path", False),
    (r"gtest/|gmock/", r"tests/", "tests live in tests/", False),
    (r"benchmark/", r"bench/", "benchmarks live in bench/", False),
]
MAX_FILE_LINES = 600
MAX_FUNCTION_LINES = 70
# Spelled in pieces, so that this file passes its own lint.
WORDS = re.compile(r"\b(TO" r"DO|FIX" r"ME|X" r"XX|HA" r"CK)\b")
MACHINE_PATHS = re.compile(r"(?<![\w.])/(?:ro" r"ot|ho" r"me/\w+|wo" r"rk/(?:main|shared))\b|\.py" r"env\b|/tmp/bash" r"_jobs")
CODE = (".cpp", ".hpp")
TEXT = CODE + (".py", ".sh", ".md", ".txt", ".cmake", ".yaml", ".yml", ".json", ".js", ".mjs", ".ts", "Makefile", "run")
# Data and generated files are as long as they are.
LONG_BY_NATURE = re.compile(r"^(src/llm/data/|src/server/data/|tests/golden/|docs/|LICENSE|.*package-lock\.json)")


class Finding:
    def __init__(self, file: str, line: int, what: str, instead: str):
        self.file, self.line, self.what, self.instead = file, line, what, instead

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}. {self.instead}"


def without_comments(text: str) -> str:
    """The same text, line by line, with comments and literals blanked: what counting braces needs."""
    out, i, n = [], 0, len(text)
    while i < n:
        two = text[i:i + 2]
        if two == "//":
            end = text.find("\n", i)
            i = n if end < 0 else end
        elif two == "/*":
            end = text.find("*/", i + 2)
            end = n if end < 0 else end + 2
            out.append("\n" * text.count("\n", i, end))
            i = end
        elif re.match(r'R"([^()\\\s]{0,16})\(', text[i:i + 20]):
            mark = re.match(r'R"([^()\\\s]{0,16})\(', text[i:i + 20])[1]
            end = text.find(f"){mark}\"", i)
            end = n if end < 0 else end + len(mark) + 2
            out.append('""' + "\n" * text.count("\n", i, end))
            i = end
        elif text[i] == '"' or (text[i] == "'" and not (i and text[i - 1].isalnum())):
            quote, j = text[i], i + 1
            while j < n and text[j] != quote and text[j] != "\n":
                j += 2 if text[j] == "\\" else 1
            out.append(quote * 2)
            i = j + 1
        else:
            out.append(text[i])
            i += 1
    return "".join(out)


def includes(file: str, text: str):
    module = re.match(r"src/(\w+)/", file)
    for number, line in enumerate(text.splitlines(), 1):
        found = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if not found:
            continue
        header = found[2]
        target = re.match(r"(\w+)/", header)
        if module and target and target[1] in FLOORS and target[1] != module[1] and found[1] == '"':
            mine, theirs = FLOORS[module[1]], FLOORS[target[1]]
            if theirs >= mine:
                kind = "a sibling" if theirs == mine else "a higher floor"
                yield Finding(file, number, f"{module[1]}/ (floor {mine}) includes {header} from {kind} (floor {theirs})",
                              "Move what both need to a lower floor, or register it upward through an interface")
        for pattern, allowed, instead, private_only in THIRD_PARTY:
            if re.match(pattern, header) is None or not file.startswith("src/"):
                continue
            if not re.match(allowed, file):
                yield Finding(file, number, f"{header} is not this room's to touch", f"Use {instead}")
            elif private_only and file.endswith(".hpp") and not private_header(file, text):
                yield Finding(file, number, f"{header} leaks from a public header", "Include it in a .cpp, behind an opaque type")


def private_header(file: str, text: str) -> bool:
    """Says of itself, in its first lines, that it is for its own room alone."""
    head = "\n".join(text.splitlines()[:12]).lower()
    return any(w in head for w in ("private", "inside net/", "net/ only", "net/'s own", "never include", "only in .cpp", "for net/"))


def functions(code: str):
    """(name, first line, number of lines) of each function body, roughly: an opening brace after a parameter list."""
    stack, line = [], 1
    statement, start = "", 1
    for char in code:
        if char == "\n":
            line += 1
        if char == "{":
            head = statement.strip()
            is_function = bool(re.search(r"\)\s*(const|noexcept|override|final|mutable|->\s*[\w:<>,\s*&]+|:\s.*|\s)*$", head, re.S))
            is_type = bool(re.match(r"(template\s*<.*>\s*)?(class|struct|enum|union|namespace|extern)\b", head, re.S))
            in_body = any(kind for kind, *_ in stack)
            name = re.findall(r"([\w:~]+)\s*\(", head)
            stack.append((is_function and not is_type and not in_body, name[0] if name else "?", start, line))
            statement, start = "", line
        elif char == "}":
            if stack:
                kind, name, first, opened = stack.pop()
                if kind:
                    yield name, first, line - first + 1
            statement, start = "", line
        elif char == ";":
            statement = ""
        else:
            if not statement.strip() and not char.isspace():
                start = line
            statement += char


def sizes(file: str, text: str):
    lines = text.count("\n")
    if lines > MAX_FILE_LINES and file.endswith(CODE + (".py",)) and not LONG_BY_NATURE.match(file):
        yield Finding(file, lines, f"{lines} lines (at most {MAX_FILE_LINES})", "Give a part of it a room of its own")
    if not file.endswith(CODE) or not file.startswith("src/"):
        return
    for name, first, length in functions(without_comments(text)):
        if length > MAX_FUNCTION_LINES:
            yield Finding(file, first, f"{name} has {length} lines (at most {MAX_FUNCTION_LINES})",
                          "Let it tell the story and give its steps names")


def words(file: str, text: str):
    for number, line in enumerate(text.splitlines(), 1):
        found = WORDS.search(line)
        if found and not LONG_BY_NATURE.match(file):
            yield Finding(file, number, f"\"{found[1]}\" often hides something missing", "Do it now, or open an issue")
        found = MACHINE_PATHS.search(line)
        if found:
            yield Finding(file, number, f"\"{found[0]}\" is a path of one machine", "Make it relative to the project, or a parameter")


def check(file: str, text: str) -> list[Finding]:
    found = [*words(file, text), *sizes(file, text)]
    if file.endswith(CODE):
        found += includes(file, text)
    return found


def main() -> int:
    root = pathlib.Path(__file__).resolve().parent.parent
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=root, capture_output=True,
                            text=True, check=True).stdout.splitlines()
    only = sys.argv[1:]
    findings, seen = [], 0
    for file in sorted(set(listed)):
        path = root / file
        if not file.endswith(TEXT) or not path.is_file() or (only and not any(file.startswith(o) for o in only)):
            continue
        if file.startswith(("tests/golden/", "src/llm/data/")) or path.stat().st_size > 2_000_000:
            continue
        seen += 1
        findings += check(file, path.read_text(encoding="utf-8", errors="replace"))
    for finding in findings:
        print(finding)
    print(f"lint: {seen} files, {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
