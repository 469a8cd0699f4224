// What the journal's parts share: writers (one per loop), the sync thread, the importer. Private to records/journal*.cpp.
#pragma once
#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <thread>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "records/journal.hpp"
#include "records/journal_file.hpp"
#include "records/ledger_import.hpp"
#include "records/segment_file.hpp"

namespace ballast::records {

// One file. `written` is raised by its writer, `synced` by the sync thread, the rest belongs to the importer.
struct Segment {
  FileName name;
  std::string path;
  SegmentFile file;                             // for writing; closed: of a dead epoch, or sealed and synced
  std::atomic<std::uint64_t> written{0};
  std::atomic<std::uint64_t> synced{0};
  std::atomic<std::uint64_t> resume{0};         // the sync thread's: where the writer goes on, if it is not there yet
  std::atomic<bool> sealed{false};              // nothing more will be written
  std::atomic<std::uint64_t> imported{0};       // everything before is in the database
  // The importer's, under import_mutex:
  int read_fd = -1;
  std::unique_ptr<FrameReader> reader;
  std::uint64_t read_to = 0;                    // ahead of `imported` by the batch in hand
  std::uint64_t counted_damage = 0;
  std::uint64_t pins = 0;                       // intents in it whose outcome was not seen
  std::optional<MonoTime> done;                 // since when it could be deleted

  ~Segment();
};
using SegmentPtr = std::shared_ptr<Segment>;

// The segments of one (epoch, loop), oldest first. Deleted from the front only: an intent's outcome is never deleted before it.
struct Chain {
  std::deque<SegmentPtr> segments;
  bool dead = false;                            // its process has ended
  bool settled = false;                         // and all of it is imported, what was never answered too
};
using ChainKey = std::pair<Id, unsigned>;

struct alignas(64) Writer {
  unsigned loop = 0;
  std::uint64_t next_sequence = 0;
  SegmentPtr current;
  std::uint64_t offset = 0;
  std::string frame, skip;                      // reused
  std::deque<std::string> kept;                 // outcomes the disk did not take
  std::atomic<std::uint64_t> kept_count{0}, records{0}, bytes{0}, errors{0};
  std::atomic<bool> rotate{false};              // set after a failed sync: leave this file
};


struct CallJournal::State {
  JournalOptions options;
  const Clock* clock = nullptr;
  std::string journal_id;
  Id epoch;
  int lock_fd = -1, directory_fd = -1;
  std::vector<std::unique_ptr<Writer>> writers;

  // Files.
  mutable std::mutex files_mutex;
  std::map<ChainKey, Chain> chains;
  std::atomic<std::uint64_t> file_bytes{0};
  std::atomic<bool> directory_dirty{true};
  std::atomic<int> injected_write{0}, injected_sync{0};

  // Syncing.
  std::mutex sync_mutex;
  std::condition_variable sync_wake;
  std::vector<std::function<void(Result<void>)>> sync_waiters;
  bool stopping = false;
  bool unprepared = false;                      // a file was opened whose pages are not there yet
  std::atomic<bool> sick{false};                // a sync failed; intents are refused until a probe succeeds
  std::atomic<std::uint64_t> syncs{0};

  // Importing.
  struct Pending {                              // an intent: where its payload stands
    Segment* segment;                           // pinned, so the chain keeps it
    Chain* chain;                               // stable: nodes of the map are removed only when nothing is pending in them
    std::uint64_t at;
    std::uint32_t size;
  };
  struct Batch {
    std::deque<std::string> arena;              // the records' bytes, in pieces that do not move; kept for the next batch
    std::size_t filled = 0;                     // pieces in use
    std::vector<EncodedCall> calls;             // as read, in `arena`
    std::optional<PreparedCalls> prepared;      // all of `calls`, once sending has begun
    bool all_new = true;                        // false: the ledger may have some of them
    std::map<std::string, std::pair<SegmentPtr, std::uint64_t>> positions;
    std::vector<Chain*> finished;               // dead chains whose unknowns are in this batch
    std::optional<Id> epoch;                    // all of it is of one: who made the calls is who was charged
    std::int64_t level_ns = 0;                  // when everything written was read, if it was
    bool empty() const { return calls.empty() && positions.empty(); }
    std::string_view keep(std::string_view bytes);
    void reset();
  };
  std::mutex import_mutex;
  std::unordered_map<Id, Pending> pending;
  std::unordered_set<Id> abandoned;             // charged as unknown while their process lives: an outcome may still come
  Batch batch;                                  // kept until the database has taken it
  std::vector<std::string> removed_files;       // their positions can go
  bool positions_loaded = false;
  MonoTime abandoned_checked{};
  std::function<void(std::string_view)> listener;
  std::function<void()> went_back_listener;
  bool went_back = false;                       // the database has forgotten what it acknowledged
  std::atomic<std::uint64_t> imported{0}, unknowns{0}, damaged{0}, import_errors{0}, in_flight{0};
  std::atomic<std::int64_t> level_ns{0};        // mono time when nothing was left to import
  std::mutex importer_mutex;
  std::condition_variable importer_wake;
  bool importer_stopping = false;

  std::jthread sync_thread, importer, helper;   // last: they use everything above

  ~State();
  // journal.cpp
  Result<void> append(unsigned loop, FrameType type);
  Result<void> place(Writer& w, std::string_view frame, bool is_outcome);
  Result<void> open_segment(Writer& w);
  Result<void> leave_page(Writer& w, std::uint64_t resume);
  void sync_loop();
  Result<void> sync_pass();
  std::vector<SegmentPtr> open_segments();                  // those that a writer or the next sync needs
  void probe();
  // journal_import.cpp
  Result<std::uint64_t> step(store::Database& db);          // calls imported; 0 with nothing left: level
  Result<void> load_positions(store::Database& db);
  Result<bool> read_batch();                                // true: something was read
  Result<bool> read_segment(Chain& chain, const SegmentPtr& segment);
  void take_frame(Chain& chain, const SegmentPtr& segment, const Frame& frame);
  Result<void> settle_dead(Chain& chain);
  Result<void> settle_abandoned();
  Result<void> add_unknown(const Pending& pending);
  std::size_t batch_size() const;
  Result<std::uint64_t> send(store::Database& db);
  Result<std::uint64_t> add(store::Tx& tx, const PreparedCalls& calls, bool all_new) const;
  Result<std::uint64_t> send_singly(store::Database& db);
  void reject(std::string_view bytes, const Error& error);
  void committed();
  void tell(const PreparedCalls& stored);
  Result<void> note_positions(store::Tx& tx) const;
  void note_done(const Chain& chain) const;
  bool may_go(const Segment& segment) const;
  void remove_finished_files();
  void import_loop(store::Database& db, bool helping);
  Duration behind() const;
  std::uint64_t behind_bytes() const;
};

}  // namespace ballast::records
