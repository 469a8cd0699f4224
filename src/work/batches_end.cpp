// How a batch ends: its jobs are cancelled if that was wished, and what came of its lines is written into its files.
#include <unordered_set>

#include "base/compress.hpp"
#include "work/batches.hpp"
#include "work/provider_batch_rows.hpp"

namespace ballast::work {

namespace {

constexpr std::size_t kAnswersAtOnce = 16;   // whole jobs in memory
constexpr std::size_t kCancelledAtOnce = 500;

}  // namespace

// A file that is being written.
struct Batches::Paper {
  JobId id;
  std::string rest;                          // less than a piece
  std::vector<std::string> ready;            // packed, not in the database yet
  std::size_t n = 0;                         // pieces in the database
  std::uint64_t bytes = 0;

  void add(std::string_view line) {
    rest.append(line).push_back('\n');
    bytes += line.size() + 1;
    std::size_t at = 0;
    for (; rest.size() - at >= kFilePiece; at += kFilePiece) ready.push_back(pack(std::string_view(rest).substr(at, kFilePiece)));
    rest.erase(0, at);
  }
  Result<void> put(store::Tx& tx) const { return put_pieces(tx, id, n, ready); }
  void put_is_durable() {
    n += ready.size();
    ready.clear();
  }
  // What is left, and the file is one; or there is none.
  Result<void> finish(store::Tx& tx) const {
    if (bytes == 0) {
      auto gone = delete_file(tx, id);
      if (!gone) return std::unexpected(gone.error());
      return {};
    }
    const std::vector<std::string> last{pack(rest)};
    if (!rest.empty())
      if (auto done = put_pieces(tx, id, n, last); !done) return done;
    return finish_file(tx, id, bytes);
  }
};

// What is written in all.
struct Batches::Tally {
  BatchCounts counts;
  BatchUsage usage;
  bool late = false;                         // some for want of time
};

// All but those that a provider has in a batch of its own: they end as that one does (ProviderBatches), with what was finished before.
Task<Result<void>> Batches::cancel_jobs(Live& live) {
  std::uint64_t after = 0;
  const auto held = co_await engine_.database().write(engine_.home(), [&](store::Tx& tx) { return call_off(tx, live.batch.id); });
  if (!held) co_return std::unexpected(held.error());
  const std::unordered_set<JobId> sent(held->begin(), held->end());
  for (;;) {
    auto rows = co_await engine_.database().read(engine_.home(), [&](store::Tx& tx) { return list_lines(tx, live.batch.id, after, kCancelledAtOnce); });
    if (!rows) co_return std::unexpected(std::move(rows.error()));
    if (rows->empty()) break;
    after = rows->back().line;
    std::vector<JobId> ids;
    for (const LineRow& row : *rows)
      if (row.made && !sent.contains(row.job)) ids.push_back(row.job);
    const auto results = co_await door_.cancel(std::move(ids), "the batch was cancelled");
    for (const auto& r : results)            // those that have ended already are fine as they are
      if (!r && r.error().code != ErrorCode::caller_conflict && r.error().code != ErrorCode::caller_not_found) co_return std::unexpected(r.error());
  }
  live.called_off = true;
  co_return Result<void>{};
}

Task<Result<void>> Batches::write_papers(Live& live, Paper& output, Paper& errors, Tally& tally) {
  const Batch& b = live.batch;
  for (std::uint64_t after = 0;;) {
    std::vector<LineRow> rows;
    auto jobs = co_await engine_.database().read(engine_.home(), [&](store::Tx& tx) -> Result<std::vector<Job>> {
      auto lines = list_lines(tx, b.id, after, kAnswersAtOnce);
      if (!lines) return std::unexpected(std::move(lines.error()));
      rows = std::move(*lines);
      std::vector<JobId> ids;
      for (const LineRow& row : rows) ids.push_back(row.job);
      return load_jobs(tx, ids);
    });
    if (!jobs) co_return std::unexpected(std::move(jobs.error()));
    if (rows.empty()) co_return Result<void>{};
    after = rows.back().line;
    auto job = jobs->begin();
    for (const LineRow& row : rows) {
      const bool there = job != jobs->end() && job->id == row.job;
      const Unmade why = b.state == BatchState::cancelling ? Unmade::cancelled : now() >= b.expires ? Unmade::late : Unmade::lost;
      const BatchAnswer answer = there ? answer_of(*job++, row.custom_id, tally.usage) : answer_of_none(why, row.job, row.custom_id);
      (answer.good ? output : errors).add(answer.text);
      ++(answer.good ? tally.counts.completed : tally.counts.failed);
      tally.late = tally.late || answer.late;
    }
    auto put = co_await engine_.database().write(engine_.home(), [&](store::Tx& tx) -> Result<void> {
      if (auto done = output.put(tx); !done) return done;
      return errors.put(tx);
    });
    if (!put) co_return put;
    output.put_is_durable();
    errors.put_is_durable();
    if (ending()) co_return fail(ErrorCode::internal_unavailable, "the process ends, or another node goes on with it");
  }
}

Task<Result<void>> Batches::finalize(Live& live) {
  Batch next = live.batch;
  Paper output, errors;
  output.id = engine_.new_id();
  errors.id = engine_.new_id();
  const std::vector<JobId> cut{next.output, next.errors};            // of a try before
  next.output = output.id;
  next.errors = errors.id;
  if (next.state == BatchState::in_progress) next.state = BatchState::finalizing, next.finalizing = now();
  const std::optional<WallTime> expires = options_.retention > Duration::zero() ? std::optional(now() + options_.retention) : std::nullopt;
  auto begun = co_await become(live, next, [&](store::Tx& tx) -> Result<void> {
    for (const JobId old : cut)
      if (old)
        if (auto gone = delete_file(tx, old); !gone) return std::unexpected(gone.error());
    for (const auto& [paper, kind] : {std::pair(&output, "output"), std::pair(&errors, "error")}) {
      const std::string name = fmt::format("{}_{}.jsonl", batch_id(next.id), kind);
      auto made = begin_file(tx, {.id = paper->id, .owner = next.owner, .name = name, .purpose = "batch_output", .bytes = 0, .created = now(), .expires = expires});
      if (!made) return made;
    }
    return {};
  });
  if (!begun) co_return begun;
  Tally tally{.counts = {.total = next.counts.total}};
  if (auto written = co_await write_papers(live, output, errors, tally); !written) co_return written;
  next.usage = tally.usage;
  next.counts = tally.counts;
  if (output.bytes == 0) next.output = {};
  if (errors.bytes == 0) next.errors = {};
  next.state = next.state == BatchState::cancelling ? BatchState::cancelled : tally.late ? BatchState::expired : BatchState::completed;
  (next.state == BatchState::cancelled ? next.cancelled : tally.late ? next.expired : next.completed) = now();
  co_return co_await become(live, std::move(next), [&, id = live.batch.id](store::Tx& tx) -> Result<void> {
    for (const Paper* paper : {&output, &errors})
      if (auto done = paper->finish(tx); !done) return done;
    return delete_lines(tx, id);
  });
}

}  // namespace ballast::work
