// Every recorded stream: read, written as each wire, read again. The text, the calls, the usage and the end must be the same,
// and the fast reader must see what the decoder sees.
#include <gtest/gtest.h>

#include "llm/facts.hpp"
#include "llm/recordings.hpp"
#include "llm/wire.hpp"

namespace ballast::llm {
namespace {

using test::Recording;

struct Heard {
  std::string text, reasoning, refusal;
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::pair<std::string, std::string>> calls;
  std::optional<Usage> usage;
  std::optional<FinishReason> finish;
  bool failed = false, whole = false;
  std::size_t malformed = 0;
};

void hear(Heard& h, const std::vector<StreamEvent>& events) {
  for (const auto& e : events) {
    if (const auto* t = std::get_if<TextDelta>(&e)) h.text += t->text;
    if (const auto* r = std::get_if<ReasoningDelta>(&e)) h.reasoning += r->text;
    if (const auto* f = std::get_if<RefusalDelta>(&e)) h.refusal += f->text;
    if (const auto* s = std::get_if<ToolStart>(&e)) h.calls[{s->choice, s->index}].first = s->name;
    if (const auto* a = std::get_if<ToolArgsDelta>(&e)) h.calls[{a->choice, a->index}].second += a->text;
    if (const auto* u = std::get_if<UsageUpdate>(&e)) h.usage = u->usage;
    if (const auto* f = std::get_if<Finish>(&e); f != nullptr && f->choice == 0) h.finish = f->reason;
    if (std::holds_alternative<StreamFailure>(e)) h.failed = true;
  }
}

Heard decode(Wire wire, std::string_view body, std::vector<StreamEvent>& all) {
  Heard h;
  StreamDecoder decoder(wire);
  for (const auto& e : test::events_of(body)) {
    std::vector<StreamEvent> out;
    if (!decoder.push(e.event, e.data, out)) ++h.malformed;
    hear(h, out);
    all.insert(all.end(), out.begin(), out.end());
  }
  h.whole = decoder.finish().has_value();
  return h;
}

json::value arguments_of(const std::string& text) {
  auto v = parse_json(text);
  return v ? *v : json::value(text);
}

constexpr Wire kAll[] = {Wire::openai_chat, Wire::openai_responses, Wire::anthropic_messages, Wire::gemini};

TEST(GoldenStreams, SayTheSameInEveryWire) {
  std::size_t streams = 0, pairs = 0, cut = 0;
  const auto list = test::recordings();
  if (list.empty()) GTEST_SKIP() << "no recordings under " << test::wire_root();
  for (const auto& r : list) {
    if (r.stream.empty() || r.status >= 400) continue;
    SCOPED_TRACE(r.dir);
    std::vector<StreamEvent> events;
    const auto first = decode(r.wire, r.stream, events);
    EXPECT_EQ(first.malformed, 0u);
    ++streams;
    if (!first.whole) {
      ++cut;
      std::cout << "not whole: " << r.dir << (first.failed ? " (error)" : "") << "\n";
    }
    for (const auto wire : kAll) {
      SCOPED_TRACE(to_string(wire));
      StreamEncoder encoder(wire);
      std::string bytes;
      for (const auto& e : events) encoder.push(e, bytes);
      encoder.finish(bytes);
      EXPECT_TRUE(encoder.ended());
      std::vector<StreamEvent> again_events;
      const auto again = decode(wire, bytes, again_events);
      EXPECT_EQ(again.malformed, 0u);
      EXPECT_EQ(again.whole, first.whole);
      EXPECT_EQ(again.failed, !first.whole);
      if (!first.whole) continue;
      EXPECT_EQ(again.text + again.refusal, first.text + first.refusal);
      ASSERT_EQ(again.calls.size(), first.calls.size());
      for (auto a = again.calls.begin(), b = first.calls.begin(); a != again.calls.end(); ++a, ++b) {
        EXPECT_EQ(a->second.first, b->second.first);
        EXPECT_EQ(arguments_of(a->second.second), arguments_of(b->second.second));
      }
      EXPECT_EQ(again.finish, first.finish);
      if (first.usage) {
        ASSERT_TRUE(again.usage);
        EXPECT_EQ(again.usage->input(), first.usage->input());
        EXPECT_EQ(again.usage->output, first.usage->output);
        EXPECT_EQ(again.usage->cache_read, first.usage->cache_read);
        EXPECT_EQ(again.usage->reasoning, first.usage->reasoning);
      }
      if (wire != Wire::gemini && r.wire != Wire::openai_responses) EXPECT_EQ(again.reasoning, first.reasoning);
      ++pairs;
    }
  }
  std::cout << "streams: " << streams << " (" << cut << " cut or failed), translated: " << pairs << "\n";
}

TEST(GoldenStreams, FastReaderAndDecoderAgree) {
  const auto list = test::recordings();
  if (list.empty()) GTEST_SKIP() << "no recordings under " << test::wire_root();
  FactsReader reader;
  std::size_t chunks = 0;
  for (const auto& r : list) {
    if (r.stream.empty() || r.status >= 400) continue;
    SCOPED_TRACE(r.dir);
    StreamDecoder decoder(r.wire);
    std::optional<Usage> usage;
    FinishReason finish = FinishReason::none;
    bool terminal = false, snapshots = false;
    Heard all;
    std::size_t text = 0, reasoning = 0;
    for (const auto& e : test::events_of(r.stream)) {
      std::vector<StreamEvent> out;
      Heard h;
      ASSERT_TRUE(decoder.push(e.event, e.data, out));
      hear(h, out);
      hear(all, out);
      auto facts = reader.chunk(r.wire, e.event, e.data);
      ASSERT_TRUE(facts) << e.data;
      ++chunks;
      SCOPED_TRACE(e.data.substr(0, 300));
      if (r.wire != Wire::openai_responses || !facts->is_terminal) EXPECT_EQ(facts->text_bytes, h.text.size() + h.refusal.size());
      else snapshots |= !h.text.empty();
      text += facts->text_bytes;
      reasoning += facts->reasoning_bytes;
      if (facts->usage) {
        if (usage) merge_usage(r.wire, *usage, *facts->usage);
        else usage = facts->usage;
      }
      EXPECT_EQ(facts->has_error, h.failed);
      if (facts->finish != FinishReason::none) finish = facts->finish;
      terminal |= facts->is_terminal;
      EXPECT_EQ(terminal, decoder.terminal());
      bool tool = false;
      for (const auto& event : out) tool |= std::holds_alternative<ToolStart>(event) || (std::holds_alternative<ToolArgsDelta>(event) && !h.finish);
      if (tool) EXPECT_TRUE(facts->has_tool_delta);
    }
    if (snapshots) continue;
    EXPECT_EQ(text, all.text.size() + all.refusal.size());
    if (r.wire != Wire::openai_responses) EXPECT_EQ(reasoning, all.reasoning.size());
    EXPECT_EQ(usage, all.usage);
    if (all.finish && !(*all.finish == FinishReason::tool_calls && finish == FinishReason::stop)) EXPECT_EQ(finish, *all.finish);
  }
  std::cout << "stream events compared: " << chunks << "\n";
}

}  // namespace
}  // namespace ballast::llm
