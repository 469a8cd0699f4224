// The evaluator on values, numbers, strings and arrays.
#include <fmt/format.h>

#include <algorithm>

#include "base/text.hpp"
#include "schema/evaluate.hpp"
#include "schema/values.hpp"

namespace ballast::schema {

namespace {

// ---- Words

std::string_view kind_words(const json::value& v) {
  switch (v.kind()) {
    case json::kind::null: return "null";
    case json::kind::bool_: return "a boolean";
    case json::kind::string: return "a string";
    case json::kind::array: return "an array";
    case json::kind::object: return "an object";
    case json::kind::double_: return is_whole(v) ? "an integer" : "a number";
    default: return "an integer";
  }
}

std::string type_words(std::uint8_t types) {
  constexpr std::pair<std::uint8_t, std::string_view> names[] = {{kNull, "null"}, {kBool, "a boolean"}, {kString, "a string"}, {kArray, "an array"}, {kObject, "an object"}};
  std::vector<std::string_view> words;
  if (types & kNumber) words.push_back("a number");
  else if (types & kInteger) words.push_back("an integer");
  for (const auto& [bit, name] : names)
    if (types & bit) words.push_back(name);
  std::string out;
  for (std::size_t i = 0; i < words.size(); ++i) out += (i == 0 ? "" : i + 1 == words.size() ? " or " : ", ") + std::string(words[i]);
  return out;
}

// A value as JSON if it is short, and by its kind if it is not.
std::string brief(const json::value& v) {
  constexpr std::size_t most = 60;
  if (const auto* s = v.if_string(); s && s->size() > most) return fmt::format("a string of {} bytes", s->size());
  if (const auto* a = v.if_array(); a && a->size() > 8) return fmt::format("an array of {}", a->size());
  if (const auto* o = v.if_object(); o && o->size() > 4) return fmt::format("an object of {} members", o->size());
  const auto nested = [](const json::value& item) { return item.is_structured(); };
  if (v.is_array() && std::ranges::any_of(v.get_array(), nested)) return "an array";
  if (v.is_object() && std::ranges::any_of(v.get_object(), [&](const auto& member) { return nested(member.value()); })) return "an object";
  const auto text = to_json(v);
  return text.size() <= most ? text : std::string(kind_words(v));
}

std::string brief_list(const std::vector<json::value>& values) {
  std::string out;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (i >= 12 || out.size() > 240) return out + fmt::format(", … ({} in all)", values.size());
    out += (i ? ", " : "") + brief(values[i]);
  }
  return out;
}

std::string counted(std::uint64_t n, std::string_view one, std::string_view many) { return fmt::format("{} {}", n, n == 1 ? one : many); }

}  // namespace

// ---- Values

bool Evaluator::check_type(const Node& node, const Value& v, const Trail& at) {
  std::uint8_t bit = 0;
  switch (v.kind()) {
    case json::kind::null: bit = kNull; break;
    case json::kind::bool_: bit = kBool; break;
    case json::kind::string: bit = kString; break;
    case json::kind::array: bit = kArray; break;
    case json::kind::object: bit = kObject; break;
    case json::kind::double_:
      bit = kNumber;
      if ((node.types & kInteger) && !node.whole_by_text && is_whole(v)) bit = kInteger;
      break;
    default: bit = kInteger; break;
  }
  if (node.types & bit) return true;
  return refuse(at, "type", [&] { return fmt::format("must be {}, is {}", type_words(node.types), kind_words(v)); }, -100);
}

bool Evaluator::equals(const Value& a, const Value& b, const Trail& at) {
  bool too_deep = false;
  const bool same = equal(a, b, too_deep);
  if (!too_deep) return same;
  return stop(at, {}, [] { return fmt::format("is nested deeper than {} levels, which is too deep to be compared", kMaxCompareDepth); });
}

