#include "work/ask_rows.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <unordered_map>

#include "work/ask_words.hpp"
#include "work/lives_sql.hpp"
#include "work/run_rows.hpp"

namespace ballast::work {

namespace {

constexpr std::int64_t kNobody = -1;

// As a statement takes a list of numbers: `IN (SELECT value FROM json_each($1))`, `= ANY(CAST($1 AS BIGINT[]))`.
std::string list_of(const store::Tx& tx, std::span<const JobId> ids) {
  const bool lite = tx.dialect() == store::Dialect::sqlite;
  std::vector<std::int64_t> numbers;
  for (const JobId id : ids) numbers.push_back(id.value);
  return fmt::format("{}{}{}", lite ? "[" : "{", fmt::join(numbers, ","), lite ? "]" : "}");
}

#define LISTED_LITE " IN (SELECT value FROM json_each($1))"
#define LISTED_POSTGRES " = ANY(CAST($1 AS BIGINT[]))"

Result<std::vector<JobId>> ids_of(Result<store::Rows> rows) {
  if (!rows) return std::unexpected(std::move(rows.error()));
  std::vector<JobId> out;
  for (const store::Row r : *rows) out.push_back(JobId{r.integer(0)});
  return out;
}

Error not_open() { return {ErrorCode::internal_unavailable, "what was asked is not wanted any more, or is another node's to do", "ask", true, {}, {}, {}, {}}; }

}  // namespace

Result<void> insert_asks(store::Tx& tx, std::span<const AskRow> asks) {
  if (asks.empty()) return {};
  const std::int64_t now = unix_us(tx.now());
  store::Batch batch(8);
  batch.reserve(asks.size());
  for (const AskRow& a : asks)
    batch.add({a.seq.value, static_cast<int>(a.kind), a.job.value, a.owner, a.asker ? static_cast<std::int64_t>(*a.asker) : kNobody, now, a.body, store::Value::bytes(a.payload)});
  static constexpr store::Statement insert(
      "INSERT INTO asks (seq, kind, job, owner, asker, asked_us, body, payload, unanswered, answer) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 1, '')",
      "INSERT INTO asks (seq, kind, job, owner, asker, asked_us, body, payload, unanswered, answer) SELECT unnest($1::bigint[]), unnest($2::bigint[]), unnest($3::bigint[]), "
      "unnest($4::bigint[]), unnest($5::bigint[]), unnest($6::bigint[]), unnest($7::text[]), unnest($8::bytea[]), 1, ''");
  return tx.run_set(insert, batch);
}

Result<std::vector<AskRow>> open_asks(store::Tx& tx, std::uint32_t owner, WallTime orphaned, std::size_t limit, std::uint64_t bytes) {
  auto rows = tx.run("SELECT seq, kind, job, owner, asker, asked_us, body, payload FROM ("
                     "SELECT a.*, SUM(length(a.payload)) OVER (ORDER BY a.asked_us, a.seq) - length(a.payload) AS ahead FROM asks a WHERE a.unanswered = 1 AND (a.owner = $1 OR (a.kind = 5 AND a.asked_us < $4) OR "
                     "(a.owner = 0 AND EXISTS (SELECT 1 FROM jobs j JOIN homes h ON h.home = j.home WHERE j.id = a.job AND j." BALLAST_JOB_LIVES " AND h.owner = $1)))) AS mine "
                     "WHERE ahead < $3 ORDER BY asked_us, seq LIMIT $2", {owner, limit, bytes, unix_us(orphaned)});
  if (!rows) return std::unexpected(std::move(rows.error()));
  std::vector<AskRow> out;
  for (const store::Row r : *rows) {
    AskRow a{.seq = JobId{r.integer(0)}, .kind = static_cast<AskKind>(r.integer(1)), .job = JobId{r.integer(2)}, .owner = static_cast<std::uint32_t>(r.integer(3)), .asker = {},
             .body = r.string(6), .payload = r.string(7), .asked = from_unix_us(r.integer(5))};
    if (r.integer(4) != kNobody) a.asker = static_cast<unsigned>(r.integer(4));
    out.push_back(std::move(a));
  }
  return out;
}

Also performed(const AskRow& ask, std::uint32_t owner, std::string answer) {
#define STILL_ITS_OWNER " AND unanswered = 1 AND EXISTS (SELECT 1 FROM jobs j JOIN homes h ON h.home = j.home WHERE j.id = asks.job AND h.owner = $2)"
  return [seq = ask.seq, waited = ask.asker.has_value(), owner, answer = std::move(answer)](store::Tx& tx) -> Result<void> {
    store::Batch one(waited ? 3 : 2);
    if (!waited) {
      one.add({seq.value, owner});
      return tx.run_later("DELETE FROM asks WHERE seq = $1" STILL_ITS_OWNER, one, [](std::size_t) { return not_open(); });
    }
    one.add({seq.value, owner, answer});
    if (answer.empty())
      return tx.run_later("UPDATE asks SET unanswered = 0, answer = $3 || (SELECT '{\"state\":' || CAST(s.state AS TEXT) || '}' FROM jobs s WHERE s.id = asks.job) "
                          "WHERE seq = $1" STILL_ITS_OWNER, one, [](std::size_t) { return not_open(); });
    return tx.run_later("UPDATE asks SET unanswered = 0, answer = $3 WHERE seq = $1" STILL_ITS_OWNER, one, [](std::size_t) { return not_open(); });
  };
#undef STILL_ITS_OWNER
}

Result<bool> answer_ask(store::Tx& tx, JobId seq, std::string_view answer) {
  auto rows = tx.run("UPDATE asks SET unanswered = 0, answer = $2 WHERE seq = $1 AND unanswered = 1", {seq.value, answer});
  if (!rows) return std::unexpected(std::move(rows.error()));
  return rows->affected() > 0;
}

Result<void> delete_asks(store::Tx& tx, std::span<const JobId> seqs) {
  static constexpr store::Statement sql("DELETE FROM asks WHERE seq" LISTED_LITE, "DELETE FROM asks WHERE seq" LISTED_POSTGRES);
  auto rows = tx.run(sql, {list_of(tx, seqs)});
  if (!rows) return std::unexpected(std::move(rows.error()));
  return {};
}

Result<std::vector<AskAnswer>> answers_of(store::Tx& tx, std::span<const JobId> seqs) {
  static constexpr store::Statement sql("SELECT seq, answer FROM asks WHERE unanswered = 0 AND seq" LISTED_LITE, "SELECT seq, answer FROM asks WHERE unanswered = 0 AND seq" LISTED_POSTGRES);
  auto rows = tx.run(sql, {list_of(tx, seqs)});
  if (!rows) return std::unexpected(std::move(rows.error()));
  std::vector<AskAnswer> out;
  for (const store::Row r : *rows) out.push_back({JobId{r.integer(0)}, r.string(1)});
  return out;
}

Result<std::vector<JobId>> withdraw_asks(store::Tx& tx, std::span<const JobId> seqs) {
  static constexpr store::Statement sql("DELETE FROM asks WHERE unanswered = 1 AND seq" LISTED_LITE " RETURNING seq", "DELETE FROM asks WHERE unanswered = 1 AND seq" LISTED_POSTGRES " RETURNING seq");
  return ids_of(tx.run(sql, {list_of(tx, seqs)}));
}

Result<std::uint64_t> sweep_asks(store::Tx& tx, WallTime asked_before, std::size_t limit) {
  auto rows = tx.run("DELETE FROM asks WHERE seq IN (SELECT seq FROM asks a WHERE a.asked_us < $1 AND (a.unanswered = 0 OR a.owner <> 0 OR "
                     "(a.job <> 0 AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.id = a.job AND jobs." BALLAST_JOB_LIVES "))) LIMIT $2)", {unix_us(asked_before), limit});
  if (!rows) return std::unexpected(std::move(rows.error()));
  return static_cast<std::uint64_t>(rows->affected());
}

Result<std::vector<Sight>> look_at(store::Tx& tx, std::span<const JobId> jobs) {
#define SIGHT_OF                                                                                                                                               \
  "SELECT j.id, j.live, j.state, j.attempt, j.fence, (SELECT COALESCE(MAX(e.seq), 0) FROM job_events e WHERE e.job = j.id), COALESCE(h.owner, 0), n.node FROM jobs j " \
  "LEFT JOIN homes h ON h.home = j.home LEFT JOIN nodes n ON n.epoch = h.owner AND h.owner > 0 WHERE j.id"
  static constexpr store::Statement sql(SIGHT_OF LISTED_LITE, SIGHT_OF LISTED_POSTGRES);
#undef SIGHT_OF
  std::vector<Sight> out;
  if (jobs.empty()) return out;
  auto rows = tx.run(sql, {list_of(tx, jobs)});
  if (!rows) return std::unexpected(std::move(rows.error()));
  for (const store::Row r : *rows) {
    Sight s{.job = JobId{r.integer(0)}, .live = r.boolean(1), .state = static_cast<JobState>(r.integer(2)), .attempt = static_cast<std::uint32_t>(r.integer(3)), .fence = r.integer(4),
            .events = r.integer(5), .owner = static_cast<std::uint32_t>(r.integer(6)), .node = {}, .leased = 0};
    if (const auto node = r.maybe_integer(7)) s.node = static_cast<unsigned>(*node);
    out.push_back(s);
  }
  return out;
}

Result<std::vector<Sight>> look_at_leases(store::Tx& tx, std::span<const JobId> jobs) {
  auto seen = look_at(tx, jobs);
  if (!seen) return seen;
  std::unordered_map<JobId, Sight*> live;
  for (Sight& s : *seen)
    if (s.live) live.emplace(s.job, &s);
  if (live.empty()) return seen;
  const auto claims = load_claims(tx);
  if (!claims) return std::unexpected(claims.error());
  for (const ClaimRow& c : *claims)
    for (const JobId id : c.jobs)
      if (const auto at = live.find(id); at != live.end() && c.fence > at->second->fence) at->second->leased = std::max(at->second->leased, c.fence);
  return seen;
}

// ---- what ends ask ----

bool FamilyWriter::wants(const JobSpec& spec) const {
  const bool asks = (spec.origin == Origin::child && spec.parent) || (spec.kind == JobKind::flow && spec.origin != Origin::rollback);
  return asks || (next_ && next_->wants(spec));
}

// Where the other job is on this board too, the engine's listeners tell it, without a row. The rows' numbers are the child's id, for it ends once, and the
// negative of it, for it is called off once: whoever asks twice has asked.
Result<void> FamilyWriter::write(store::Tx& tx, const Job& ended) const {
  const auto ask = [&](std::int64_t seq, AskKind kind, JobId job, const std::string& body) {
    store::Batch one(7);
    one.add({seq, static_cast<int>(kind), job.value, unix_us(ended.finished), body, engine_.epoch(), store::Value::bytes({})});
    return tx.run_later("INSERT INTO asks (seq, kind, job, owner, asker, asked_us, body, payload, unanswered, answer) SELECT $1, $2, $3, 0, -1, $4, $5, $7, 1, '' FROM jobs j "
                        "JOIN homes h ON h.home = j.home WHERE j.id = $3 AND j." BALLAST_JOB_LIVES " AND h.owner <> $6 ON CONFLICT (seq) DO NOTHING", one);
  };
  if (ended.spec.origin == Origin::child && ended.spec.parent)
    if (auto asked = ask(ended.id.value, AskKind::wake, ended.spec.parent, {}); !asked) return asked;
  if (ended.spec.kind == JobKind::flow && ended.spec.origin != Origin::rollback && ended.state != JobState::done) {
    const auto children = children_of(tx, ended.id);
    if (!children) return std::unexpected(children.error());
    const std::string body = pack_cancel({.reason = fmt::format("the run is {}", to_string(ended.state)), .actor = {}});
    for (const JobId child : *children)
      if (auto asked = ask(-child.value, AskKind::cancel, child, body); !asked) return asked;
  }
  return next_ && next_->wants(ended.spec) ? next_->write(tx, ended) : Result<void>{};
}

}  // namespace ballast::work
