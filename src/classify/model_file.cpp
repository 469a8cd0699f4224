// A model as a file: "BLSTINT" and the version, the payload's size and SHA-256, the payload. All numbers are little-endian. A checksum says
// nothing of who made it: every count and every number is looked at before it is believed.
#include <bit>
#include <cmath>
#include <cstring>
#include <type_traits>

#include <fmt/format.h>

#include "base/hash.hpp"
#include "base/text.hpp"
#include "classify/classify.hpp"
#include "classify/model_data.hpp"

namespace ballast::classify {

static_assert(std::endian::native == std::endian::little);

namespace {

constexpr std::string_view kMagic = "BLSTINT\x01";
constexpr std::size_t kHead = kMagic.size() + sizeof(std::uint64_t) + sizeof(Digest);
constexpr std::uint32_t kMostQuantiles = 4'096;

template <class T>
void put(std::string& out, const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}
void put(std::string& out, const std::string& text) {
  put(out, static_cast<std::uint32_t>(text.size()));
  out += text;
}
template <class T>
void put(std::string& out, const std::vector<T>& values) {
  out.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

// Reads until something is missing; then everything reads as nothing and `good` is false.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}
  bool good() const { return good_; }
  bool done() const { return good_ && rest_.empty(); }

  template <class T>
  T take() {
    T value{};
    if (const auto bytes = take(sizeof value); good_) std::memcpy(&value, bytes.data(), sizeof value);
    return value;
  }
  std::string text(std::size_t most) {
    const auto size = take<std::uint32_t>();
    if (size == 0 || size > most) good_ = false;
    return std::string(take(good_ ? size : 0));
  }
  template <class T>
  void list(std::vector<T>& out, std::size_t count) {
    if (count > rest_.size() / sizeof(T)) good_ = false;
    const auto bytes = take(good_ ? count * sizeof(T) : 0);
    if (!good_) return;
    out.resize(count);
    if (count) std::memcpy(out.data(), bytes.data(), bytes.size());
  }

 private:
  std::string_view take(std::size_t size) {
    if (!good_ || size > rest_.size()) {
      good_ = false;
      return {};
    }
    const auto head = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return head;
  }

  std::string_view rest_;
  bool good_ = true;
};

bool within(std::span<const float> values, float low, float high) {
  for (const float v : values)
    if (!(v >= low && v <= high)) return false;                      // not a number is not within
  return true;
}

template <class T>
bool ascending(const std::vector<T>& values) {
  for (std::size_t i = 1; i < values.size(); ++i)
    if (!(values[i - 1] < values[i])) return false;
  return true;
}

bool plausible(const ModelData& d) {
  constexpr float kLarge = 1e6f;
  for (const auto& label : d.labels)
    if (!is_utf8(label) || label == d.out_of_scope_label) return false;
  for (std::size_t i = 1; i < d.supports.size(); ++i)
    if (!(d.supports[i - 1] <= d.supports[i])) return false;
  return is_utf8(d.out_of_scope_label) && ascending(d.labels) && ascending(d.keys) && d.false_refusals >= 0.001 && d.false_refusals <= 0.5 &&
         within({&d.temperature, 1}, 1e-3f, 1e3f) && within({&d.unknown_weight, 1}, 1e-3f, 1e3f) && within(d.supports, -kLarge, kLarge) &&
         within(d.rarities, 1e-3f, 1e3f) && within(d.scales, 0, kLarge) && within(d.bias, -kLarge, kLarge);
}

Error damaged(std::string why) { return {.code = ErrorCode::caller_invalid_request, .message = "is no usable model of intents: " + std::move(why)}; }

}  // namespace

std::string write_payload(const ModelData& d) {
  std::string out;
  out.reserve(d.weights.size() + d.keys.size() * 16 + (1u << 16));
  put(out, static_cast<std::uint32_t>(d.labels.size()));
  put(out, static_cast<std::uint32_t>(d.keys.size()));
  put(out, static_cast<std::uint32_t>(d.supports.size()));
  put(out, d.false_refusals);
  put(out, d.temperature);
  put(out, d.unknown_weight);
  put(out, d.out_of_scope_label);
  for (const auto& label : d.labels) put(out, label);
  put(out, d.supports);
  put(out, d.bias);
  put(out, d.keys);
  put(out, d.rarities);
  put(out, d.scales);
  put(out, d.weights);
  return out;
}

std::string hex_digest(std::string_view payload) { return to_hex(sha256(payload)); }

std::string Model::to_bytes() const {
  const auto payload = write_payload(*data_);
  std::string out(kMagic);
  put(out, static_cast<std::uint64_t>(payload.size()));
  put(out, sha256(payload));
  return out + payload;
}

Result<Model> Model::load(std::string_view bytes) {
  if (bytes.size() > kMaxModelBytes) return fail(ErrorCode::caller_too_large, fmt::format("a model of intents takes at most {} bytes", kMaxModelBytes));
  const std::size_t name = kMagic.size() - 1;
  if (bytes.substr(0, name) != kMagic.substr(0, name)) return fail(damaged("it does not begin as one; `ballast intents train` makes them"));
  if (bytes.size() < kHead) return fail(damaged("it is cut off"));
  if (bytes[name] != kMagic[name]) return fail(damaged(fmt::format("it is of version {}, this program reads {}: train it again", +bytes[name], +kMagic[name])));
  Reader head(bytes.substr(kMagic.size(), kHead - kMagic.size()));
  const auto size = head.take<std::uint64_t>();
  const auto digest = head.take<Digest>();
  const auto payload = bytes.substr(kHead);
  if (size != payload.size()) return fail(damaged(fmt::format("it says that it has {} bytes and has {}", size, payload.size())));
  if (sha256(payload) != digest) return fail(damaged("its checksum is wrong"));

  Reader in(payload);
  auto data = std::make_shared<ModelData>();
  const auto labels = in.take<std::uint32_t>(), rows = in.take<std::uint32_t>(), supports = in.take<std::uint32_t>();
  data->false_refusals = in.take<double>();
  data->temperature = in.take<float>();
  data->unknown_weight = in.take<float>();
  if (!in.good() || labels < 2 || labels > kMaxLabels || supports < 2 || supports > kMostQuantiles) return fail(damaged("its counts are out of range"));
  data->out_of_scope_label = in.text(kMaxLabelBytes);
  for (std::uint32_t i = 0; i < labels && in.good(); ++i) data->labels.push_back(in.text(kMaxLabelBytes));
  in.list(data->supports, supports);
  in.list(data->bias, stride_of(labels));
  in.list(data->keys, rows);
  in.list(data->rarities, rows);
  in.list(data->scales, rows);
  in.list(data->weights, rows * stride_of(labels));
  if (!in.done()) return fail(damaged("its parts do not add up"));
  if (!plausible(*data)) return fail(damaged("a number of it is out of range"));
  if (!data->table.build(data->keys)) return fail(damaged("its keys are not those of texts"));
  data->digest = to_hex(digest);
  return Model(std::move(data));
}

}  // namespace ballast::classify