bool Evaluator::check_values(const ValueRules& rules, const Value& v, const Trail& at) {
  bool found = false;
  if (rules.hashes.empty()) {
    for (const auto& value : rules.values) found = found || equals(value, v, at);
  } else {
    bool too_deep = false;  // then it equals none of the values, which are not as deep
    const std::uint64_t h = hash(v, 0, too_deep);
    for (auto i = std::ranges::lower_bound(rules.hashes, h, {}, &std::pair<std::uint64_t, std::uint32_t>::first); i != rules.hashes.end() && i->first == h; ++i)
      found = found || (!too_deep && equals(rules.values[i->second], v, at));
  }
  if (found || stopped_) return found;
  if (rules.is_const) return refuse(at, "const", [&] { return fmt::format("must be {}, is {}", brief(rules.values[0]), brief(v)); }, -50);
  return refuse(at, "enum", [&] { return fmt::format("must be one of {}, is {}", brief_list(rules.values), brief(v)); }, -50);
}

bool Evaluator::check_number(const NumberRules& rules, const Value& v, const Trail& at) {
  bool ok = true;
  const auto bound = [&](const std::optional<json::value>& limit, std::string_view keyword, std::string_view words, bool held) {
    if (held || (!ok && !goes_on())) return;
    ok = refuse(at, keyword, [&] { return fmt::format("must be {} {}, is {}", words, brief(*limit), brief(v)); });
  };
  if (rules.least) bound(rules.least, "minimum", "at least", compare(v, *rules.least) >= 0);
  if (rules.most) bound(rules.most, "maximum", "at most", compare(v, *rules.most) <= 0);
  if (rules.above) bound(rules.above, "exclusiveMinimum", "above", compare(v, *rules.above) > 0);
  if (rules.below) bound(rules.below, "exclusiveMaximum", "below", compare(v, *rules.below) < 0);
  if (rules.step) bound(rules.step, "multipleOf", "a multiple of", is_multiple(v, *rules.divisor));
  return ok;
}

bool Evaluator::matches(const Pattern& pattern, std::string_view text, const Trail& at, std::string_view keyword) {
  const auto found = pattern.search(text, program_.max_pattern_steps, steps_);
  if (found != Pattern::Found::too_much) return found == Pattern::Found::yes;
  return stop(at, keyword, [&] {
    return fmt::format("could not be checked: the regular expression {} takes more steps on this text of {} bytes than are allowed", pattern.source(), text.size());
  });
}

bool Evaluator::check_string(const StringRules& rules, std::string_view text, const Trail& at) {
  bool ok = true;
  if (rules.min > 0 || rules.max != kUnbounded) {
    // A code point takes one to four bytes: counting is needed in between only.
    const auto count = [&] { return static_cast<std::uint64_t>(std::ranges::count_if(text, [](char c) { return (c & 0xC0) != 0x80; })); };
    const bool counts = text.size() < rules.min * 4 || text.size() > rules.max;
    const std::uint64_t length = counts ? count() : 0;
    if (counts && length < rules.min)
      ok = refuse(at, "minLength", [&] { return fmt::format("must have at least {}, has {}", counted(rules.min, "character", "characters"), length); });
    if (counts && length > rules.max)
      ok = refuse(at, "maxLength", [&] { return fmt::format("must have at most {}, has {}", counted(rules.max, "character", "characters"), length); });
  }
  if (!ok && !goes_on()) return false;
  if (rules.pattern && !matches(*rules.pattern, text, at, "pattern"))
    ok = refuse(at, "pattern", [&] { return fmt::format("must match the regular expression {}", rules.pattern->source()); });
  if (!ok && !goes_on()) return false;
  if (rules.format != Format::none && !has_format(rules.format, text))
    ok = refuse(at, "format", [&] { return fmt::format("must have the format {}", rules.format_name); });
  return ok;
}

// ---- Arrays

