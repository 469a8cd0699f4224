// The importer: moves records from the journal's files to the ledger, each call once, and settles what nobody will finish.
//
// A batch is read ahead of the database and kept until its transaction has committed, with the position of every file it came from.
// After a restart a file is read from its beginning: what lies before its recorded position only tells which intents were answered.
// A position is raised only above what this process knows to be there: where it is lower, the database has forgotten calls that lie between, and to go on would
// lose them for good.
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>

#include "base/log.hpp"
#include "base/thread.hpp"
#include "records/budgets.hpp"
#include "records/journal_state.hpp"

namespace ballast::records {

namespace {

constexpr std::size_t kMaxBatchBytes = std::size_t{16} << 20;

// How much the event loops go first where they and the importer share a core: ordinarily the importer takes what they leave and 1.5 %; a
// helper, when that does not suffice, a quarter of the core at most.
constexpr int kImporterNice = 19, kHelperNice = 5;

Error went_back_error() {
  return Error{ErrorCode::internal_unavailable, "the database has forgotten calls that it had taken; this process imports nothing more, the next start imports them again", "journal"};
}
bool is_went_back(const Error& e) { return store::fault_of(e) == store::Fault::none && e.code == ErrorCode::internal_unavailable && e.field == "journal"; }

}  // namespace

std::uint64_t CallJournal::State::behind_bytes() const {
  std::lock_guard lock(files_mutex);
  std::uint64_t sum = 0;
  for (const auto& [key, chain] : chains)
    for (const auto& s : chain.segments) sum += s->written.load() - std::min(s->written.load(), s->imported.load());
  return sum;
}

Duration CallJournal::State::behind() const { return clock->mono().time_since_epoch() - Duration(level_ns.load()); }

// Who is behind takes more at a time: on a busy core a turn is mostly waiting for its threads to be given a share, and for the disk.
std::size_t CallJournal::State::batch_size() const {
  if (behind() > options.import_behind) return options.import_batch * 8;
  return behind() > std::chrono::seconds(1) ? options.import_batch * 4 : options.import_batch;
}

// One turn: reads what fits a batch, sends it, deletes what is done with. Under import_mutex.
Result<std::uint64_t> CallJournal::State::step(store::Database& db) {
  if (went_back) return std::unexpected(went_back_error());
  if (options.keep_imported > Duration::zero()) remove_finished_files();      // those whose time has come
  if (!positions_loaded) {
    auto loaded = load_positions(db);
    if (!loaded) return std::unexpected(loaded.error());
  }
  while (batch.empty()) {
    auto read = read_batch();
    if (!read) return std::unexpected(read.error());
    if (*read || !batch.empty()) continue;  // also what was imported before a restart is read, and sends nothing
    level_ns = clock->mono().time_since_epoch().count();
    return 0;
  }
  return send(db);
}

Result<void> CallJournal::State::load_positions(store::Database& db) {
  auto rows = db.read_now([&](store::Tx& tx) { return tx.run("SELECT file, done FROM journal_positions WHERE journal = $1", {journal_id}); });
  if (!rows) return std::unexpected(rows.error());
  std::unordered_map<std::string, std::uint64_t> done;
  for (store::Row r : *rows) done[r.string(0)] = static_cast<std::uint64_t>(r.integer(1));
  std::lock_guard lock(files_mutex);
  for (auto& [key, chain] : chains)
    for (auto& s : chain.segments)
      if (auto at = done.extract(to_string(s->name)); !at.empty()) s->imported = at.mapped();
  for (auto& [file, at] : done) removed_files.push_back(file);  // of files that are gone
  positions_loaded = true;
  return {};
}

Result<bool> CallJournal::State::read_batch() {
  bool any = false, all = true;
  const std::int64_t now = clock->mono().time_since_epoch().count();
  struct Work {
    Id epoch;
    Chain* chain;
    std::vector<SegmentPtr> segments;
  };
  std::vector<Work> work;
  {
    std::lock_guard lock(files_mutex);
    for (auto& [key, chain] : chains) work.push_back({key.first, &chain, {chain.segments.begin(), chain.segments.end()}});
  }
  for (auto& [of, chain, segments] : work) {
    if (batch.empty()) batch.epoch = of;
    if (*batch.epoch != of) {                    // the next batch's
      all = false;
      break;
    }
    bool whole = true;
    for (auto& segment : segments) {
      if (!whole) {
        all = false;
        break;
      }
      // Sealed before written: a file seen as sealed is seen in full.
      whole = segment->sealed.load(std::memory_order_acquire);
      auto read = read_segment(*chain, segment);
      if (!read) return read;
      any = any || *read;
      all = all && batch.calls.size() < batch_size();
      // A live file that is not sealed ends the walk: nothing follows it.
      whole = whole && segment->read_to >= segment->written.load(std::memory_order_acquire);
    }
    if (chain->dead && !chain->settled && whole && batch.calls.size() < batch_size())
      if (auto settled = settle_dead(*chain); !settled) return std::unexpected(settled.error());
  }
  if (all && clock->mono() - abandoned_checked > std::chrono::minutes(1)) {
    if (auto settled = settle_abandoned(); !settled) return std::unexpected(settled.error());
    abandoned_checked = clock->mono();
  }
  in_flight = pending.size();
  if (all) batch.level_ns = now;
  return any;
}

// Takes frames until the batch is full or the file is read. True if it took any.
Result<bool> CallJournal::State::read_segment(Chain& chain, const SegmentPtr& segment) {
  const std::uint64_t written = segment->written.load(std::memory_order_acquire);
  if (segment->read_to >= written || batch.calls.size() >= batch_size()) return false;
  if (!segment->reader) {
    segment->read_fd = ::open(segment->path.c_str(), O_RDONLY | O_CLOEXEC);
    if (segment->read_fd < 0) return std::unexpected(system_error(segment->path, errno));
    segment->reader = std::make_unique<FrameReader>(segment->read_fd, segment->read_to);
  }
  const std::uint64_t from = segment->read_to;
  const std::size_t had = batch.calls.size();
  std::size_t bytes = 0;
  while (batch.calls.size() < batch_size() && bytes < kMaxBatchBytes) {
    auto frame = segment->reader->next(written, true);
    if (!frame) return std::unexpected(frame.error());
    if (!*frame) {
      segment->read_to = written;
      break;
    }
    bytes += (*frame)->payload.size();
    take_frame(chain, segment, **frame);
    segment->read_to = (*frame)->end;
  }
  if (const std::uint64_t damage = segment->reader->damaged(); damage > segment->counted_damage) {
    damaged += damage - segment->counted_damage;
    log::warn("journal_damaged", {{"file", segment->path}, {"bytes_skipped", damage - segment->counted_damage}});
    segment->counted_damage = damage;
  }
  if (segment->read_to > segment->imported || batch.calls.size() > had) batch.positions[to_string(segment->name)] = {segment, segment->read_to};
  return segment->read_to > from;
}

void CallJournal::State::take_frame(Chain& chain, const SegmentPtr& segment, const Frame& frame) {
  const auto id = decode_id(frame.payload);
  if (!id) {
    reject(frame.payload, id.error());
    return;
  }
  if (frame.type == FrameType::intent) {
    // Each attempt has one, and the last says what all of them may cost.
    const Pending p{segment.get(), &chain, frame.end - frame.payload.size(), static_cast<std::uint32_t>(frame.payload.size())};
    if (const auto [at, first] = pending.try_emplace(*id, p); !first) {
      --at->second.segment->pins;
      at->second = p;
    }
    ++segment->pins;
    return;
  }
  if (auto found = pending.find(*id); found != pending.end()) {
    --found->second.segment->pins;
    pending.erase(found);
  }
  if (frame.end <= segment->imported) return;
  // What this process has written it reads once. Of an earlier one nobody knows how far it came.
  if (chain.dead || (!abandoned.empty() && abandoned.erase(*id))) batch.all_new = false;
  batch.calls.push_back({*id, batch.keep(frame.payload)});
}

std::string_view CallJournal::State::Batch::keep(std::string_view bytes) {
  constexpr std::size_t piece = std::size_t{1} << 20;
  if (filled == 0 || arena[filled - 1].capacity() - arena[filled - 1].size() < bytes.size()) {
    if (filled == arena.size()) arena.emplace_back();
    arena[filled++].reserve(std::max(piece, bytes.size()));
  }
  std::string& at = arena[filled - 1];
  at += bytes;
  return std::string_view(at).substr(at.size() - bytes.size());
}

// Empty again, with room for the next.
void CallJournal::State::Batch::reset() {
  std::deque<std::string> room = std::move(arena);
  std::erase_if(room, [](const std::string& s) { return s.capacity() > (std::size_t{2} << 20); });
  room.resize(std::min<std::size_t>(room.size(), 4));
  for (std::string& s : room) s.clear();
  *this = {};
  arena = std::move(room);
}

// Error: the intent cannot be read again; it stays pending.
Result<void> CallJournal::State::add_unknown(const Pending& p) {
  std::string payload(p.size, '\0');
  const ssize_t n = ::pread(p.segment->read_fd, payload.data(), payload.size(), static_cast<off_t>(p.at));
  if (n != static_cast<ssize_t>(payload.size())) return std::unexpected(system_error(p.segment->path, n < 0 ? errno : EIO));
  auto intent = decode_intent(payload);
  if (!intent) {
    reject(payload, intent.error());
    return {};
  }
  std::string record;
  encode(record, unknown_outcome(*intent));
  batch.calls.push_back({intent->id, batch.keep(record)});
  batch.all_new = false;
  unknowns.fetch_add(1, std::memory_order_relaxed);
  return {};
}

// The process of this chain is gone and all it wrote was read: what is pending will never be answered.
Result<void> CallJournal::State::settle_dead(Chain& chain) {
  for (auto it = pending.begin(); it != pending.end();) {
    if (it->second.chain != &chain) {
      ++it;
      continue;
    }
    if (auto added = add_unknown(it->second); !added) return added;
    it = pending.erase(it);
  }
  for (auto& s : chain.segments) batch.positions[to_string(s->name)] = {s, s->read_to};
  batch.finished.push_back(&chain);
  return {};
}

// A pin for ever would keep files for ever: an intent this old is charged as unknown; should its outcome come after all, it replaces it.
Result<void> CallJournal::State::settle_abandoned() {
  const WallTime before = clock->wall() - options.abandon_after;
  for (auto it = pending.begin(); it != pending.end();) {
    auto& [id, p] = *it;
    if (p.chain->dead || id.unix_ms() >= unix_ms(before)) {
      ++it;
      continue;
    }
    log::warn("call_abandoned", {{"call", to_string(id, "call")}});
    if (batch.empty()) batch.epoch = epoch;      // of this process: the dead ones' were settled with their files
    if (auto added = add_unknown(p); !added) return added;
    abandoned.insert(id);
    --p.segment->pins;
    it = pending.erase(it);
  }
  return {};
}

Result<std::uint64_t> CallJournal::State::send(store::Database& db) {
  if (!batch.prepared) {
    batch.prepared = prepare_calls(batch.calls);
    for (const auto& [call, why] : batch.prepared->unreadable) reject(call.bytes, why);
  }
  const PreparedCalls& prepared = *batch.prepared;
  auto added = db.write_now([&](store::Tx& tx) -> Result<std::uint64_t> {
    // First the positions: should a predecessor's last transaction still be under way somewhere, their rows make this one wait for it.
    if (auto noted = note_positions(tx); !noted) return std::unexpected(std::move(noted.error()));
    store::Batch removed(2);
    for (const std::string& file : removed_files) removed.add({journal_id, file});
    if (removed.size()) {
      auto gone = tx.run_many("DELETE FROM journal_positions WHERE journal = $1 AND file = $2", removed);
      if (!gone) return std::unexpected(gone.error());
    }
    return add(tx, prepared, batch.all_new);
  }, {.priority = store::Priority::low});
  if (!added) {
    ++import_errors;
    if (is_went_back(added.error())) {
      went_back = true;
      log::error("journal_went_back", {{"why", added.error().message}});
      if (went_back_listener) went_back_listener();
      return added;
    }
    const bool compared = !std::exchange(batch.all_new, false);  // it may have been committed all the same
    const store::Fault fault = store::fault_of(added.error());
    if (fault != store::Fault::broken && fault != store::Fault::conflict) return added;
    return compared ? send_singly(db) : send(db);
  }
  removed_files.clear();
  committed();
  return std::max<std::uint64_t>(1, *added);
}

// To the ledger, and to whoever else keeps books of what was charged.
Result<std::uint64_t> CallJournal::State::add(store::Tx& tx, const PreparedCalls& calls, bool all_new) const {
  std::vector<BudgetCharge> charged;
  auto added = add_prepared(tx, calls, all_new, options.charged ? &charged : nullptr);
  if (!added || charged.empty()) return added;
  if (auto told = options.charged(tx, batch.epoch.value_or(epoch), sum_by_window(charged)); !told) return std::unexpected(told.error());
  return added;
}

Result<void> CallJournal::State::note_positions(store::Tx& tx) const {
  store::Batch fresh(3), known(4);
  for (const auto& [file, at] : batch.positions) {
    const std::uint64_t before = at.first->imported;
    if (before > 0) known.add({journal_id, file, at.second, before});
    else fresh.add({journal_id, file, at.second});
  }
  if (fresh.size()) {
    auto noted = tx.run_many("INSERT INTO journal_positions (journal, file, done) VALUES ($1, $2, $3) ON CONFLICT (journal, file) DO UPDATE SET done = excluded.done", fresh);
    if (!noted) return std::unexpected(noted.error());
  }
  if (known.size()) {
    auto noted = tx.run_many("UPDATE journal_positions SET done = $3 WHERE journal = $1 AND file = $2 AND done >= $4", known);
    if (!noted) return std::unexpected(noted.error());
    if (std::ranges::find(*noted, 0) != noted->end()) return std::unexpected(went_back_error());
  }
  return {};
}

// One of them cannot be stored. Find it, set it aside, keep the others.
Result<std::uint64_t> CallJournal::State::send_singly(store::Database& db) {
  for (const EncodedCall& call : batch.prepared->calls) {
    const PreparedCalls single = prepare_calls({call});
    auto added = db.write_now([&](store::Tx& tx) { return add(tx, single, false); }, {.priority = store::Priority::low});
    if (added) continue;
    const store::Fault fault = store::fault_of(added.error());
    if (fault != store::Fault::broken && fault != store::Fault::conflict) return added;
    reject(call.bytes, added.error());
  }
  tell(*batch.prepared);
  batch.calls.clear();  // stored or set aside: the next turn sends what is left, their positions
  batch.prepared.reset();
  return 1;
}

// Into DIR/rejected, for a person to look at. Never in the way of other calls.
void CallJournal::State::reject(std::string_view bytes, const Error& error) {
  ++import_errors;
  log::error("call_rejected", {{"error", error.message}, {"bytes", bytes.size()}, {"kept_in", options.directory + "/rejected"}});
  const int fd = ::open((options.directory + "/rejected").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0) return;
  std::string frame(kFrameHeader, '\0');
  frame += bytes;
  seal_frame(frame, FrameType::outcome);
  (void)!::write(fd, frame.data(), frame.size());
  ::close(fd);
}

// The database has the batch.
void CallJournal::State::committed() {
  tell(*batch.prepared);
  for (auto& [file, at] : batch.positions) at.first->imported = std::max(at.first->imported.load(), at.second);
  if (batch.level_ns) level_ns = batch.level_ns;
  {
    std::lock_guard lock(files_mutex);
    for (Chain* chain : batch.finished) {
      chain->settled = true;
      for (auto& s : chain->segments) s->pins = 0;
    }
  }
  batch.reset();
  remove_finished_files();
}

void CallJournal::State::tell(const PreparedCalls& stored) {
  imported.fetch_add(stored.calls.size(), std::memory_order_relaxed);
  if (!listener) return;
  for (const EncodedCall& call : stored.calls) listener(call.bytes);
}

// Under files_mutex.
void CallJournal::State::note_done(const Chain& chain) const {
  for (const auto& s : chain.segments)
    if (!s->done && s->sealed && !s->file.is_open() && s->pins == 0 && s->imported >= s->written && s->read_to >= s->written) s->done = clock->mono();
}

bool CallJournal::State::may_go(const Segment& s) const {
  return s.done && (clock->mono() - *s.done >= options.keep_imported || file_bytes.load() + 2 * options.segment_bytes > options.max_bytes / 2);
}

void CallJournal::State::remove_finished_files() {
  std::lock_guard lock(files_mutex);
  for (auto it = chains.begin(); it != chains.end();) {
    Chain& chain = it->second;
    if (std::ranges::find(batch.finished, &chain) != batch.finished.end()) {
      ++it;                                     // the batch in hand names it
      continue;
    }
    note_done(chain);
    while (!chain.segments.empty()) {
      Segment& s = *chain.segments.front();
      if (!may_go(s)) break;
      ::unlink(s.path.c_str());
      file_bytes -= std::min(file_bytes.load(), s.written.load());
      removed_files.push_back(to_string(s.name));
      chain.segments.pop_front();
    }
    it = chain.dead && chain.segments.empty() ? chains.erase(it) : std::next(it);
  }
}

void CallJournal::State::import_loop(store::Database& db, bool helping) {
  name_this_thread(helping ? "import-helper" : "import");
  ::setpriority(PRIO_PROCESS, 0, helping ? kHelperNice : kImporterNice);  // Linux: of the calling thread
  auto pause = options.import_every;
  std::unique_lock lock(importer_mutex);
  while (!importer_stopping) {
    lock.unlock();
    Result<std::uint64_t> done = 0;
    // One of the two at a time: a batch in the hands of the slower one would hold up the other for a second.
    const bool wanted = helping == (behind() > options.import_behind && behind_bytes() > 0);
    if (wanted) {
      std::lock_guard importing(import_mutex);
      done = step(db);
    }
    if (!done && pause < std::chrono::seconds(1)) log::warn("journal_import_failed", {{"error", describe(done.error())}});
    pause = done ? options.import_every : std::min<std::chrono::milliseconds>(pause * 2, std::chrono::seconds(5));
    lock.lock();
    // Less than a batch was there: what comes meanwhile goes together. A transaction for each handful of calls costs ten times as much.
    if (!done || *done < options.import_batch) importer_wake.wait_for(lock, pause, [&] { return importer_stopping; });
  }
}

void CallJournal::start_importer(store::Database& db) {
  State* s = state_.get();
  assert(!s->importer.joinable());
  s->importer_stopping = false;
  s->importer = std::jthread([s, &db] { s->import_loop(db, false); });
  s->helper = std::jthread([s, &db] { s->import_loop(db, true); });
}

void CallJournal::stop_importer() {
  {
    std::lock_guard lock(state_->importer_mutex);
    state_->importer_stopping = true;
  }
  state_->importer_wake.notify_all();
  if (state_->importer.joinable()) state_->importer.join();
  if (state_->helper.joinable()) state_->helper.join();
}

Result<std::uint64_t> CallJournal::import_all(store::Database& db) {
  std::lock_guard importing(state_->import_mutex);
  const std::uint64_t before = state_->imported;
  for (;;) {
    auto done = state_->step(db);
    if (!done) return done;
    if (*done == 0) break;
  }
  return state_->imported - before;
}

}  // namespace ballast::records
