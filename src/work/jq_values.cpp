#include "work/jq_values.hpp"

#include <cmath>
#include <limits>

namespace ballast::work {
namespace {

constexpr std::size_t kMaxDepth = 512;
constexpr std::int64_t kExact = std::int64_t{1} << 53;

std::string spelled(const std::vector<std::string>& place) {
  std::string out;
  for (const auto& step : place) out += (out.empty() || step.starts_with('[') ? "" : ".") + step;
  return out.empty() ? "." : out;
}

class In {
 public:
  In(std::vector<std::string>& place, const JqPlaces& readable) : place_(place), readable_(readable) {}

  // Invalid once an error is noted.
  jv make(const json::value& value) {
    switch (value.kind()) {
      case json::kind::null: return jv_null();
      case json::kind::bool_: return value.get_bool() ? jv_true() : jv_false();
      case json::kind::double_: return jv_number(value.get_double());
      case json::kind::int64: return integer(value.get_int64() <= kExact && value.get_int64() >= -kExact, static_cast<double>(value.get_int64()), value);
      case json::kind::uint64:
        return integer(value.get_uint64() <= static_cast<std::uint64_t>(kExact), static_cast<double>(value.get_uint64()), value);
      case json::kind::string: return text(value.get_string());
      case json::kind::array: return array(value.get_array());
      case json::kind::object: return object(value.get_object());
    }
    return jv_null();
  }
  std::string error;

 private:
  static jv text(std::string_view t) { return jv_string_sized(t.data(), static_cast<int>(t.size())); }

  jv integer(bool exact, double rounded, const json::value& value) {
    if (exact || !readable_(place_)) return jv_number(rounded);
    error = spelled(place_) + " is " + to_json(value) + ", which jq would round: pass integers beyond 2^53 as strings";
    return jv_invalid();
  }

  bool enter() {
    if (++depth_ <= kMaxDepth) return true;
    error = "the input is nested deeper than " + std::to_string(kMaxDepth);
    return false;
  }

  jv array(const json::array& from) {
    if (!enter()) return jv_invalid();
    jv out = jv_array_sized(static_cast<int>(from.size()));
    for (std::size_t i = 0; i < from.size() && error.empty(); ++i) {
      const bool plain = !from[i].is_structured() && !from[i].is_number();
      if (!plain) place_.push_back("[" + std::to_string(i) + "]");
      const jv item = make(from[i]);
      if (!plain) place_.pop_back();
      if (error.empty()) out = jv_array_append(out, item);
    }
    --depth_;
    if (error.empty()) return out;
    jv_free(out);
    return jv_invalid();
  }

  jv object(const json::object& from) {
    if (!enter()) return jv_invalid();
    jv out = jv_object();
    for (const auto& [key, value] : from) {
      const bool plain = !value.is_structured() && !value.is_number();
      if (!plain) place_.emplace_back(key);
      const jv member = make(value);
      if (!plain) place_.pop_back();
      if (!error.empty()) break;
      out = jv_object_set(out, text(key), member);
    }
    --depth_;
    if (error.empty()) return out;
    jv_free(out);
    return jv_invalid();
  }

  std::vector<std::string>& place_;
  const JqPlaces& readable_;
  std::size_t depth_ = 0;
};

class Out {
 public:
  Out(std::size_t max_bytes, std::size_t& bytes) : max_bytes_(max_bytes), bytes_(bytes) {}

  // Consumes `value`.
  json::value make(jv value) {
    json::value out;
    ++bytes_;
    if (bytes_ > max_bytes_ || depth_ > kMaxDepth) {
      failed = true;
    } else {
      switch (jv_get_kind(value)) {
        case JV_KIND_TRUE: out = true; break;
        case JV_KIND_FALSE: out = false; break;
        case JV_KIND_NUMBER: out = number(jv_number_value(value)); break;
        case JV_KIND_STRING: out = json::string(text(value)); break;
        case JV_KIND_ARRAY: out = array(value); break;
        case JV_KIND_OBJECT: out = object(value); break;
        default: break;
      }
    }
    jv_free(value);
    return out;
  }
  bool failed = false;
  bool deep() const { return bytes_ <= max_bytes_; }

 private:
  std::string_view text(jv value) {
    const auto size = static_cast<std::size_t>(jv_string_length_bytes(jv_copy(value)));
    bytes_ += size;
    if (bytes_ > max_bytes_) failed = true;
    return {jv_string_value(value), failed ? 0 : size};
  }

  static json::value number(double n) {
    if (std::isnan(n)) return nullptr;
    if (std::isinf(n)) return std::copysign(std::numeric_limits<double>::max(), n);
    if (n == std::floor(n) && std::abs(n) <= static_cast<double>(kExact) && !(n == 0 && std::signbit(n))) return static_cast<std::int64_t>(n);
    return n;
  }

  json::array array(jv value) {
    json::array out;
    ++depth_;
    const int size = jv_array_length(jv_copy(value));
    for (int i = 0; i < size && !failed; ++i) out.push_back(make(jv_array_get(jv_copy(value), i)));
    --depth_;
    return out;
  }

  json::object object(jv value) {
    json::object out;
    ++depth_;
    for (int i = jv_object_iter(value); !failed && jv_object_iter_valid(value, i); i = jv_object_iter_next(value, i)) {
      const jv key = jv_object_iter_key(value, i);
      out[text(key)] = make(jv_object_iter_value(value, i));
      jv_free(key);
    }
    --depth_;
    return out;
  }

  std::size_t max_bytes_;
  std::size_t& bytes_;
  std::size_t depth_ = 0;
};

}  // namespace

Result<jv> jq_to_jv(const json::value& value, std::vector<std::string>& place, const JqPlaces& readable) {
  In in(place, readable);
  const jv made = in.make(value);
  if (in.error.empty()) return made;
  return fail(ErrorCode::caller_invalid_request, in.error);
}

Result<json::value> jq_from_jv(jv value, std::size_t max_bytes, std::size_t& bytes) {
  Out out(max_bytes, bytes);
  auto made = out.make(jv_copy(value));
  if (!out.failed) return made;
  if (out.deep()) return fail(ErrorCode::caller_too_large, "the output is nested deeper than " + std::to_string(kMaxDepth));
  return fail(ErrorCode::caller_too_large, "the output has more than " + std::to_string(max_bytes) + " bytes: build less");
}

}  // namespace ballast::work
