#!/usr/bin/env python3
"""Writes src/llm/data/prices.json from two public price books, both MIT: LiteLLM's model_prices_and_context_window.json, and
pydantic's genai-prices (its data.json), which knows prices that change on a date, fills gaps and corrects zeroes. Where they
disagree about a model by its very name, the dearer one is taken, so that no budget is overshot, and the other one is told as `disputed`.

usage: build.py LITELLM.json[.gz] GENAI.json DATE > src/llm/data/prices.json
Prices become decimal US dollars per million units. Only facts are taken: figures, limits, capabilities, dates.
"""
import gzip
import json
import math
import re
import sys
from decimal import ROUND_UP, Decimal

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


def tier_above(entry):
    """The suffix of the prices of long prompts, or nothing."""
    return next((s for n in (128, 200, 272) if "input_cost_per_token" + (s := f"_above_{n}k_tokens") in entry), None)


def service(entry, name):
    """The prices of a service tier, where it has both directions of its own; what it does not name rises or falls with its direction."""
    def complete(standard, own):
        if "input" not in own or "output" not in own or not Decimal(standard["input"]) or not Decimal(standard["output"]):
            return None
        return {**times(standard, {k: Decimal(own[k]) / Decimal(standard[k]) for k in ("input", "output")}), **own}
    out = complete(prices(entry), prices(entry, f"_{name}"))
    suffix = tier_above(entry)
    long = complete({**prices(entry), **prices(entry, suffix)}, prices(entry, f"{suffix}_{name}")) if out and suffix else None
    return {**out, "above": long} if long else out


def batch_percent(entry):
    """What the batch service costs, of the price; the dearer direction, rounded up."""
    if entry["litellm_provider"] == "anthropic":
        return 50  # every model, by its vendor's list
    shares = [Decimal(str(entry[key + "_batches"])) / Decimal(str(entry[key])) for key in ("input_cost_per_token", "output_cost_per_token")
              if entry.get(key + "_batches") and entry.get(key)]
    percent = math.ceil(max(shares) * 100) if shares else 100
    return percent if percent < 100 else None


# Vendor's tables of the tokens of one image (src/llm/images.cpp), by undated name. Not gpt-image-1.5 and chatgpt-image-latest: they
# think in text as well, charge it as output, and state no bound for it.
IMAGE_TABLES = ("gpt-image-1", "gpt-image-1-mini", "gpt-image-2")


def image_table(name):
    undated = re.sub(r"-\d{4}-\d{2}-\d{2}$", "", name)
    return undated if undated in IMAGE_TABLES else None


def model(entry):
    out = {"mode": entry["mode"], **prices(entry)}
    if (t := tier(entry)):
        out["tier"] = {**{k: v for k, v in out.items() if k in FIELDS}, **t}
    for name in ("flex", "priority"):
        if (s := service(entry, name)):
            out[name] = s
    if (percent := batch_percent(entry)) and out["mode"] != "image_generation":
        out["batch_percent"] = percent
    for ours, theirs in (("context", "max_input_tokens"), ("max_output", "max_output_tokens")):
        if isinstance(entry.get(theirs), int):
            out[ours] = entry[theirs]
    for ours, theirs in (("tools", "supports_function_calling"), ("images", "supports_vision"), ("json", "supports_response_schema"),
                         ("prefill", "supports_assistant_prefill"), ("reasons", "supports_reasoning")):
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


# The books mean different things by these names, or by their output; tests/contract says what.
FREE_TO_DIFFER = ("gpt-4o-2024-05-13", "gemini-2.5-flash-image", "gemini-3-pro-image-preview", "gemini-3.1-flash-image-preview",
                  "gemini-2.5-flash-preview-09-2025")
DISPUTABLE = ("input", "output", "cache_read", "cache_write_5m")
OLD = ("ada", "babbage", "curie", "davinci", "text-ada", "text-curie", "text-davinci")
GENAI_FIELDS = {"input": "input_mtok", "output": "output_mtok", "cache_read": "cache_read_mtok", "cache_write_5m": "cache_write_mtok",
                "audio_in": "input_audio_mtok", "audio_out": "output_audio_mtok"}


def genai_prices(entry, pick):
    """The figures of one price block; `pick` chooses from {base, tiers}."""
    out = {}
    for ours, theirs in GENAI_FIELDS.items():
        value = entry.get(theirs)
        if isinstance(value, dict):
            value = pick(value)
        if value is not None:
            out[ours] = format(Decimal(str(value)).normalize(), "f")
    if "cache_write_5m" in out:  # Anthropic: an hour costs twice the input, five minutes 1.25 times
        out["cache_write_1h"] = format((Decimal(out["input"]) * 2).normalize(), "f")
    return out


