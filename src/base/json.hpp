// JSON documents: strict reading under limits, getters whose errors name the offending path, and writing.
// For documents that we build, change or translate; the hot path reads with simdjson without a document (llm/facts).
//
// `ballast::json` is Boost.JSON. Objects keep the order of their members, unknown members survive a round trip; of a
// repeated member the last one wins. Integers are exact from -2^63 to 2^64-1; beyond that a number becomes a double.
#pragma once
#include <array>
#include <boost/json.hpp>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/result.hpp"

namespace ballast {
namespace json = boost::json;

struct JsonLimits {
  std::size_t max_bytes = 32u << 20;
  std::size_t max_depth = 512;  // nested arrays and objects
};

// Parses exactly one RFC 8259 document. Thread-safe. Errors: caller_too_large above a limit; caller_invalid_request, with the
// byte offset, for bad syntax, trailing data, invalid UTF-8, a lone surrogate escape or a number that is not finite.
// `storage` owns the document's memory: pass a `json::monotonic_resource` for a document that dies with its request.
Result<json::value> parse_json(std::string_view text, JsonLimits limits = {}, json::storage_ptr storage = {});

// Compact JSON. Thread-safe. A non-finite double is written as null.
std::string to_json(const json::value& value);
void append_json(std::string& out, const json::value& value);
// `text` as a JSON string with its quotes. Invalid UTF-8 is replaced by U+FFFD, so the result is always valid JSON.
void append_json_string(std::string& out, std::string_view text);

// A place in a document that knows its path, to read from with good errors:
//
//   auto role = JsonRef(doc).at("messages")->item(3).get<std::string_view>("role");
//   if (!role) return fail(role.error());      // "must be a string, not a number", field "messages[3].role"
//
// Borrowed: valid while the document is unchanged; keys passed in outlive it too (literals, or views into the document).
// Copying is cheap and never allocates. A path deeper than 12 steps prints its middle as "…".
class JsonRef {
 public:
  explicit JsonRef(const json::value& value) : value_(&value) {}

  const json::value& value() const { return *value_; }
  std::string path() const;
  bool is_null() const { return value_->is_null(); }
  bool is_string() const { return value_->is_string(); }
  bool is_array() const { return value_->is_array(); }
  bool is_object() const { return value_->is_object(); }
  bool is_bool() const { return value_->is_bool(); }
  bool is_number() const { return value_->is_number(); }

  // This value as a T: std::string_view, std::string, bool, std::int64_t, std::uint64_t, double, const json::object*, const
  // json::array*, JsonRef. Integers accept 3.0 but not 3.5. Error: caller_invalid_request with `field` = path().
  template <class T>
  Result<T> as() const;

  // The member `key`: required; a missing one is an error naming it. Errors too if this is not an object.
  Result<JsonRef> at(std::string_view key) const;
  // The member `key`, or nothing when it is missing or null. Nothing, too, if this is not an object.
  std::optional<JsonRef> find(std::string_view key) const;
  // Typed: required, and optional (missing and null are nothing; a wrong type is an error).
  template <class T>
  Result<T> get(std::string_view key) const {
    auto member = at(key);
    if (!member) return std::unexpected(std::move(member.error()));
    return member->template as<T>();
  }
  template <class T>
  Result<std::optional<T>> maybe(std::string_view key) const {
    if (!is_object()) return std::unexpected(wrong_type("an object"));
    const auto member = find(key);
    if (!member) return std::optional<T>{};
    auto v = member->template as<T>();
    if (!v) return std::unexpected(std::move(v.error()));
    return std::optional<T>(std::move(*v));
  }
  // An integer member within [low, high]; the error says the range.
  Result<std::optional<std::int64_t>> maybe_int(std::string_view key, std::int64_t low, std::int64_t high) const;

  // Elements, for arrays: `for (std::size_t i = 0; i < ref.size(); ++i) ref.item(i)`. Size 0 for anything else.
  std::size_t size() const { return value_->is_array() ? value_->get_array().size() : 0; }
  JsonRef item(std::size_t index) const;  // index < size()
  // A place below this one, for walking an object by hand: `value` is its member `key`.
  JsonRef child(std::string_view key, const json::value& value) const;

  // `return error("must not be empty")`: caller_invalid_request about this place.
  std::unexpected<Error> error(std::string message) const;

 private:
  struct Step {
    const char* key;        // null: an array element
    std::size_t size_or_index;
  };
  static constexpr std::size_t max_steps = 12;
  Error wrong_type(std::string_view wanted) const;
  JsonRef below(Step step, const json::value& value) const;

  const json::value* value_;
  std::uint32_t depth_ = 0;  // may exceed max_steps: the steps in between are not kept
  std::array<Step, max_steps> steps_;
};

template <> Result<std::string_view> JsonRef::as() const;
template <> Result<std::string> JsonRef::as() const;
template <> Result<bool> JsonRef::as() const;
template <> Result<std::int64_t> JsonRef::as() const;
template <> Result<std::uint64_t> JsonRef::as() const;
template <> Result<double> JsonRef::as() const;
template <> Result<const json::object*> JsonRef::as() const;
template <> Result<const json::array*> JsonRef::as() const;
template <> Result<JsonRef> JsonRef::as() const;

}  // namespace ballast
