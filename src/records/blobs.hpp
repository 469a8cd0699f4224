// Blobs: the values of a run (inputs, results, checkpoints), addressed by what they are. The same content is kept once in a run, however
// many of its stages have it; runs share nothing, so a run is deleted without counting who else refers to it.
//
// Pack on the caller's thread, before the transaction. Repositories take a Tx and never begin one.
#pragma once
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "base/hash.hpp"
#include "base/result.hpp"
#include "store/database.hpp"

namespace ballast::records {

inline constexpr std::size_t kMaxBlob = std::size_t{64} << 20;     // of the value itself, in bytes

// zstd at level 1, or as it is where that is no shorter. Error: caller_too_large above kMaxBlob.
Result<std::string> pack_blob(std::string_view raw);
// internal_error: damaged, or says of itself that it is larger than kMaxBlob (refused before anything is allocated).
Result<std::string> unpack_blob(std::string_view packed);

struct Blob {
  Digest hash{};                // SHA-256 of the raw value
  std::string_view packed;      // borrowed
};
// Keeps them; what the run has already is passed over. internal_error: something that `pack_blob` did not make.
Result<void> put_blobs(store::Tx& tx, std::int64_t job, std::span<const Blob> blobs);
// The raw value. caller_not_found: the run has none of this hash. internal_error: what is stored is damaged or is another value.
Result<std::string> get_blob(store::Tx& tx, std::int64_t job, const Digest& hash);
// Those there are, raw, checked against their hashes. In all at most `most` bytes as stored: caller_too_large beyond it.
Result<std::map<Digest, std::string>> get_blobs(store::Tx& tx, std::int64_t job, std::span<const Digest> hashes, std::size_t most = kMaxBlob);
// For a fork: without unpacking. What the other run has already is passed over. caller_not_found: `from_job` lacks one of them.
Result<void> copy_blobs(store::Tx& tx, std::int64_t from_job, std::int64_t to_job, std::span<const Digest> hashes);
// Returns how many there were.
Result<std::uint64_t> delete_blobs(store::Tx& tx, std::int64_t job);

}  // namespace ballast::records