def genai_model(entry):
    blocks = entry["prices"] if isinstance(entry["prices"], list) else [{"prices": entry["prices"]}]
    dated = [(b.get("constraint", {}).get("start_date", ""), b["prices"]) for b in blocks
             if b.get("constraint", {}).keys() <= {"start_date"}]
    return sorted(dated, key=lambda d: d[0])


def genai_names(entry):
    """The names a model is matched by exactly: its id and each `equals`."""
    def walk(rule):
        for key, value in rule.items():
            if key == "equals":
                yield value
            elif key == "or":
                for inner in value:
                    yield from walk(inner)
    return [entry["id"], *walk(entry["match"])]


def times(prices, factors):
    """Every price by the factor of its direction."""
    direction = {k: "output" if k in ("output", "reasoning", "audio_out", "image_out") else "input" for k in FIELDS}
    exact = {k: (Decimal(v) * factors[direction[k]]).quantize(Decimal("0.000000001"), ROUND_UP) for k, v in prices.items() if k in direction}
    return {**prices, **{k: format(v.normalize(), "f") for k, v in exact.items()}}


def dispute(have, base, long):
    """Two books, one name, two prices: the dearer is taken, of all its tiers, and the other is told."""
    shared = [k for k in DISPUTABLE if k in base and k in have and Decimal(have[k]) != Decimal(base[k])]
    if not shared or any(Decimal(have[k]) > Decimal(base[k]) for k in shared):
        if shared:  # ours is the dearer already
            have["disputed"] = ", ".join(f"{k} {base[k]}" for k in shared)
        return
    have["disputed"] = ", ".join(f"{k} {have[k]}" for k in shared)
    factors = {k: Decimal(base[k]) / Decimal(have[k]) for k in ("input", "output")}
    for name in ("flex", "priority"):
        if name in have:
            have[name] = times(have[name], factors)
            if "above" in have[name]:
                have[name]["above"] = times(have[name]["above"], factors)
    have.update({k: v for k, v in base.items() if k in have})
    if "tier" in have:
        have["tier"] = {**times(have["tier"], factors), **{k: v for k, v in long.items() if k in have["tier"]}}


def overlay(out, genai, date):
    """Adds what the first book lacks: models, prices from a later date, and figures where it says zero."""
    kinds = {"openai": "openai", "anthropic": "anthropic", "google": "gemini"}
    for provider in genai:
        kind = kinds.get(provider["id"])
        for entry in provider["models"] if kind else ():
            # Open weights have no price of their vendor's own; Claude at Google is sold under another API.
            if entry["id"].startswith(("gpt-oss", "gemma")) or (kind == "gemini" and "claude" in entry["id"]):
                continue
            dated = genai_model(entry)
            now = [p for start, p in dated if start <= date]
            if not now or "input_mtok" not in now[-1]:
                continue
            base = genai_prices(now[-1], lambda v: v["base"])
            tiers = [t["start"] for v in now[-1].values() if isinstance(v, dict) for t in v["tiers"]]
            names = genai_names(entry)
            for name in names:  # an entry that gives away what the other book sells is a mistake as a whole
                wrong = out.get(f"{kind}/{name}", base)
                if any(Decimal(wrong.get(k, "0")) == 0 < Decimal(base.get(k, "0")) for k in ("input", "output")):
                    del out[f"{kind}/{name}"]
            sibling = next((out[f"{kind}/{n}"] for n in names if f"{kind}/{n}" in out), {"tools": True, "images": True, "json": True})
            for name in names:
                have = out.get(f"{kind}/{name}")
                if have is not None and name not in FREE_TO_DIFFER:
                    dispute(have, base, genai_prices(now[-1], lambda v: v["tiers"][0]["price"]) if tiers else {})
                if have is None:
                    if ":" in name or name.endswith("-") or "realtime" in name or name.startswith(OLD):
                        continue
                    have = out[f"{kind}/{name}"] = {**{k: v for k, v in sibling.items() if v is True or k in ("context", "max_output")},
                                                    "mode": "embedding" if "embedding" in name else "chat", **base}
                    if kind == "anthropic":
                        have["batch_percent"] = 50
                    if tiers:
                        have["tier"] = {"above": min(tiers), **genai_prices(now[-1], lambda v: v["tiers"][0]["price"])}
                    if entry.get("context_window"):
                        have.setdefault("context", entry["context_window"])
                later = [{"from": start, **genai_prices(p, lambda v: v["base"])} for start, p in dated if start > date]
                if later:
                    have["later"] = later


def main():
    book, genai, date = sys.argv[1:4]
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
        if table := image_table(short):
            out[f"{kind}/{short}"]["image_tokens"] = table
    with open(genai) as f:
        overlay(out, json.load(f), date)
    out = dict(sorted(out.items()))
    lines = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in out.items())
    print('{"as_of": ' + json.dumps(date) + ', "models": {\n' + lines + "\n}}")


if __name__ == "__main__":
    main()
