// Providers' batch APIs: what is sent to them, and how their answers read.
#include "llm/provider_batch.hpp"

#include <gtest/gtest.h>

#include "base/json.hpp"
#include "llm/form.hpp"

namespace ballast::llm {
namespace {

ProviderSpec provider(ProviderKind kind, bool batch = true) {
  ProviderSpec spec{.name = "p", .kind = kind, .base = *net::parse_url("https://api.example/v1")};
  spec.quirks.batch = batch;
  return spec;
}

TEST(ProviderBatch, IsOfThoseWhoAnswerInTheWordsTheyWereAskedIn) {
  EXPECT_EQ(batch_api_of(provider(ProviderKind::openai), Operation::chat, Wire::openai_chat), BatchApi::openai);
  EXPECT_EQ(batch_api_of(provider(ProviderKind::openai), Operation::embeddings, Wire::openai_chat), BatchApi::openai);
  EXPECT_EQ(batch_api_of(provider(ProviderKind::anthropic), Operation::messages, Wire::anthropic_messages), BatchApi::anthropic);
  EXPECT_EQ(batch_api_of(provider(ProviderKind::openai), Operation::responses, Wire::openai_responses), std::nullopt) << "it serves no responses";
  EXPECT_EQ(batch_api_of(provider(ProviderKind::anthropic), Operation::chat, Wire::openai_chat), std::nullopt) << "it would have to be translated";
  EXPECT_EQ(batch_api_of(provider(ProviderKind::openai), Operation::images_edits, Wire::openai_chat), std::nullopt);
  EXPECT_EQ(batch_api_of(provider(ProviderKind::gemini), Operation::generate, Wire::gemini), std::nullopt);
  EXPECT_EQ(batch_api_of(provider(ProviderKind::openai, false), Operation::chat, Wire::openai_chat), std::nullopt);
}

TEST(ProviderBatch, SendsRequestsUnderTheProvidersNamesWithItsKeyInTheHead) {
  EXPECT_EQ(*batch_body(R"({"model":"route","stream":true,"stream_options":{},"n":1})", "gpt"), R"({"model":"gpt","n":1})");
  EXPECT_EQ(batch_body("[]", "gpt"), std::nullopt);
  const std::vector<BatchItem> items{{"job_1", R"({"model":"m"})"}, {"job_2", R"({"model":"m"})"}};
  const auto upload = ask_upload(provider(ProviderKind::openai), "sk-secret", Operation::embeddings, items, "job_9");
  ASSERT_TRUE(upload);
  EXPECT_EQ(upload->call.target, "/v1/files");
  EXPECT_EQ(upload->call.headers.get("authorization"), "Bearer sk-secret");
  const auto form = read_form(upload->body, upload->content_type);
  ASSERT_TRUE(form) << form.error().message;
  EXPECT_EQ(form->at(0).value, "batch");
  EXPECT_EQ(form->at(1).value, "{\"custom_id\":\"job_1\",\"method\":\"POST\",\"url\":\"/v1/embeddings\",\"body\":{\"model\":\"m\"}}\n"
                               "{\"custom_id\":\"job_2\",\"method\":\"POST\",\"url\":\"/v1/embeddings\",\"body\":{\"model\":\"m\"}}\n");
  const auto create = ask_create(provider(ProviderKind::anthropic), "sk-secret", items);
  ASSERT_TRUE(create);
  EXPECT_EQ(create->call.target, "/v1/messages/batches");
  EXPECT_EQ(create->call.headers.get("x-api-key"), "sk-secret");
  EXPECT_EQ(create->body, R"({"requests":[{"custom_id":"job_1","params":{"model":"m"}},{"custom_id":"job_2","params":{"model":"m"}}]})");
}

TEST(ProviderBatch, CancelsAtTheProvidersOwnPath) {
  for (const auto& [kind, api, target] : {std::tuple(ProviderKind::openai, BatchApi::openai, "/v1/batches/batch_a%2Fb/cancel"), {ProviderKind::anthropic, BatchApi::anthropic, "/v1/messages/batches/batch_a%2Fb/cancel"}}) {
    const auto cancel = ask_cancel(provider(kind), "sk-secret", api, "batch_a/b");
    ASSERT_TRUE(cancel);
    EXPECT_EQ(cancel->call.target, target);
    EXPECT_EQ(cancel->call.method, "POST");
    EXPECT_TRUE(cancel->body.empty());
  }
  EXPECT_FALSE(read_progress(BatchApi::openai, R"({"status":"cancelling"})")->ended);
  EXPECT_EQ(read_progress(BatchApi::openai, R"({"status":"cancelled","output_file_id":"file-1"})")->files.size(), 1u);
}

TEST(ProviderBatch, ReadsHowFarABatchIs) {
  EXPECT_FALSE(read_progress(BatchApi::openai, R"({"status":"in_progress","output_file_id":null})")->ended);
  const auto done = read_progress(BatchApi::openai, R"({"status":"completed","output_file_id":"file-1","error_file_id":"file-2"})");
  EXPECT_TRUE(done->ended && done->why.empty());
  EXPECT_EQ(done->files, (std::vector<std::string>{"file-1", "file-2"}));
  EXPECT_EQ(read_progress(BatchApi::openai, R"({"status":"failed","errors":{"data":[{"message":"token limit"}]}})")->why, "token limit");
  EXPECT_TRUE(read_progress(BatchApi::anthropic, R"({"processing_status":"ended"})")->ended);
  EXPECT_FALSE(read_progress(BatchApi::openai, "<html>"));
  EXPECT_EQ(**read_recent(R"({"data":[{"id":"batch_1","metadata":null},{"id":"batch_2","metadata":{"ballast":"job_9"}}]})", "job_9"), "batch_2");
  EXPECT_EQ(*read_recent(R"({"data":[]})", "job_9"), std::nullopt);
}

TEST(ProviderBatch, ReadsTheAnswersOfBoth) {
  const auto openai = read_results(BatchApi::openai, R"({"custom_id":"a","response":{"status_code":200,"body":{"x":1}},"error":null}
{"custom_id":"b","response":{"status_code":400,"body":{"error":{}}},"error":null}
not json
{"custom_id":"c","response":null,"error":{"code":"batch_expired"}}
{"custom_id":"d","response":{"status_code":4294967496,"body":{}},"error":null}
)");
  ASSERT_EQ(openai.size(), 4u);
  EXPECT_EQ(openai[0].body, R"({"x":1})");
  EXPECT_EQ(openai[1].status, 400);
  EXPECT_EQ(openai[2].status, 0) << "no answer was made";
  EXPECT_EQ(openai[3].status, 0) << "no status that HTTP has";
  const auto anthropic = read_results(BatchApi::anthropic, R"({"custom_id":"a","result":{"type":"succeeded","message":{"x":1}}}
{"custom_id":"b","result":{"type":"errored","error":{"type":"error","error":{"type":"invalid_request_error","message":"no"}}}}
{"custom_id":"c","result":{"type":"expired"}})");
  ASSERT_EQ(anthropic.size(), 3u);
  EXPECT_EQ(anthropic[0].status, 200);
  EXPECT_EQ(anthropic[1].status, 400);
  EXPECT_EQ(anthropic[2].status, 0);
}

}  // namespace
}  // namespace ballast::llm
