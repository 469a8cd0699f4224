// The recorded exchanges under BALLAST_SHARED_DATA/wire that speak one of the four wires.
#pragma once
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "base/json.hpp"
#include "llm/types.hpp"

namespace ballast::llm::test {

struct Recording {
  Wire wire;
  std::string dir;
  int status = 200;
  std::string request, reply, stream;   // empty where absent
};

inline std::string wire_root() { return std::string(BALLAST_SHARED_DATA) + "/wire"; }

inline std::string slurp(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline std::optional<Wire> wire_of_folder(std::string_view folder) {
  struct Row { std::string_view name; Wire wire; };
  static constexpr Row rows[] = {
      {"openai-chat", Wire::openai_chat}, {"azure-openai-chat", Wire::openai_chat}, {"openrouter-chat", Wire::openai_chat},
      {"groq-chat", Wire::openai_chat}, {"deepseek-chat", Wire::openai_chat}, {"mistral-chat", Wire::openai_chat},
      {"cerebras-chat", Wire::openai_chat}, {"huggingface-chat", Wire::openai_chat}, {"perplexity-chat", Wire::openai_chat},
      {"together-chat", Wire::openai_chat}, {"zai-chat", Wire::openai_chat}, {"writer-chat", Wire::openai_chat}, {"gemini-chat", Wire::openai_chat},
      {"openai-responses", Wire::openai_responses}, {"xai-responses", Wire::openai_responses}, {"azure-openai-responses", Wire::openai_responses},
      {"deepseek-responses", Wire::openai_responses}, {"openrouter-responses", Wire::openai_responses},
      {"anthropic-messages", Wire::anthropic_messages}, {"gemini-generate", Wire::gemini}, {"gemini-generate-stream", Wire::gemini},
      {"vertex-generate", Wire::gemini}, {"vertex-generate-stream", Wire::gemini}};
  for (const auto& row : rows)
    if (row.name == folder) return row.wire;
  return std::nullopt;
}

inline std::vector<Recording> recordings() {
  std::vector<Recording> out;
  std::ifstream index(wire_root() + "/index.jsonl");
  for (std::string line; std::getline(index, line);) {
    auto row = parse_json(line);
    if (!row) continue;
    const auto& o = row->as_object();
    const auto dir = std::string(o.at("dir").as_string());
    const auto wire = wire_of_folder(dir.substr(0, dir.find('/')));
    if (!wire) continue;
    Recording r{.wire = *wire, .dir = dir};
    if (const auto* s = o.if_contains("status"); s != nullptr && s->is_int64()) r.status = static_cast<int>(s->as_int64());
    const auto path = std::filesystem::path(wire_root()) / dir;
    r.request = slurp(path / "request.json");
    r.reply = slurp(path / "response.json");
    r.stream = slurp(path / "response.sse");
    if (r.status < 400 && r.reply.starts_with("[")) continue;   // a stream recorded as one array
    out.push_back(std::move(r));
  }
  return out;
}

struct SseEvent { std::string event, data; };

// Enough of the event-stream format for recordings; the real parser is net/sse.
inline std::vector<SseEvent> events_of(std::string_view body) {
  std::vector<SseEvent> out;
  SseEvent now;
  while (!body.empty()) {
    const auto end = body.find('\n');
    auto line = body.substr(0, end);
    body = end == std::string_view::npos ? std::string_view{} : body.substr(end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    const auto value = [&](std::size_t n) { auto v = line.substr(n); return std::string(v.starts_with(' ') ? v.substr(1) : v); };
    if (line.empty()) {
      if (!now.data.empty()) out.push_back(std::move(now));
      now = {};
    } else if (line.starts_with("data:")) {
      if (!now.data.empty()) now.data += '\n';
      now.data += value(5);
    } else if (line.starts_with("event:")) {
      now.event = value(6);
    }
  }
  if (!now.data.empty()) out.push_back(std::move(now));
  return out;
}

}  // namespace ballast::llm::test
