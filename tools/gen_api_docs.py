#!/usr/bin/env python3
"""Turns the server's /openapi.json into docs/api.md.

  tools/gen_api_docs.py --ballast build/release/src/ballast > docs/api.md    starts one on a free port and asks it
  tools/gen_api_docs.py openapi.json > docs/api.md                           reads a file
"""
from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

METHODS = ("get", "post", "put", "patch", "delete")


def ask(binary: str) -> dict:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        import pathlib
        binary = str(pathlib.Path(binary).resolve())
        server = subprocess.Popen([binary, "serve", "--listen", f"127.0.0.1:{port}"], cwd=folder, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
        try:
            for _ in range(200):
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/openapi.json", timeout=2) as answer:
                        return json.load(answer)
                except OSError:
                    time.sleep(0.05)
            raise SystemExit("the server did not answer")
        finally:
            server.terminate()
            server.wait(20)


def resolve(document: dict, node: dict) -> dict:
    while isinstance(node, dict) and "$ref" in node:
        target = document
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


def type_of(document: dict, schema: dict) -> str:
    schema = resolve(document, schema)
    kind = schema.get("type", "any")
    if isinstance(kind, list):
        kind = " or ".join(kind)
    if "enum" in schema:
        return " \\| ".join(f"`{v}`" for v in schema["enum"])
    if kind == "array":
        return f"list of {type_of(document, schema.get('items', {}))}"
    return kind


def fields(document: dict, schema: dict) -> list[str]:
    schema = resolve(document, schema)
    required = set(schema.get("required", ()))
    rows = []
    for name, member in schema.get("properties", {}).items():
        about = resolve(document, member).get("description", "")
        rows.append(f"| `{name}` | {type_of(document, member)} | {'yes' if name in required else ''} | {about} |")
    return ["| field | type | required | |", "|---|---|---|---|", *rows, ""] if rows else []


def operation(document: dict, method: str, path: str, op: dict) -> list[str]:
    out = [f"### `{method.upper()} {path}`", "", op.get("summary") or op.get("description") or "", ""]
    if op.get("summary") and op.get("description"):
        out += [op["description"], ""]
    parameters = [resolve(document, p) for p in op.get("parameters", ())]
    if parameters:
        out += ["| parameter | in | required | |", "|---|---|---|---|"]
        out += [f"| `{p['name']}` | {p['in']} | {'yes' if p.get('required') else ''} | {p.get('description', '')} |" for p in parameters]
        out.append("")
    for kind, media in resolve(document, op.get("requestBody", {})).get("content", {}).items():
        listed = fields(document, media.get("schema", {}))
        out += [f"Body (`{kind}`):", "", *listed] if listed else [f"Body: `{kind}`", ""]
    answers = op.get("responses", {})
    if answers:
        out += ["| status | |", "|---|---|"]
        out += [f"| {status} | {resolve(document, a).get('description', '')} |" for status, a in answers.items()]
        out.append("")
        for status, answer in answers.items():
            for media in resolve(document, answer).get("content", {}).values():
                listed = fields(document, media.get("schema", {}))
                if listed and str(status).startswith("2"):
                    out += [f"Answer {status}:", "", *listed]
    return out


def write(document: dict) -> str:
    info = document.get("info", {})
    out = ["# API reference", "", "Generated from `/openapi.json` by `make docs`; do not edit by hand.", ""]
    out += [info["description"], ""] if info.get("description") else []
    groups: dict[str, list[str]] = {}
    for path, item in document.get("paths", {}).items():
        for method in METHODS:
            if method in item:
                tag = (item[method].get("tags") or ["Other"])[0]
                groups.setdefault(tag, []).extend(operation(document, method, path, item[method]))
    for tag, lines in groups.items():
        out += [f"## {tag}", "", *lines]
    return "\n".join(out).replace("\n\n\n", "\n\n").rstrip() + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?")
    parser.add_argument("--ballast")
    args = parser.parse_args()
    if not args.file and not args.ballast:
        parser.error("a file, or --ballast")
    document = ask(args.ballast) if args.ballast else json.load(open(args.file, encoding="utf-8"))
    sys.stdout.write(write(document))


if __name__ == "__main__":
    main()
