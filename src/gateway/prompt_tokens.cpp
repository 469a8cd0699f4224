#include "gateway/prompt_tokens.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "base/json.hpp"
#include "llm/wire.hpp"

namespace ballast::gateway {

namespace {

struct Piece {
  std::string text;
  bool alone = false;                    // a message's only part, and text
};

// The texts of a request, moved out of it, and the tokens that are not text.
class Gathering {
 public:
  std::vector<Piece> pieces;
  std::uint64_t beside = kBeforeAnswer;

  void request(llm::ChatRequest& r) {
    beside += (r.messages.size() + !r.system.empty()) * kAroundMessage;
    message(r.system);
    for (auto& m : r.messages) {
      text(std::move(m.name));
      message(m.parts);
    }
    for (auto& t : r.tools) {
      text(std::move(t.name));
      text(std::move(t.description));
      document(t.schema);
      document(t.hosted);
    }
    if (r.response_format) document(r.response_format->schema);
  }

 private:
  void text(std::string&& s, bool alone = false) {
    if (!s.empty()) pieces.push_back({std::move(s), alone});
  }
  void document(const json::value& v) {
    if (!v.is_null()) text(to_json(v));
  }
  void message(std::vector<llm::Part>& parts) {
    auto* only = parts.size() == 1 ? std::get_if<llm::Text>(&parts.front().body) : nullptr;
    if (only) text(std::move(only->text), true);
    else all(parts);
  }
  void all(std::vector<llm::Part>& parts) {
    for (auto& part : parts) std::visit([&](auto& body) { one(body); }, part.body);
  }
  void one(llm::Text& t) { text(std::move(t.text)); }
  void one(llm::Media&) { beside += kImageTokens; }
  void one(llm::ToolCall& c) {
    text(std::move(c.name));
    text(std::move(c.arguments));
  }
  void one(llm::ToolResult& r) { all(r.parts); }
  void one(llm::Reasoning& r) { text(std::move(r.text)); }
  void one(llm::Refusal& r) { text(std::move(r.text)); }
  void one(llm::Opaque& o) { document(o.raw); }
};

// Of one encoding, or of bytes: tokens of the texts as it counts them.
struct Counted {
  const tokens::Encoding* encoding = nullptr;
  std::uint64_t tokens = 0;              // `whole`: so many; else more than so many
  bool whole = false;
  std::uint64_t spared = 0;              // where whole
};

// Stops where there are more than `limit`.
Counted count_texts(const std::vector<Piece>& pieces, const tokens::Encoding* encoding, std::uint64_t limit) {
  Counted c{.encoding = encoding};
  for (const auto& piece : pieces) {
    const auto n = encoding ? encoding->count_until(piece.text, limit - c.tokens) : std::optional<std::size_t>((piece.text.size() + 3) / 4);
    if (!n || *n > limit - c.tokens) return {.encoding = encoding, .tokens = limit};
    c.tokens += *n;
    if (piece.alone && *n < piece.text.size()) c.spared += piece.text.size() - *n;
  }
  c.whole = true;
  return c;
}

}  // namespace

struct Prompt::Texts : Gathering {
  bool understood = false;
  std::vector<Counted> counted;          // at most one for each encoding, and one of bytes

  const Counted& count(const tokens::Encoding* encoding, std::uint64_t limit) {
    const auto known = std::ranges::find(counted, encoding, &Counted::encoding);
    if (known == counted.end()) return counted.emplace_back(count_texts(pieces, encoding, limit));
    if (!known->whole && known->tokens < limit) *known = count_texts(pieces, encoding, limit);
    return *known;
  }
};

Prompt::Prompt() = default;
Prompt::Prompt(llm::Wire wire, std::string_view body) : wire_(wire), body_(body) {}
Prompt::Prompt(Prompt&&) noexcept = default;
Prompt& Prompt::operator=(Prompt&&) noexcept = default;
Prompt::~Prompt() = default;

bool Prompt::read() {
  if (texts_) return texts_->understood;
  texts_ = std::make_unique<Texts>();
  if (body_.size() > kMostCountedBytes) return false;
  const auto document = parse_json(body_);
  auto request = document ? llm::parse_request(wire_, *document) : Result<llm::ChatRequest>(fail(document.error()));
  if (!request) return false;
  texts_->request(*request);
  return texts_->understood = true;
}

std::optional<PromptCount> Prompt::count(const tokens::Basis& basis, std::uint64_t limit) {
  if (!read()) return std::nullopt;
  const std::uint64_t room = limit > texts_->beside ? limit - texts_->beside : 0;
  const auto most = basis.factor == 1 ? room : static_cast<std::uint64_t>(static_cast<double>(room) / basis.factor);
  const Counted& texts = texts_->count(basis.encoding, most);
  const auto tokens = basis.factor == 1 ? texts.tokens : static_cast<std::uint64_t>(std::ceil(static_cast<double>(texts.tokens) * basis.factor));
  return PromptCount{tokens + texts_->beside, texts.whole};
}

std::uint64_t Prompt::spared(const tokens::Encoding& encoding) {
  return read() ? texts_->count(&encoding, UINT64_MAX).spared : 0;
}

}  // namespace ballast::gateway
