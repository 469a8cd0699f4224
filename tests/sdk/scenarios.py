"""The official Python SDKs, pointed at a gateway: `scenarios.py openai|anthropic PORT KEY POOR_KEY` prints JSON.

Every scenario is its own function; what it returns (or the exception it met) is printed under its name. The assertions
are in test_sdks.py, the same for every SDK.
"""
import json
import sys
import time

sdk, port, key, poor_key = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4]
QUESTION = [{"role": "user", "content": "What is the weather in Paris?"}]
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def failure(call):
    try:
        call()
        return {"error": None}
    except Exception as e:  # the SDK's own classes are what is looked at
        return {"error": type(e).__name__, "status": getattr(e, "status_code", None), "message": str(e)}


def openai_scenarios():
    from openai import OpenAI
    make = lambda k=key, **kw: OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=k, **kw)
    client = make()
    tool = [{"type": "function", "function": {"name": "weather", "description": "The weather", "parameters": PARAMETERS}}]

    def whole():
        r = client.chat.completions.create(model="words", messages=QUESTION)
        return {"text": r.choices[0].message.content, "finish": r.choices[0].finish_reason,
                "usage": [r.usage.prompt_tokens, r.usage.completion_tokens]}

    def stream():
        text, usage, n = "", None, 0
        for c in client.chat.completions.create(model="words", messages=QUESTION, stream=True,
                                                stream_options={"include_usage": True}):
            n += 1
            text += (c.choices[0].delta.content or "") if c.choices else ""
            usage = c.usage or usage
        return {"text": text, "usage": [usage.prompt_tokens, usage.completion_tokens], "events": n}

    def tools():
        r = client.chat.completions.create(model="tools", messages=QUESTION, tools=tool)
        call = r.choices[0].message.tool_calls[0]
        after = client.chat.completions.create(model="tools", tools=tool, messages=[
            *QUESTION, r.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}])
        return {"name": call.function.name, "arguments": json.loads(call.function.arguments),
                "finish": r.choices[0].finish_reason, "text": after.choices[0].message.content}

    def tools_stream():
        name, arguments = "", ""
        for c in client.chat.completions.create(model="tools", messages=QUESTION, tools=tool, stream=True):
            for t in (c.choices[0].delta.tool_calls or []) if c.choices else []:
                name += t.function.name or ""
                arguments += t.function.arguments or ""
        return {"name": name, "arguments": json.loads(arguments)}

    def abort():
        s = client.chat.completions.create(model="slow", messages=QUESTION, stream=True)
        for i, _ in enumerate(s):
            if i == 5:
                s.close()
                break
        return {"ok": True}

    said = dict(model="words", input="Say the words.", instructions="Be brief.", metadata={"feature": "sdk"}, temperature=0.5,
                tools=[{"type": "function", **tool[0]["function"], "strict": False}], tool_choice="none")

    def valid(o):  # the SDK builds its objects without looking: this looks
        type(o).model_validate(o.to_dict())
        return o

    def repeated(r):
        return {"instructions": r.instructions, "metadata": r.metadata, "temperature": r.temperature, "tools": [t.name for t in r.tools],
                "tool_choice": r.tool_choice, "top_p": r.top_p, "truncation": r.truncation}

    def responses():
        r = valid(client.responses.create(**said))
        return {"text": r.output_text, "usage": [r.usage.input_tokens, r.usage.output_tokens], "status": r.status, "repeated": [repeated(r)]}

    def batches():
        lines = [{"custom_id": f"line-{i}", "method": "POST", "url": "/v1/chat/completions", "body": {"model": m, "messages": QUESTION}}
                 for i, m in enumerate(("words", "words", "nonexistent"))]
        file = valid(client.files.create(file=("in.jsonl", "\n".join(map(json.dumps, lines)).encode()), purpose="batch"))
        batch = valid(client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"a": "b"}))
        first = batch.status
        while batch.status not in ("completed", "failed", "expired", "cancelled"):
            time.sleep(0.05)
            batch = valid(client.batches.retrieve(batch.id))
        answers = [json.loads(l) for l in client.files.content(batch.output_file_id).text.splitlines()]
        errors = [json.loads(l) for l in client.files.content(batch.error_file_id).text.splitlines()]
        listed = [b.id for b in client.batches.list(limit=1)]
        files = {f.id for f in client.files.list()}
        gone = client.files.delete(file.id)
        return {"first": first, "status": batch.status, "counts": batch.request_counts.to_dict(), "text": [a["response"]["body"]["choices"][0]["message"]["content"] for a in answers],
                "errors": [e["response"]["status_code"] for e in errors], "listed": listed == [batch.id], "files": len(files), "deleted": gone.deleted,
                "output_tokens": batch.usage.output_tokens}

    def responses_stream():
        text, last, told = "", None, []
        for e in client.responses.create(**said, stream=True):
            if e.type == "response.output_text.delta":
                text += e.delta
            if hasattr(valid(e), "response"):
                told.append(repeated(e.response))
            last = e
        return {"text": text, "last": last.type, "usage": [last.response.usage.input_tokens, last.response.usage.output_tokens], "repeated": told}

    return {
        "whole": whole, "stream": stream, "tools": tools, "tools_stream": tools_stream, "abort": abort,
        "responses": responses, "responses_stream": responses_stream, "batches": batches,
        "models": lambda: {"ids": [m.id for m in client.models.list()]},
        "embeddings": lambda: {"length": len(client.embeddings.create(model="vector", input="hi").data[0].embedding)},
        "retries": lambda: {"text": client.chat.completions.create(model="flaky", messages=QUESTION).choices[0].message.content},
        "stream_error": lambda: failure(lambda: list(client.chat.completions.create(model="cut", messages=QUESTION, stream=True))),
        "unauthorized": lambda: failure(lambda: make("sk-wrong").chat.completions.create(model="words", messages=QUESTION)),
        "not_found": lambda: failure(lambda: client.chat.completions.create(model="nonexistent", messages=QUESTION)),
        "invalid": lambda: failure(lambda: client.chat.completions.create(model="words", messages=[{"role": "king", "content": "x"}])),
        "budget": lambda: failure(lambda: make(poor_key).chat.completions.create(model="words", messages=QUESTION)),
    }


