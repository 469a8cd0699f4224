// Anchors: what the audit trail's heads were, kept outside the database that has the trail. Who can write the database can rewrite a chain
// and its head; what was anchored before tells.
//
// DIR/anchors-NODE.log is only ever appended to: frames as in a journal file (records/journal_file: length, crc32c), each one anchor: its
// number, time and node, the heads that changed since the last one, their Merkle root (RFC 6962) and the hash of the anchor before. An
// anchor's hash is over all of that, so the newest one stands for the whole file: it is logged (`audit_anchored`, at most every `tell_every`)
// for whoever ships it off the machine, and `ballast audit verify --expect` takes it back.
//
// The heads to anchor are the rows of audit_dirty, written in the transaction that grew the chain and deleted once the anchor is on the
// disk: a process killed in between anchors the same heads again. In that same transaction the database notes how far the file goes.
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/hash.hpp"
#include "base/result.hpp"
#include "records/audit.hpp"
#include "store/database.hpp"

namespace ballast::records {

struct AnchoredHead {
  std::string chain;
  ChainHead head;
  friend bool operator==(const AnchoredHead&, const AnchoredHead&) = default;
};
struct Anchor {
  std::int64_t number = 0;        // from 1, without gaps
  WallTime at{};
  std::string node;
  Digest previous{};              // the hash of the anchor before; zeros for the first
  Digest root{};                  // as the record has it
  std::vector<AnchoredHead> heads;
};
// What is known of a file's newest anchor; number zero: it has none.
struct NewestAnchor {
  std::string file, node;
  std::int64_t number = 0;
  WallTime at{};
  Digest hash{};
};
Digest merkle_root(std::span<const AnchoredHead> heads);
Digest anchor_hash(const Anchor& anchor);
std::string anchors_file(const std::string& directory, std::string_view node);     // "DIR/anchors-NODE.log"
// The files of anchors in `directory`, sorted; none where there is no such directory.
std::vector<std::string> anchors_files(const std::string& directory);

// Reads the end of the file only, however long it is; unproven, as `verify_audit` alone proves. `end`: where that anchor ends.
Result<NewestAnchor> newest_anchor(const std::string& file, std::uint64_t* end = nullptr);

// Reads a file of anchors in order, in bounded memory; a writer may append meanwhile.
class AnchorReader {
 public:
  static Result<std::unique_ptr<AnchorReader>> open(const std::string& path, std::uint64_t from = 0);
  ~AnchorReader();
  // The next anchor as it stands (whether its root is that of its heads is the reader's to check); nothing: that was the last.
  Result<std::optional<Anchor>> next();
  std::uint64_t end() const { return end_; }             // where the last anchor given ends
  std::uint64_t damaged() const;                         // bytes so far that are no anchors, between anchors
  std::uint64_t torn() const { return size_ - end_; }    // after the last: bytes behind it

 private:
  struct State;
  explicit AnchorReader(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
  std::uint64_t size_ = 0, end_ = 0;
};

// How many chains have grown since they were anchored last.
Result<std::int64_t> unanchored_chains(store::Tx& tx);

struct AnchorOptions {
  std::string directory;                            // made if absent
  std::string node;                                 // letters, digits, "-", "_" and "."
  std::chrono::milliseconds every{1000};
  std::chrono::seconds tell_every{60};
  const Clock* clock = nullptr;                     // null: the system's
};

// The writer of one node's file: one process at a time (the file is locked). Thread-safe.
class Anchorer {
 public:
  // A torn tail, as a kill or a power cut leaves it, is cut off and logged (`audit_anchors_torn`). Errors: the file cannot be opened, is
  // another process's, or is no file of anchors.
  static Result<std::unique_ptr<Anchorer>> open(AnchorOptions options);
  ~Anchorer();                                       // as `stop`, but for the anchoring
  Anchorer(const Anchorer&) = delete;
  Anchorer& operator=(const Anchorer&) = delete;

  // Anchors every head that changed, on the calling thread (blocking). Returns how many. After an error everything may be tried again.
  Result<std::size_t> anchor(store::Database& database);
  // A thread that anchors every `every`; a failure is logged (`audit_not_anchored`), once until it succeeds. `database` outlives `stop`.
  // `mine`: asked before each turn, whether this process is the one that anchors, and by `stop` too; empty: it is.
  void start(store::Database& database, std::function<bool()> mine = {});
  // Ends the thread, anchors what is left and tells the newest anchor.
  void stop();

  NewestAnchor newest() const;

 private:
  struct State;
  explicit Anchorer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace ballast::records
