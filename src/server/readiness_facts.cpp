#include "server/readiness_facts.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "records/audit.hpp"
#include "records/ledger_scan.hpp"
#include "work/job_rows.hpp"

namespace ballast::server {

namespace {

constexpr std::uint64_t kMostCalls = 400'000, kMostBlocks = 20'000;
constexpr std::size_t kMostRows = 10'000, kAuditRead = 5'000;

bool answered_from_cache(records::CacheState s) {
  using enum records::CacheState;
  return s == hit || s == semantic_hit || s == stale || s == joined || s == replay;
}

void look_at(const records::CallRow& row, std::span<const std::string_view> names, SeenFacts& out) {
  using records::Name;
  ++out.calls;
  out.failed += row.status == records::CallStatus::failed || row.status == records::CallStatus::unknown;
  out.cache_hits += answered_from_cache(row.cache);
  out.direct += names[row.name(Name::route)].empty() && !names[row.name(Name::provider)].empty();
  out.incurred_nano += row.amounts.incurred_nano;
  out.dearest_nano = std::max(out.dearest_nano, row.amounts.incurred_nano);
  if (row.attempts.size() < 2) return;
  ++out.retried;
  const auto& first = row.attempts.front();
  const bool elsewhere = first.provider != row.name(Name::provider) || first.model != row.name(Name::model);
  if (row.status != records::CallStatus::ok || !first.failed || !elsewhere || names[row.name(Name::provider)].empty()) return;
  ++out.fell_over;
  out.last_fall_over = std::max(out.last_fall_over, WallTime(std::chrono::milliseconds(row.id.unix_ms())));
}

// Newest first, until there is no more or it is enough.
Result<void> look_at_calls(store::Tx& tx, WallTime from, WallTime now, SeenFacts& out) {
  const auto range = records::ids_of({.from = from, .to = now + std::chrono::minutes(1)});
  if (!range) return {};
  records::BlockScan scan(records::BlockScan::Order::descending, range->first, range->second);
  for (std::uint64_t blocks = 0; blocks < kMostBlocks && out.calls < kMostCalls; ++blocks) {
    auto block = scan.next(tx);
    if (!block) return std::unexpected(block.error());
    if (!*block) {
      out.since = from;
      return {};
    }
    records::SummaryReader reader((*block)->summary);
    for (records::CallRow row; reader.next(row);)
      if (row.id >= range->first) look_at(row, reader.names(), out);
    if (!reader.good()) return std::unexpected(records::damaged_block());
    out.since = WallTime(std::chrono::milliseconds((*block)->last.unix_ms()));
  }
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
  out.jobs = *jobs;
  out.approvals = *approvals;
  out.idempotent = *keys;
  for (const auto& d : *dead) {
    out.oldest_dead = out.dead == 0 ? d.oldest : std::min(out.oldest_dead, d.oldest);
    out.dead += d.jobs;
  }
  return {};
}

}  // namespace

Result<SeenFacts> seen_in(store::Tx& tx, WallTime now) {
  const WallTime from = now - kReadinessLooksBack;
  SeenFacts out;
  if (auto looked = look_at_calls(tx, from, now, out); !looked) return std::unexpected(looked.error());
  if (auto looked = look_at_work(tx, from, out); !looked) return std::unexpected(looked.error());
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
