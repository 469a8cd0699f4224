// Random answers, told truly or with the lies that models tell, in random pieces: what a stream's judge lets through, held against the judge
// of whole answers. Seeded: a failure prints its seed and the text.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/json.hpp"
#include "base/random.hpp"
#include "gateway/structured_stream.hpp"
#include "llm/wire.hpp"
#include "net/sse.hpp"

namespace ballast::gateway {
namespace {

using llm::FinishReason;

constexpr std::string_view kSchemas[] = {
    R"({"type":"object","properties":{"a":{"type":"string"},"n":{"type":"number","minimum":0},"list":{"type":"array","items":{"type":["string","integer","null"]}}},"required":["a"],"additionalProperties":false})",
    R"({"type":"array","items":{"type":"object","maxProperties":3}})",
    R"({"type":["object","array","string","number","boolean","null"],"maxProperties":4})",
    R"({"type":"string","maxLength":40})",
};

struct Dice {
  SeededRandom random;
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(random.next() % n); }
  bool one_in(std::size_t n) { return below(n) == 0; }
  template <class T, std::size_t N>
  const T& of(const T (&list)[N]) { return list[below(N)]; }
};

std::string blanks(Dice& d) {
  constexpr std::string_view kinds[] = {"", "", "", " ", "\n", "\t ", "\r\n  "};
  return std::string(d.of(kinds));
}

std::string quoted(Dice& d) {
  constexpr std::string_view pieces[] = {"x", "ab", " ", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x8C\x8D", "\\n", "\\\"", "\\\\", "\\u00e9", "\\ud83c\\udf0d", "{", "]", ",", "```", "'", ":"};
  std::string out = "\"";
  for (std::size_t n = d.below(6); n > 0; --n) out += d.of(pieces);
  return out + "\"";
}

std::string value(Dice& d, int depth) {
  constexpr std::string_view scalars[] = {"0", "-1", "12.50", "1e3", "123456789012345678901", "true", "false", "null"};
  const std::size_t kind = d.below(depth > 3 ? 2 : 5);
  if (kind == 0) return std::string(d.of(scalars));
  if (kind == 1) return quoted(d);
  const bool object = kind < 4;
  std::string out(1, object ? '{' : '[');
  const std::size_t n = d.below(4);
  for (std::size_t i = 0; i < n; ++i) {
    out += blanks(d) + (object ? fmt::format("\"k{}\"", i) + blanks(d) + ":" : "") + blanks(d) + value(d, depth + 1) + blanks(d);
    if (i + 1 < n) out += ',';
  }
  return out + blanks(d) + (object ? '}' : ']');
}

// For the first schema, mostly what it asks for.
std::string order(Dice& d) {
  std::string list;
  for (std::size_t n = d.below(4); n > 0; --n) list += (list.empty() ? "" : ", ") + quoted(d);
  return fmt::format("{{{}\"a\"{}: {},{}\"n\":{}, \"list\" :[{}]{}}}", blanks(d), blanks(d), quoted(d), blanks(d), d.one_in(4) ? "-1" : "2.50", list, blanks(d));
}

// A place between two characters, or at either end.
std::size_t boundary(std::string_view text, std::size_t at) {
  while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) ++at;
  return std::min(at, text.size());
}

std::string lie(Dice& d, std::string json) {
  const auto somewhere = [&] { return boundary(json, d.below(json.size() + 1)); };
  const auto insert = [&](std::string_view what) { json.insert(somewhere(), what); };
  switch (d.below(14)) {
    case 0: return "```json\n" + json + "\n```";
    case 1: return "Here it is:\n" + json;
    case 2: return json + "\nAnything else?";
    case 3: {
      const auto close = json.find_last_of("}]");
      if (close != std::string::npos) json.insert(close, d.one_in(2) ? "," : " , ");
      return json;
    }
    case 4: return json.substr(0, somewhere());
    case 5: insert("#"); return json;
    case 6: insert(","); return json;
    case 7: return "{\"answer\":" + json + "}";
    case 8: return "[" + json + "]";
    case 9: return "\xEF\xBB\xBF" + json;
    case 10: return "  " + json + " \n";
    case 11: {
      for (char& c : json)
        if (c == '"') c = '\'';
      return json;
    }
    case 12: return json + json;
    default: return json;
  }
}

