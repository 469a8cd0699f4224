#include "gateway/redactor.hpp"

#include <algorithm>
#include <array>

#include "base/redact.hpp"
#include "base/secrets.hpp"
#include "base/text.hpp"
#include "schema/pattern.hpp"

namespace ballast::gateway {

namespace {

constexpr std::size_t kMostPattern = 1024;
constexpr std::uint64_t kSteps = 200'000;              // of one own pattern over one text, and 64 more for each byte
constexpr std::size_t kMedia = 256, kNumbers = 64, kJsonText = std::size_t{1} << 20;
constexpr unsigned kJsonDepth = 3;                     // JSON in texts of JSON in texts

constexpr bool is_base64(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '+' || c == '/' || c == '-' || c == '_' || c == '=';
}

std::string note(std::string_view type, std::size_t characters) { return fmt::format("[{}, {} bytes]", type, characters * 3 / 4); }

// "data:image/png;base64,…" in a text.
std::string hide_media(std::string_view in) {
  constexpr std::string_view sign = ";base64,";
  std::string out;
  for (;;) {
    const auto at = in.find(sign);
    if (at == std::string_view::npos) break;
    const auto begin = in.rfind("data:", at);
    std::size_t end = at + sign.size();
    while (end < in.size() && is_base64(in[end])) ++end;
    if (begin == std::string_view::npos || at - begin > 128) {
      out.append(in.substr(0, end));
    } else {
      std::string_view type = in.substr(begin + 5, at - begin - 5);
      type = type.substr(0, type.find(';'));
      out.append(in.substr(0, begin)).append(note(type.empty() ? "data" : type, end - at - sign.size()));
    }
    in.remove_prefix(end);
  }
  return out.append(in);
}

// Long, and of the alphabet alone. Digits and both cases are in it: a long word is none.
bool is_media(std::string_view text) {
  if (text.size() < kMedia || !std::ranges::all_of(text, is_base64)) return false;
  const auto has = [&](char from, char to) { return std::ranges::any_of(text, [&](char c) { return c >= from && c <= to; }); };
  return has('0', '9') && has('a', 'z') && has('A', 'Z');
}

std::string_view text_of(const json::object& o, std::initializer_list<std::string_view> names) {
  for (const auto name : names)
    if (const auto* v = o.if_contains(name); v && v->is_string()) return v->get_string();
  return {};
}

}  // namespace

std::optional<Sensitive> sensitive_from(std::string_view name) {
  constexpr std::array<std::string_view, 7> names = {"secrets", "email", "phone", "card", "iban", "ip", "ssn"};
  const auto at = std::ranges::find(names, name);
  if (at == names.end()) return std::nullopt;
  return static_cast<Sensitive>(1u << (at - names.begin()));
}

struct Redactor::Pattern {
  std::string mark, unread;
  schema::Pattern pattern;
};

Redactor::Redactor() = default;
Redactor::~Redactor() = default;

Result<std::shared_ptr<const Redactor>> Redactor::create(std::uint8_t kinds, std::vector<Own> own) {
  if (own.size() > kMostOwn) return fail(ErrorCode::caller_invalid_request, fmt::format("has more than {} patterns", kMostOwn));
  std::shared_ptr<Redactor> made(new Redactor);
  made->kinds_ = kinds;
  for (const Own& o : own) {
    const bool good = !o.name.empty() && o.name.size() <= 32 && std::ranges::all_of(o.name, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; });
    if (!good) return fail(ErrorCode::caller_invalid_request, "needs a name of at most 32 of a-z, 0-9 and _", o.name);
    auto pattern = schema::Pattern::compile(o.pattern, kMostPattern);
    if (!pattern) return fail(ErrorCode::caller_invalid_request, std::move(pattern.error().message), o.name);
    std::uint64_t steps = kSteps;
    if (o.pattern.empty() || pattern->search("", kSteps, steps) != schema::Pattern::Found::no)
      return fail(ErrorCode::caller_invalid_request, "matches the empty text: give it something that must be there", o.name);
    made->own_.push_back({"[" + o.name + "]", "[hidden: " + o.name + "]", std::move(*pattern)});
  }
  return made;
}

