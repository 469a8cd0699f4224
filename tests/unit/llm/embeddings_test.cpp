// OpenAI's embeddings spoken to Gemini: what is sent, what comes back, and what is refused by name.
#include "llm/embeddings.hpp"

#include <gtest/gtest.h>

#include "base/json.hpp"
#include "base/sim_loop.hpp"

namespace ballast::llm {
namespace {

using namespace std::chrono_literals;

json::value read(std::string_view text) {
  auto document = parse_json(text);
  EXPECT_TRUE(document) << text;
  return document ? *document : json::value();
}

TEST(GeminiEmbeddings, EachTextIsARequestAndEveryFieldIsMappedOrCarried) {
  const auto asked = gemini_embeddings_request(
      R"({"model":"gemini-embedding-001","input":["one","zwei"],"dimensions":256,"encoding_format":"float","user":"u","taskType":"RETRIEVAL_QUERY"})");
  ASSERT_TRUE(asked) << asked.error().message;
  EXPECT_EQ(asked->inputs, 2u);
  EXPECT_EQ(asked->tokens, 1u + 2u);
  EXPECT_EQ(read(asked->body), read(R"({"requests":[
    {"model":"models/gemini-embedding-001","content":{"parts":[{"text":"one"}]},"outputDimensionality":256,"taskType":"RETRIEVAL_QUERY"},
    {"model":"models/gemini-embedding-001","content":{"parts":[{"text":"zwei"}]},"outputDimensionality":256,"taskType":"RETRIEVAL_QUERY"}]})"));
}

TEST(GeminiEmbeddings, WhatCannotBeSaidIsRefusedByName) {
  struct Row { const char *body, *field; };
  for (const auto& [body, field] : {Row{R"({"model":"m","input":[1,2]})", "input[0]"}, {R"({"model":"m","input":[[1,2]]})", "input[0]"},
                                    {R"({"model":"m","input":[]})", "input"}, {R"({"model":"m","input":7})", "input"}, {R"({"model":"m"})", "input"},
                                    {R"({"input":"x"})", "model"}, {R"({"model":"m","input":"x","encoding_format":"int8"})", "encoding_format"},
                                    {R"({"model":"m","input":"x","dimensions":0})", "dimensions"}}) {
    const auto asked = gemini_embeddings_request(body);
    ASSERT_FALSE(asked) << body;
    EXPECT_EQ(asked.error().code, ErrorCode::caller_invalid_request);
    EXPECT_EQ(asked.error().field, field) << body;
  }
}

TEST(GeminiEmbeddings, TheReplyIsOpenAIsAndSaysThatItsTokensAreEstimated) {
  const EmbeddingsAsked asked{.model = "m", .inputs = 2, .tokens = 9};
  const auto reply = gemini_embeddings_reply(asked, R"({"embeddings":[{"values":[0.5,-1]},{"values":[0.25]}]})");
  ASSERT_TRUE(reply) << reply.error().message;
  EXPECT_EQ(read(*reply), read(R"({"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5,-1]},{"object":"embedding","index":1,"embedding":[0.25]}],
    "model":"m","usage":{"prompt_tokens":9,"total_tokens":9,"estimated":true}})"));
  const auto told = gemini_embeddings_reply({.model = "m", .inputs = 1, .tokens = 9}, R"({"embeddings":[{"values":[]}],"usageMetadata":{"promptTokenCount":4}})");
  ASSERT_TRUE(told);
  EXPECT_EQ(to_json(read(*told).as_object().at("usage")), R"({"prompt_tokens":4,"total_tokens":4})");
}

TEST(GeminiEmbeddings, Base64IsLittleEndianFloats) {
  const auto reply = gemini_embeddings_reply({.model = "m", .base64 = true, .inputs = 1}, R"({"embeddings":[{"values":[1, -2.5, 0]}]})");
  ASSERT_TRUE(reply);
  EXPECT_EQ(read(*reply).as_object().at("data").as_array()[0].as_object().at("embedding").as_string(), "AACAPwAAIMAAAAAA");
}

TEST(GeminiEmbeddings, AReplyThatIsNoneIsTheProvidersFault) {
  for (const char* body : {"", "[]", "{}", R"({"embeddings":[{"values":[1]}]})", R"({"embeddings":[{"values":[1]},{}]})"}) {
    const auto reply = gemini_embeddings_reply({.model = "m", .inputs = 2}, body);
    ASSERT_FALSE(reply) << body;
    EXPECT_EQ(reply.error().code, ErrorCode::provider_bad_response) << body;
  }
}

// A provider in process that remembers what it was sent.
struct Provider final : net::Transport {
  struct Response final : net::ClientResponse {
    net::ResponseHead top;
    std::string body;
    bool read = false;
    const net::ResponseHead& head() const override { return top; }
    Task<Result<std::string_view>> read_some(net::Deadline) override {
      co_return std::exchange(read, true) ? std::string_view() : std::string_view(body);
    }
  };
  Task<Result<std::unique_ptr<net::ClientResponse>>> send(Scheduler&, const net::ClientRequest& request, net::Timeouts, CancelToken) override {
    sent.clear();
    for (const auto piece : request.body) sent.append(piece);
    auto response = std::make_unique<Response>();
    response->top.status = status;
    response->body = answer;
    co_return response;
  }
  int status = 200;
  std::string answer, sent;
};

struct Asked { std::optional<Error> error; int status = 0; std::string body; };
Asked ask(Provider& provider, std::string_view target, std::string_view body) {
  SimClock clock;
  SimLoop loop(clock);
  GeminiTransport transport(provider);
  auto go = [&]() -> Task<Asked> {
    auto url = net::parse_url("http://g.example/v1beta");
    url->target += target;
    const net::ClientRequest request{.url = &*url, .headers = {}, .body = net::Pieces(&body, 1)};
    auto response = co_await transport.send(loop, request, {}, nullptr);
    if (!response) co_return Asked{.error = response.error()};
    auto text = co_await (*response)->read_all(1 << 20, net::no_deadline);
    if (!text) co_return Asked{.error = text.error()};
    co_return Asked{.status = (*response)->head().status, .body = *text};
  };
  return loop.run(go());
}

TEST(GeminiTransport, TranslatesEmbeddingsAndPassesEverythingElse) {
  Provider provider;
  provider.answer = R"({"embeddings":[{"values":[1]}]})";
  const auto embedded = ask(provider, "/models/m:batchEmbedContents", R"({"model":"m","input":"x"})");
  EXPECT_NE(provider.sent.find(R"("requests":)"), std::string::npos) << provider.sent;
  EXPECT_NE(embedded.body.find(R"("object":"list")"), std::string::npos) << embedded.body;
  const auto chat = ask(provider, "/models/m:generateContent", R"({"contents":[]})");
  EXPECT_EQ(provider.sent, R"({"contents":[]})");
  EXPECT_EQ(chat.body, provider.answer);

  provider.status = 429;
  provider.answer = R"({"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}})";
  const auto refused = ask(provider, "/models/m:batchEmbedContents", R"({"model":"m","input":"x"})");
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(refused.body, provider.answer);

  provider.sent = "nothing";
  const auto tokens = ask(provider, "/models/m:batchEmbedContents", R"({"model":"m","input":[1]})");
  ASSERT_TRUE(tokens.error);
  EXPECT_EQ(tokens.error->field, "input[0]");
  EXPECT_EQ(provider.sent, "nothing");
}

}  // namespace
}  // namespace ballast::llm
