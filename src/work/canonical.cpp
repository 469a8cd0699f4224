#include "work/canonical.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace ballast::work {
namespace {

void append_object(std::string& out, const json::object& object) {
  std::vector<const json::key_value_pair*> members;
  members.reserve(object.size());
  for (const auto& m : object) members.push_back(&m);
  std::ranges::sort(members, {}, [](const auto* m) { return std::string_view(m->key()); });
  out += '{';
  for (const auto* m : members) {
    if (out.back() != '{') out += ',';
    append_json_string(out, m->key());
    out += ':';
    append_canonical(out, m->value());
  }
  out += '}';
}

}  // namespace

void append_canonical(std::string& out, const json::value& value) {
  if (const auto* object = value.if_object()) return append_object(out, *object);
  if (const auto* array = value.if_array()) {
    out += '[';
    bool first = true;
    for (const auto& v : *array) {
      if (!std::exchange(first, false)) out += ',';
      append_canonical(out, v);
    }
    out += ']';
    return;
  }
  if (const double* d = value.if_double(); d && std::trunc(*d) == *d && std::abs(*d) <= 0x1p53)
    return append_json(out, static_cast<std::int64_t>(*d));
  append_json(out, value);
}

std::string canonical_json(const json::value& value) {
  std::string out;
  append_canonical(out, value);
  return out;
}

Digest value_digest(const json::value& value) { return sha256(canonical_json(value)); }

}  // namespace ballast::work
