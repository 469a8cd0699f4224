#include "records/messages.hpp"

#include <algorithm>
#include <array>

#include "base/compress.hpp"

namespace ballast::records {

namespace {

using store::Value;

constexpr std::int64_t kFull = 1, kRedacted = 2, kTruncated = 4, kWhole = 8;

std::unexpected<Error> damaged() { return fail(ErrorCode::internal_error, "a recorded message is damaged"); }

// The request's size in eight hexadecimal digits, then both texts: packed together, for a reply repeats much of what was asked.
constexpr std::size_t kHead = 8;

std::string joined(const RecordedCall& call) {
  std::string out = fmt::format("{:08x}", call.request.size());
  out.reserve(kHead + call.request.size() + call.reply.size());
  out += call.request;
  return out += call.reply;
}

#define COLUMNS "call_id, user_id, key_id, at_us, flags, packed"

Result<RecordedCall> read(const store::Row& r) {
  const auto id = id_from_bytes(r.bytes(0));
  if (!id) return damaged();
  const std::int64_t flags = r.integer(4);
  RecordedCall call{.id = *id, .user = r.string(1), .key_id = r.string(2), .at = WallTime(std::chrono::microseconds(r.integer(3))), .full = (flags & kFull) != 0,
                    .redacted = (flags & kRedacted) != 0, .truncated = (flags & kTruncated) != 0, .whole = (flags & kWhole) != 0, .request = {}, .reply = {}};
  if (auto parted = unpack_messages(r.bytes(5), call); !parted) return std::unexpected(std::move(parted.error()));
  return call;
}

}  // namespace

Result<PackedMessages> pack_messages(RecordedCall call) {
  if (std::max(call.request.size(), call.reply.size()) > kMaxRecordedSide)
    return fail(ErrorCode::caller_too_large, fmt::format("a recorded message is larger than {} bytes", kMaxRecordedSide));
  PackedMessages out{.call = {}, .packed = pack(joined(call))};
  call.request.clear();
  call.reply.clear();
  out.call = std::move(call);
  return out;
}

Result<void> unpack_messages(std::string_view packed, RecordedCall& into) {
  const auto plain = unpack(packed, kHead + 2 * kMaxRecordedSide);
  if (!plain || plain->size() < kHead) return damaged();
  std::size_t size = 0;
  for (const char c : plain->substr(0, kHead)) {
    const auto digit = std::string_view("0123456789abcdef").find(c);
    if (digit == std::string_view::npos) return damaged();
    size = size * 16 + digit;
  }
  if (size > plain->size() - kHead) return damaged();
  into.request = plain->substr(kHead, size);
  into.reply = plain->substr(kHead + size);
  return {};
}

Result<void> put_messages(store::Tx& tx, std::span<const PackedMessages> calls) {
  if (calls.empty()) return {};
  std::vector<std::string> ids;
  ids.reserve(calls.size());
  store::Batch batch(6);
  batch.reserve(calls.size());
  for (const auto& [call, packed] : calls) {
    ids.push_back(to_bytes(call.id));
    const std::int64_t flags = (call.full ? kFull : 0) | (call.redacted ? kRedacted : 0) | (call.truncated ? kTruncated : 0) | (call.whole ? kWhole : 0);
    const std::int64_t at = std::chrono::duration_cast<std::chrono::microseconds>(call.at.time_since_epoch()).count();
    batch.add({Value::bytes(ids.back()), call.user, call.key_id, at, flags, Value::bytes(packed)});
  }
  auto done = tx.run_many("INSERT INTO recorded_messages (" COLUMNS ") VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (call_id) DO NOTHING", batch);
  if (!done) return std::unexpected(std::move(done.error()));
  return {};
}

Result<RecordedCall> get_messages(store::Tx& tx, Id id) {
  auto rows = tx.run("SELECT " COLUMNS " FROM recorded_messages WHERE call_id = $1", {Value::bytes(to_bytes(id))});
  if (!rows) return std::unexpected(std::move(rows.error()));
  if (rows->empty()) return fail(ErrorCode::caller_not_found, "no messages of this call are kept");
  return read((*rows)[0]);
}

Result<std::vector<RecordedCall>> list_messages_of(store::Tx& tx, std::string_view user, std::optional<Id> after, std::size_t limit) {
  const std::string from = to_bytes(after.value_or(Id{}));
  auto rows = tx.run("SELECT " COLUMNS " FROM recorded_messages WHERE user_id = $1 AND user_id <> '' AND call_id > $2 ORDER BY call_id LIMIT $3",
                     {user, Value::bytes(from), limit});
  if (!rows) return std::unexpected(std::move(rows.error()));
  std::vector<RecordedCall> out;
  for (const store::Row r : *rows) {
    auto call = read(r);
    if (!call) return std::unexpected(std::move(call.error()));
    out.push_back(std::move(*call));
  }
  return out;
}

Result<std::uint64_t> count_messages_of(store::Tx& tx, std::string_view user) {
  auto rows = tx.run("SELECT COUNT(*) FROM recorded_messages WHERE user_id = $1 AND user_id <> ''", {user});
  if (!rows) return std::unexpected(std::move(rows.error()));
  return static_cast<std::uint64_t>((*rows)[0].integer(0));
}

Result<std::uint64_t> delete_messages_of(store::Tx& tx, std::string_view user, std::size_t limit) {
  auto gone = tx.run("DELETE FROM recorded_messages WHERE call_id IN (SELECT call_id FROM recorded_messages WHERE user_id = $1 AND user_id <> '' LIMIT $2)", {user, limit});
  if (!gone) return std::unexpected(std::move(gone.error()));
  return static_cast<std::uint64_t>(gone->affected());
}

// Ids begin with their millisecond, so the oldest are the first of the primary key.
Result<std::uint64_t> delete_messages_before(store::Tx& tx, WallTime before, std::size_t limit) {
  const std::string first = to_bytes(Id{.high = static_cast<std::uint64_t>(std::max<std::int64_t>(unix_ms(before), 0)) << 16, .low = 0});
  auto gone = tx.run("DELETE FROM recorded_messages WHERE call_id IN (SELECT call_id FROM recorded_messages WHERE call_id < $1 ORDER BY call_id LIMIT $2)",
                     {Value::bytes(first), limit});
  if (!gone) return std::unexpected(std::move(gone.error()));
  return static_cast<std::uint64_t>(gone->affected());
}

}  // namespace ballast::records
