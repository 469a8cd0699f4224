#include "llm/embeddings.hpp"

#include <bit>

#include "base/hash.hpp"
#include "base/json.hpp"

namespace ballast::llm {

namespace {

constexpr std::size_t kMostReply = 64u << 20;

std::unexpected<Error> bad_reply(std::string why) { return fail(ErrorCode::provider_bad_response, "the provider's embeddings are not what its API promises: " + why); }

Result<std::vector<std::string>> texts(const JsonRef& root) {
  const auto input = root.at("input");
  if (!input) return fail(input.error());
  constexpr const char* numbers = "must be text: this provider takes no token numbers";
  if (input->is_string()) return std::vector<std::string>{*input->as<std::string>()};
  if (!input->is_array() || input->size() == 0) return input->error("must be text, or a list of texts");
  std::vector<std::string> out;
  for (std::size_t i = 0; i < input->size(); ++i) {
    const JsonRef item = input->item(i);
    if (item.is_number() || item.is_array()) return item.error(numbers);
    auto text = item.as<std::string>();
    if (!text) return fail(std::move(text.error()));
    out.push_back(std::move(*text));
  }
  return out;
}

// Little-endian 32-bit floats, as OpenAI packs them.
Result<json::value> packed(const JsonRef& values, bool base64) {
  if (!base64) return values.value();
  std::string bytes;
  bytes.reserve(values.size() * 4);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto number = values.item(i).as<double>();
    if (!number) return bad_reply(number.error().message);
    const auto bits = std::bit_cast<std::uint32_t>(static_cast<float>(*number));
    for (unsigned shift = 0; shift < 32; shift += 8) bytes.push_back(static_cast<char>(bits >> shift & 0xff));
  }
  return json::value(to_base64(bytes));
}

// The answer, translated when it is first read.
class Translated final : public net::ClientResponse {
 public:
  Translated(std::unique_ptr<net::ClientResponse> inner, EmbeddingsAsked asked) : inner_(std::move(inner)), asked_(std::move(asked)) {}
  const net::ResponseHead& head() const override { return inner_->head(); }
  bool reused() const override { return inner_->reused(); }
  bool resent() const override { return inner_->resent(); }
  Task<Result<std::string_view>> read_some(net::Deadline deadline) override {
    if (read_) co_return std::string_view();
    read_ = true;
    auto body = co_await inner_->read_all(kMostReply, deadline);
    if (!body) co_return fail(std::move(body.error()));
    auto written = gemini_embeddings_reply(asked_, *body);
    if (!written) co_return fail(std::move(written.error()));
    text_ = std::move(*written);
    co_return std::string_view(text_);
  }

 private:
  std::unique_ptr<net::ClientResponse> inner_;
  EmbeddingsAsked asked_;
  std::string text_;
  bool read_ = false;
};

}  // namespace

std::uint64_t estimated_tokens(std::string_view text) { return (text.size() + 2) / 3; }

Result<EmbeddingsAsked> gemini_embeddings_request(std::string_view openai_body) {
  const auto document = parse_json(openai_body);
  if (!document) return fail(document.error());
  const JsonRef root(*document);
  auto model = root.get<std::string>("model");
  if (!model) return fail(std::move(model.error()));
  auto inputs = texts(root);
  if (!inputs) return fail(std::move(inputs.error()));
  const auto format = root.maybe<std::string>("encoding_format");
  if (!format) return fail(format.error());
  if (*format && **format != "float" && **format != "base64") return fail(ErrorCode::caller_invalid_request, "must be float or base64", "encoding_format");
  const auto dimensions = root.maybe_int("dimensions", 1, 1'000'000);
  if (!dimensions) return fail(dimensions.error());

  EmbeddingsAsked asked{.model = std::move(*model), .base64 = *format == "base64", .inputs = inputs->size()};
  json::array requests;
  for (const auto& text : *inputs) {
    json::object one{{"model", "models/" + asked.model}, {"content", {{"parts", json::array{json::object{{"text", text}}}}}}};
    if (*dimensions) one["outputDimensionality"] = **dimensions;
    for (const auto& [name, value] : document->as_object())   // Gemini's own: taskType, title, and what comes after them
      if (name != "model" && name != "input" && name != "encoding_format" && name != "dimensions" && name != "user") one[name] = value;
    requests.push_back(std::move(one));
    asked.tokens += estimated_tokens(text);
  }
  asked.body = to_json(json::object{{"requests", std::move(requests)}});
  return asked;
}

Result<std::string> gemini_embeddings_reply(const EmbeddingsAsked& asked, std::string_view gemini_body) {
  const auto document = parse_json(gemini_body, {.max_bytes = kMostReply});
  if (!document) return bad_reply(document.error().message);
  const JsonRef root(*document);
  const auto list = root.at("embeddings");
  if (!list || !list->is_array()) return bad_reply("there is no list named embeddings");
  if (list->size() != asked.inputs) return bad_reply(std::to_string(list->size()) + " vectors for " + std::to_string(asked.inputs) + " texts");
  json::array data;
  for (std::size_t i = 0; i < list->size(); ++i) {
    const auto values = list->item(i).at("values");
    if (!values || !values->is_array()) return bad_reply("a vector has no values");
    auto vector = packed(*values, asked.base64);
    if (!vector) return fail(std::move(vector.error()));
    data.push_back(json::object{{"object", "embedding"}, {"index", i}, {"embedding", std::move(*vector)}});
  }
  std::optional<std::uint64_t> told;
  if (const auto usage = root.find("usageMetadata")) told = usage->maybe<std::uint64_t>("promptTokenCount").value_or(std::nullopt);
  json::object usage{{"prompt_tokens", told.value_or(asked.tokens)}, {"total_tokens", told.value_or(asked.tokens)}};
  if (!told) usage["estimated"] = true;
  return to_json(json::object{{"object", "list"}, {"data", std::move(data)}, {"model", asked.model}, {"usage", std::move(usage)}});
}

Task<Result<std::unique_ptr<net::ClientResponse>>> GeminiTransport::send(Scheduler& loop, const net::ClientRequest& request, net::Timeouts timeouts,
                                                                         CancelToken cancel) {
  const std::string_view target = request.target.empty() ? std::string_view(request.url->target) : request.target;
  if (!target.ends_with(":batchEmbedContents")) return inner_.send(loop, request, timeouts, cancel);
  return embed(loop, request, timeouts, cancel);
}

Task<Result<std::unique_ptr<net::ClientResponse>>> GeminiTransport::embed(Scheduler& loop, const net::ClientRequest& request, net::Timeouts timeouts,
                                                                          CancelToken cancel) {
  std::string body;
  for (const auto piece : request.body) body.append(piece);
  auto asked = gemini_embeddings_request(body);
  if (!asked) co_return fail(std::move(asked.error()));
  const std::string_view piece = asked->body;
  net::ClientRequest translated = request;
  translated.body = net::Pieces(&piece, 1);
  auto response = co_await inner_.send(loop, translated, timeouts, cancel);
  if (!response || (*response)->head().status >= 300) co_return response;
  co_return std::make_unique<Translated>(std::move(*response), std::move(*asked));
}

}  // namespace ballast::llm
