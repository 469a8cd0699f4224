#include "records/blobs.hpp"

#include "base/compress.hpp"
#include "records/sql_values.hpp"

namespace ballast::records {

namespace {

std::unexpected<Error> damaged() { return fail(ErrorCode::internal_error, "a stored value is damaged"); }
std::unexpected<Error> missing(const Digest& hash) {
  return fail(ErrorCode::caller_not_found, "the run has no value " + to_hex(hash));
}

Result<std::string> checked(const Digest& hash, std::string_view packed) {
  auto raw = unpack_blob(packed);
  if (raw && sha256(*raw) != hash) return damaged();
  return raw;
}

}  // namespace

Result<std::string> pack_blob(std::string_view raw) {
  if (raw.size() > kMaxBlob)
    return fail(ErrorCode::caller_too_large, "a value of " + std::to_string(raw.size()) + " bytes; a run keeps values of at most 64 MiB each");
  return pack(raw);
}

Result<std::string> unpack_blob(std::string_view packed) {
  auto raw = unpack(packed, kMaxBlob);
  if (!raw) return damaged();
  return std::move(*raw);
}

Result<void> put_blobs(store::Tx& tx, std::int64_t job, std::span<const Blob> blobs) {
  if (blobs.empty()) return {};
  store::Batch batch(4);
  batch.reserve(blobs.size());
  for (const Blob& b : blobs) {
    const auto size = unpacked_size(b.packed);
    if (!size || *size > kMaxBlob) return damaged();
    batch.add({job, bytes_of(b.hash), *size, store::Value::bytes(b.packed)});
  }
  auto done = tx.run_many("INSERT INTO run_blobs (job, hash, raw_size, packed) VALUES ($1, $2, $3, $4) ON CONFLICT (job, hash) DO NOTHING", batch);
  if (!done) return fail(done.error());
  return {};
}

Result<std::string> get_blob(store::Tx& tx, std::int64_t job, const Digest& hash) {
  auto found = get_blobs(tx, job, {&hash, 1}, 2 * kMaxBlob);
  if (!found) return fail(found.error());
  if (found->empty()) return missing(hash);
  return std::move(found->begin()->second);
}

Result<std::map<Digest, std::string>> get_blobs(store::Tx& tx, std::int64_t job, std::span<const Digest> hashes, std::size_t most) {
  static const ListStatement select("SELECT hash, packed FROM run_blobs WHERE job = $1 AND hash IN", 2);
  std::map<Digest, std::string> out;
  std::size_t taken = 0;
  while (!hashes.empty()) {
    std::vector<store::Value> args{job};
    const auto statement = select.take(hashes, args, bytes_of);
    auto rows = tx.run(statement, args);
    if (!rows) return fail(rows.error());
    for (store::Row r : *rows) {
      taken += r.bytes(1).size();
      if (taken > most) return fail(ErrorCode::caller_too_large, "the values asked for are larger than " + std::to_string(most) + " bytes together");
      const Digest hash = digest_from(r.bytes(0));
      auto raw = checked(hash, r.bytes(1));
      if (!raw) return fail(raw.error());
      out.emplace(hash, std::move(*raw));
    }
  }
  return out;
}

Result<void> copy_blobs(store::Tx& tx, std::int64_t from_job, std::int64_t to_job, std::span<const Digest> hashes) {
  if (hashes.empty() || from_job == to_job) return {};
  store::Batch batch(3);
  for (const Digest& h : hashes) batch.add({from_job, to_job, bytes_of(h)});
  auto copied = tx.run_many(
      "INSERT INTO run_blobs (job, hash, raw_size, packed) SELECT CAST($2 AS BIGINT), hash, raw_size, packed FROM run_blobs WHERE job = $1 AND hash = $3 "
      "ON CONFLICT (job, hash) DO NOTHING",
      batch);
  if (!copied) return fail(copied.error());
  for (std::size_t i = 0; i < hashes.size(); ++i) {
    if ((*copied)[i] > 0) continue;        // there already, or nowhere
    auto there = tx.run("SELECT 1 FROM run_blobs WHERE job = $1 AND hash = $2", {to_job, bytes_of(hashes[i])});
    if (!there) return fail(there.error());
    if (there->empty()) return missing(hashes[i]);
  }
  return {};
}

Result<std::uint64_t> delete_blobs(store::Tx& tx, std::int64_t job) {
  auto gone = tx.run("DELETE FROM run_blobs WHERE job = $1", {job});
  if (!gone) return fail(gone.error());
  return static_cast<std::uint64_t>(gone->affected());
}

}  // namespace ballast::records