def anthropic_scenarios():
    from anthropic import Anthropic
    make = lambda k=key, **kw: Anthropic(base_url=f"http://127.0.0.1:{port}", api_key=k, **kw)
    client = make()
    tool = [{"name": "weather", "description": "The weather", "input_schema": PARAMETERS}]
    ask = dict(max_tokens=500, messages=QUESTION)

    def whole():
        r = client.messages.create(model="words", **ask)
        return {"text": r.content[0].text, "finish": r.stop_reason, "usage": [r.usage.input_tokens, r.usage.output_tokens]}

    def stream():
        n = 0
        with client.messages.stream(model="words", **ask) as s:
            for _ in s:
                n += 1
            r = s.get_final_message()
        return {"text": r.content[0].text, "usage": [r.usage.input_tokens, r.usage.output_tokens], "events": n}

    def answer(r):
        use = next(b for b in r.content if b.type == "tool_use")
        after = client.messages.create(model="tools", max_tokens=500, tools=tool, messages=[
            *QUESTION, {"role": "assistant", "content": r.content},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": use.id, "content": "sunny"}]}])
        return {"name": use.name, "arguments": use.input, "finish": r.stop_reason, "text": after.content[0].text}

    def tools_stream():
        with client.messages.stream(model="tools", tools=tool, **ask) as s:
            return answer(s.get_final_message())

    def abort():
        with client.messages.stream(model="slow", **ask) as s:
            for i, _ in enumerate(s):
                if i == 8:
                    break
        return {"ok": True}

    def drain(model):
        with client.messages.stream(model=model, **ask) as s:
            s.get_final_message()

    return {
        "whole": whole, "stream": stream, "tools": lambda: answer(client.messages.create(model="tools", tools=tool, **ask)),
        "tools_stream": tools_stream, "abort": abort,
        "count_tokens": lambda: {"tokens": client.messages.count_tokens(model="words", messages=QUESTION).input_tokens},
        "retries": lambda: {"text": client.messages.create(model="flaky", **ask).content[0].text},
        "stream_error": lambda: failure(lambda: drain("cut")),
        "unauthorized": lambda: failure(lambda: make("sk-wrong").messages.create(model="words", **ask)),
        "not_found": lambda: failure(lambda: client.messages.create(model="nonexistent", **ask)),
        "invalid": lambda: failure(lambda: client.messages.create(model="words", max_tokens=5, messages=[{"role": "king", "content": "x"}])),
        "budget": lambda: failure(lambda: make(poor_key).messages.create(model="words", **ask)),
    }


out = {}
for name, scenario in (openai_scenarios() if sdk == "openai" else anthropic_scenarios()).items():
    try:
        out[name] = scenario()
    except Exception as e:
        out[name] = {"crashed": f"{type(e).__name__}: {e}"}
print(json.dumps(out))