// Cuts on boundaries of characters, as decoded deltas are; empty ones among them.
std::vector<std::string> pieces(Dice& d, std::string_view text) {
  std::vector<std::string> out;
  const std::size_t most = 1 + d.below(12);
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = boundary(text, at + d.below(most + 1));
    out.emplace_back(text.substr(at, end - at));
    at = end;
  }
  return out;
}

struct Outcome {
  std::string told, before_the_end;
  bool finished = false, refused = false;
  std::vector<llm::StreamEvent> events;
};
Outcome run(const Demand& demand, const std::vector<std::string>& deltas, FinishReason finish, WatchOptions options) {
  Outcome o;
  AnswerWatch watch({.answer = &demand}, options);
  watch.push(llm::StreamStart{"id", "m", 1}, o.events);
  for (const auto& delta : deltas) watch.push(llm::TextDelta{0, delta, {}}, o.events);
  for (const auto& e : o.events)
    if (const auto* t = std::get_if<llm::TextDelta>(&e)) o.before_the_end += t->text;
  watch.push(llm::PartStop{0}, o.events);
  watch.push(llm::Finish{0, finish, {}, {}}, o.events);
  for (const auto& e : o.events) {
    if (const auto* t = std::get_if<llm::TextDelta>(&e)) o.told += t->text;
    o.finished |= std::holds_alternative<llm::Finish>(e);
  }
  o.refused = watch.refused();
  return o;
}

// What a client of the wire reads of the events, encoded.
std::string read_back(llm::Wire wire, const std::vector<llm::StreamEvent>& events, bool finished) {
  llm::StreamEncoder encoder(wire);
  std::string bytes, text;
  for (const auto& e : events) encoder.push(e, bytes);
  if (finished) encoder.finish(bytes);
  net::SseParser parser;
  parser.push(bytes);
  llm::StreamDecoder decoder(wire);
  std::vector<llm::StreamEvent> heard;
  for (auto e = parser.next(); e && *e; e = parser.next())
    if ((*e)->has_data) EXPECT_TRUE(decoder.push((*e)->event, (*e)->data, heard));
  EXPECT_EQ(decoder.finish().has_value(), finished);
  for (const auto& e : heard)
    if (const auto* t = std::get_if<llm::TextDelta>(&e)) text += t->text;
  return text;
}

std::string_view without_blanks(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n"), last = text.find_last_not_of(" \t\r\n");
  return first == std::string_view::npos ? std::string_view() : text.substr(first, last - first + 1);
}

bool begins_json(std::string_view text) {
  JsonScan scan(kMaxAnswerDepth);
  return scan.push(text) == text.size();
}

void check(const Demand& demand, std::string_view text, const Outcome& o, const Verdict& verdict, FinishReason finish, WatchOptions options) {
  EXPECT_NE(o.finished, o.refused);
  EXPECT_TRUE(begins_json(o.before_the_end)) << o.before_the_end;
  EXPECT_TRUE(o.told.starts_with(o.before_the_end));
  if (options.hold) EXPECT_EQ(o.before_the_end, "");
  if (o.refused) {
    EXPECT_TRUE(begins_json(o.told)) << o.told;
    // Of an answer that could be served, it was told too much already.
    const std::string_view served = verdict.standing == Standing::repaired ? without_blanks(verdict.text) : without_blanks(text);
    if (verdict.good()) EXPECT_FALSE(served.starts_with(o.told)) << o.told;
    return;
  }
  if (!verdict.good()) {
    EXPECT_TRUE(options.pass && !options.hold && !o.before_the_end.empty());
    return;
  }
  const auto whole = parse_json(o.told, {.max_depth = kMaxAnswerDepth});
  // Passed on although it could not be put right any more.
  if (options.pass && verdict.standing == Standing::repaired && without_blanks(o.told) != without_blanks(verdict.text)) return;
  EXPECT_TRUE(whole && (!demand.schema || demand.schema->valid(*whole))) << o.told;
  EXPECT_EQ(without_blanks(o.told), without_blanks(verdict.standing == Standing::valid ? text : std::string_view(verdict.text))) << to_string(finish);
}

