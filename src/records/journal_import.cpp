// The importer: moves records from the journal's files to the ledger, each call once, and settles what nobody will finish.
//
// A batch is read ahead of the database and kept until its transaction has committed, with the position of every file it came from.
// After a restart a file is read from its beginning: what lies before its recorded position only tells which intents were answered.
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.hpp"
#include "records/journal_state.hpp"

namespace ballast::records {

namespace {

constexpr std::size_t kMaxBatchBytes = std::size_t{8} << 20;

void lowest_priority() { ::setpriority(PRIO_PROCESS, 0, 19); }  // Linux: of the calling thread

}  // namespace

std::uint64_t CallJournal::State::behind_bytes() const {
  std::lock_guard lock(files_mutex);
  std::uint64_t sum = 0;
  for (const auto& [key, chain] : chains)
    for (const auto& s : chain.segments) sum += s->written.load() - std::min(s->written.load(), s->imported.load());
  return sum;
}

Duration CallJournal::State::behind() const { return clock->mono().time_since_epoch() - Duration(level_ns.load()); }

// One turn: reads what fits a batch, sends it, deletes what is done with. Under import_mutex.
Result<std::uint64_t> CallJournal::State::step(store::Database& db) {
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
  std::vector<std::pair<Chain*, std::vector<SegmentPtr>>> work;
  {
    std::lock_guard lock(files_mutex);
    for (auto& [key, chain] : chains) work.emplace_back(&chain, std::vector<SegmentPtr>(chain.segments.begin(), chain.segments.end()));
  }
  for (auto& [chain, segments] : work) {
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
      all = all && batch.records.size() < options.import_batch;
      // A live file that is not sealed ends the walk: nothing follows it.
      whole = whole && segment->read_to >= segment->written.load(std::memory_order_acquire);
    }
    if (chain->dead && whole && batch.records.size() < options.import_batch) settle_dead(*chain);
  }
  if (clock->mono() - abandoned_checked > std::chrono::minutes(1)) {
    settle_abandoned();
    abandoned_checked = clock->mono();
  }
  in_flight = pending.size();
  if (all) batch.level_ns = now;
  return any;
}

