// Shared answers: what one node's cache keeps of answers, for the other nodes of the installation (gateway/cache_shared). A cache: rows go when their time is
// over or there are too many, the oldest first, and one that is lost costs a call.
//
// A row is found by the digest of its request and says nothing else of it; the answer is compressed, not encrypted.
// Repositories take a Tx and never begin one. Pack before the transaction.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/hash.hpp"
#include "base/result.hpp"
#include "store/database.hpp"

namespace ballast::records {

struct SharedAnswer {
  int status = 200;
  std::string content_type, body;
  std::string served_by, call_id;
  std::uint64_t input_tokens = 0, output_tokens = 0;
  std::int64_t cost_nano = 0;
  friend bool operator==(const SharedAnswer&, const SharedAnswer&) = default;
};
std::string pack_answer(const SharedAnswer& answer);
// internal_error: it is damaged.
Result<SharedAnswer> unpack_answer(std::string_view packed);

struct SharedAnswerRow {
  Digest digest{};                  // of the request
  std::string route, user;          // of the call that made it
  WallTime stored{}, expires{};     // by the clock of the node that made it
  std::string packed;
};
// Of two answers to one request the younger one stays.
Result<void> put_shared_answers(store::Tx& tx, std::span<const SharedAnswerRow> rows);
// What is there of these requests and has not expired, in no order; without route and user.
Result<std::vector<SharedAnswerRow>> find_shared_answers(store::Tx& tx, std::span<const Digest> digests, WallTime now);
// Whether any request of this route could be answered.
Result<bool> has_shared_answers(store::Tx& tx, std::string_view route, WallTime now);

struct SharedSum {
  std::uint64_t answers = 0, bytes = 0;     // as stored, compressed
};
// Reads an index of them all: for now and then.
Result<SharedSum> sum_shared_answers(store::Tx& tx);
// At most `limit` a time; they return what went.
Result<std::uint64_t> delete_expired_answers(store::Tx& tx, WallTime now, std::size_t limit);
Result<SharedSum> delete_oldest_answers(store::Tx& tx, std::size_t limit);
Result<std::uint64_t> delete_shared_answers_of(store::Tx& tx, std::string_view user, std::size_t limit);

}  // namespace ballast::records
