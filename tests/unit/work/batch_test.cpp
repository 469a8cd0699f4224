// Batches: how the lines of a file are cut and read, what their answers look like.
#include "work/batch.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ballast::work {
namespace {

using testing::ElementsAre;
using testing::Pair;

constexpr std::string_view kChat = "/v1/chat/completions";

std::vector<std::pair<std::uint64_t, std::string>> cut(std::string_view text, std::size_t piece) {
  LineCutter cutter;
  std::vector<std::pair<std::uint64_t, std::string>> out;
  const auto take = [&] {
    while (const auto line = cutter.next()) out.emplace_back(line->number, line->text);
  };
  for (std::size_t at = 0; at < text.size(); at += piece) {
    const std::string part(text.substr(at, piece));      // gone before the next one comes
    cutter.push(part);
    take();
  }
  cutter.end();
  take();
  return out;
}

TEST(LineCutter, GivesTheSameLinesWhereverTheFileIsCut) {
  const std::string_view text = "one\r\n\n  \ntwo two\n\nthree";
  const auto whole = cut(text, text.size());
  EXPECT_THAT(whole, ElementsAre(Pair(1, "one"), Pair(4, "two two"), Pair(6, "three")));
  for (std::size_t piece = 1; piece < text.size(); ++piece) EXPECT_EQ(cut(text, piece), whole) << piece;
  EXPECT_TRUE(cut("", 1).empty());
  EXPECT_THAT(cut("a\n", 1), ElementsAre(Pair(1, "a")));
}

TEST(LineCutter, NeverGathersMoreThanALineMayHave) {
  LineCutter cutter;
  const std::string piece(1u << 20, 'x');
  for (std::size_t at = 0; at < kMostLine + (4u << 20); at += piece.size()) {
    cutter.push(piece);
    EXPECT_FALSE(cutter.next());
  }
  cutter.push("\nshort\n");
  const auto longest = cutter.next();
  ASSERT_TRUE(longest);
  EXPECT_TRUE(longest->too_long);
  EXPECT_EQ(longest->text.size(), kMostLine);
  const auto after = cutter.next();
  ASSERT_TRUE(after);
  EXPECT_EQ(after->text, "short");
  EXPECT_FALSE(after->too_long);
}

TEST(BatchLine, IsReadOrItsMistakeIsNamed) {
  const auto good = read_batch_line(R"({"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"m","messages":[]}})", kChat, 1);
  ASSERT_TRUE(good);
  EXPECT_EQ(good->custom_id, "a");
  EXPECT_EQ(good->model, "m");
  EXPECT_EQ(good->body, R"({"model":"m","messages":[]})");
  const auto mistake = [](std::string_view text) {
    const auto read = read_batch_line(text, kChat, 7);
    return read ? std::tuple(std::string(), std::string(), std::uint64_t{0}) : std::tuple(read.error().code, read.error().param, read.error().line);
  };
  EXPECT_EQ(mistake("{"), std::tuple("invalid_json_line", "", 7u));
  EXPECT_EQ(mistake(R"({"method":"POST"})"), std::tuple("missing_required_parameter", "custom_id", 7u));
  EXPECT_EQ(mistake(R"({"custom_id":"a\u0000b"})"), std::tuple("invalid_value", "custom_id", 7u));
  EXPECT_EQ(mistake(R"({"custom_id":"a","method":"GET"})"), std::tuple("invalid_method", "method", 7u));
  EXPECT_EQ(mistake(R"({"custom_id":"a","method":"POST","url":"/v1/responses"})"), std::tuple("url_mismatch", "url", 7u));
  EXPECT_EQ(mistake(R"({"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":[]})"), std::tuple("missing_required_parameter", "body", 7u));
}

TEST(BatchUsage, AddsUpWhateverTheWireCallsIt) {
  BatchUsage usage;
  for (const std::string_view reply : {R"({"usage":{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":2}}})",
                                       R"({"usage":{"input_tokens":10,"output_tokens":5,"input_tokens_details":{"cached_tokens":1},"output_tokens_details":{"reasoning_tokens":1}}})",
                                       R"({"usage":{"input_tokens":10,"output_tokens":5,"cache_read_input_tokens":3,"cache_creation_input_tokens":2}})", R"({"usage":null})", "[]"})
    usage.add(*parse_json(reply));
  EXPECT_EQ(usage.input, 35u);
  EXPECT_EQ(usage.cached, 8u);
  EXPECT_EQ(usage.output, 15u);
  EXPECT_EQ(usage.reasoning, 3u);
}

TEST(Batch, IsStoredWhole) {
  Batch b;
  b.window = "24h";
  b.metadata = {{"a", "b"}};
  b.user = "ann";
  b.output = JobId{5};
  b.counts = {3, 2, 1};
  b.in_progress = from_unix_us(1'000'000);
  b.usage = BatchUsage{1, 2, 3, 4};
  b.mistakes = {{"invalid_json_line", "no", "", 3}};
  Batch again;
  ASSERT_TRUE(unpack_batch(pack_batch(b), again));
  EXPECT_EQ(pack_batch(again), pack_batch(b));
  EXPECT_EQ(again.mistakes.front().line, 3u);
  EXPECT_EQ(again.failed, WallTime{});
}

TEST(BatchAnswer, OfALineThatFailedIsInItsWiresWords) {
  Job job;
  job.id = JobId{1'000'000'000};
  job.spec.name = "chat.completions";
  job.state = JobState::dead;
  BatchUsage usage;
  job.error = pack_error(Error{ErrorCode::caller_not_found, "no such model", "model"});
  const BatchAnswer lost = answer_of(job, "a", usage);
  EXPECT_FALSE(lost.good || lost.late);
  EXPECT_NE(lost.text.find(R"("status_code":404)"), std::string::npos) << lost.text;
  job.error = pack_error(Error{ErrorCode::caller_timeout, "too late", "deadline"});
  const BatchAnswer late = answer_of(job, "a", usage);
  EXPECT_TRUE(late.late);
  EXPECT_NE(late.text.find(R"("error":{"code":"batch_expired")"), std::string::npos) << late.text;
  EXPECT_NE(late.text.find(R"("response":null)"), std::string::npos) << late.text;
}

}  // namespace
}  // namespace ballast::work