// Takes frames until the batch is full or the file is read. True if it took any.
Result<bool> CallJournal::State::read_segment(Chain& chain, const SegmentPtr& segment) {
  const std::uint64_t written = segment->written.load(std::memory_order_acquire);
  if (segment->read_to >= written || batch.records.size() >= options.import_batch) return false;
  if (!segment->reader) {
    segment->read_fd = ::open(segment->path.c_str(), O_RDONLY | O_CLOEXEC);
    if (segment->read_fd < 0) return std::unexpected(system_error(segment->path, errno));
    segment->reader = std::make_unique<FrameReader>(segment->read_fd, segment->read_to);
  }
  const std::uint64_t from = segment->read_to;
  const std::size_t had = batch.records.size();
  std::size_t bytes = 0;
  while (batch.records.size() < options.import_batch && bytes < kMaxBatchBytes) {
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
  if (segment->read_to > segment->imported || batch.records.size() > had) batch.positions[to_string(segment->name)] = {segment, segment->read_to};
  return segment->read_to > from;
}

void CallJournal::State::take_frame(Chain& chain, const SegmentPtr& segment, const Frame& frame) {
  const auto id = decode_id(frame.payload);
  if (!id) {
    reject(frame.payload, id.error());
    return;
  }
  if (frame.type == FrameType::intent) {
    if (pending.try_emplace(*id, Pending{std::string(frame.payload), segment, &chain}).second) ++segment->pins;
    return;
  }
  if (auto found = pending.find(*id); found != pending.end()) {
    --found->second.pin->pins;
    pending.erase(found);
  }
  if (frame.end <= segment->imported) return;
  auto record = decode_call(frame.payload);
  if (!record) {
    reject(frame.payload, record.error());
    return;
  }
  batch.records.push_back(std::move(*record));
  batch.bytes.push_back(batch.kept.emplace_back(frame.payload));
}

void CallJournal::State::add_unknown(const Pending& p) {
  auto intent = decode_intent(p.intent);
  if (!intent) {
    reject(p.intent, intent.error());
    return;
  }
  batch.records.push_back(unknown_outcome(*intent));
  encode(batch.kept.emplace_back(), batch.records.back());
  batch.bytes.push_back(batch.kept.back());
  unknowns.fetch_add(1, std::memory_order_relaxed);
}

// The process of this chain is gone and all it wrote was read: what is pending will never be answered.
void CallJournal::State::settle_dead(Chain& chain) {
  for (auto it = pending.begin(); it != pending.end();) {
    if (it->second.chain != &chain) {
      ++it;
      continue;
    }
    add_unknown(it->second);
    it = pending.erase(it);
  }
  for (auto& s : chain.segments) batch.positions[to_string(s->name)] = {s, s->read_to};
  batch.finished.push_back(&chain);
}

// A pin for ever would keep files for ever: an intent this old is charged as unknown; should its outcome come after all, it replaces it.
void CallJournal::State::settle_abandoned() {
  const WallTime before = clock->wall() - options.abandon_after;
  for (auto it = pending.begin(); it != pending.end();) {
    auto& [id, p] = *it;
    if (p.chain->dead || id.unix_ms() >= unix_ms(before)) {
      ++it;
      continue;
    }
    log::warn("call_abandoned", {{"call", to_string(id, "call")}});
    add_unknown(p);
    --p.pin->pins;
    it = pending.erase(it);
  }
}

Result<std::uint64_t> CallJournal::State::send(store::Database& db) {
  std::vector<EncodedCall> calls;
  calls.reserve(batch.records.size());
  for (std::size_t i = 0; i < batch.records.size(); ++i) calls.push_back({&batch.records[i], batch.bytes[i]});
  // In order of id, so that the index grows at its end.
  std::sort(calls.begin(), calls.end(), [](const EncodedCall& a, const EncodedCall& b) { return a.record->id < b.record->id; });
  auto added = db.write_now([&](store::Tx& tx) -> Result<std::uint64_t> {
    auto n = add_encoded_calls(tx, calls);
    if (!n) return n;
    store::Batch positions(3), removed(2);
    for (const auto& [file, at] : batch.positions) positions.add({journal_id, file, at.second});
    for (const std::string& file : removed_files) removed.add({journal_id, file});
    if (positions.size()) {
      auto noted = tx.run_many("INSERT INTO journal_positions (journal, file, done) VALUES ($1, $2, $3) ON CONFLICT (journal, file) DO UPDATE SET done = excluded.done", positions);
      if (!noted) return std::unexpected(noted.error());
    }
    if (removed.size()) {
      auto gone = tx.run_many("DELETE FROM journal_positions WHERE journal = $1 AND file = $2", removed);
      if (!gone) return std::unexpected(gone.error());
    }
    return n;
  }, {.priority = store::Priority::low});
  if (!added) {
    ++import_errors;
    const store::Fault fault = store::fault_of(added.error());
    if (fault == store::Fault::broken || fault == store::Fault::conflict) return send_singly(db);
    return added;
  }
  removed_files.clear();
  committed();
  return std::max<std::uint64_t>(1, *added);
}

// One of them cannot be stored. Find it, set it aside, keep the others.
Result<std::uint64_t> CallJournal::State::send_singly(store::Database& db) {
  for (std::size_t i = 0; i < batch.records.size(); ++i) {
    const EncodedCall call{&batch.records[i], batch.bytes[i]};
    auto added = db.write_now([&](store::Tx& tx) { return add_encoded_calls(tx, {&call, 1}); }, {.priority = store::Priority::low});
    if (added) continue;
    const store::Fault fault = store::fault_of(added.error());
    if (fault != store::Fault::broken && fault != store::Fault::conflict) return added;
    reject(call.bytes, added.error());
  }
  imported += batch.records.size();
  batch.records.clear();  // stored or set aside: the next turn sends what is left, their positions
  batch.bytes.clear();
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
  imported.fetch_add(batch.records.size(), std::memory_order_relaxed);
  for (auto& [file, at] : batch.positions) at.first->imported = std::max(at.first->imported.load(), at.second);
  if (batch.level_ns) level_ns = batch.level_ns;
  if (listener)
    for (const CallRecord& r : batch.records) listener(r);
  {
    std::lock_guard lock(files_mutex);
    for (Chain* chain : batch.finished)
      for (auto& s : chain->segments) s->pins = 0;
  }
  batch = {};
  remove_finished_files();
}

void CallJournal::State::remove_finished_files() {
  std::lock_guard lock(files_mutex);
  for (auto it = chains.begin(); it != chains.end();) {
    Chain& chain = it->second;
    while (!chain.segments.empty()) {
      Segment& s = *chain.segments.front();
      if (!s.sealed || s.file.is_open() || s.pins > 0 || s.imported < s.written || s.read_to < s.written) break;
      ::unlink(s.path.c_str());
      file_bytes -= std::min(file_bytes.load(), s.written.load());
      removed_files.push_back(to_string(s.name));
      chain.segments.pop_front();
    }
    it = chain.dead && chain.segments.empty() ? chains.erase(it) : std::next(it);
  }
}

void CallJournal::State::import_loop(store::Database& db, bool helping) {
  if (!helping) lowest_priority();
  auto pause = options.import_every;
  std::unique_lock lock(importer_mutex);
  while (!importer_stopping) {
    lock.unlock();
    Result<std::uint64_t> done = 0;
    const bool wanted = !helping || (behind_bytes() > 0 && behind() > options.import_behind);
    if (wanted) {
      std::lock_guard importing(import_mutex);
      done = step(db);
    }
    if (!done && pause < std::chrono::seconds(1)) log::warn("journal_import_failed", {{"error", describe(done.error())}});
    pause = done ? options.import_every : std::min<std::chrono::milliseconds>(pause * 2, std::chrono::seconds(5));
    lock.lock();
    if (!done || *done == 0) importer_wake.wait_for(lock, pause, [&] { return importer_stopping; });
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
