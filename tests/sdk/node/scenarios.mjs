// The official JavaScript SDKs, pointed at a gateway: `node scenarios.mjs SDK PORT KEY POOR_KEY` prints JSON, one entry
// per scenario; the assertions are in test_sdks.py. SDK: openai, anthropic, ai-openai, ai-openai-chat, ai-anthropic.
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [sdk, port, key, poorKey] = process.argv.slice(2);
const resolve = createRequire(`${process.env.SDK_HOME}/package.json`).resolve; // the packages live in build/, not beside this file
const load = async (name) => import(pathToFileURL(resolve(name)).href);
const origin = `http://127.0.0.1:${port}`;
const question = [{ role: 'user', content: 'What is the weather in Paris?' }];
const parameters = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] };

async function failure(call) {
  try {
    await call();
    return { error: null };
  } catch (e) {
    const inner = e.lastError ?? e; // the AI SDK wraps what it retried
    return { error: inner.name === 'Error' ? inner.constructor.name : inner.name, status: inner.status ?? inner.statusCode ?? null,
             message: String(inner.message) };
  }
}

async function openai() {
  const { default: OpenAI } = await load('openai');
  const make = (apiKey = key) => new OpenAI({ baseURL: `${origin}/v1`, apiKey });
  const client = make();
  const create = (body, c = client) => c.chat.completions.create({ messages: question, ...body });
  const tools = [{ type: 'function', function: { name: 'weather', description: 'The weather', parameters } }];
  const said = { model: 'words', input: 'Say the words.', instructions: 'Be brief.', metadata: { feature: 'sdk' }, temperature: 0.5,
                 tools: [{ type: 'function', ...tools[0].function, strict: false }], tool_choice: 'none' };
  const repeated = (r) => ({ instructions: r.instructions, metadata: r.metadata, temperature: r.temperature, tools: r.tools.map((t) => t.name),
                             tool_choice: r.tool_choice, top_p: r.top_p, truncation: r.truncation });
  return {
    whole: async () => {
      const r = await create({ model: 'words' });
      return { text: r.choices[0].message.content, finish: r.choices[0].finish_reason, usage: [r.usage.prompt_tokens, r.usage.completion_tokens] };
    },
    stream: async () => {
      let text = '', usage, events = 0;
      for await (const c of await create({ model: 'words', stream: true, stream_options: { include_usage: true } })) {
        events++;
        text += c.choices[0]?.delta.content ?? '';
        usage = c.usage ?? usage;
      }
      return { text, events, usage: [usage.prompt_tokens, usage.completion_tokens] };
    },
    tools: async () => {
      const r = await create({ model: 'tools', tools });
      const call = r.choices[0].message.tool_calls[0];
      const after = await create({ model: 'tools', tools, messages: [...question, r.choices[0].message, { role: 'tool', tool_call_id: call.id, content: 'sunny' }] });
      return { name: call.function.name, arguments: JSON.parse(call.function.arguments), finish: r.choices[0].finish_reason, text: after.choices[0].message.content };
    },
    tools_stream: async () => {
      const r = await client.chat.completions.stream({ model: 'tools', messages: question, tools }).finalChatCompletion();
      const call = r.choices[0].message.tool_calls[0];
      return { name: call.function.name, arguments: JSON.parse(call.function.arguments) };
    },
    abort: async () => {
      const s = await create({ model: 'slow', stream: true });
      let n = 0;
      for await (const _ of s) if (++n === 5) { s.controller.abort(); break; }
      return { ok: true };
    },
    responses: async () => {
      const r = await client.responses.create(said);
      return { text: r.output_text, status: r.status, usage: [r.usage.input_tokens, r.usage.output_tokens], repeated: [repeated(r)] };
    },
    responses_stream: async () => {
      let text = '', last;
      const told = [];
      for await (const e of await client.responses.create({ ...said, stream: true })) {
        if (e.type === 'response.output_text.delta') text += e.delta;
        if (e.response) told.push(repeated(e.response));
        last = e;
      }
      return { text, last: last.type, usage: [last.response.usage.input_tokens, last.response.usage.output_tokens], repeated: told };
    },
    models: async () => ({ ids: (await client.models.list()).data.map((m) => m.id) }),
    embeddings: async () => ({ length: (await client.embeddings.create({ model: 'vector', input: 'hi' })).data[0].embedding.length }),
    retries: async () => ({ text: (await create({ model: 'flaky' })).choices[0].message.content }),
    stream_error: () => failure(async () => { for await (const _ of await create({ model: 'cut', stream: true })); }),
    unauthorized: () => failure(() => create({ model: 'words' }, make('sk-wrong'))),
    not_found: () => failure(() => create({ model: 'nonexistent' })),
    invalid: () => failure(() => create({ model: 'words', messages: [{ role: 'king', content: 'x' }] })),
    budget: () => failure(() => create({ model: 'words' }, make(poorKey))),
  };
}

