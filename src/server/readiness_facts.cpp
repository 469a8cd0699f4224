#include "server/readiness_facts.hpp"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "records/audit.hpp"
#include "records/ledger_scan.hpp"
#include "work/job_rows.hpp"
#include "work/outbox_rows.hpp"

namespace ballast::server {

namespace {

constexpr std::uint64_t kMostCalls = 400'000, kMostBlocks = 20'000;
constexpr std::size_t kMostRows = 10'000, kAuditRead = 5'000;
constexpr std::size_t kMostDetails = 8;              // blocks whose whole records are read
constexpr std::size_t kMostProviders = 100, kMinutesAtOnce = 10;

bool answered_from_cache(records::CacheState s) {
  using enum records::CacheState;
  return s == hit || s == semantic_hit || s == stale || s == joined || s == replay;
}

// The calls of one look, newest first.
class CallLook {
 public:
  explicit CallLook(SeenFacts& out) : out_(out) {}

  // Returns whether it was answered by another target than its first, which had failed.
  bool row(const records::CallRow& row, std::span<const std::string_view> names) {
    using records::Name;
    const std::string_view provider = names[row.name(Name::provider)];
    const WallTime at(std::chrono::milliseconds(row.id.unix_ms()));
    const bool ok = row.status == records::CallStatus::ok, from_cache = answered_from_cache(row.cache);
    ++out_.calls;
    out_.failed += row.status == records::CallStatus::failed || row.status == records::CallStatus::unknown;
    out_.cache_hits += from_cache;
    out_.degraded += ok && (row.cache == records::CacheState::stale || (provider.empty() && !from_cache));
    out_.direct += names[row.name(Name::route)].empty() && !provider.empty();
    out_.incurred_nano += row.amounts.incurred_nano;
    out_.dearest_nano = std::max(out_.dearest_nano, row.amounts.incurred_nano);
    if (ok && !provider.empty() && !from_cache) answered_by(provider);
    if (const auto error = row.name(Name::error); error < names.size()) refused(names[error], at);
    minute(row.id.unix_ms() / 60'000);
    if (row.attempts.size() < 2) return false;
    ++out_.retried;
    const auto& first = row.attempts.front();
    const bool elsewhere = first.provider != row.name(Name::provider) || first.model != row.name(Name::model);
    if (!ok || !first.failed || !elsewhere || provider.empty()) return false;
    ++out_.fell_over;
    out_.last_fall_over = std::max(out_.last_fall_over, at);
    return true;
  }

 private:
  void answered_by(std::string_view provider) {
    if (provider == last_provider_) return;      // mostly it is the same again
    last_provider_ = provider;
    if (out_.answered_by.size() < kMostProviders && std::ranges::find(out_.answered_by, provider) == out_.answered_by.end()) out_.answered_by.push_back(last_provider_);
  }
  void refused(std::string_view error, WallTime at) {
    out_.over_budget += error == to_string(ErrorCode::policy_budget_exceeded);
    if (error != to_string(ErrorCode::policy_rate_limited)) return;
    ++out_.limited;
    out_.last_limited = std::max(out_.last_limited, at);
  }
  // Calls come by their time, but for those that share a block.
  void minute(std::uint64_t at) {
    out_.busiest_minute = std::max(out_.busiest_minute, ++minutes_[at]);
    if (minutes_.size() > kMinutesAtOnce) minutes_.erase(std::prev(minutes_.end()));
  }

  SeenFacts& out_;
  std::string last_provider_;
  std::map<std::uint64_t, std::uint64_t> minutes_;
};

// Were they streams that had begun? Only their whole records tell.
Result<void> look_for_rescues(store::Tx& tx, const records::BlockKey& key, const std::vector<Id>& fell_over, SeenFacts& out) {
  const auto details = records::read_details(tx, key);
  if (!details) return std::unexpected(details.error());
  std::string plain;
  const auto calls = records::unpack_details(*details, plain);
  if (!calls) return std::unexpected(calls.error());
  for (const std::string_view bytes : *calls) {
    const auto call = records::decode_call(bytes);
    if (!call) return std::unexpected(call.error());
    if (std::ranges::find(fell_over, call->id) != fell_over.end()) out.rescued += std::ranges::any_of(call->attempts, &records::AttemptRecord::cut);
  }
  return {};
}

// Newest first, until there is no more or it is enough.
Result<void> look_at_calls(store::Tx& tx, WallTime from, WallTime now, SeenFacts& out) {
  const auto range = records::ids_of({.from = from, .to = now + std::chrono::minutes(1)});
  if (!range) return {};
  CallLook look(out);
  std::vector<std::pair<records::BlockKey, std::vector<Id>>> rescues;
  records::BlockScan scan(records::BlockScan::Order::descending, range->first, range->second);
  out.since = from;
  for (std::uint64_t blocks = 0;; ++blocks) {
    auto block = scan.next(tx);
    if (!block) return std::unexpected(block.error());
    if (!*block) break;
    if (blocks == kMostBlocks || out.calls >= kMostCalls) {
      out.since = WallTime(std::chrono::milliseconds((*block)->last.unix_ms()));
      break;
    }
    std::vector<Id> fell_over;
    records::SummaryReader reader((*block)->summary);
    for (records::CallRow row; reader.next(row);)
      if (row.id >= range->first && look.row(row, reader.names())) fell_over.push_back(row.id);
    if (!reader.good()) return std::unexpected(records::damaged_block());
    if (!fell_over.empty() && rescues.size() < kMostDetails) rescues.emplace_back((*block)->key, std::move(fell_over));
  }
  for (const auto& [key, ids] : rescues)
    if (auto looked = look_for_rescues(tx, key, ids, out); !looked) return looked;
  return {};
}

Result<std::uint64_t> count(store::Tx& tx, const store::Statement& sql, store::Args args) {
  auto rows = tx.run(sql, args);
  if (!rows) return std::unexpected(rows.error());
  return static_cast<std::uint64_t>((*rows)[0].integer(0));
}

// Among the newest administrative acts.
Result<WallTime> last_act(store::Tx& tx, std::string_view action) {
  const std::string chain = records::admin_chain("0");
  const auto head = records::audit_head(tx, chain);
  if (!head) return std::unexpected(head.error());
  auto rows = tx.run("SELECT COALESCE(MAX(at_us), 0) FROM audit_entries WHERE chain = $1 AND seq > $2 AND action = $3",
                     {chain, std::max<std::int64_t>(0, head->length - static_cast<std::int64_t>(kAuditRead)), action});
  if (!rows) return std::unexpected(rows.error());
  return from_unix_us((*rows)[0].integer(0));
}

Result<void> look_at_work(store::Tx& tx, WallTime from, SeenFacts& out) {
  const std::int64_t first = work::first_job_id(from).value;
  const auto jobs = count(tx, "SELECT COUNT(*) FROM (SELECT id FROM jobs WHERE id >= $1 LIMIT $2) AS t", {first, kMostRows});
  if (!jobs) return std::unexpected(jobs.error());
  const auto approvals = count(tx, "SELECT COUNT(*) FROM (SELECT n FROM approvals WHERE job >= $1 AND decided_by <> '' LIMIT $2) AS t", {first, kMostRows});
  if (!approvals) return std::unexpected(approvals.error());
  const auto keys = count(tx, "SELECT (SELECT COUNT(*) FROM (SELECT key_id FROM idempotency LIMIT $1) AS a) + (SELECT COUNT(*) FROM (SELECT job FROM job_keys LIMIT $1) AS b)", {kMostRows});
  if (!keys) return std::unexpected(keys.error());
  const auto dead = work::count_dead(tx, kMostRows);
  if (!dead) return std::unexpected(dead.error());
  // Entries of runs, by the jobs' times: a job that was driven again has it in its own chain.
  const auto redriven = count(tx, "SELECT COUNT(*) FROM (SELECT action FROM audit_entries WHERE chain >= $1 AND chain < 'job`' ORDER BY chain DESC, seq DESC LIMIT $2) AS t WHERE action = $3",
                              {to_string(work::JobId{first}), kMostRows, records::audit::job_redriven});
  if (!redriven) return std::unexpected(redriven.error());
  out.redriven = *redriven;
  out.jobs = *jobs;
  out.approvals = *approvals;
  out.idempotent = *keys;
  for (const auto& d : *dead) {
    out.oldest_dead = out.dead == 0 ? d.oldest : std::min(out.oldest_dead, d.oldest);
    out.dead += d.jobs;
  }
  return {};
}

// The newest notices of alerts, among the newest deliveries of all; and one that was tried in vain so far.
Result<void> look_at_notices(store::Tx& tx, WallTime from, SeenFacts& out) {
  auto ended = tx.run("SELECT state, finished_us, why FROM (SELECT state, kind, finished_us, why FROM outbox WHERE state <> 0 AND finished_us >= $1 ORDER BY finished_us DESC LIMIT $2) AS t "
                      "WHERE kind LIKE 'alert.%' ORDER BY finished_us DESC", {unix_us(from), kMostRows});
  if (!ended) return std::unexpected(ended.error());
  auto owed = tx.run("SELECT created_us, why FROM (SELECT id, kind, attempt, created_us, why FROM outbox WHERE state = 0 ORDER BY due_us LIMIT $1) AS t "
                     "WHERE kind LIKE 'alert.%' AND attempt > 0 ORDER BY id DESC LIMIT 1", {kMostRows});
  if (!owed) return std::unexpected(owed.error());
  const auto lost = [&](std::int64_t at_us, std::string why) {
    if (from_unix_us(at_us) <= out.last_alert_lost) return;
    out.last_alert_lost = from_unix_us(at_us);
    out.alert_lost_why = std::move(why);
  };
  for (const store::Row row : *ended) {
    if (row.integer(0) == static_cast<std::int64_t>(work::OutboxState::delivered)) out.last_alert = std::max(out.last_alert, from_unix_us(row.integer(1)));
    else lost(row.integer(1), row.string(2));
  }
  for (const store::Row row : *owed) lost(row.integer(0), row.string(1));
  return {};
}

}  // namespace

Result<SeenFacts> seen_in(store::Tx& tx, WallTime now) {
  const WallTime from = now - kReadinessLooksBack;
  SeenFacts out;
  if (auto looked = look_at_calls(tx, from, now, out); !looked) return std::unexpected(looked.error());
  if (auto looked = look_at_work(tx, from, out); !looked) return std::unexpected(looked.error());
  if (auto looked = look_at_notices(tx, from, out); !looked) return std::unexpected(looked.error());
  const auto verdicts = count(tx, "SELECT COUNT(*) FROM (SELECT at_us FROM feedback WHERE at_us >= $1 LIMIT $2) AS t", {unix_us(from), kMostRows});
  if (!verdicts) return std::unexpected(verdicts.error());
  out.verdicts = *verdicts;
  const auto backup = last_act(tx, records::audit::backup_made), restored = last_act(tx, records::audit::backup_restored);
  if (!backup || !restored) return std::unexpected(backup ? restored.error() : backup.error());
  out.last_backup = *backup;
  out.last_restore = *restored;
  return out;
}

Result<void> check_evidence(const records::Evidence& e, WallTime now) {
  if (!told_line(e.line)) {
    std::string known;
    for (const auto& line : readiness_lines())
      if (line.told) known += fmt::format("{}{}", known.empty() ? "" : ", ", line.id);
    return fail(ErrorCode::caller_invalid_request, fmt::format("\"{}\" is no line that a person may tell: one of {}", e.line, known), "line");
  }
  if (e.at > now) return fail(ErrorCode::caller_invalid_request, "is in the future", "at");
  if (e.at < WallTime(std::chrono::hours(24 * 365 * 30))) return fail(ErrorCode::caller_invalid_request, "is before this century", "at");
  if (e.note.size() > records::kMaxEvidenceNote) return fail(ErrorCode::caller_invalid_request, fmt::format("may have at most {} bytes", records::kMaxEvidenceNote), "note");
  return {};
}

}  // namespace ballast::server
