// A place in a document read with a sticky error: parsers read on after the first mistake and look once at the end.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "base/json.hpp"

namespace ballast::llm {

class Node {
 public:
  Node(JsonRef ref, std::optional<Error>& error) : ref_(ref), error_(&error) {}

  const json::value& value() const { return ref_.value(); }
  bool is_string() const { return ref_.is_string(); }
  bool is_array() const { return ref_.is_array(); }
  bool is_object() const { return ref_.is_object(); }
  bool is_bool() const { return ref_.is_bool(); }
  bool is_number() const { return ref_.is_number(); }
  std::size_t size() const { return ref_.size(); }
  Node item(std::size_t i) const { return {ref_.item(i), *error_}; }
  Node child(std::string_view key, const json::value& v) const { return {ref_.child(key, v), *error_}; }
  bool failed() const { return error_->has_value(); }

  void fail(std::string message) const {
    if (!*error_) *error_ = ref_.error(std::move(message)).error();
  }
  void fail_at(std::string_view key, std::string message) const {   // about the member, if there is one
    auto member = find(key);
    member ? member->fail(std::move(message)) : fail(std::move(message));
  }
  // Missing and null are nothing; a wrong type is noted and nothing.
  std::optional<Node> find(std::string_view key) const {
    auto r = ref_.find(key);
    if (!r) return std::nullopt;
    return Node(*r, *error_);
  }
  // First of two spellings (Gemini's camelCase and snake_case).
  std::optional<Node> find(std::string_view key, std::string_view other) const {
    auto n = find(key);
    return n ? n : find(other);
  }
  std::optional<Node> object(std::string_view key) const {
    auto n = find(key);
    if (n && !n->is_object()) { n->fail("must be an object"); return std::nullopt; }
    return n;
  }
  std::optional<Node> array(std::string_view key) const {
    auto n = find(key);
    if (n && !n->is_array()) { n->fail("must be an array"); return std::nullopt; }
    return n;
  }
  std::optional<Node> required(std::string_view key) const {
    auto r = ref_.at(key);
    if (!r) { note(std::move(r.error())); return std::nullopt; }
    return Node(*r, *error_);
  }
  // As a typed value; the default when the type is wrong (noted).
  std::string text() const { return typed<std::string>(); }
  std::string_view text_view() const { return typed<std::string_view>(); }
  // Members.
  std::string str(std::string_view key) const { auto n = find(key); return n ? n->text() : std::string(); }
  std::string_view sv(std::string_view key) const { auto n = find(key); return n ? n->text_view() : std::string_view(); }
  std::string required_str(std::string_view key) const { auto n = required(key); return n ? n->text() : std::string(); }
  std::optional<bool> boolean(std::string_view key) const {
    auto n = find(key);
    return n ? std::optional(n->typed<bool>()) : std::nullopt;
  }
  std::optional<std::int64_t> integer(std::string_view key, std::int64_t low, std::int64_t high = INT64_MAX) const {
    auto r = ref_.maybe_int(key, low, high);
    if (!r) { note(std::move(r.error())); return std::nullopt; }
    return *r;
  }
  std::optional<double> number(std::string_view key, double low, double high) const {
    auto n = find(key);
    if (!n) return std::nullopt;
    const double v = n->typed<double>();
    if (v < low || v > high) { n->fail("is out of range"); return std::nullopt; }
    return v;
  }
  json::value raw(std::string_view key) const { auto n = find(key); return n ? n->value() : json::value(); }

 private:
  template <class T>
  T typed() const {
    auto v = ref_.as<T>();
    if (!v) { note(std::move(v.error())); return T{}; }
    return std::move(*v);
  }
  void note(Error e) const { if (!*error_) *error_ = std::move(e); }

  JsonRef ref_;
  std::optional<Error>* error_;
};

}  // namespace ballast::llm
