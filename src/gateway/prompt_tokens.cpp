#include "gateway/prompt_tokens.hpp"

#include "base/json.hpp"
#include "llm/wire.hpp"

namespace ballast::gateway {

namespace {

// What OpenAI's documentation counts around each message, and before the answer.
constexpr std::uint64_t kAroundMessage = 3, kBeforeAnswer = 3;
constexpr std::uint64_t kImage = 1024;

class Counting {
 public:
  explicit Counting(const tokens::Basis& basis) : basis_(basis) {}

  std::uint64_t request(const llm::ChatRequest& r) {
    n_ = kBeforeAnswer + (r.messages.size() + !r.system.empty()) * kAroundMessage;
    parts(r.system);
    for (const auto& m : r.messages) {
      text(m.name);
      parts(m.parts);
    }
    for (const auto& t : r.tools) {
      text(t.name);
      text(t.description);
      document(t.schema);
      document(t.hosted);
    }
    return n_;
  }

 private:
  void text(std::string_view s) { n_ += tokens::estimate(basis_, s).tokens; }
  void document(const json::value& v) {
    if (!v.is_null()) text(to_json(v));
  }
  void parts(const std::vector<llm::Part>& all) {
    for (const auto& part : all) std::visit([&](const auto& body) { one(body); }, part.body);
  }
  void one(const llm::Text& t) { text(t.text); }
  void one(const llm::Media&) { n_ += kImage; }
  void one(const llm::ToolCall& c) {
    text(c.name);
    text(c.arguments);
  }
  void one(const llm::ToolResult& r) { parts(r.parts); }
  void one(const llm::Reasoning& r) { text(r.text); }
  void one(const llm::Refusal& r) { text(r.text); }
  void one(const llm::Opaque& o) { document(o.raw); }

  const tokens::Basis& basis_;
  std::uint64_t n_ = 0;
};

}  // namespace

std::optional<std::uint64_t> prompt_tokens(llm::Wire wire, std::string_view body, const tokens::Basis& basis) {
  const auto document = parse_json(body);
  if (!document) return std::nullopt;
  const auto request = llm::parse_request(wire, *document);
  if (!request) return std::nullopt;
  return Counting(basis).request(*request);
}

}  // namespace ballast::gateway
