#include "work/batches.hpp"

#include <algorithm>

#include "base/log.hpp"
#include "work/provider_batch_rows.hpp"

namespace ballast::work {

namespace {

constexpr Duration kTryAgain = std::chrono::seconds(1), kLook = std::chrono::seconds(30);
constexpr Duration kCount = std::chrono::seconds(2);      // and longer for long batches: each count reads all of one's lines
constexpr std::size_t kPiecesAtOnce = 2;                 // of the input: what is parsed without a pause
constexpr std::size_t kSubmitted = 500, kSubmittedBytes = 8u << 20;
constexpr std::size_t kLinesAtOnce = 500;

Error refusal(ErrorCode code, std::string message, bool retryable = false) { return {.code = code, .message = std::move(message), .field = {}, .retryable = retryable}; }

}  // namespace

// The lines of a batch's file, from the beginning.
struct Batches::Lines {
  LineCutter cutter;
  std::string piece;
  std::size_t n = 0;
  bool ended = false;
};

Batches::Batches(Door& door, BatchOptions options) : door_(door), engine_(door.engine()), options_(options), feed_(engine_.home()) {
  engine_.on_ended([this](const Job& job) { ended(job); });
}
Batches::~Batches() = default;

void Batches::adopt(Batch batch, std::optional<BatchCounts> counts, std::uint64_t left) {
  auto live = std::make_shared<Live>();
  live->batch = std::move(batch);
  if (counts) live->batch.counts = *counts;
  live->left = left;
  live->ticket = ++tickets_;
  live_.emplace(live->batch.id, std::move(live));
}

Result<std::vector<Batches::Found>> Batches::find_live(store::Tx& tx) {
  auto batches = live_batches(tx);
  if (!batches) return std::unexpected(std::move(batches.error()));
  std::vector<Found> out;
  for (Batch& b : *batches) {
    auto lines = count_lines(tx, b.id);
    if (!lines) return std::unexpected(std::move(lines.error()));
    out.push_back({std::move(b), *lines});
  }
  return out;
}

void Batches::take_up(Found found) {
  const LineCounts& l = found.lines;
  const std::uint64_t over = l.completed + l.failed + (found.batch.submitted ? l.missing : 0);
  adopt(std::move(found.batch), BatchCounts{l.total, l.completed, over - l.completed}, l.total - over);
}

Result<void> Batches::start() {
  if (duty_.shared()) return {};                         // `follow` finds them, once they are this node's
  auto found = engine_.database().read_now(find_live);
  if (!found) return std::unexpected(std::move(found.error()));
  for (Found& f : *found) take_up(std::move(f));
  return {};
}

// Where there are other nodes: as long as this one lives.
Task<void> Batches::follow() {
  const std::uint64_t ticket = ++tickets_;
  feed_.follow(ticket, JobId{});
  while (!feed_.closed()) {
    if (duty_.mine())
      if (const auto looked = co_await look(); !looked) log::warn("batches_wait", {{"why", looked.error().message}});
    co_await feed_.wait(ticket, engine_.home().clock().mono() + kTryAgain);
  }
  feed_.leave(ticket);
}

// What others made since, or wish to be cancelled.
Task<Result<void>> Batches::look() {
  auto rows = co_await engine_.database().read(engine_.home(), [](store::Tx& tx) { return live_batches(tx); });
  if (!rows) co_return std::unexpected(std::move(rows.error()));
  for (Batch& row : *rows)
    if (auto looked = co_await look_at(std::move(row)); !looked) co_return looked;
  co_return Result<void>{};
}

Task<Result<void>> Batches::look_at(Batch row) {
  const JobId id = row.id;
  if (const auto at = live_.find(id); at != live_.end()) {
    Live& live = *at->second;
    if (row.state == BatchState::cancelling && live.batch.state < BatchState::finalizing) {
      live.doubtful = true;
      feed_.notify(id);
    }
    co_return Result<void>{};
  }
  const auto lines = co_await engine_.database().read(engine_.home(), [id](store::Tx& tx) { return count_lines(tx, id); });
  if (!lines) co_return std::unexpected(lines.error());
  if (ending() || live_.contains(id)) co_return Result<void>{};
  take_up({std::move(row), *lines});
  drivers_.spawn(drive(live_.at(id)));
  co_return Result<void>{};
}

void Batches::open() {
  if (duty_.shared()) drivers_.spawn(follow());
  for (const auto& [id, live] : live_) drivers_.spawn(drive(live));
  drivers_.spawn([](Batches& self) -> Task<void> {
    const auto rules = self.engine_.board().rules(kBatchQueue);
    if (rules != QueueRules{}) co_return;
    const auto set = co_await self.engine_.set_queue(std::string(kBatchQueue), {.concurrency = self.options_.concurrency, .per_tenant = 0, .paused = false});
    if (!set) log::warn("batch_queue_not_set", {{"why", set.error().message}});
  }(*this));
}

Task<void> Batches::stop() {
  feed_.close();
  co_await drivers_.join();
}

std::optional<BatchCounts> Batches::counts(JobId id) const {
  const auto at = live_.find(id);
  if (at == live_.end()) return std::nullopt;
  return at->second->batch.counts;
}

Task<BatchCounts> Batches::counts_now(Batch batch) const {
  if (!door_.shared() || batch.state == BatchState::validating) co_return counts(batch.id).value_or(batch.counts);
  const auto lines = co_await engine_.database().read(engine_.home(), [&](store::Tx& tx) { return count_lines(tx, batch.id); });
  if (!lines || lines->total == 0) co_return batch.counts;
  co_return BatchCounts{lines->total, lines->completed, lines->failed + (batch.submitted ? lines->missing : 0)};
}

void Batches::ended(const Job& job) {
  if (job.spec.origin != Origin::batch) return;
  const auto at = live_.find(job.spec.parent);
  if (at == live_.end()) return;
  Live& live = *at->second;
  ++(job.state == JobState::done ? live.batch.counts.completed : live.batch.counts.failed);
  if (door_.shared() ? ++live.heard == live.left : live.left > 0 && --live.left == 0) feed_.notify(live.batch.id);
}

// Of jobs that end on other nodes nobody tells: what is left is what the rows say, and those that ended here are only a hint that nothing may be.
Task<Result<void>> Batches::count(Live& live) {
  const auto lines = co_await engine_.database().read(engine_.home(), [&](store::Tx& tx) { return count_lines(tx, live.batch.id); });
  if (!lines) co_return std::unexpected(lines.error());
  const std::uint64_t over = lines->completed + lines->failed + lines->missing;          // all were submitted
  live.batch.counts = {lines->total, lines->completed, over - lines->completed};
  live.left = lines->total - over;
  live.heard = 0;
  co_return Result<void>{};
}

Task<Result<Batch>> Batches::create(Batch batch, Duration window) {
  if (feed_.closed()) co_return std::unexpected(refusal(ErrorCode::internal_unavailable, "this node is shutting down; try again in a moment", true));
  if (live_.size() >= options_.max_live) co_return std::unexpected(refusal(ErrorCode::internal_unavailable, fmt::format("{} batches are under way already", live_.size()), true));
  batch.id = engine_.new_id();
  batch.created = now();
  batch.expires = batch.created + window;
  const auto put = co_await engine_.database().write(engine_.home(), [&](store::Tx& tx) { return insert_batch(tx, batch); });
  if (!put) co_return std::unexpected(put.error());
  if (ending()) co_return batch;                         // another node drives it
  adopt(batch, {}, 0);
  drivers_.spawn(drive(live_.at(batch.id)));
  co_return batch;
}

Task<Result<Batch>> Batches::cancel(JobId id) {
  const auto at = live_.find(id);
  if (at == live_.end() && duty_.shared()) co_return co_await wish_cancelled(id);
  if (at == live_.end()) co_return std::unexpected(refusal(ErrorCode::caller_conflict, "The batch is over: it cannot be cancelled."));
  const auto live = at->second;
  const std::uint64_t ticket = ++tickets_;
  feed_.follow(ticket, id);
  live->cancel = true;
  feed_.notify(id);
  while (live->batch.state < BatchState::finalizing && !ending()) co_await feed_.wait(ticket, engine_.home().clock().mono() + kLook);
  feed_.leave(ticket);
  if (live->batch.state == BatchState::cancelling || live->batch.state == BatchState::cancelled) co_return live->batch;
  if (feed_.closed()) co_return std::unexpected(refusal(ErrorCode::internal_unavailable, "this node is shutting down; try again in a moment", true));
  if (ending()) co_return co_await wish_cancelled(id);
  co_return std::unexpected(refusal(ErrorCode::caller_conflict, fmt::format("Cannot cancel a batch with status '{}'.", to_string(live->batch.state))));
}

// Of a batch that another node drives: its row says so, and the driver goes by that.
Task<Result<Batch>> Batches::wish_cancelled(JobId id) {
  auto wished = co_await engine_.database().write(engine_.home(), [&](store::Tx& tx) -> Result<Batch> {
    auto row = get_batch(tx, id);
    if (!row) return std::unexpected(std::move(row.error()));
    if (!*row || terminal((*row)->state)) return std::unexpected(refusal(ErrorCode::caller_conflict, "The batch is over: it cannot be cancelled."));
    Batch& b = **row;
    if (b.state == BatchState::cancelling) return std::move(b);
    if (b.state >= BatchState::finalizing) return std::unexpected(refusal(ErrorCode::caller_conflict, fmt::format("Cannot cancel a batch with status '{}'.", to_string(b.state))));
    const auto so = lock_batch(tx, id, b.state);
    if (!so) return std::unexpected(so.error());
    if (!*so) return std::unexpected(refusal(ErrorCode::internal_unavailable, "the batch changed meanwhile; try again", true));
    b.state = BatchState::cancelling;
    b.cancelling = now();
    if (auto put = update_batch(tx, b); !put) return std::unexpected(std::move(put.error()));
    return std::move(b);
  });
  co_return wished;
}

// ---- the driver ----

Task<void> Batches::drive(std::shared_ptr<Live> live) {
  const JobId id = live->batch.id;
  feed_.follow(live->ticket, id);
  while (!ending() && !terminal(live->batch.state)) {
    const BatchState before = live->batch.state;
    const auto done = co_await step(*live);
    if (live->batch.state != before) feed_.notify(id);
    if (done || ending()) continue;
    if (duty_.shared()) live->doubtful = true;           // perhaps because it does not stand as it did
    log::warn("batch_waits", {{"batch", batch_id(id)}, {"state", to_string(live->batch.state)}, {"why", done.error().message}});
    co_await pause(*live, kTryAgain);
  }
  feed_.leave(live->ticket);
  if (!terminal(live->batch.state)) {
    if (duty_.shared()) live_.erase(id);                 // another node drives it
    co_return;
  }
  const auto& b = live->batch;
  log::info("batch_ended", {{"batch", batch_id(id)}, {"status", to_string(b.state)}, {"total", b.counts.total}, {"completed", b.counts.completed}, {"failed", b.counts.failed}});
  live_.erase(id);
}

// False: the process ends, or a cancellation is wished.
Task<bool> Batches::pause(Live& live, Duration most) {
  co_await feed_.wait(live.ticket, engine_.home().clock().mono() + most);
  co_return !ending() && !live.cancel;
}

// Writes the row that is to be, and what `with` says beside it; then the batch is so. Meanwhile others see what it was, on this loop, and the
// counts of a live one go on: jobs end.
Task<Result<void>> Batches::become(Live& live, Batch next, std::function<Result<void>(store::Tx&)> with) {
  auto saved = co_await engine_.database().write(engine_.home(), [&](store::Tx& tx) -> Result<void> {
    if (auto mine = stands(tx, live.batch); !mine) return mine;
    if (with)
      if (auto done = with(tx); !done) return done;
    return update_batch(tx, next);
  });
  live.doubtful = !saved;
  if (saved) keep(live, std::move(next));
  co_return saved;
}

// That this node drives it, and that nobody wished it cancelled.
Result<void> Batches::stands(store::Tx& tx, const Batch& batch) const {
  if (!duty_.shared()) return {};
  if (auto mine = duty_.still_mine(tx); !mine) return mine;
  const auto so = lock_batch(tx, batch.id, batch.state);
  if (!so) return std::unexpected(so.error());
  return *so ? Result<void>{} : std::unexpected(refusal(ErrorCode::caller_conflict, "the batch was changed by another node"));
}

void Batches::keep(Live& live, Batch row) {
  if (!terminal(row.state)) row.counts = live.batch.counts;
  live.batch = std::move(row);
}

// After a write that failed: it may have been committed all the same.
Task<Result<void>> Batches::read_again(Live& live) {
  auto row = co_await engine_.database().read(engine_.home(), [&](store::Tx& tx) { return get_batch(tx, live.batch.id); });
  if (!row) co_return std::unexpected(std::move(row.error()));
  if (*row) keep(live, std::move(**row));
  live.doubtful = false;
  co_return Result<void>{};
}

Task<Result<void>> Batches::step(Live& live) {
  const Batch& b = live.batch;
  if (live.doubtful) co_return co_await read_again(live);
  if (live.cancel && b.state < BatchState::finalizing) {
    Batch next = b;
    next.state = BatchState::cancelling;
    next.cancelling = now();
    co_return co_await become(live, std::move(next));
  }
  if (b.state == BatchState::validating) co_return co_await validate(live);
  if (b.state == BatchState::in_progress && !b.submitted) co_return co_await submit(live);
  if (b.state == BatchState::in_progress && live.left > 0) {
    co_await pause(live, door_.shared() ? kCount + std::chrono::milliseconds(live.left / 5) : kLook);
    if (door_.shared()) co_return co_await count(live);
    co_return Result<void>{};
  }
  if (b.state == BatchState::cancelling && !live.called_off) co_return co_await cancel_jobs(live);
  if (b.state == BatchState::cancelling) {
    const auto left = co_await engine_.database().read(engine_.home(), [&](store::Tx& tx) { return any_called_off(tx, b.id); });
    if (!left) co_return std::unexpected(left.error());
    if (*left) {
      co_await pause(live, kTryAgain);
      co_return Result<void>{};
    }
  }
  co_return co_await finalize(live);
}

// The next pieces of the file into the cutter; at its end, that it is.
Task<Result<void>> Batches::more(Lines& lines, JobId file) {
  auto piece = co_await engine_.database().read(engine_.home(), [&](store::Tx& tx) { return read_pieces(tx, file, lines.n, kPiecesAtOnce); });
  if (!piece) co_return std::unexpected(std::move(piece.error()));
  lines.n += kPiecesAtOnce;
  lines.ended = piece->empty();
  lines.piece = std::move(*piece);
  if (lines.ended) lines.cutter.end();
  else lines.cutter.push(lines.piece);
  co_return Result<void>{};
}

// Reads the whole file; its lines are rows, with the ids of their jobs, or the batch has failed.
Task<Result<void>> Batches::validate(Live& live) {
  live.batch.mistakes.clear();
  live.batch.counts = {};
  auto judged = co_await judge(live);
  if (!judged || live.cancel || ending()) co_return judged;
  Batch next = live.batch;
  const bool fine = next.mistakes.empty();
  next.state = fine ? BatchState::in_progress : BatchState::failed;
  (fine ? next.in_progress : next.failed) = now();
  if (!fine) next.counts = {};
  live.left = next.counts.total;
  co_return co_await become(live, std::move(next), [fine, id = live.batch.id](store::Tx& tx) -> Result<void> {
    if (fine) return {};
    return delete_lines(tx, id);
  });
}

Task<Result<void>> Batches::judge(Live& live) {
  Batch& b = live.batch;
  auto file = co_await engine_.database().write(engine_.home(), [&](store::Tx& tx) -> Result<std::optional<FileRow>> {
    if (auto mine = stands(tx, b); !mine) return std::unexpected(std::move(mine.error()));
    if (auto gone = delete_lines(tx, b.id); !gone) return std::unexpected(std::move(gone.error()));
    return get_file(tx, b.input);
  });
  if (!file) co_return std::unexpected(std::move(file.error()));
  if (!*file) {
    b.mistakes.push_back({"invalid_input_file", "The input file was deleted before it was read.", "input_file_id", 0});
    co_return Result<void>{};
  }
  Lines lines;
  std::unordered_set<std::string> ids;
  while (!lines.ended && b.mistakes.size() < kMostMistakes && !live.cancel && !ending()) {
    if (auto read = co_await more(lines, b.input); !read) co_return std::unexpected(std::move(read.error()));
    std::vector<LineRow> rows;
    while (const auto line = lines.cutter.next()) {
      if (b.mistakes.size() >= kMostMistakes) break;
      if (++b.counts.total > options_.max_lines) {
        b.mistakes.push_back({"too_many_tasks", fmt::format("The file has more requests than a batch may have: {}.", options_.max_lines), "", line->number});
        co_return Result<void>{};
      }
      auto read = read_batch_line(line->text, b.endpoint, line->number);
      if (line->too_long) read = std::unexpected(BatchMistake{"invalid_json_line", fmt::format("This line is longer than {} MB.", kMostLine >> 20), "", line->number});
      if (read && !ids.insert(read->custom_id).second)
        read = std::unexpected(BatchMistake{"duplicate_custom_id", "The custom_id is that of another request of the file. It must be unique.", "custom_id", line->number});
      if (!read) b.mistakes.push_back(std::move(read.error()));
      else rows.push_back({line->number, std::move(read->custom_id), engine_.new_id(), false});
    }
    if (!b.mistakes.empty()) continue;
    auto put = co_await engine_.database().write(engine_.home(), [&](store::Tx& tx) -> Result<void> {
      if (auto mine = stands(tx, b); !mine) return mine;
      return insert_lines(tx, b.id, rows);
    });
    if (!put) co_return put;
  }
  if (b.counts.total == 0 && b.mistakes.empty()) b.mistakes.push_back({"empty_file", "The input file has no requests.", "", 0});
  co_return Result<void>{};
}

Submission Batches::submission_of(const Live& live, const LineRow& row, BatchLine line) const {
  const Batch& b = live.batch;
  Submission s;
  s.id = row.job;
  s.input = std::move(line.body);
  s.spec.kind = JobKind::call;
  s.spec.name = shape_of_endpoint(b.endpoint)->name;
  s.spec.model = std::move(line.model);
  s.spec.queue = kBatchQueue;
  s.spec.tenant = s.spec.key_id = b.owner;
  s.spec.user = b.user;
  s.spec.feature = b.feature;
  s.spec.priority = kBatchPriority;
  s.spec.deadline = b.expires;
  s.spec.retention = (b.expires - b.created) + std::chrono::hours(24);      // at least until the batch is over
  s.spec.tags = {batch_id(b.id)};
  s.spec.may_wait = true;
  s.spec.origin = Origin::batch;
  s.spec.parent = b.id;
  return s;
}

// Accepted, all of them, or refused for good; those that find no room now wait for it. False: it was interrupted.
Task<bool> Batches::submit_some(Live& live, std::vector<Submission> jobs) {
  while (!jobs.empty()) {
    const auto results = co_await engine_.submit(jobs);
    std::vector<Submission> again;
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      if (results[i]) continue;
      if (results[i].error().retryable) again.push_back(std::move(jobs[i]));
      else ++live.batch.counts.failed, --live.left;      // its line is without a job
    }
    jobs = std::move(again);
    if (jobs.empty()) break;
    const bool go_on = co_await pause(live, kTryAgain);
    if (!go_on) co_return false;
  }
  co_return true;
}