async function anthropic() {
  const { default: Anthropic } = await load('@anthropic-ai/sdk');
  const make = (apiKey = key) => new Anthropic({ baseURL: origin, apiKey });
  const client = make();
  const create = (body, c = client) => c.messages.create({ max_tokens: 500, messages: question, ...body });
  const tools = [{ name: 'weather', description: 'The weather', input_schema: parameters }];
  const answer = async (r) => {
    const use = r.content.find((b) => b.type === 'tool_use');
    const after = await create({ model: 'tools', tools, messages: [...question, { role: 'assistant', content: r.content },
      { role: 'user', content: [{ type: 'tool_result', tool_use_id: use.id, content: 'sunny' }] }] });
    return { name: use.name, arguments: use.input, finish: r.stop_reason, text: after.content[0].text };
  };
  const stream = (body) => client.messages.stream({ max_tokens: 500, messages: question, ...body });
  return {
    whole: async () => {
      const r = await create({ model: 'words' });
      return { text: r.content[0].text, finish: r.stop_reason, usage: [r.usage.input_tokens, r.usage.output_tokens] };
    },
    stream: async () => {
      const s = stream({ model: 'words' });
      let events = 0;
      for await (const _ of s) events++;
      const r = await s.finalMessage();
      return { text: r.content[0].text, events, usage: [r.usage.input_tokens, r.usage.output_tokens] };
    },
    tools: async () => answer(await create({ model: 'tools', tools })),
    tools_stream: async () => answer(await stream({ model: 'tools', tools }).finalMessage()),
    abort: async () => {
      const s = await create({ model: 'slow', stream: true });
      let n = 0;
      for await (const _ of s) if (++n === 8) { s.controller.abort(); break; }
      return { ok: true };
    },
    count_tokens: async () => ({ tokens: (await client.messages.countTokens({ model: 'words', messages: question })).input_tokens }),
    retries: async () => ({ text: (await create({ model: 'flaky' })).content[0].text }),
    stream_error: () => failure(() => stream({ model: 'cut' }).finalMessage()),
    unauthorized: () => failure(() => create({ model: 'words' }, make('sk-wrong'))),
    not_found: () => failure(() => create({ model: 'nonexistent' })),
    invalid: () => failure(() => create({ model: 'words', messages: [{ role: 'king', content: 'x' }] })),
    budget: () => failure(() => create({ model: 'words' }, make(poorKey))),
  };
}

async function ai(which) {
  const { generateText, streamText, tool, stepCountIs, isStepCount } = await load('ai');
  const { z } = await load('zod');
  const provider = which === 'ai-anthropic'
    ? async (apiKey) => (await load('@ai-sdk/anthropic')).createAnthropic({ baseURL: `${origin}/v1`, apiKey })
    : async (apiKey) => {
        const p = (await load('@ai-sdk/openai')).createOpenAI({ baseURL: `${origin}/v1`, apiKey });
        return which === 'ai-openai-chat' ? p.chat : p; // the default of the package is the responses API
      };
  const mine = await provider(key);
  const prompt = 'What is the weather in Paris?';
  const weather = tool({ description: 'The weather', inputSchema: z.object({ city: z.string() }), execute: async () => 'sunny' });
  const loop = { prompt, tools: { weather }, stopWhen: (stepCountIs ?? isStepCount)(3) };
  const story = (steps, text) => {
    const call = steps[0].toolCalls[0];
    return { name: call.toolName, arguments: call.input, finish: steps[0].finishReason, text };
  };
  const drain = async (r) => {
    let text = '', events = 0;
    for await (const part of r.fullStream) {
      events++;
      if (part.type === 'error') throw part.error;
      if (part.type === 'text-delta') text += part.text ?? part.delta;
    }
    return { text, events };
  };
  return {
    whole: async () => {
      const r = await generateText({ model: mine('words'), prompt });
      return { text: r.text, finish: r.finishReason, usage: [r.usage.inputTokens, r.usage.outputTokens] };
    },
    stream: async () => {
      const r = streamText({ model: mine('words'), prompt });
      const got = await drain(r);
      const u = await r.usage;
      return { ...got, usage: [u.inputTokens, u.outputTokens] };
    },
    tools: async () => {
      const r = await generateText({ model: mine('tools'), ...loop });
      return story(r.steps, r.text);
    },
    tools_stream: async () => {
      const r = streamText({ model: mine('tools'), ...loop });
      await drain(r);
      return story(await r.steps, await r.text);
    },
    abort: async () => {
      const controller = new AbortController();
      const r = streamText({ model: mine('slow'), prompt, abortSignal: controller.signal, onError: () => {} });
      let n = 0;
      try { for await (const _ of r.textStream) if (++n === 5) controller.abort(); } catch { /* aborted, as asked */ }
      return { ok: n >= 5 };
    },
    retries: async () => ({ text: (await generateText({ model: mine('flaky'), prompt })).text }),
    stream_error: () => failure(() => drain(streamText({ model: mine('cut'), prompt, maxRetries: 0, onError: () => {} }))),
    unauthorized: () => failure(async () => generateText({ model: (await provider('sk-wrong'))('words'), prompt })),
    not_found: () => failure(() => generateText({ model: mine('nonexistent'), prompt })),
    budget: () => failure(async () => generateText({ model: (await provider(poorKey))('words'), prompt, maxRetries: 0 })),
  };
}

const out = {};
const scenarios = await (sdk === 'openai' ? openai() : sdk === 'anthropic' ? anthropic() : ai(sdk));
for (const [name, scenario] of Object.entries(scenarios)) {
  try {
    out[name] = await scenario();
  } catch (e) {
    out[name] = { crashed: `${e.name}: ${e.message}` };
  }
}
console.log(JSON.stringify(out));
process.exit(0);
