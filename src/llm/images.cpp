#include "llm/images.hpp"

#include <algorithm>
#include <array>

#include "base/text.hpp"
#include "net/sse.hpp"

namespace ballast::llm {

namespace {

// An image in a JSON request: a string, or an object that names one. One that is not in the request itself is `remote`.
void take_image(const JsonRef& image, std::uint64_t& inline_bytes, std::string& remote) {
  const auto text = [](const JsonRef& at) { return at.is_string() ? at.as<std::string_view>().value_or("") : std::string_view(); };
  std::string_view value = text(image);
  if (const auto url = image.find("image_url")) value = text(url->is_object() ? url->find("url").value_or(*url) : *url);
  if (value.starts_with("data:")) inline_bytes += value.size();
  else if (remote.empty()) remote = image.path();
}

// The images of `key`, one or a list of them.
std::uint32_t take_images(const JsonRef& root, std::string_view key, ImageAsk& ask, std::uint64_t& inline_bytes) {
  const auto at = root.find(key);
  if (!at) return 0;
  if (!at->is_array()) return take_image(*at, inline_bytes, ask.remote), 1;
  for (std::size_t i = 0; i < at->size(); ++i) take_image(at->item(i), inline_bytes, ask.remote);
  return static_cast<std::uint32_t>(at->size());
}

template <class T>
Result<void> take(const JsonRef& root, std::string_view key, T& into) {
  auto value = root.maybe<T>(key);
  if (!value) return fail(std::move(value.error()));
  if (*value) into = std::move(**value);
  return {};
}

Result<void> take_count(const JsonRef& root, std::string_view key, std::int64_t low, std::int64_t high, std::uint32_t& into) {
  auto value = root.maybe_int(key, low, high);
  if (!value) return fail(std::move(value.error()));
  if (*value) into = static_cast<std::uint32_t>(**value);
  return {};
}

}  // namespace

Result<ImageAsk> read_image_request(const json::value& document, std::size_t body_bytes) {
  const JsonRef root(document);
  auto model = root.get<std::string>("model");
  if (!model) return fail(std::move(model.error()));
  ImageAsk ask{.model = std::move(*model)};
  if (ask.model.empty()) return fail(ErrorCode::caller_invalid_request, "the request names no model", "model");
  std::string prompt;
  for (const auto& [key, into] : {std::pair("user", &ask.user), {"size", &ask.size}, {"quality", &ask.quality}, {"prompt", &prompt}})
    if (auto ok = take(root, key, *into); !ok) return fail(std::move(ok.error()));
  if (auto ok = take(root, "stream", ask.stream); !ok) return fail(std::move(ok.error()));
  if (auto ok = take_count(root, "n", 1, kMaxImages, ask.n); !ok) return fail(std::move(ok.error()));
  if (auto ok = take_count(root, "partial_images", 0, kMaxPartialImages, ask.partial_images); !ok) return fail(std::move(ok.error()));
  std::uint64_t inline_bytes = 0;
  ask.images = take_images(root, "image", ask, inline_bytes) + take_images(root, "images", ask, inline_bytes);
  ask.masks = take_images(root, "mask", ask, inline_bytes);
  ask.prompt_bytes = prompt.size();
  ask.text_bytes = body_bytes - std::min<std::uint64_t>(body_bytes, inline_bytes);   // a string is never longer than it was written
  return ask;
}

Extent extent_of(const ImageAsk& ask) {
  return {.text_bytes = ask.text_bytes, .messages = 1, .images = std::uint64_t{ask.images} + ask.masks, .n = ask.n, .unbounded = !ask.remote.empty(),
          .unbounded_field = ask.remote, .makes_images = true};
}

namespace {

enum Quality : std::uint8_t { low, medium, high };
Quality quality_of(const ImageAsk& ask) { return iequals(ask.quality, "low") ? low : iequals(ask.quality, "medium") ? medium : high; }

struct Size {
  std::uint64_t width = 0, height = 0;   // 0: not said, or left to the model
};
Size size_of(const ImageAsk& ask) {
  const std::string_view text = ask.size;
  const auto x = text.find('x');
  if (x == std::string_view::npos) return {};
  const auto width = parse_int<std::uint64_t>(text.substr(0, x)), height = parse_int<std::uint64_t>(text.substr(x + 1));
  return width && height ? Size{*width, *height} : Size{};
}

// Tokens of a square image, and of the dearer of the two oblong ones, by quality.
using TokenTable = std::array<std::array<std::uint64_t, 2>, 3>;
// developers.openai.com/api/docs/guides/image-generation, "Models prior to gpt-image-2", read 2026-08.
constexpr TokenTable kGptImage1{{{272, 408}, {1056, 1584}, {4160, 6240}}};
// The price list tells more for an image than that table: $0.005, 0.006; 0.011, 0.015; 0.036, 0.052 at $8 per million tokens. Each
// is rounded to a tenth of a cent, so half of that is added.
constexpr TokenTable kGptImage1Mini{{{688, 813}, {1438, 1938}, {4563, 6563}}};

std::uint64_t from_table(const TokenTable& table, const ImageAsk& ask) {
  const auto [width, height] = size_of(ask);
  return table[quality_of(ask)][width == 1024 && height == 1024 ? 0 : 1];
}

// The vendor's calculator on the same page, which bills bear out (1024x1024: 196, 1756, 7024; 1536x1024 high: 5488): tokens lie on
// a grid of `edge` by its share of the shorter side, and are scaled by the area. What it would not take, and what it chooses
// itself, is at most the largest square.
std::uint64_t gpt_image_2(const ImageAsk& ask) {
  constexpr std::uint64_t least_pixels = 655'360, most_pixels = 8'294'400, largest_square = 2880, longest = 3840, step = 16;
  constexpr std::uint64_t scale = 4'000'000, offset = 2'000'000;
  constexpr std::array<std::uint64_t, 3> edges{16, 48, 96};
  const std::uint64_t edge = edges[quality_of(ask)];
  auto [width, height] = size_of(ask);
  const bool taken = width <= longest && height <= longest && width % step == 0 && height % step == 0 && width <= 3 * height &&
                     height <= 3 * width && width * height >= least_pixels && width * height <= most_pixels;
  if (!taken) width = height = largest_square;
  const auto longer = std::max(width, height), shorter = std::min(width, height);
  const auto across = (2 * edge * shorter + longer) / (2 * longer);
  return (edge * across * (offset + width * height) + scale - 1) / scale;
}

constexpr std::uint64_t kPartialImageTokens = 100;   // each; the same page, "Partial images cost"

}  // namespace

Result<std::uint64_t> image_output_bound(const ImageAsk& ask, const ModelInfo& m) {
  if (!prices_output(m)) return 0;
  const std::uint64_t partial = ask.partial_images * kPartialImageTokens;
  if (m.image_tokens) return m.image_tokens + partial;
  switch (m.image_table) {
    case ImageTable::gpt_image_1: return from_table(kGptImage1, ask) + partial;
    case ImageTable::gpt_image_1_mini: return from_table(kGptImage1Mini, ask) + partial;
    case ImageTable::gpt_image_2: return gpt_image_2(ask) + partial;
    case ImageTable::none: break;
  }
  if (m.max_output) return m.max_output + partial;
  return fail(ErrorCode::policy_unbounded_cost,
              "a budget applies and nothing bounds the tokens of an image by " + m.name + ": set image_tokens for it under models in the configuration",
              "model");
}

Usage read_told_usage(const JsonRef& reply) {
  Usage u;
  const auto usage = reply.find("usage");
  if (!usage) return u;
  const auto number = [](const JsonRef& at, const char* name) { return at.maybe<std::uint64_t>(name).value_or(std::nullopt); };
  u.input_uncached = std::max(number(*usage, "prompt_tokens").value_or(0), number(*usage, "input_tokens").value_or(0));
  u.output = std::max(number(*usage, "completion_tokens").value_or(0), number(*usage, "output_tokens").value_or(0));
  if (const auto details = usage->find("input_tokens_details")) u.image_in = number(*details, "image_tokens").value_or(0);
  u.image_out = u.output;                // unless the provider tells them apart
  if (const auto details = usage->find("output_tokens_details"))
    if (const auto text = number(*details, "text_tokens")) u.image_out = u.output - std::min(u.output, *text);
  return u;
}

namespace {

constexpr std::size_t kMostReply = 256U << 20;

void add(Usage& sum, const Usage& u) {
  sum.input_uncached += u.input_uncached;
  sum.output += u.output;
  sum.image_in += u.image_in;
  sum.image_out += u.image_out;
}

ImageReply read_stream(std::string_view body) {
  ImageReply reply{.usage = {}, .ended = false};
  net::SseParser parser(kMostReply);
  parser.push(body);
  for (auto event = parser.next(); event && *event; event = parser.next()) {
    if (!(*event)->has_data) continue;
    const auto document = parse_json((*event)->data, {.max_bytes = kMostReply});
    if (!document) continue;
    const JsonRef root(*document);
    const auto type = root.maybe<std::string_view>("type").value_or(std::nullopt).value_or((*event)->event);
    if (type == "error" || root.find("error")) return reply.ended = false, reply;
    if (!type.ends_with(".completed")) continue;
    ++reply.usage.images;
    add(reply.usage, read_told_usage(root));
    reply.ended = true;
  }
  return reply;
}

}  // namespace

ImageReply read_image_reply(std::string_view body) {
  const auto begin = trim(body.substr(0, 64));
  for (const std::string_view word : {"event:", "data:", ":", "id:", "retry:"})
    if (begin.starts_with(word)) return read_stream(body);
  ImageReply reply;
  const auto document = parse_json(body, {.max_bytes = kMostReply});
  if (!document) return reply;
  const JsonRef root(*document);
  reply.usage = read_told_usage(root);
  if (const auto data = root.find("data")) reply.usage.images = data->size();
  return reply;
}

std::optional<Money> untold_cost(const ImageAsk& ask, std::uint64_t images, const ModelInfo& m) {
  if (!priced_apiece(m)) return std::nullopt;
  Extent made = extent_of(ask);
  made.n = static_cast<std::uint32_t>(std::min<std::uint64_t>(images, UINT32_MAX));
  const auto bound = ceiling(made, m, 0);
  return bound ? std::optional(*bound) : std::nullopt;
}

}  // namespace ballast::llm
