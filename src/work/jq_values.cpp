#include "work/jq_values.hpp"

#include <cmath>
#include <limits>

namespace ballast::work {
namespace {

constexpr std::size_t kMaxDepth = 512;
constexpr std::int64_t kExact = std::int64_t{1} << 53;

using Paths = std::vector<const std::vector<std::string>*>;

// Where a value stands, from the inside out.
struct Place {
  const Place* above;
  std::string_view key;
  std::size_t index;
};

std::string spelled(const Place* place) {
  if (!place) return "";
  auto out = spelled(place->above);
  if (place->key.empty()) return out + "[" + std::to_string(place->index) + "]";
  return out + (out.empty() ? "" : ".") + std::string(place->key);
}

class In {
 public:
  // All of `value`. Invalid once an error is noted.
  jv make(const json::value& value, const Place* place) {
    switch (value.kind()) {
      case json::kind::null: return jv_null();
      case json::kind::bool_: return value.get_bool() ? jv_true() : jv_false();
      case json::kind::double_: return jv_number(value.get_double());
      case json::kind::int64: {
        const auto n = value.get_int64();
        return n <= kExact && n >= -kExact ? jv_number(static_cast<double>(n)) : inexact(value, place);
      }
      case json::kind::uint64: {
        const auto n = value.get_uint64();
        return n <= static_cast<std::uint64_t>(kExact) ? jv_number(static_cast<double>(n)) : inexact(value, place);
      }
      case json::kind::string: return text(value.get_string());
      case json::kind::array: return array(value.get_array(), place);
      case json::kind::object:
        return object(value.get_object(), place, [&](const json::value& member, const Place& at, jv& made) {
          made = make(member, &at);
          return true;
        });
    }
    return jv_null();
  }

  // What of `value` lies on `paths`, of which `depth` steps have been gone.
  jv part(const json::value& value, const Place* place, const Paths& paths, std::size_t depth) {
    if (value.is_array()) return jv_array();      // a path goes through members alone
    if (!value.is_object()) return make(value, place);
    return object(value.get_object(), place, [&](const json::value& member, const Place& at, jv& made) {
      Paths on;
      for (const auto* path : paths) {
        if ((*path)[depth] != at.key) continue;
        if (path->size() == depth + 1) return made = make(member, &at), true;
        on.push_back(path);
      }
      if (on.empty()) return false;
      made = part(member, &at, on, depth + 1);
      return true;
    });
  }

  std::string error;

 private:
  static jv text(std::string_view t) { return jv_string_sized(t.data(), static_cast<int>(t.size())); }

  jv inexact(const json::value& value, const Place* place) {
    const auto where = spelled(place);
    error = (where.empty() ? "." : where) + " is " + to_json(value) + ", which jq would round: pass integers beyond 2^53 as strings";
    return jv_invalid();
  }

  bool enter() {
    if (++depth_ <= kMaxDepth) return true;
    error = "the input is nested deeper than " + std::to_string(kMaxDepth);
    return false;
  }
  jv leave(jv made) {
    --depth_;
    if (error.empty()) return made;
    jv_free(made);
    return jv_invalid();
  }

  jv array(const json::array& from, const Place* place) {
    if (!enter()) return jv_invalid();
    jv out = jv_array_sized(static_cast<int>(from.size()));
    for (std::size_t i = 0; i < from.size(); ++i) {
      const Place at{place, {}, i};
      const jv item = make(from[i], &at);
      if (!error.empty()) break;
      out = jv_array_append(out, item);
    }
    return leave(out);
  }

  // `member` makes the value of a member, or says that it is left out.
  template <class Member>
  jv object(const json::object& from, const Place* place, Member member) {
    if (!enter()) return jv_invalid();
    jv out = jv_object();
    for (const auto& [key, value] : from) {
      jv made = jv_null();
      if (!member(value, Place{place, key, 0}, made)) continue;
      if (!error.empty()) break;
      out = jv_object_set(out, text(key), made);
    }
    return leave(out);
  }

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

Result<jv> jq_to_jv(const json::value& value, std::string_view root, const Jq::Reads& reads) {
  In in;
  const Place named{nullptr, root, 0};
  const Place* const place = root.empty() ? nullptr : &named;
  const std::size_t gone = root.empty() ? 0 : 1;
  bool whole = root.empty() && reads.whole;
  Paths paths;
  for (const auto& path : reads.paths) {
    if (path.front().starts_with('$') == root.empty() || (gone == 1 && path.front() != root)) continue;
    if (path.size() == gone) whole = true;
    else paths.push_back(&path);
  }
  const jv made = whole ? in.make(value, place) : in.part(value, place, paths, gone);
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
