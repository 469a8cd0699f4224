// Bodies and streams of every wire: the readers never crash, what parses is written again and parses the same, and the fast
// reader accepts nothing whose splice is broken. The first byte picks the wire and the target.
#include <cstdint>
#include <string>
#include <string_view>

#include "base/json.hpp"
#include "llm/facts.hpp"
#include "llm/wire.hpp"
#include "require.hpp"

using namespace ballast;
using namespace ballast::llm;

namespace {

void request(Wire wire, std::string_view body) {
  json::object echo;
  repeat_request(Wire::openai_responses, echo, body);
  require(echo.contains("tools"));
  FactsReader reader;
  const auto facts = reader.request(wire, body);
  auto document = parse_json(body);
  if (facts && document) {
    const auto edited = splice_request(wire, body, *facts, {.max_tokens = 7});
    const auto again = reader.request(wire, edited);
    require(again.has_value() && again->max_tokens == 7);
  }
  if (!document) return;
  const auto parsed = parse_request(wire, *document);
  if (!parsed) return;
  if (const auto written = write_request(wire, *parsed)) require(json::value(*written) == *document);
  for (std::size_t w = 0; w < kWires; ++w) (void)write_request(static_cast<Wire>(w), *parsed);
}

void reply(Wire wire, std::string_view body) {
  FactsReader reader;
  (void)reader.reply(wire, body);
  if (const auto told = retell(wire, body, "{}")) require(!retell(wire, *told, "{}"));
  auto document = parse_json(body);
  if (!document) return;
  (void)parse_error(wire, 400, {}, body);
  const auto parsed = parse_reply(wire, *document);
  if (!parsed) return;
  for (std::size_t w = 0; w < kWires; ++w) (void)write_reply(static_cast<Wire>(w), *parsed);
}

void stream(Wire wire, std::string_view lines) {
  FactsReader reader;
  StreamDecoder decoder(wire);
  std::vector<StreamEvent> events;
  while (!lines.empty()) {
    const auto end = lines.find('\n');
    const auto line = lines.substr(0, end);
    lines = end == std::string_view::npos ? std::string_view{} : lines.substr(end + 1);
    (void)decoder.push("", line, events);
    (void)reader.chunk(wire, "", line);
  }
  for (std::size_t w = 0; w < kWires; ++w) {
    StreamEncoder encoder(static_cast<Wire>(w));
    std::string out;
    for (const auto& e : events) encoder.push(e, out);
    encoder.finish(out);
    require(encoder.ended() && !out.empty());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0 || size > 1 << 16) return 0;
  const auto wire = static_cast<Wire>(data[0] % kWires);
  const std::string body(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] / kWires % 3) {
    case 0: request(wire, body); break;
    case 1: reply(wire, body); break;
    default: stream(wire, body);
  }
  return 0;
}
