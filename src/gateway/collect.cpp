#include "gateway/collect.hpp"

#include <algorithm>

namespace ballast::gateway {

namespace {
template <class... F>
struct Overloaded : F... { using F::operator()...; };
}  // namespace

StreamCollector::Draft& StreamCollector::draft(std::uint32_t choice) { return drafts_[choice]; }

// The last part if it is a P that may still grow, else a new one.
template <class P>
P& StreamCollector::open_part(std::uint32_t choice) {
  auto& parts = draft(choice).choice.parts;
  if (part_closed_ || parts.empty() || !std::holds_alternative<P>(parts.back().body)) {
    parts.push_back(llm::Part{.body = P{}});
    part_closed_ = false;
  }
  return std::get<P>(parts.back().body);
}

void StreamCollector::push(const llm::StreamEvent& event) {
  std::visit(Overloaded{
      [&](const llm::StreamStart& e) {
        reply_.id = e.id;
        reply_.model = e.model;
        reply_.created = e.created;
      },
      [&](const llm::TextDelta& e) {
        auto& part = open_part<llm::Text>(e.choice);
        part.text += e.text;
        part.signature += e.signature;
        bytes_ += e.text.size();
      },
      [&](const llm::ReasoningDelta& e) {
        auto& part = open_part<llm::Reasoning>(e.choice);
        part.text += e.text;
        part.summary = e.summary;
        bytes_ += e.text.size();
      },
      [&](const llm::ReasoningSeal& e) {
        auto& part = open_part<llm::Reasoning>(e.choice);
        const std::string text = std::move(part.text);
        const bool summary = part.summary || e.seal.summary;
        part = e.seal;
        if (part.text.empty()) part.text = text;
        part.summary = summary;
        part_closed_ = true;
      },
      [&](const llm::ToolStart& e) {
        auto& d = draft(e.choice);
        d.tools[e.index] = d.choice.parts.size();
        d.choice.parts.push_back({.body = llm::ToolCall{.id = e.id, .name = e.name, .signature = e.signature}});
      },
      [&](const llm::ToolArgsDelta& e) {
        auto& d = draft(e.choice);
        const auto at = d.tools.find(e.index);
        if (at == d.tools.end()) return;
        std::get<llm::ToolCall>(d.choice.parts[at->second].body).arguments += e.text;
        bytes_ += e.text.size();
      },
      [&](const llm::PartStop&) { part_closed_ = true; },
      [&](const llm::RefusalDelta& e) { open_part<llm::Refusal>(e.choice).text += e.text; },
      [&](const llm::CitationDelta& e) {
        auto& parts = draft(e.choice).choice.parts;
        if (!parts.empty()) parts.back().citations.push_back(e.raw);
      },
      [&](const llm::UsageUpdate& e) { reply_.usage = e.usage; },
      [&](const llm::Finish& e) {
        auto& choice = draft(e.choice).choice;
        choice.finish = e.reason;
        choice.raw_finish = e.raw;
        choice.stop_sequence = e.stop_sequence;
      },
      [](const llm::StreamFailure&) {}, [](const llm::Ping&) {}, [](const llm::UnknownEvent&) {}},
      event);
}

llm::ChatReply StreamCollector::take() {
  for (auto& [index, d] : drafts_) reply_.choices.push_back(std::move(d.choice));
  drafts_.clear();
  return std::move(reply_);
}

namespace {

// The end of the piece that begins at `at`: about `size` bytes on, never inside a character.
std::size_t piece_end(std::string_view text, std::size_t at, std::size_t size) {
  std::size_t end = std::min(text.size(), at + std::max<std::size_t>(size, 4));
  while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) ++end;
  return end;
}

template <class Make>
void in_pieces(std::string_view text, std::size_t size, Make&& make) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = piece_end(text, at, size);
    make(std::string(text.substr(at, end - at)));
    at = end;
  }
}

}  // namespace

std::vector<llm::StreamEvent> as_stream(const llm::ChatReply& reply, std::size_t piece) {
  std::vector<llm::StreamEvent> out;
  out.emplace_back(llm::StreamStart{reply.id, reply.model, reply.created});
  for (std::uint32_t c = 0; c < reply.choices.size(); ++c) {
    const llm::Choice& choice = reply.choices[c];
    std::uint32_t tool = 0;
    for (const llm::Part& part : choice.parts) {
      std::visit(Overloaded{
          [&](const llm::Text& t) {
            in_pieces(t.text, piece, [&](std::string s) { out.emplace_back(llm::TextDelta{c, std::move(s), {}}); });
            for (const auto& citation : part.citations)
              out.emplace_back(llm::CitationDelta{c, reply.origin ? reply.origin->wire : llm::Wire::openai_chat, citation});
            out.emplace_back(llm::PartStop{c});
          },
          [&](const llm::Reasoning& r) {
            in_pieces(r.text, piece, [&](std::string s) { out.emplace_back(llm::ReasoningDelta{c, std::move(s), r.summary}); });
            if (r.sealed()) out.emplace_back(llm::ReasoningSeal{c, r});
            out.emplace_back(llm::PartStop{c});
          },
          [&](const llm::ToolCall& t) {
            out.emplace_back(llm::ToolStart{c, tool, t.id, t.name, t.signature});
            in_pieces(t.arguments, piece, [&](std::string s) { out.emplace_back(llm::ToolArgsDelta{c, tool, std::move(s)}); });
            ++tool;
          },
          [&](const llm::Refusal& r) { out.emplace_back(llm::RefusalDelta{c, r.text}); },
          [](const auto&) {}},
          part.body);
    }
    out.emplace_back(llm::Finish{c, choice.finish, choice.raw_finish, choice.stop_sequence});
  }
  if (reply.usage) out.emplace_back(llm::UsageUpdate{*reply.usage});
  return out;
}

std::string stream_text(llm::Wire wire, const llm::ChatReply& reply, bool include_usage, std::string_view request) {
  llm::StreamEncoder encoder(wire, {.include_usage = include_usage, .request = request, .usage_estimate = reply.usage});
  std::string out;
  for (const auto& event : as_stream(reply)) encoder.push(event, out);
  encoder.finish(out);
  return out;
}

}  // namespace ballast::gateway
