// The matcher on values, numbers, strings and arrays. Private: part of match.cpp.
#pragma once
#include "schema/match.hpp"

namespace ballast::schema {

inline double rounded(const json::value& number) {
  return number.is_int64()    ? static_cast<double>(number.get_int64())
         : number.is_double() ? number.get_double()
                              : static_cast<double>(number.get_uint64());
}

template <bool kRemembers>
bool Matcher<kRemembers>::number(const NumberPlan& plan, const Value& v) {
  if (plan.plain) {
    const double d = rounded(v);
    return (!plan.has_low || (plan.above_low ? d > plan.low : d >= plan.low)) &&
           (!plan.has_high || (plan.below_high ? d < plan.high : d <= plan.high));
  }
  const NumberRules& rules = *plan.rules;
  return (!rules.least || compare(v, *rules.least) >= 0) && (!rules.most || compare(v, *rules.most) <= 0) &&
         (!rules.above || compare(v, *rules.above) > 0) && (!rules.below || compare(v, *rules.below) < 0) &&
         (!rules.divisor || is_multiple(v, *rules.divisor));
}

template <bool kRemembers>
bool Matcher<kRemembers>::chosen(const ChoicePlan& plan, const Value& v) {
  if (const auto* text = v.if_string()) return plan.texts.find(*text) != NameTable::kNothing;
  if (v.is_null()) return true;
  if (const auto* flag = v.if_bool()) return *flag ? plan.yes : plan.no;
  if (plan.few_numbers && is_number(v)) return std::ranges::find(plan.numbers, rounded(v)) != plan.numbers.end();
  const ValueRules& rules = *plan.rules;
  if (rules.hashes.empty())
    return std::ranges::any_of(rules.values, [&](const Value& value) { return equals(value, v); });
  bool too_deep = false;  // then it equals none of the values, which are not as deep
  const std::uint64_t h = hash(v, 0, too_deep);
  if (too_deep) return false;
  for (auto i = std::ranges::lower_bound(rules.hashes, h, {}, &std::pair<std::uint64_t, std::uint32_t>::first);
       i != rules.hashes.end() && i->first == h; ++i)
    if (equals(rules.values[i->second], v)) return true;
  return false;
}

template <bool kRemembers>
bool Matcher<kRemembers>::string(const StringRules& rules, std::string_view text) {
  // A code point takes one to four bytes: counting is needed in between only.
  if (text.size() < rules.min) return false;
  if (text.size() / 4 < rules.min || text.size() > rules.max) {
    const auto length =
        static_cast<std::uint64_t>(std::ranges::count_if(text, [](char c) { return (c & 0xC0) != 0x80; }));
    if (length < rules.min || length > rules.max) return false;
  }
  return (!rules.pattern || matches(*rules.pattern, text)) &&
         (rules.format == Format::none || has_format(rules.format, text));
}

// ---- Arrays

template <bool kRemembers>
bool Matcher<kRemembers>::array(const ArrayPlan& plan, const json::array& items, Marks* marks) {
  const ArrayRules& rules = *plan.rules;
  if (items.size() < rules.min || items.size() > rules.max) return false;
  charge(items.size() / 4);
  const std::size_t fixed = std::min(plan.prefix.size(), items.size());
  for (std::size_t i = 0; i < fixed; ++i) {
    if (!fits(plan.prefix[i], items[i], nullptr)) return false;
    if constexpr (kRemembers)
      if (marks) scratch_.mark(*marks, i);
  }
  if (rules.rest != kNone) {
    for (std::size_t i = fixed; i < items.size(); ++i)
      if (!fits(plan.rest, items[i], nullptr)) return false;
    if constexpr (kRemembers)
      if (marks) marks->all = true;
  }
  return (rules.contains == kNone || contains(plan, items, marks)) && (!rules.unique || unique(items));
}

template <bool kRemembers>
bool Matcher<kRemembers>::contains(const ArrayPlan& plan, const json::array& items, Marks* marks) {
  const ArrayRules& rules = *plan.rules;
  std::uint64_t found = 0;
  const bool all = (marks && rules.contains_marks) || rules.max_contains != kUnbounded;
  for (std::size_t i = 0; i < items.size() && (all || found < rules.min_contains); ++i) {
    if (!fits(plan.contains, items[i], nullptr)) continue;
    ++found;
    if constexpr (kRemembers)
      if (marks && rules.contains_marks) scratch_.mark(*marks, i);
  }
  return !stopped_ && found >= rules.min_contains && found <= rules.max_contains;
}

template <bool kRemembers>
bool Matcher<kRemembers>::unique(const json::array& items) {
  constexpr std::size_t few = 8;
  if (items.size() <= few) {
    for (std::size_t i = 1; i < items.size(); ++i)
      for (std::size_t j = 0; j < i; ++j)
        if (equals(items[i], items[j]) || stopped_) return false;
    return true;
  }
  auto& hashes = scratch_.hashes;  // nothing below uses it
  hashes.clear();
  bool too_deep = false;
  for (std::uint32_t i = 0; i < items.size(); ++i)
    hashes.emplace_back(hash(items[i], 0x9E3779B97F4A7C15u, too_deep), i);
  if (too_deep) return stop();
  std::ranges::sort(hashes);
  for (std::size_t i = 1; i < hashes.size(); ++i)
    for (std::size_t j = i; j-- > 0 && hashes[j].first == hashes[i].first;) {
      if (equals(items[hashes[i].second], items[hashes[j].second])) return false;
      if (stopped_ || steps_ == 0) return stop();
      --steps_;
    }
  return true;
}

}  // namespace ballast::schema
