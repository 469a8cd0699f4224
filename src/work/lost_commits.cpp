#include "work/lost_commits.hpp"

#include <algorithm>
#include <span>

#include "records/audit.hpp"
#include "work/homes.hpp"

namespace ballast::work {

namespace {

constexpr std::size_t kToldInTrail = 20;     // ids of each kind: an entry's outcome has 4,096 bytes

json::object jobs_json(const LostCommits::Jobs& jobs, std::size_t most) {
  json::array ids;
  for (std::size_t i = 0; i < std::min(most, jobs.named.size()); ++i) ids.push_back(json::value(to_string(jobs.named[i])));
  return {{"count", jobs.count}, {"ids", std::move(ids)}};
}

}  // namespace

bool is_harmless(const LostCommits& lost) { return lost.all_known && lost.submitted.count + lost.ended.count + lost.went_on.count + lost.effects == 0; }

json::object lost_json(const LostCommits& lost, std::size_t most) {
  json::array effects;
  for (std::size_t i = 0; i < std::min(most, lost.named_effects.size()); ++i)
    effects.push_back(json::object{{"run", to_string(lost.named_effects[i].first)}, {"stage", lost.named_effects[i].second}});
  return {{"cycles", lost.cycles}, {"kept", lost.kept}, {"last", lost.last}, {"all_known", lost.all_known},
          {"since", lost.since ? json::value(to_rfc3339(*lost.since)) : json::value(nullptr)}, {"submitted", jobs_json(lost.submitted, most)},
          {"ended", jobs_json(lost.ended, most)}, {"went_on", jobs_json(lost.went_on, most)},
          {"effects", json::object{{"count", lost.effects}, {"begun", std::move(effects)}}}};
}

Result<void> note_lost(store::Tx& tx, const LostBy& by, const LostCommits& lost, WallTime now) {
  const std::string detail = to_json(lost_json(lost, kMostLostNamed));
  auto row = tx.run("INSERT INTO lost_commits (epoch, node, at_us, kept, last, submitted, ended, went_on, effects, detail) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) "
                    "ON CONFLICT (epoch) DO NOTHING",
                    {by.epoch, by.node, unix_us(now), lost.kept, lost.last, lost.submitted.count, lost.ended.count, lost.went_on.count, lost.effects, detail});
  if (!row) return std::unexpected(row.error());
  if (row->affected() == 0) return {};
  if (auto skipped = skip_epochs(tx, by.leasing, kEpochsSkipped); !skipped) return skipped;
  const records::AuditEntry entry{.actor = "system", .action = std::string(records::audit::commits_lost), .subject = by.name, .arguments = sha256(detail),
                                  .outcome = to_json(lost_json(lost, kToldInTrail)), .at = now};
  auto head = records::append_audit(tx, records::admin_chain("0"), std::span(&entry, 1), now);
  if (!head) return std::unexpected(std::move(head.error()));
  return {};
}

Result<LostFigures> lost_since(store::Tx& tx, WallTime since) {
  auto rows = tx.run("SELECT COUNT(*), CAST(COALESCE(SUM(submitted + ended + went_on + effects), 0) AS BIGINT), COALESCE(MAX(at_us), 0) FROM lost_commits WHERE at_us > $1",
                     {unix_us(since)});
  if (!rows) return std::unexpected(rows.error());
  const store::Row r = (*rows)[0];
  return LostFigures{.boots = static_cast<std::uint64_t>(r.integer(0)), .acknowledged = static_cast<std::uint64_t>(r.integer(1)), .newest = from_unix_us(r.integer(2))};
}

}  // namespace ballast::work
