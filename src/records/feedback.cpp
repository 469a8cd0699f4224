#include "records/feedback.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include "records/ledger_scan.hpp"
#include "records/sql_values.hpp"

namespace ballast::records {

namespace {

using store::Value;

// What a report adds up: a verdict and the subject it is about.
struct Judged {
  std::string subject, group;
  std::optional<Id> call;
  bool good = false;
  std::optional<double> score;
  std::int64_t incurred_nano = 0;
};

std::string_view column_of(FeedbackBy by) {
  switch (by) {
    case FeedbackBy::model: return "model";
    case FeedbackBy::provider: return "provider";
    case FeedbackBy::route: return "route";
    case FeedbackBy::feature: return "feature";
    case FeedbackBy::key: return "subject_key";
    case FeedbackBy::team: return "team";
    case FeedbackBy::user: return "subject_user";
    case FeedbackBy::all:
    case FeedbackBy::day: break;
  }
  return "";
}

// Newest subjects first.
Result<std::vector<Judged>> judged_in(store::Tx& tx, WallTime from, WallTime to, FeedbackBy by) {
  const std::string column(column_of(by));
  const std::string sql = "SELECT subject, call_id, at_us, good, score, incurred, " + (column.empty() ? std::string("''") : column) +
                          " FROM feedback WHERE at_us >= $1 AND at_us < $2 ORDER BY at_us DESC, subject LIMIT $3";
  auto rows = tx.run(store::Statement(std::string_view(sql)), {unix_us(from), unix_us(to), kMostJudged + 1});
  if (!rows) return std::unexpected(rows.error());
  std::vector<Judged> out;
  out.reserve(rows->size());
  for (const store::Row r : *rows) {
    Judged j{.subject = r.string(0), .group = r.string(6), .call = id_from_bytes(r.bytes(1)), .good = r.boolean(3), .score = {}, .incurred_nano = r.integer(5)};
    if (!r.null(4)) j.score = r.real(4);
    if (by == FeedbackBy::day) j.group = to_rfc3339(wall_from_us(r.integer(2))).substr(0, 10);
    out.push_back(std::move(j));
  }
  return out;
}

// What the ledger says now of the cost of these calls. Each block that holds one is read once, whatever else it holds.
Result<std::map<Id, std::int64_t>> costs_now(store::Tx& tx, std::vector<Id> wanted) {
  std::ranges::sort(wanted);
  std::map<Id, std::int64_t> found;
  for (const Id id : wanted) {
    if (found.contains(id)) continue;
    BlockScan scan(BlockScan::Order::ascending, id, id);
    while (!found.contains(id)) {
      auto block = scan.next(tx);
      if (!block) return std::unexpected(block.error());
      if (!*block) break;                          // retired, or erased by hand: what was noted stands
      SummaryReader reader((*block)->summary);
      for (CallRow row; reader.next(row);)
        if (std::ranges::binary_search(wanted, row.id)) found[row.id] = row.amounts.incurred_nano;
      if (!reader.good()) return std::unexpected(damaged_block());
    }
  }
  return found;
}

// A subject's verdicts within a group.
struct Tally {
  std::uint64_t good = 0, bad = 0;
  std::int64_t incurred_nano = 0;
};

void add(FeedbackRow& row, const Tally& tally) {
  ++row.judged;
  row.successful += tally.good > tally.bad;
  row.incurred_nano += tally.incurred_nano;
}

Feedback feedback_from(const store::Row& r) {
  Feedback f;
  f.id = id_from_bytes(r.bytes(0)).value_or(Id{});
  f.subject.name = r.string(1);
  f.subject.at = wall_from_us(r.integer(2));
  f.user = r.string(3);
  f.good = r.boolean(4);
  if (!r.null(5)) f.score = r.real(5);
  f.comment = r.string(6);
  f.key_id = r.string(7);
  f.given = wall_from_us(r.integer(8));
  f.subject.model = r.string(9);
  f.subject.route = r.string(10);
  return f;
}

Result<std::vector<Feedback>> listed(Result<store::Rows> rows) {
  if (!rows) return std::unexpected(rows.error());
  std::vector<Feedback> out;
  for (const store::Row r : *rows) out.push_back(feedback_from(r));
  return out;
}

}  // namespace

Subject subject_of(const CallRecord& call) {
  return {.name = to_string(call.id, "call"), .call = call.id, .at = WallTime(std::chrono::milliseconds(call.id.unix_ms())), .key_id = call.key_id, .user = call.user,
          .feature = call.feature, .team = call.team, .route = call.route, .provider = call.provider, .model = call.model, .incurred_nano = call.incurred_nano};
}

Result<Id> put_feedback(store::Tx& tx, const Feedback& f) {
  const Subject& s = f.subject;
  const std::string id = to_bytes(f.id), call = s.call ? to_bytes(*s.call) : std::string(), comment = stored_text(f.comment, kMaxComment);
  const std::string user = stored_text(f.user, 512), subject_user = stored_text(s.user, 512), feature = stored_text(s.feature, 512);
  auto rows = tx.run(
      "INSERT INTO feedback (subject, user_id, id, call_id, at_us, given_us, good, score, comment, key_id, subject_key, subject_user, feature, team, route, provider, model, incurred) "
      "SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18 WHERE (SELECT COUNT(*) FROM feedback WHERE subject = $1 AND user_id <> $2) < $19 "
      "ON CONFLICT (subject, user_id) DO UPDATE SET "
      "given_us = excluded.given_us, good = excluded.good, score = excluded.score, comment = excluded.comment, key_id = excluded.key_id, incurred = excluded.incurred RETURNING id",
      {s.name, user, Value::bytes(id), Value::bytes(call), unix_us(s.at), unix_us(f.given), f.good, f.score, comment, f.key_id, s.key_id, subject_user, feature,
       stored_text(s.team, 512), stored_text(s.route, 512), stored_text(s.provider, 512), stored_text(s.model, 512), s.incurred_nano, kMostVerdicts});
  if (!rows) return std::unexpected(rows.error());
  if (rows->empty()) return fail(ErrorCode::caller_conflict, fmt::format("{} have judged this: no more are heard", kMostVerdicts));
  return id_from_bytes((*rows)[0].bytes(0)).value_or(f.id);
}

Result<std::vector<Feedback>> feedback_of(store::Tx& tx, std::string_view subject) {
  return listed(tx.run("SELECT id, subject, at_us, user_id, good, score, comment, key_id, given_us, model, route FROM feedback WHERE subject = $1 ORDER BY given_us DESC LIMIT 100", {subject}));
}

Result<std::vector<Feedback>> recent_feedback(store::Tx& tx, WallTime from, WallTime to, std::size_t limit) {
  return listed(tx.run("SELECT id, subject, at_us, user_id, good, score, comment, key_id, given_us, model, route FROM feedback WHERE at_us >= $1 AND at_us < $2 ORDER BY given_us DESC LIMIT $3",
                       {unix_us(from), unix_us(to), std::min<std::size_t>(limit, 1000)}));
}

Result<std::vector<Feedback>> feedback_about(store::Tx& tx, std::string_view user, const std::pair<std::string, std::string>& after, std::size_t limit) {
  return listed(tx.run("SELECT id, subject, at_us, user_id, good, score, comment, key_id, given_us, model, route FROM feedback WHERE (user_id = $1 OR subject_user = $1) "
                       "AND (subject > $2 OR (subject = $2 AND user_id > $3)) ORDER BY subject, user_id LIMIT $4", {user, after.first, after.second, limit}));
}

std::optional<FeedbackBy> feedback_by_from(std::string_view name) {
  constexpr std::pair<std::string_view, FeedbackBy> known[] = {{"", FeedbackBy::all},         {"model", FeedbackBy::model},     {"provider", FeedbackBy::provider},
                                                               {"route", FeedbackBy::route},  {"feature", FeedbackBy::feature}, {"key", FeedbackBy::key},
                                                               {"team", FeedbackBy::team},    {"user", FeedbackBy::user},       {"day", FeedbackBy::day}};
  for (const auto& [text, by] : known)
    if (text == name) return by;
  return std::nullopt;
}

Result<FeedbackReport> feedback_report(store::Tx& tx, WallTime from, WallTime to, FeedbackBy by) {
  auto judged = judged_in(tx, from, to, by);
  if (!judged) return std::unexpected(judged.error());
  FeedbackReport report{.rows = {}, .cut = judged->size() > kMostJudged};
  if (report.cut) judged->pop_back();
  std::vector<Id> calls;
  for (const auto& j : *judged)
    if (j.call) calls.push_back(*j.call);
  const auto costs = costs_now(tx, std::move(calls));
  if (!costs) return std::unexpected(costs.error());
  std::map<std::string, FeedbackRow> groups;
  std::map<std::pair<std::string, std::string>, Tally> subjects;
  for (const auto& j : *judged) {
    FeedbackRow& row = groups[j.group];
    Tally& tally = subjects[{j.group, j.subject}];
    ++(j.good ? row.good : row.bad);
    ++(j.good ? tally.good : tally.bad);
    if (j.score) ++row.scored, row.score_sum += *j.score;
    const auto now = j.call ? costs->find(*j.call) : costs->end();
    tally.incurred_nano = now != costs->end() ? now->second : j.incurred_nano;
  }
  for (const auto& [name, tally] : subjects) add(groups[name.first], tally);
  for (auto& [name, row] : groups) {
    row.group = name;
    report.rows.push_back(std::move(row));
  }
  std::ranges::sort(report.rows, [](const FeedbackRow& a, const FeedbackRow& b) { return std::pair(b.good + b.bad, a.group) < std::pair(a.good + a.bad, b.group); });
  return report;
}

Result<std::uint64_t> erase_feedback(store::Tx& tx, std::string_view user, std::string_view pseudonym) {
  auto changed = tx.run("UPDATE feedback SET comment = '', user_id = CASE WHEN user_id = $1 THEN $2 ELSE user_id END, "
                        "subject_user = CASE WHEN subject_user = $1 THEN $2 ELSE subject_user END WHERE user_id = $1 OR subject_user = $1", {user, pseudonym});
  if (!changed) return std::unexpected(changed.error());
  return static_cast<std::uint64_t>(changed->affected());
}

Result<std::uint64_t> delete_feedback(store::Tx& tx, WallTime before, std::size_t limit) {
  auto gone = tx.run("DELETE FROM feedback WHERE (subject, user_id) IN (SELECT subject, user_id FROM feedback WHERE at_us < $1 ORDER BY at_us LIMIT $2)", {unix_us(before), limit});
  if (!gone) return std::unexpected(gone.error());
  return static_cast<std::uint64_t>(gone->affected());
}

Share wilson(std::uint64_t good, std::uint64_t all) {
  if (all == 0) return {};
  constexpr double z = 1.959963984540054;              // of a normal distribution, 95 % are within
  const double n = static_cast<double>(all), p = static_cast<double>(good) / n;
  const double scale = 1 + z * z / n, middle = p + z * z / (2 * n), half = z * std::sqrt(p * (1 - p) / n + z * z / (4 * n * n));
  return {.low = good == 0 ? 0 : std::max(0.0, (middle - half) / scale), .high = good == all ? 1 : std::min(1.0, (middle + half) / scale)};
}

}  // namespace ballast::records
