// Feedback: what people say of an answer, tied to the call or the job that gave it.
//
// One verdict for each (subject, user): a later one replaces it. Of its subject a row keeps who asked, for what and at which price; the price is
// the ledger's at the moment of the report, while the ledger still has the call. Erasing a user takes his name and every comment about his calls.
// Repositories take a Tx and never begin one.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "records/call_record.hpp"
#include "records/ledger.hpp"
#include "store/database.hpp"

namespace ballast::records {

inline constexpr std::size_t kMaxComment = 4000;         // bytes
inline constexpr std::size_t kMostVerdicts = 1'000;       // on one call or job
inline constexpr std::size_t kMostJudged = 20'000;       // verdicts in a report: the newest subjects of its range

// What was judged, as it was then.
struct Subject {
  std::string name;                      // "call_…" or "job_…"
  std::optional<Id> call;                // of a call
  WallTime at{};                         // when it was asked
  std::string key_id, user, feature, team;
  std::string route;                     // of a job: its flow or task
  std::string provider, model;
  std::int64_t incurred_nano = 0;        // of a run: its stages' cost
};
Subject subject_of(const CallRecord& call);

struct Feedback {
  Id id;
  Subject subject;
  std::string user;                      // who judged; empty: nobody was named
  bool good = false;
  std::optional<double> score;           // 0 to 1
  std::string comment;                   // "" for what a database refuses; cut at kMaxComment
  std::string key_id;                    // through which it came
  WallTime given{};
};

// Returns the id it has: its own, or that of the verdict it replaced. caller_conflict where kMostVerdicts others have judged the subject.
Result<Id> put_feedback(store::Tx& tx, const Feedback& feedback);
// Of one subject, newest first, at most 100.
Result<std::vector<Feedback>> feedback_of(store::Tx& tx, std::string_view subject);
// Given by `user` or about what he asked, in order of subject and giver, after those two (both "": from the first).
Result<std::vector<Feedback>> feedback_about(store::Tx& tx, std::string_view user, const std::pair<std::string, std::string>& after, std::size_t limit);
// The newest given, of subjects of [from, to).
Result<std::vector<Feedback>> recent_feedback(store::Tx& tx, WallTime from, WallTime to, std::size_t limit);

enum class FeedbackBy : std::uint8_t { all, model, provider, route, feature, key, team, user, day };
std::optional<FeedbackBy> feedback_by_from(std::string_view name);     // "" is all

struct FeedbackRow {
  std::string group;
  std::uint64_t good = 0, bad = 0;       // verdicts
  std::uint64_t judged = 0;              // calls and jobs
  std::uint64_t successful = 0;          // those with more good than bad
  std::uint64_t scored = 0;
  double score_sum = 0;
  Int128 incurred_nano = 0;              // of what was judged, each counted once
};
struct FeedbackReport {
  std::vector<FeedbackRow> rows;         // most verdicts first
  bool cut = false;                      // older verdicts of the range are not in it
};
// Subjects of [from, to), by their own time. Reads at most kMostJudged verdicts and the ledger's summaries of the minutes around them.
Result<FeedbackReport> feedback_report(store::Tx& tx, WallTime from, WallTime to, FeedbackBy by);

// The user's verdicts, and all on what he asked, keep their figures under the pseudonym; their comments go. Returns how many.
Result<std::uint64_t> erase_feedback(store::Tx& tx, std::string_view user, std::string_view pseudonym);
// Of subjects before that. Returns how many.
Result<std::uint64_t> delete_feedback(store::Tx& tx, WallTime before, std::size_t limit);

// Wilson's score interval at 95 %: where the true share lies when `good` of `all` were. {0, 1} of none.
// E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927).
struct Share {
  double low = 0, high = 1;
};
Share wilson(std::uint64_t good, std::uint64_t all);

}  // namespace ballast::records