std::optional<std::string> Redactor::own(std::string_view in) const {
  std::optional<std::string> text;
  for (const Pattern& p : own_) {
    const std::string_view now = text ? *text : in;
    std::uint64_t steps = kSteps + 64 * now.size();
    std::string out;
    std::size_t at = 0;
    for (;;) {
      std::size_t begin = 0, end = 0;
      const auto found = p.pattern.find(now, at, steps, begin, end);
      if (found == schema::Pattern::Found::too_much) return p.unread;
      if (found == schema::Pattern::Found::no || end <= begin) break;
      out.append(now.substr(at, begin - at)).append(p.mark);
      at = end;
    }
    if (at > 0) text = std::move(out.append(now.substr(at)));
  }
  return text;
}

std::optional<std::string> Redactor::changed(std::string_view in) const {
  std::optional<std::string> out;
  const auto then = [&](std::optional<std::string> next) {
    if (next) out = std::move(next);
  };
  const auto now = [&] { return out ? std::string_view(*out) : in; };
  if (in.contains(";base64,")) out = hide_media(in);
  if ((kinds_ & static_cast<std::uint8_t>(Sensitive::secrets)) != 0) then(log::redacted(now()));
  then(hide_forms(now(), kinds_));
  then(own(now()));
  return out;
}

std::string Redactor::text(std::string_view in) const {
  auto out = changed(in);
  return out ? std::move(*out) : std::string(in);
}

class Redactor::Walk {
 public:
  explicit Walk(const Redactor& redactor) : redactor_(redactor), secrets_((redactor.kinds_ & static_cast<std::uint8_t>(Sensitive::secrets)) != 0) {}

  bool value(json::value& v, unsigned nested, const json::object* of = nullptr) {
    if (auto* s = v.if_string()) return string(*s, nested, of);
    if (auto* a = v.if_array()) return array(v, *a, nested);
    if (auto* o = v.if_object()) return object(*o, nested);
    return false;
  }

 private:
  bool string(json::string& s, unsigned nested, const json::object* of) {
    const std::string_view text = s;
    if (text.empty()) return false;
    if (is_media(text)) {
      const auto type = of ? text_of(*of, {"media_type", "mimeType", "mime_type", "format", "output_format"}) : std::string_view();
      s = note(type.empty() ? "base64" : type.substr(0, 64), text.size());
      return true;
    }
    if ((text.front() == '{' || text.front() == '[') && nested < kJsonDepth && text.size() <= kJsonText)
      if (auto inner = parse_json(text, {.max_bytes = kJsonText, .max_depth = 64})) {
        if (!value(*inner, nested + 1)) return false;
        s = to_json(*inner);
        return true;
      }
    const auto out = redactor_.changed(text);
    if (!out || *out == text) return false;
    s = *out;
    return true;
  }

  bool array(json::value& v, json::array& a, unsigned nested) {
    if (a.size() > kNumbers && std::ranges::all_of(a, [](const json::value& n) { return n.is_number(); })) {
      v = fmt::format("[{} numbers]", a.size());
      return true;
    }
    bool changed = false;
    for (auto& item : a) changed = value(item, nested) || changed;
    return changed;
  }

  bool object(json::object& o, unsigned nested) {
    bool changed = false, renamed = false;
    const bool figures = o.contains("logprob");        // {"token": "Hello", "logprob": …} is a piece of text
    for (auto& [name, member] : o) {
      if (secrets_ && !figures && member.is_string() && !member.get_string().empty() && SecretValues::is_secret_name(name)) {
        member = "[redacted]";
        changed = true;
      } else {
        changed = value(member, nested, &o) || changed;
      }
      renamed = renamed || hidden_name(name);
    }
    if (!renamed) return changed;
    json::object other;
    for (auto& [name, member] : o) {
      std::string said = redactor_.text(name);
      while (other.contains(said)) said += '_';
      other.emplace(said, std::move(member));
    }
    o = std::move(other);
    return true;
  }

  bool hidden_name(std::string_view name) const {
    const auto said = redactor_.changed(name);
    return said && *said != name;
  }

  const Redactor& redactor_;
  const bool secrets_;
};

bool Redactor::document(json::value& value) const { return Walk(*this).value(value, 0); }

}  // namespace ballast::gateway
