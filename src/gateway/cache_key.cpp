#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include <simdjson.h>

#include "base/hash.hpp"
#include "gateway/cache.hpp"

namespace ballast::gateway {

namespace {

// Members that do not change what is answered: who asks, how it is delivered, what it is filed under. The model is the
// route's business, which is part of the key.
constexpr std::array<std::string_view, 12> kVolatile{"model", "stream", "stream_options", "user", "metadata", "store", "service_tier",
                                                     "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "labels", "background"};
// Members that make the answer depend on something outside the request, or act outside it.
constexpr std::array<std::string_view, 3> kStateful{"previous_response_id", "conversation", "container"};

constexpr std::size_t kUsualBody = 1U << 20;

bool among(std::span<const std::string_view> names, std::string_view name) { return std::ranges::find(names, name) != names.end(); }

// Length first, so that no two lists of parts read the same.
void add_part(Sha256& sum, std::string_view part) {
  std::uint64_t size = part.size();
  sum.update({reinterpret_cast<const char*>(&size), sizeof size});
  sum.update(part);
}

struct Member {
  std::string_view key;
  std::string_view value;                  // as it stands in the text
};

// The members of a JSON object by name, values unparsed. False: not an object, or broken.
bool members_of(simdjson::padded_string& text, std::vector<Member>& members) {
  // Reused, but not grown by the rare huge request.
  thread_local simdjson::ondemand::parser usual;
  std::optional<simdjson::ondemand::parser> huge;
  auto& parser = text.size() <= kUsualBody ? usual : huge.emplace();
  simdjson::ondemand::document doc;
  if (parser.iterate(text).get(doc)) return false;
  simdjson::ondemand::object object;
  if (doc.get_object().get(object)) return false;
  for (auto field : object) {
    std::string_view key;
    simdjson::ondemand::value value;
    std::string_view raw;
    if (field.unescaped_key().get(key) || field.value().get(value)) return false;
    if (among(kStateful, key) && !value.is_null()) return false;
    simdjson::ondemand::json_type type;
    if (value.type().get(type)) return false;
    if (type == simdjson::ondemand::json_type::object) {
      simdjson::ondemand::object inner;
      if (value.get_object().get(inner) || inner.raw_json().get(raw)) return false;
    } else if (type == simdjson::ondemand::json_type::array) {
      simdjson::ondemand::array inner;
      if (value.get_array().get(inner) || inner.raw_json().get(raw)) return false;
    } else {
      raw = value.raw_json_token();
    }
    if (!among(kVolatile, key)) members.push_back({key, raw});
  }
  const char* rest = nullptr;
  return doc.current_location().get(rest) == simdjson::OUT_OF_BOUNDS;
}

}  // namespace

std::optional<CacheKey> cache_key(const CacheKeyParts& parts) {
  // Without white space first, so that its amount does not matter anywhere.
  simdjson::padded_string text(parts.body.size());
  std::size_t size = 0;
  if (simdjson::minify(parts.body.data(), parts.body.size(), text.data(), size)) return std::nullopt;
  simdjson::padded_string lean(text.data(), size);
  std::vector<Member> members;
  members.reserve(24);
  if (!members_of(lean, members)) return std::nullopt;
  std::ranges::sort(members, {}, [](const Member& m) { return std::pair(m.key, m.value.data()); });   // repeated: as they came

  Sha256 sum;
  for (const auto part : {parts.wire, parts.operation, parts.route, parts.scope}) add_part(sum, part);
  for (const auto& m : members) {
    add_part(sum, m.key);
    add_part(sum, m.value);
  }
  CacheKey key;
  const Digest digest = sum.finish();
  std::memcpy(key.hash.data(), digest.data(), sizeof key.hash);
  return key;
}

}  // namespace ballast::gateway
