#!/usr/bin/env python3
"""docs/configuration.md from the schema that `ballast check --schema` prints, so that every key is there and right.

  ballast check --schema | tools/gen_config_docs.py > docs/configuration.md
"""
from __future__ import annotations

import json
import sys

INTRO = """# Configuration

Generated from the schema by `make docs`; do not edit by hand.

One file, `ballast.yaml`, every section optional. `ballast serve` reads `--config FILE`, else `$BALLAST_CONFIG`, else
`./ballast.yaml` if it is there. With no file (or no `providers:`) there is the simulator, and every provider whose usual variable
is in the environment: `OPENAI_API_KEY`, `ANTHROPIC_API_KEY`, `GEMINI_API_KEY`.

- `${NAME}` is replaced from the environment (or from a file: [deployment.md](deployment.md#secrets)), `${NAME:-default}` when it is unset or empty, `$${` is a literal `${`. It is replaced
  after parsing, so a secret cannot change the structure. An unset name is an error.
- An unknown key is an error with line, column and the nearest right name. `ballast check` reports every mistake of a file at once
  and prints what would run; `ballast check --schema` prints a JSON Schema for editors, also in
  [ballast.schema.json](ballast.schema.json): `# yaml-language-server: $schema=…/ballast.schema.json`.
- Durations: `250ms`, `10s`, `5m`, `2h`, `7d`. Sizes: `32KB`, `64MB` (powers of 1024). Money: `$5`, `0.25`. Rates: `600/m`, per `s`,
  `m`, `h` or `d`. Times: `2026-11-21` or `2026-11-21T04:00:00Z`.
- A request's `model` is, in this order, a route, an alias, `PROVIDER/MODEL`, or a model that exactly one provider serves.
- A call is attributed to a user and a feature by the key's own, else `x-ballast-user` and `x-ballast-feature`, else the body's
  `user` or `metadata`.

## A complete example

```yaml
listen: 127.0.0.1:8080
admin_key: ${BALLAST_ADMIN_KEY}
ledger: {mode: background, sync_every: 50ms}
providers:
  openai: {kind: openai, keys: [{value: "${OPENAI_API_KEY}", rpm: 500}]}
  claude: {kind: anthropic, key: "${ANTHROPIC_API_KEY}"}
  local:  {kind: openai, base_url: "http://127.0.0.1:11434/v1", quirks: {include_usage: false}}
  sim:
    kind: simulator
    models:
      sim-small: {ttft: 20ms, tokens_per_second: 100, output_tokens: 60, price: {input: $0.10, output: $0.40}}
      sim-flaky: {faults: [{kind: http_429, rate: 1.0, retry_after: 1s, from: 0s, until: 60s}]}
models:
  local/gemma3: {price: {input: $0, output: $0}, context: 32768}
routes:
  chat:
    targets: [{model: openai/gpt-5-mini, weight: 3}, claude/claude-haiku-4-5, sim/sim-small]
    strategy: ordered
    retries: {attempts: 4, deadline: 60s}
    hedge: {after: 800ms}
    stream: {rescue: restart, hold_back: 64}
    cache: {ttl: 1h, scope: key}
    queue: {wait: 5s}
    degrade: {stale: 24h, template: "We are busy; please try again in a minute."}
aliases: {fast: chat}
limits:
  - {scope: key, requests: 600/m, tokens: 200000/m, concurrency: 50}
  - {scope: model, match: sim/sim-small, requests: 10/s}
budgets:
  - {scope: system, amount: $50, per: day}
  - {scope: key, amount: $5, per: month}
  - {scope: request, amount: $0.50}
keys:
  - {name: app, value: "${APP_KEY}", scopes: [call], models: [chat], team: web}
```
"""


def kind_of(schema: dict) -> str:
    if "enum" in schema:
        return " \\| ".join(f"`{v}`" for v in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(kind_of(s) for s in schema["anyOf"]))
    pattern = schema.get("pattern", "")
    for mark, name in (("KB|MB", "size"), ("ns|us|ms", "duration"), ("/(s|m|h|d)", "rate"), ("true|false", "true or false"),
                       ("\\$?[0-9.]+|", "money"), ("[0-9.eE", "number"), ("-?[0-9]+|", "whole number")):
        if mark in pattern:
            return name
    kinds = schema.get("type", "text")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if {"string", "array", "object"} <= set(kinds):
        return "text, list or map"
    if "array" in kinds:
        return "list" if "object" in str(schema.get("items", {}).get("type", "")) else "list of texts"
    if "object" in kinds:
        return "section" if schema.get("properties") else "map"
    return "text"


def inner(schema: dict) -> tuple[str, dict] | None:
    """The object below a key, and how its place is written."""
    if schema.get("properties"):
        return "", schema
    more = schema.get("additionalProperties")
    for candidate in (more, *more.get("anyOf", ())) if isinstance(more, dict) else ():
        if candidate.get("properties"):
            return ".NAME", candidate
    items = schema.get("items", {})
    for candidate in (items, *items.get("anyOf", ())):
        if candidate.get("properties"):
            return "[]", candidate
    for candidate in schema.get("anyOf", ()):
        found = inner(candidate)
        if found and not ("median" in found[1]["properties"]):
            return found
    return None


def tables(path: str, schema: dict, out: list[str], depth: int, seen: dict[int | str, str]) -> None:
    out += ["| key | value | default | |", "|---|---|---|---|"]
    required = set(schema.get("required", ()))
    below = []
    for name, key in schema["properties"].items():
        found = inner(key)
        kind = "map" if found and found[0] == ".NAME" else "list" if found and found[0] == "[]" else "section" if found else kind_of(key)
        default = f"`{key['default']}`" if "default" in key else "required" if name in required else ""
        example = key.get("examples", [None])[0]
        about = key.get("description", "") + (f" For example `{example}`." if example and not default else "")
        out.append(f"| `{name}` | {kind} | {default} | {about} |")
        if found:
            below.append((name, key, found))
    out.append("")
    for name, key, (mark, section) in below:
        place = f"{path}.{name}{mark}" if path else f"{name}{mark}"
        same = json.dumps(section, sort_keys=True)
        if same in seen:
            out += [f"{'#' * min(depth, 5)} `{place}`", "", f"As [`{seen[same]}`](#{anchor(seen[same])}).", ""]
            continue
        seen[same] = place
        out += [f"{'#' * min(depth, 5)} `{place}`", "", key.get("description", ""), ""]
        tables(place, section, out, depth + 1, seen)


def anchor(place: str) -> str:
    return "".join(c for c in place.lower() if c.isalnum() or c in "_-")


def main() -> None:
    out = [INTRO, "## Every key", ""]
    tables("", json.load(sys.stdin), out, 3, {})
    sys.stdout.write("\n".join(out).rstrip() + "\n")


if __name__ == "__main__":
    main()