// The second reading: each line whose job is not there yet becomes one.
Task<Result<void>> Batches::submit(Live& live) {
  const Batch& b = live.batch;
  Lines lines;
  std::vector<LineRow> rows;
  std::size_t at = 0, bytes = 0;
  std::uint64_t seen = 0;
  std::vector<Submission> jobs;
  while (!lines.ended) {
    if (auto read = co_await more(lines, b.input); !read) co_return std::unexpected(std::move(read.error()));
    while (const auto line = lines.cutter.next()) {
      if (at == rows.size()) {
        auto further = co_await engine_.database().read(engine_.home(), [&](store::Tx& tx) { return list_lines(tx, b.id, seen, kLinesAtOnce); });
        if (!further) co_return std::unexpected(std::move(further.error()));
        rows = std::move(*further);
        at = 0;
      }
      if (at == rows.size() || rows[at].line != line->number) co_return fail(ErrorCode::internal_error, "the input file is not what it was");
      const LineRow& row = rows[at++];
      seen = row.line;
      auto read = row.made ? std::expected<BatchLine, BatchMistake>{} : read_batch_line(line->text, b.endpoint, line->number);
      if (!read) co_return fail(ErrorCode::internal_error, "the input file is not what it was");
      if (row.made) continue;
      bytes += read->body.size();
      jobs.push_back(submission_of(live, row, std::move(*read)));
      if (jobs.size() < kSubmitted && bytes < kSubmittedBytes) continue;
      bytes = 0;
      const bool all = co_await submit_some(live, std::exchange(jobs, {}));
      if (!all || live.cancel || ending()) co_return Result<void>{};
    }
  }
  const bool all = co_await submit_some(live, std::move(jobs));
  if (!all) co_return Result<void>{};
  Batch next = b;
  next.submitted = true;
  co_return co_await become(live, std::move(next));
}

}  // namespace ballast::work
