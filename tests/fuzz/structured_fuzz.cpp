// What a model says where JSON was asked for: what is repaired is JSON, the scan agrees with the whole parser, and a stream never tells
// what is not a beginning of JSON, whatever its pieces. The first byte says how long they are.
#include <cstdint>
#include <string>
#include <string_view>

#include "base/json.hpp"
#include "base/json_scan.hpp"
#include "gateway/structured_stream.hpp"
#include "llm/json_repair.hpp"
#include "require.hpp"

using namespace ballast;
using namespace ballast::gateway;

namespace {

void scan_and_repair(std::string_view text) {
  JsonScan scan(512);
  const bool whole = scan.push(text) == text.size() && scan.complete();
  const auto parsed = parse_json(text);
  if (parsed) require(whole);
  if (whole && !parsed) require(parsed.error().message.find("out of range") != std::string::npos);
  if (const auto repaired = llm::repair_json(text)) {
    JsonScan again(512);
    require(again.push(repaired->text) == repaired->text.size() && again.complete());
  }
  if (llm::cut_off_json(text)) require(!whole);
}

void stream(const Demand& demand, std::string_view text, std::size_t piece, bool pass) {
  AnswerWatch watch({.answer = &demand}, {.pass = pass});
  std::vector<llm::StreamEvent> out;
  for (std::size_t at = 0; at < text.size(); at += piece) watch.push(llm::TextDelta{0, std::string(text.substr(at, piece)), {}}, out);
  JsonScan scan(512);
  for (const auto& e : out) {
    const auto& told = std::get<llm::TextDelta>(e).text;
    require(scan.push(told) == told.size());
  }
  watch.push(llm::Finish{0, llm::FinishReason::stop, {}, {}}, out);
  const bool finished = std::holds_alternative<llm::Finish>(out.empty() ? llm::StreamEvent{} : out.back());
  require(finished != watch.refused());
  if (!finished || pass) return;
  std::string whole;
  for (const auto& e : out)
    if (const auto* t = std::get_if<llm::TextDelta>(&e)) whole += t->text;
  const auto value = parse_json(whole, {.max_depth = 600});
  require(value.has_value() && (!demand.schema || demand.schema->valid(*value)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto demand = *compile_demand({.kind = llm::ResponseFormat::Kind::schema, .schema = *parse_json(R"({"type":["object","array"],"maxProperties":3})")}, "f");
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  scan_and_repair(text);
  stream(*demand, text, data[0] % 16 + 1, data[0] >= 128);
  return 0;
}
