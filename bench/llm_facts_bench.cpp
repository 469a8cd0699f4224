// Time to know what the call road must know of a body. Targets: 1 KB ≤ 1 µs, 16 KB ≤ 5 µs.
#include <benchmark/benchmark.h>

#include <string>

#include "llm/facts.hpp"

namespace {

using namespace ballast::llm;

std::string chat_body(std::size_t bytes) {
  std::string body = R"({"model":"gpt-5-mini","stream":true,"max_tokens":256,"user":"u-1","messages":[{"role":"system","content":"You are terse."})";
  const std::string text = "The quick brown fox jumps over the lazy dog and says \\\"hello\\\" to it. ";
  bool user = true;
  while (body.size() + 40 < bytes) {
    body += user ? R"(,{"role":"user","content":")" : R"(,{"role":"assistant","content":")";
    for (std::size_t n = 0; n < 600 && body.size() + 10 < bytes; n += text.size()) body += text;
    body += "\"}";
    user = !user;
  }
  return body + "]}";
}

void request_facts(benchmark::State& state) {
  auto body = chat_body(static_cast<std::size_t>(state.range(0)));
  const auto size = body.size();
  body.resize(size + kJsonPadding, '\0');
  FactsReader reader;
  for (auto _ : state) {
    auto facts = reader.request(Wire::openai_chat, std::string_view(body).substr(0, size), state.range(1) != 0 ? body.size() : 0);
    if (!facts) state.SkipWithError(facts.error().message.c_str());
    benchmark::DoNotOptimize(facts);
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * size));
}
BENCHMARK(request_facts)->ArgNames({"bytes", "padded"})->Args({1024, 1})->Args({1024, 0})->Args({16384, 1})->Args({16384, 0});

void splice(benchmark::State& state) {
  const auto body = chat_body(static_cast<std::size_t>(state.range(0)));
  FactsReader reader;
  const auto facts = reader.request(Wire::openai_chat, body).value();
  for (auto _ : state) {
    auto out = splice_request(Wire::openai_chat, body, facts, {.model = "gpt-5", .max_tokens = 100, .include_usage = true});
    benchmark::DoNotOptimize(out);
  }
}
BENCHMARK(splice)->Arg(1024)->Arg(16384);

void chunk_facts(benchmark::State& state) {
  const std::string data = R"({"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"gpt-5-mini-2025","choices":[{"index":0,"delta":{"content":" token"},"logprobs":null,"finish_reason":null}],"usage":null})";
  FactsReader reader;
  for (auto _ : state) {
    auto facts = reader.chunk(Wire::openai_chat, "", data);
    benchmark::DoNotOptimize(facts);
  }
}
BENCHMARK(chunk_facts);

void reply_facts(benchmark::State& state) {
  const std::string body = R"({"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"gpt-5","choices":[{"index":0,"message":{"role":"assistant","content":")" +
      std::string(1500, 'x') + R"("},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":300,"total_tokens":309,"prompt_tokens_details":{"cached_tokens":0}}})";
  FactsReader reader;
  for (auto _ : state) {
    auto facts = reader.reply(Wire::openai_chat, body);
    benchmark::DoNotOptimize(facts);
  }
}
BENCHMARK(reply_facts);

}  // namespace
