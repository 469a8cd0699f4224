#include "gateway/decision.hpp"

#include "base/text.hpp"
#include "base/text_writer.hpp"

namespace ballast::gateway {

namespace {

// Names come from callers: any bytes, any length.
constexpr std::size_t kLongestText = 1024;

std::string_view shown(std::string_view text) { return text.size() <= kLongestText ? text : utf8_prefix(text, kLongestText); }

std::size_t room_of(const Fact& f) { return f.name.size() + 4 + (f.kind == Fact::Kind::text ? json_string_room(shown(f.text)) : kNumberRoom); }

void put(TextWriter& w, const Fact& f) {
  w.put(",\"").put(f.name).put("\":");
  switch (f.kind) {
    case Fact::Kind::text: w.json_string(shown(f.text)); return;
    case Fact::Kind::number: w.number(f.number); return;
    case Fact::Kind::flag: w.put(f.number ? std::string_view("true") : std::string_view("false")); return;
  }
}

// `mark` goes before it: what parts it from the step before.
void append_step(std::string& text, std::string_view mark, Duration since, std::string_view what, std::initializer_list<Fact> facts) {
  std::size_t room = 24 + kNumberRoom + json_string_room(what);
  for (const Fact& f : facts) room += room_of(f);
  append_text(text, room, [&](TextWriter& w) {
    w.put(mark).put("{\"at_us\":").number(std::chrono::duration_cast<std::chrono::microseconds>(since).count());
    w.put(",\"step\":").json_string(what);
    for (const Fact& f : facts) put(w, f);
    w.put('}');
  });
}

}  // namespace

void DecisionLog::step(MonoTime now, StepName what, std::initializer_list<Fact> facts) {
  if (dropped_ > 0 || text_.size() > limit) {              // once one is missing, none follows: what is kept is a whole beginning
    ++dropped_;
    return;
  }
  const std::size_t before = text_.size();
  append_step(text_, before == 0 ? "[" : ",", now - started_, what.text, facts);
  if (text_.size() > limit + kLongestText) {
    text_.resize(before);
    ++dropped_;
    return;
  }
  if (listener_) listener_->heard(std::string_view(text_).substr(before + 1));
}

void DecisionLog::tell(MonoTime now, std::string_view what, std::initializer_list<Fact> facts) const {
  std::string text;
  append_step(text, "", now - started_, what, facts);
  listener_->heard(text);
}

std::string DecisionLog::take() {
  if (text_.empty() && dropped_ == 0) return "[]";
  if (dropped_ > 0) {
    text_ += text_.empty() ? '[' : ',';
    text_ += "{\"step\":\"truncated\",\"steps\":";
    text_ += std::to_string(dropped_);
    text_ += '}';
  }
  text_ += ']';
  return std::move(text_);
}

}  // namespace ballast::gateway
