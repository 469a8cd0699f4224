// CallJournal: what lets the call road go without waiting for the database. An intent is written before a call is dispatched,
// its outcome before the last byte is answered, each with one write(2) to the loop's own file; an importer moves the records
// to the ledger behind the road's back.
//
// What survives: a killed process loses nothing that `intent`/`outcome` returned from. A power loss may take what was written
// in the last `sync_every` (50 ms) plus one fdatasync; who cannot accept that awaits `sync` (`ledger: strict`).
// After a kill, an intent without an outcome becomes a call of status `unknown`, charged at its hold.
//
// Files: DIR/lock (one process at a time), DIR/id (names this journal in the database), DIR/EPOCH-LOOP-SEQUENCE.jnl.
// An epoch is one opening. Segments are allocated in full when opened: an intent is refused while an outcome still has room.
// A file is deleted when everything in it is imported, for `keep_imported` at least, and no call of it is in flight, oldest first.
// Where the database has forgotten positions that it had acknowledged (a standby took over that had not heard of them) nothing more is imported by this process, and
// `on_went_back` is told: the next opening goes on from what is there, out of the files that were kept.
// Frame: u16 magic, u8 type, u8 version, u32 length, u32 crc32c(type, version, length, payload), payload; little-endian.
// A torn or rotten frame is skipped, counted and logged; reading goes on at the next valid one.
// After each sync of a mapped file its writer goes on in the next page (a store into the page just synced would wait for the file system), behind a
// frame that says from where: at most a page for each sync in which something was written.
//
// Concurrency: `intent` and `outcome` for loop i are called by loop i's thread only; everything else is thread-safe.
#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "base/scheduler.hpp"
#include "base/task.hpp"
#include "records/call_record.hpp"
#include "store/database.hpp"

namespace ballast::records {

struct JournalOptions {
  std::string directory;                                   // created if absent
  unsigned loops = 1;
  std::chrono::milliseconds sync_every{50};                // the power-loss window; 0: only when `sync` asks
  std::uint64_t segment_bytes = 64ull << 20;
  std::uint64_t max_bytes = 16ull << 30;                   // of all files: beyond it intents are refused (a long database outage)
  std::size_t import_batch = 2048;                         // calls per transaction, about 1 ms of the SQLite writer; up to 8 times as many when behind
  std::chrono::milliseconds import_every{100};             // how often the importer looks
  std::chrono::milliseconds import_behind{5'000};          // beyond this lag a helper of higher priority takes over
  std::chrono::hours abandon_after{6};                     // an intent this old counts as unknown though its process lives
  Duration keep_imported{};                                // files that are wholly imported, so that what a failover loses is imported again; while all of them are less than half of `max_bytes`
  const Clock* clock = nullptr;                            // null: the system's
  Id epoch{};                                              // of this opening, unique for ever; none: one is made
  // What calls of an epoch charged the budgets' windows (less than nothing where more is known now), each window once, in the transaction that
  // added it to the ledger; may run again.
  std::function<Result<void>(store::Tx&, Id epoch, std::span<const BudgetCharge>)> charged = {};
};

class CallJournal {
 public:
  // Takes the directory's lock, finds the files of earlier epochs, starts the sync thread. Errors: internal_unavailable
  // ("in use by another process", the system's message for a directory that cannot be written).
  static Result<std::unique_ptr<CallJournal>> open(JournalOptions options);
  CallJournal(const CallJournal&) = delete;
  CallJournal& operator=(const CallJournal&) = delete;
  ~CallJournal();                                          // stops the threads, syncs; imports nothing

  // Fail closed: internal_unavailable when the disk is full, failing, or `max_bytes` is reached. The call is then not dispatched.
  Result<void> intent(unsigned loop, const IntentView& intent);
  // For calls that were refused or served from a cache, too: they need no intent. Once for each call: a second one is charged again,
  // for nobody looks whether what this process writes is there already. Errors as above; room reserved for outcomes makes
  // them rarer. An outcome that cannot be written is kept in memory (bounded) and written before the loop's next record.
  Result<void> outcome(unsigned loop, const CallRecord& record);
  // Resumes after everything that `loop` wrote before the call is on the disk. Concurrent waiters share an fdatasync.
  Task<Result<void>> sync(Scheduler& loop);
  Result<void> sync_now();                                 // the same, blocking

  // Imports everything that is written, on the calling thread, and the unknowns of dead epochs. Call it at start before budgets
  // are read: afterwards the database is exact. Returns the number of calls imported. Blocking.
  Result<std::uint64_t> import_all(store::Database& db);
  // Starts the background importer: a thread of the lowest ordinary priority. The database outlives `stop_importer`.
  void start_importer(store::Database& db);
  void stop_importer();                                    // after the batch in hand; idempotent
  // Told each imported call, as encoded, after its transaction committed, on the importing thread. Whoever wants more of it decodes it: most of
  // the time nobody does. Set before importing.
  void on_imported(std::function<void(std::string_view)> listener);
  // Told once, on the importing thread: see above. Set before importing.
  void on_went_back(std::function<void()> listener);

  struct Stats {
    std::uint64_t written_records = 0, written_bytes = 0;
    std::uint64_t syncs = 0;
    std::uint64_t imported_calls = 0, unknown_calls = 0;
    std::uint64_t behind_bytes = 0;                        // written, not yet imported
    Duration behind{};                                     // how long the importer has not been level
    std::uint64_t in_flight = 0;                           // intents seen by the importer whose outcome is not
    std::uint64_t damaged_bytes = 0;                       // skipped as torn or rotten
    std::uint64_t files = 0, file_bytes = 0;
    std::uint64_t write_errors = 0, import_errors = 0;
    std::uint64_t kept_outcomes = 0;                       // in memory, waiting for the disk
    bool failing = false;                                  // intents are being refused
  };
  Stats stats() const;                                     // cheap; for gauges
  const std::string& id() const;                           // the same at every opening of this directory

  // For tests and tools: every valid record of a directory, oldest epoch first, without a lock.
  struct Seen {
    std::function<void(const CallIntent&)> intent;
    std::function<void(const CallRecord&)> outcome;
  };
  static Result<std::uint64_t> read_directory(const std::string& directory, const Seen& seen);  // damaged bytes

  // For tests: makes the next writes or syncs of this journal fail with `error_number` (0: off).
  void inject(int write_errno, int sync_errno);

 private:
  struct State;
  explicit CallJournal(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace ballast::records