bool Evaluator::check_array(const ArrayRules& rules, const json::array& items, const Trail& at, Marks* marks) {
  bool ok = true;
  if (items.size() < rules.min)
    ok = refuse(at, "minItems", [&] { return fmt::format("must have at least {}, has {}", counted(rules.min, "item", "items"), items.size()); });
  if (items.size() > rules.max)
    ok = refuse(at, "maxItems", [&] { return fmt::format("must have at most {}, has {}", counted(rules.max, "item", "items"), items.size()); });
  if (!ok && !goes_on()) return false;
  const std::size_t fixed = std::min(rules.prefix.size(), items.size());
  for (std::size_t i = 0; i < fixed; ++i) {
    if (!apply(rules.prefix[i], items[i], Trail::to_item(at, rules.prefix_keyword, i, i), nullptr)) ok = false;
    if (!ok && !goes_on()) return false;
    if (marks) scratch_.mark(*marks, i);
  }
  if (rules.rest != kNone) {
    for (std::size_t i = fixed; i < items.size(); ++i) {
      if (!apply(rules.rest, items[i], Trail::to_item(at, rules.rest_keyword, kNoIndex, i), nullptr)) ok = false;
      if (!ok && !goes_on()) return false;
    }
    if (marks) marks->all = true;
  }
  if (rules.contains != kNone && !check_contains(rules, items, at, marks)) ok = false;
  if (!ok && !goes_on()) return false;
  return (!rules.unique || check_unique(items, at)) && ok;
}

bool Evaluator::check_contains(const ArrayRules& rules, const json::array& items, const Trail& at, Marks* marks) {
  std::uint64_t found = 0;
  const bool all = (marks && rules.contains_marks) || rules.max_contains != kUnbounded;
  for (std::size_t i = 0; i < items.size() && (all || found < std::max<std::uint64_t>(rules.min_contains, 1)); ++i) {
    if (!apply_muted(rules.contains, items[i], Trail::to_item(at, "contains", kNoIndex, i), nullptr)) continue;
    ++found;
    if (marks && rules.contains_marks) scratch_.mark(*marks, i);
  }
  if (stopped_) return false;
  if (found < rules.min_contains)
    return refuse(at, rules.min_contains == 1 ? "contains" : "minContains", [&] {
      return fmt::format("must contain at least {} that {} its schema, contains {}", counted(rules.min_contains, "item", "items"),
                         rules.min_contains == 1 ? "fits" : "fit", found);
    });
  if (found > rules.max_contains)
    return refuse(at, "maxContains", [&] {
      return fmt::format("must contain at most {} that {} its schema, contains {}", counted(rules.max_contains, "item", "items"),
                         rules.max_contains == 1 ? "fits" : "fit", found);
    });
  return true;
}

bool Evaluator::check_unique(const json::array& items, const Trail& at) {
  constexpr std::size_t few = 8;
  const auto same = [&](std::size_t a, std::size_t b) {
    return refuse(at, "uniqueItems", [&] { return fmt::format("must not repeat an item: items {} and {} are equal", std::min(a, b), std::max(a, b)); });
  };
  if (items.size() <= few) {
    for (std::size_t i = 1; i < items.size(); ++i)
      for (std::size_t j = 0; j < i; ++j)
        if (equals(items[i], items[j], at)) return same(i, j);
    return !stopped_;
  }
  auto& hashes = scratch_.hashes;  // nothing below uses it
  hashes.clear();
  bool too_deep = false;
  for (std::uint32_t i = 0; i < items.size(); ++i) hashes.emplace_back(hash(items[i], 0x9E3779B97F4A7C15u, too_deep), i);
  if (too_deep)
    return stop(at, "uniqueItems", [] { return fmt::format("holds items nested deeper than {} levels, which is too deep to be compared", kMaxCompareDepth); });
  std::ranges::sort(hashes);
  for (std::size_t i = 1; i < hashes.size(); ++i)
    for (std::size_t j = i; j-- > 0 && hashes[j].first == hashes[i].first;) {
      if (equals(items[hashes[i].second], items[hashes[j].second], at)) return same(hashes[i].second, hashes[j].second);
      if (stopped_ || steps_ == 0) return stop(at, "uniqueItems", [] { return std::string("takes more steps to check than are allowed"); });
      --steps_;
    }
  return true;
}

bool Evaluator::check_unevaluated_items(const ArrayRules& rules, const json::array& items, const Trail& at, const Marks& marks) {
  bool ok = true;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (scratch_.marked(marks, i)) continue;
    if (!apply(rules.unevaluated, items[i], Trail::to_item(at, "unevaluatedItems", kNoIndex, i), nullptr)) ok = false;
    if (!ok && !goes_on()) return false;
  }
  return ok;
}

}  // namespace ballast::schema