TEST(AnswerWatchProperty, TellsBeginningsOfJsonAndEndsAsTheWholeIsJudged) {
  std::vector<DemandPtr> demands;
  for (const auto schema : kSchemas)
    demands.push_back(*compile_demand({.kind = llm::ResponseFormat::Kind::schema, .schema = *parse_json(schema)}, "f"));
  demands.push_back(*compile_demand({.kind = llm::ResponseFormat::Kind::json}, "f"));
  std::size_t finished = 0, refused = 0, repaired = 0;
  for (std::uint64_t seed = 1; seed <= 20'000 && !testing::Test::HasFailure(); ++seed) {
    Dice d{SeededRandom(seed)};
    const Demand& demand = *demands[d.below(demands.size())];
    std::string text = d.one_in(3) ? order(d) : value(d, 0);
    for (std::size_t lies = d.below(3); lies > 0; --lies) text = lie(d, std::move(text));
    const auto finish = d.one_in(4) ? FinishReason::length : FinishReason::stop;
    const WatchOptions options{.hold = d.one_in(4), .pass = d.one_in(4)};
    SCOPED_TRACE(fmt::format("seed {} hold {} pass {}: {}", seed, options.hold, options.pass, text));
    const Verdict verdict = judge(demand, text, finish);
    const Outcome o = run(demand, pieces(d, text), finish, options);
    check(demand, text, o, verdict, finish, options);
    if (seed % 8 == 0)
      for (const auto wire : {llm::Wire::openai_chat, llm::Wire::openai_responses, llm::Wire::anthropic_messages, llm::Wire::gemini})
        EXPECT_EQ(read_back(wire, o.events, o.finished), o.told) << llm::to_string(wire);
    finished += o.finished;
    refused += o.refused;
    repaired += verdict.standing == Standing::repaired && o.finished;
  }
  EXPECT_GT(finished, 3'000u);
  EXPECT_GT(refused, 3'000u);
  EXPECT_GT(repaired, 1'000u);
}

// Eight times the answer takes eight times the work; a quadratic step would make it sixty-four.
TEST(AnswerWatchProperty, TakesTimeThatGrowsWithTheAnswer) {
  const auto demand = *compile_demand({.kind = llm::ResponseFormat::Kind::json}, "f");
  const auto took = [&](const std::string& unit, std::size_t times) {
    std::string text = "[";
    for (std::size_t i = 0; i < times; ++i) text += unit;
    auto best = std::chrono::nanoseconds::max();
    for (int round = 0; round < 3; ++round) {
      AnswerWatch watch({.answer = demand.get()}, {});
      std::vector<llm::StreamEvent> out;
      const auto from = std::chrono::steady_clock::now();
      for (std::size_t at = 0; at < text.size(); at += 4) {
        watch.push(llm::TextDelta{0, text.substr(at, 4), {}}, out);
        out.clear();
      }
      watch.push(llm::Finish{0, FinishReason::stop, {}, {}}, out);
      best = std::min<std::chrono::nanoseconds>(best, std::chrono::steady_clock::now() - from);
    }
    return best.count();
  };
  for (const std::string unit : {"{\"a\":[1]},", "            ", "1,      ", "[[[[]]]],", "\"\\ud83c\\udf0d\",", ",,,,,,,,"}) {
    const auto once = took(unit, 4'000), eightfold = took(unit, 32'000);
    EXPECT_LT(eightfold, once * 32) << unit;
  }
}

}  // namespace
}  // namespace ballast::gateway
