#!/usr/bin/env python3
"""Writes src/llm/data/prices.json from a public price book (LiteLLM's model_prices_and_context_window.json, MIT).

usage: build.py BOOK.json[.gz] DATE > src/llm/data/prices.json
Prices become decimal US dollars per million units. Only facts are taken: figures, limits, capabilities, dates.
"""
import gzip
import json
import sys
from decimal import Decimal

MODES = {"chat", "responses", "embedding", "image_generation", "completion"}
FIELDS = {  # ours: theirs
    "input": "input_cost_per_token", "output": "output_cost_per_token",
    "cache_read": "cache_read_input_token_cost",
    "cache_write_5m": "cache_creation_input_token_cost",
    "cache_write_1h": "cache_creation_input_token_cost_above_1hr",
    "reasoning": "output_cost_per_reasoning_token",
    "audio_in": "input_cost_per_audio_token", "audio_out": "output_cost_per_audio_token",
    "image_in": "input_cost_per_image_token", "image_out": "output_cost_per_image_token",
}


def dollars(value):
    text = format((Decimal(str(value)) * 1_000_000).quantize(Decimal("0.000000001")).normalize(), "f")
    return text


def prices(entry, suffix=""):
    out = {}
    for ours, theirs in FIELDS.items():
        value = entry.get(theirs + suffix)
        if value is not None:
            out[ours] = dollars(value)
    return out


def tier(entry):
    for limit in (128, 200, 272):
        suffix = f"_above_{limit}k_tokens"
        if "input_cost_per_token" + suffix in entry:
            return {"above": limit * 1000, **prices(entry, suffix)}
    return None


def model(entry):
    out = {"mode": entry["mode"], **prices(entry)}
    if (t := tier(entry)):
        out["tier"] = {**{k: v for k, v in out.items() if k in FIELDS}, **t}
    for ours, theirs in (("context", "max_input_tokens"), ("max_output", "max_output_tokens")):
        if isinstance(entry.get(theirs), int):
            out[ours] = entry[theirs]
    for ours, theirs in (("tools", "supports_function_calling"), ("images", "supports_vision"), ("json", "supports_response_schema"),
                         ("prefill", "supports_assistant_prefill"), ("reasoning", "supports_reasoning")):
        if entry.get(theirs):
            out[ours] = True
    if entry.get("output_cost_per_image") is not None:
        out["per_image"] = dollars(entry["output_cost_per_image"])
    search = entry.get("search_context_cost_per_query") or {}
    if search:
        out["server_tool"] = dollars(max(search.values()))
    if entry.get("deprecation_date"):
        out["retires"] = entry["deprecation_date"]
    return out


def main():
    book, date = sys.argv[1:3]
    opener = gzip.open if book.endswith(".gz") else open
    with opener(book, "rt") as f:
        entries = json.load(f)
    out = {}
    for name, entry in sorted(entries.items()):
        kind = entry.get("litellm_provider")
        if kind not in ("openai", "anthropic", "gemini", "azure") or entry.get("mode") not in MODES:
            continue
        short = name.removeprefix(kind + "/")
        if "/" in short or short.startswith("ft:"):
            continue
        out[f"{kind}/{short}"] = model(entry)
    lines = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in out.items())
    print('{"as_of": ' + json.dumps(date) + ', "models": {\n' + lines + "\n}}")


if __name__ == "__main__":
    main()
