// What a process that ended leaves to the next start, or to another node: the jobs that are live, the leases that outlived it, and those that ended with it.
#include <algorithm>
#include <iterator>
#include <set>

#include "base/log.hpp"
#include "work/engine_errand.hpp"
#include "work/job_trace.hpp"
#include "work/run_rows.hpp"
#include "work/run_trace.hpp"

namespace ballast::work {

namespace {

constexpr Duration kGrace = std::chrono::seconds(30);    // for a worker to send its next heartbeat

const Error kCrashed{ErrorCode::internal_unavailable, "the process that ran this attempt ended before it was done", {}, true, {}, {}, {}, {}};
const Error kCalledOff{ErrorCode::caller_cancelled, "the run that waited for it is over", {}, false, {}, {}, {}, {}};

// The spans of a run's stages, of which nobody who has it in hand can tell any more, and its own.
void tell_found_dead(JobTracer& tracer, store::Database& database, const Job& job) {
  if (job.spec.kind == JobKind::flow && job.spec.origin != Origin::rollback && trace_of(job.id, job.spec).span.sampled)
    if (const auto journal = database.read_now([&](store::Tx& tx) { return load_records(tx, job.id); })) tell_cut(tracer, job, *journal);
  tracer.ended(job);
}

}  // namespace

Result<void> Engine::start(Executor& executor, const EndWriter* writer) {
  executor_ = &executor;
  end_writer_ = writer;
  const store::WriteOptions patient{.priority = store::Priority::normal, .limit = std::chrono::minutes(10)};
  auto begun = database_.write_now([this](store::Tx& tx) { return begin_epoch(tx, options_.node, options_.boot, options_.shared); }, patient);
  if (!begun) return std::unexpected(std::move(begun.error()));
  epoch_ = leasing_ = *begun;
  auto recovered = database_.write_now([this](store::Tx& tx) { return recover(tx); }, patient);
  kept_ = cycles_;
  if (recovered && tracer_)
    for (const Job& job : found_dead_) tell_found_dead(*tracer_, database_, job);
  found_dead_.clear();
  return recovered;
}

// A job that the process itself ran: one attempt more, and again at once; or dead. Of a run that had come further than where it was taken up, it is the first
// attempt: who crashes at one place again and again dies of it, and no other.
Result<Transition> Engine::crashed(store::Tx& tx, const Job& job, Fence fence, std::vector<AttemptRow>& attempts) const {
  const WallTime now = home_.clock().wall();
  const std::string packed = pack_error(kCrashed);
  auto further = job.spec.kind == JobKind::flow ? progressed(tx, job.spec.origin == Origin::rollback ? job.spec.parent : job.id, fence) : Result<bool>(false);
  if (!further) return fail(std::move(further.error()));
  const std::uint32_t attempt = *further ? 1 : job.attempt + 1;
  const bool dead = attempt >= job.spec.max_attempts;
  attempts.push_back({job.id, attempt, fence, {}, now, packed});
  return Transition{.id = job.id, .fence = fence, .state = dead ? JobState::dead : JobState::queued, .attempt = attempt, .due = {},
                    .finished = dead ? now : WallTime{}, .output = {}, .error = packed};
}

Result<bool> Engine::holds_node(store::Tx& tx) const {
  auto rows = tx.run("SELECT 1 FROM nodes WHERE node = $1 AND epoch = $2", {options_.node, epoch_});
  if (!rows) return std::unexpected(rows.error());
  return !rows->empty();
}

// A child whose run has ended, and not by coming to its end: whoever would have called it off may have died first. A run comes before its children here, who
// are of the same tenant: it is in this page or one before, or of another home.
Result<bool> Engine::to_be_called_off(store::Tx& tx, const Taking& taking, const Page& page, const JobSpec& spec) {
  if (spec.origin != Origin::child || !spec.parent) return false;
  if (page.over.contains(spec.parent)) return true;
  if (taking.board && taking.board->find(spec.parent)) return false;
  const auto of_tenant = std::span(page.found).subspan(page.of_tenant);
  if (std::ranges::binary_search(of_tenant, spec.parent, {}, [](const Page::Found& f) { return f.row.job.id; })) return false;
  const auto run = state_of(tx, spec.parent);
  if (!run) return std::unexpected(run.error());
  return *run && terminal(**run) && **run != JobState::done;
}

Result<void> Engine::load_leases(store::Tx& tx, Taking& taking) const {
  taking.leases.clear();
  taking.claims.clear();
  auto claims = load_claims(tx, taking.which());
  if (!claims) return std::unexpected(std::move(claims.error()));
  for (const ClaimRow& c : *claims) {
    taking.claims.push_back(c.fence);
    for (const JobId id : c.jobs) taking.leases[id] = {c.fence, c.holder};      // by fence: the newest claim of a job is its lease
  }
  return {};
}

// The next live jobs, and what becomes of them. What waits is queued: it finds out itself whether what it waits for has come.
Result<Engine::Page> Engine::take_page(store::Tx& tx, const Taking& taking, std::size_t limit) const {
  auto rows = load_live(tx, taking.after, limit, taking.which());
  if (!rows) return std::unexpected(std::move(rows.error()));
  Page page;
  page.last = rows->size() < limit;
  if (!rows->empty()) page.next = {rows->back().job.spec.tenant, rows->back().job.id};
  std::vector<Transition> moves;
  std::vector<AttemptRow> attempts;
  std::vector<JobId> ended;
  std::string tenant;
  for (LiveRow& row : *rows) {
    if (tenant != row.job.spec.tenant) page.of_tenant = page.found.size(), tenant = row.job.spec.tenant;
    const auto lease = taking.leases.find(row.job.id);
    const bool leased = lease != taking.leases.end() && lease->second.fence > row.fence;
    const auto off = to_be_called_off(tx, taking, page, row.job.spec);
    if (!off) return std::unexpected(off.error());
    if (*off) {
      moves.push_back({.id = row.job.id, .fence = leased ? lease->second.fence : row.fence, .state = JobState::cancelled, .attempt = row.job.attempt, .due = {},
                       .finished = home_.clock().wall(), .output = {}, .error = pack_error(kCalledOff)});
    } else if (leased && lease->second.holder.empty()) {
      auto move = crashed(tx, row.job, lease->second.fence, attempts);
      if (!move) return fail(std::move(move.error()));
      moves.push_back(std::move(*move));
      row.job.attempt = moves.back().attempt;
      row.job.due = {};
    }
    if (!moves.empty() && moves.back().id == row.job.id && terminal(moves.back().state)) {
      ended.push_back(row.job.id);
      page.over.insert(row.job.id);
      continue;
    }
    if (row.job.state == JobState::waiting) row.job.due = {};
    if (options_.shared && !row.job.spec.concurrency_key.empty() && row.job.spec.concurrency > 0)
      if (auto kept = keep_key(tx, row.job.spec.queue, row.job.spec.concurrency_key, row.home); !kept) return std::unexpected(std::move(kept.error()));
    Page::Found found{.row = std::move(row), .lease = {}, .whole = {}};
    if (leased && !lease->second.holder.empty()) {
      auto whole = get_job(tx, found.row.job.id);
      if (!whole) return std::unexpected(std::move(whole.error()));
      found.whole = std::make_shared<const Job>(std::move(**whole));
      found.lease = lease->second;
    }
    page.found.push_back(std::move(found));
  }
  if (auto moved = apply_transitions(tx, moves); !moved) return std::unexpected(std::move(moved.error()));
  if (auto kept = insert_attempts(tx, attempts); !kept) return std::unexpected(std::move(kept.error()));
  auto told = tell_dead(tx, ended);
  if (!told) return std::unexpected(std::move(told.error()));
  page.ended = std::move(*told);
  return page;
}

void Engine::put_page(Page& page, Taking& taking) {
  const MonoTime now = home_.clock().mono();
  for (Page::Found& f : page.found) {
    const JobId id = f.row.job.id;
    put_on_board(f.row.job, JobState::queued, now);
    if (!taking.board) board_.had_before(id);
    taking.kept.insert(f.row.home);
    if (!f.whole) continue;
    held_[id] = std::move(f.whole);
    board_.restore_lease(id, f.lease.fence, f.lease.holder, now + kGrace);
    pull_names_.emplace(f.lease.fence, f.lease.holder);
    taking.outlived.insert(f.lease.fence);
  }
  taking.jobs += page.found.size() + page.ended.size();
  taking.after = page.next;
}

Result<std::vector<Job>> Engine::tell_dead(store::Tx& tx, std::span<const JobId> dead) const {
  auto jobs = load_jobs(tx, dead);
  if (!jobs || !end_writer_) return jobs;
  for (const Job& job : *jobs) {
    if (!end_writer_->wants(job.spec)) continue;
    if (auto written = end_writer_->write(tx, job); !written) return std::unexpected(std::move(written.error()));
  }
  return jobs;
}

// With the last page: claims that hold nothing, and homes that have nothing.
Result<void> Engine::forget_taken(store::Tx& tx, const Taking& taking, const Page& last) const {
  std::set<Fence> outlived(taking.outlived.begin(), taking.outlived.end());
  std::set<std::uint32_t> kept(taking.kept.begin(), taking.kept.end());
  for (const Page::Found& f : last.found) {
    kept.insert(f.row.home);
    if (f.whole) outlived.insert(f.lease.fence);
  }
  for (const Fence f : outlived) kept.insert(static_cast<std::uint32_t>(f >> 32));
  std::vector<Fence> over;
  std::ranges::copy_if(taking.claims, std::back_inserter(over), [&](Fence f) { return !outlived.contains(f); });
  if (auto gone = delete_claims(tx, over); !gone) return gone;
  return forget_homes(tx, taking.number, std::vector(kept.begin(), kept.end()));
}

// May run again: begins from nothing each time.
Result<void> Engine::recover(store::Tx& tx) {
  if (auto mine = check_epoch(tx, options_.node, epoch_, cycles_ = 1); !mine) return mine;
  if (tx.dialect() == store::Dialect::postgres)        // while a page goes onto the board the server is asked nothing
    if (auto patient = tx.run("SET LOCAL idle_in_transaction_session_timeout = '120s'"); !patient) return std::unexpected(patient.error());
  board_ = Board(epoch_);
  held_.clear();
  found_dead_.clear();
  pull_names_.clear();
  auto last = last_job_id(tx);
  if (!last) return std::unexpected(std::move(last.error()));
  ids_ = JobIds(options_.node, *last);
  inherited_ = *last;
  auto queues = load_queues(tx);
  if (!queues) return std::unexpected(std::move(queues.error()));
  for (const QueueRow& q : *queues) board_.set_rules(q.name, q.rules);
  Taking taking{.number = epoch_, .all = !options_.shared, .board = &board_, .after = {}, .leases = {}, .claims = {}, .outlived = {}, .kept = {}};
  if (auto loaded = load_leases(tx, taking); !loaded) return loaded;
  for (bool more = true; more;) {
    auto page = take_page(tx, taking, options_.start_page);
    if (!page) return std::unexpected(std::move(page.error()));
    put_page(*page, taking);
    std::ranges::move(page->ended, std::back_inserter(found_dead_));
    more = !page->last;
  }
  log::info("work_recovered", {{"jobs", board_.size()}, {"claims", taking.claims.size()}, {"epoch", epoch_}});
  return forget_taken(tx, taking, {});
}

}  // namespace ballast::work
