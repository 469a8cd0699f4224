#include "records/call_block.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "../../support/records_samples.hpp"
#include "base/random.hpp"

namespace ballast::records {
namespace {

struct Packed {
  std::vector<CallRecord> records;
  std::vector<std::string> bytes;
  std::vector<EncodedCall> calls;
  std::vector<CallBlock> blocks;
};

Packed pack_all(std::vector<CallRecord> records) {
  Packed p{std::move(records), {}, {}, {}};
  p.bytes.resize(p.records.size());
  for (std::size_t i = 0; i < p.records.size(); ++i) {
    encode(p.bytes[i], p.records[i]);
    p.calls.push_back({p.records[i].id, p.bytes[i]});
  }
  p.blocks = pack(p.calls);
  return p;
}

std::vector<CallRecord> varied(std::size_t n) {
  std::vector<CallRecord> out;
  for (std::uint64_t i = 0; i < n; ++i) {
    CallRecord& c = out.emplace_back(test::sample_call(i, static_cast<std::int64_t>(i)));
    c.user = "user-" + std::to_string(i);
    c.status = static_cast<CallStatus>(i % 4);
    c.cache = static_cast<CacheState>(i % 8);
    c.billed_nano = i % 3 ? c.incurred_nano : INT64_MIN;
    c.usage = {.input = i, .cached = i % 2, .cache_write = UINT64_MAX, .output = 0, .reasoning = 5, .images = i % 3};
    if (i % 5 == 0) {
      c.attempts.insert(c.attempts.begin(), c.attempts[0]);
      c.attempts[0].model = "other";
      c.attempts[0].outcome = "provider_error";
    }
    if (i % 7 == 0) c.attempts.clear();
    if (i % 4 == 1) c.error = "provider_error", c.http_status = 502, c.first_token_us = 0;
    if (i % 8 < 3) c.saved_nano = static_cast<std::int64_t>(i) * 1'000;
    if (i % 9 == 0 && c.attempts.size() == 1) c.attempts[0].outcome = "provider_timeout";
  }
  return out;
}

TEST(CallBlock, KeepsEveryRecordAndWhatIsSummedUp) {
  const Packed p = pack_all(varied(600));
  ASSERT_EQ(p.blocks.size(), 3u);
  std::size_t n = 0;
  for (const CallBlock& block : p.blocks) {
    EXPECT_LE(block.calls, kBlockCalls);
    EXPECT_EQ(block.first, p.records[n].id);
    std::string plain;
    const auto details = unpack_details(block.details, plain);
    ASSERT_TRUE(details);
    SummaryReader reader(block.summary);
    ASSERT_EQ(reader.calls(), details->size());
    std::size_t i = 0;
    for (CallRow row; reader.next(row); ++i, ++n) {
      const CallRecord& c = p.records[n];
      EXPECT_EQ(*decode_call((*details)[i]), c);
      EXPECT_EQ(row.id, c.id);
      EXPECT_EQ(reader.names()[row.name(Name::user)], c.user);
      EXPECT_EQ(reader.names()[row.name(Name::model)], c.model);
      EXPECT_EQ(row.status, c.status);
      EXPECT_EQ(row.cache, c.cache);
      EXPECT_EQ(row.amounts.incurred_nano, c.incurred_nano);
      EXPECT_EQ(row.amounts.billed_nano, c.billed_nano);
      EXPECT_EQ(row.amounts.tokens, (std::array<std::uint64_t, 6>{c.usage.input, c.usage.cached, c.usage.cache_write, c.usage.output, c.usage.reasoning, c.usage.images}));
      EXPECT_EQ(row.amounts.latency_us, c.latency_us);
      EXPECT_EQ(row.first_token_us, c.first_token_us);
      EXPECT_EQ(row.saved_nano, c.saved_nano);
      EXPECT_EQ(row.http_status, c.http_status);
      EXPECT_EQ(row.name(Name::error) == kNoName ? "" : reader.names()[row.name(Name::error)], c.error);
      EXPECT_EQ(row.attempted, c.attempts.size());
      EXPECT_EQ(row.attempts_failed, std::ranges::count_if(c.attempts, [](const AttemptRecord& a) { return a.outcome != "ok"; }));
      ASSERT_EQ(row.attempts.size(), c.attempts.size() > 1 ? c.attempts.size() : 0) << n;
      if (row.attempts.empty()) continue;
      EXPECT_TRUE(row.attempts[0].failed);
      EXPECT_EQ(reader.names()[row.attempts[0].model], "other");
      EXPECT_EQ(row.attempts[0].amounts.billed_nano, 0);
      EXPECT_EQ(row.attempts[1].amounts.billed_nano, c.billed_nano);
    }
    EXPECT_TRUE(reader.good());
    EXPECT_EQ(block.last, p.records[n - 1].id);
  }
  EXPECT_EQ(n, 600u);
}

TEST(CallBlock, SpansAMinuteAtMostAndAMegabyte) {
  std::vector<CallRecord> calls = {test::sample_call(1, 0), test::sample_call(2, 59'999), test::sample_call(3, 60'000), test::sample_call(4, 60'001)};
  EXPECT_EQ(pack_all(calls).blocks.size(), 2u);
  for (CallRecord& c : calls) c.decision.assign(600'000, 'x');
  EXPECT_EQ(pack_all(calls).blocks.size(), 4u);
}

TEST(CallBlock, ARecordThatCannotBeReadIsSaidAndLeftOut) {
  const Packed p = pack_all(varied(3));
  std::vector<EncodedCall> calls = p.calls;
  calls[1].bytes.remove_suffix(9);
  std::size_t packed = 0, unreadable = 0;
  const auto blocks = pack(calls, {.packed = [&](const CallView&) { ++packed; }, .unreadable = [&](const EncodedCall& c, const Error&) { unreadable += c.id == calls[1].id; }});
  EXPECT_EQ(packed, 2u);
  EXPECT_EQ(unreadable, 1u);
  ASSERT_EQ(blocks.size(), 1u);
  EXPECT_EQ(blocks[0].calls, 2u);
  calls.resize(2);
  EXPECT_EQ(pack(std::span(calls).subspan(1)).size(), 0u);
}

TEST(CallBlock, NamesAreCleanAndOnesThatBecomeTheSameAreOne) {
  std::vector<CallRecord> calls = {test::sample_call(1), test::sample_call(2)};
  calls[0].user = std::string("a\0b", 3);
  calls[1].user = "a\xff" "b";
  const Packed p = pack_all(calls);
  SummaryReader reader(p.blocks.at(0).summary);
  CallRow one, two;
  ASSERT_TRUE(reader.next(one) && reader.next(two));
  EXPECT_EQ(reader.names()[one.name(Name::user)], "a?b");
  EXPECT_EQ(one.name(Name::user), two.name(Name::user));
}

TEST(CallBlock, DamageIsNoticedOrHarmlessNeverACrash) {
  const Packed p = pack_all(varied(40));
  const CallBlock& block = p.blocks.at(0);
  const auto read = [](std::string_view summary) {
    SummaryReader reader(summary);
    std::size_t n = 0;
    for (CallRow row; reader.next(row); ++n)
      for (const std::uint32_t name : row.names) EXPECT_TRUE(name < reader.names().size() || name == kNoName);
    return reader.good() ? n : 0;
  };
  EXPECT_EQ(read(block.summary), 40u);
  for (std::size_t cut = 0; cut < block.summary.size(); ++cut) EXPECT_EQ(read(std::string_view(block.summary).substr(0, cut)), 0u) << cut;
  SeededRandom random(11);
  for (int i = 0; i < 2'000; ++i) {
    std::string summary = block.summary, details = block.details, plain;
    summary[random.below(summary.size())] = static_cast<char>(random.below(256));
    (void)read(summary);
    details[random.below(details.size())] = static_cast<char>(random.below(256));
    if (i % 2) details.resize(random.below(details.size()));
    (void)unpack_details(details, plain);
  }
}

}  // namespace
}  // namespace ballast::records
