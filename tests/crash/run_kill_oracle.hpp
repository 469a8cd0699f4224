// Watches killed runs from outside: from what the other side was asked, from what the process was heard to say, and from what is on the disk
// when it is dead. It knows the invariants and nothing of how they are kept.
#pragma once
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "../support/outside.hpp"
#include "base/json.hpp"
#include "base/random.hpp"
#include "records/audit.hpp"
#include "records/audit_verify.hpp"
#include "records/effects.hpp"
#include "run_kill_flows.hpp"
#include "work/approval_rows.hpp"
#include "work/outbox_rows.hpp"
#include "work/run_rows.hpp"

namespace ballast::work::kill {

// A request of a run.
struct Asked {
  std::string kind, run, item, key, body;
  int life = 0;
  const Seen& seen() const { return kinds().at(kind); }
  std::string path() const { return kind == "take" ? "each[" + item + "].a" : std::string(seen().stage); }
};

class Oracle {
 public:
  explicit Oracle(std::uint64_t seed) : random_(seed) {}

  // ---- the other side: does each thing once by its key, without one as often as it is asked, and answers with a number of its own
  test::Reply answer(const test::Arrived& a, int life) {
    if (a.path == "hook") return hooked(a);
    if (!kinds().contains(a.path)) {
      ADD_FAILURE() << "nobody asks for " << a.path;
      return {.status = 404, .body = "{}", .after = {}, .sent = {}};
    }
    const Asked one{.kind = a.path, .run = a.asks("run"), .item = a.asks("i"), .key = a.header("idempotency-key"), .body = a.body, .life = life};
    judge(one, a);
    fresh.push_back(one);
    test::Reply reply{.status = one.kind == "broke" ? 402 : 200, .body = {}, .after = std::chrono::microseconds(random_.chance(0.3) ? random_.below(4'000) : 0), .sent = {}};
    std::int64_t nonce = static_cast<std::int64_t>(++nonces_);
    if (!one.key.empty()) nonce = by_key_.try_emplace(one.key, nonce).first->second;
    // It has done it, and its answer is no good: what may be repeated is, the rest is in doubt.
    if (reply.status == 200 && !one.seen().undoes && random_.chance(0.03)) reply.status = 503;
    reply.body = "{\"nonce\":" + std::to_string(nonce) + "}";
    return reply;
  }
  // ---- the process
  void hear(const Event& e, int life) {
    const JobId id{e.job};
    switch (e.kind) {
      case Event::accepted:
        EXPECT_EQ(jobs.try_emplace(e.n, e.job).first->second, e.job) << "submission " << e.n << " is two runs";
        break;
      case Event::ended:
        EXPECT_TRUE(ends.try_emplace(e.job, static_cast<JobState>(e.n)).second) << to_string(id) << " ended twice";
        break;
      case Event::cancelled:
        EXPECT_TRUE(cancelled.try_emplace(to_string(id), life).second) << to_string(id) << " was cancelled twice";
        break;
      case Event::rolled_back:
        EXPECT_EQ(rollbacks.try_emplace(e.n, e.job).first->second, e.job) << to_string(JobId{e.n}) << " is rolled back by two jobs";
        break;
      case Event::wrong: ADD_FAILURE() << to_string(id) << (e.n == 1 ? " has two rollbacks" : " heard two decisions of one question"); break;
      case Event::idle: idle = true; break;
    }
  }
  // ---- the disk, when the process is dead
  // All that has left was durable before it left, and so was the outcome of all that it came after.
  void look(store::Database& db) {
    for (const Asked& one : std::exchange(fresh, {})) {
      const auto id = parse_job_id(one.run);
      ASSERT_TRUE(id) << one.run;
      const Read row = read(db, *id);
      const auto about = [&] { return one.kind + " of " + one.run; };
      const Seen& s = one.seen();
      if (s.again != Again::reads) {
        bool meant = false;
        for (const auto& e : row.effects)
          meant |= e.intent.id.path == one.path() && (e.intent.id.kind == records::EffectKind::compensation) == s.undoes && e.state != records::EffectState::intended &&
                   e.intent.idempotency_key == one.key;
        EXPECT_TRUE(meant) << about() << " has left, and its effect is not on the disk";
      }
      for (const auto& [kind, before] : kinds()) {
        if (before.flow != s.flow || before.rank >= s.rank || before.undoes || kind == "broke" || (s.undoes && before.stage == s.stage)) continue;
        for (const std::string& path : paths_of(kind))
          EXPECT_TRUE(row.done.contains(path)) << about() << " has left before the result of " << path << " was on the disk";
        if (before.again != Again::reads && !s.undoes) EXPECT_TRUE(settled(row, paths_of(kind).front())) << about() << " has left before the outcome of " << kind << " was on the disk";
      }
    }
  }
  // When everything is over.
  void check(store::Database& db, const std::string& anchors) {
    for (const auto& [n, job] : jobs) check_run(db, n, JobId{job});
    for (const auto& [run, job] : rollbacks) check_rollback(db, JobId{run}, JobId{job});
    check_totals(db);
    const auto files = records::anchors_files(anchors);
    const auto report = records::verify_audit(db, files);
    ASSERT_TRUE(report) << describe(report.error());
    EXPECT_TRUE(report->clean()) << report->findings.at(0).what;
    EXPECT_GT(report->anchors, 0u);
    std::printf("%zu runs: %d done, %d undone, %d rolled back, %d in doubt, %d rejected, %d cancelled, %d worn out by crashes; %llu requests, %llu of them asked again; "
                "%zu webhooks, %llu entries of the audit\n",
                jobs.size(), tally_["done"], tally_["undone"], tally_["rolled back"], tally_["in doubt"], tally_["rejected"], tally_["cancelled"], tally_["worn out"],
                static_cast<unsigned long long>(requests_), static_cast<unsigned long long>(again_), hooks_.size(), static_cast<unsigned long long>(report->entries));
    EXPECT_LT(tally_["worn out"], 1 + static_cast<int>(jobs.size()) / 3);
  }
  // Of a process that lived to say it: what was accepted is all there is, so what was refused is not there.
  void check_accepted(store::Database& db) {
    const auto rows = db.read_now([](store::Tx& tx) { return tx.run("SELECT COUNT(*) FROM jobs WHERE name <> 'part' AND name <> 'cut' AND spec NOT LIKE '%\"origin\"%'"); });
    ASSERT_TRUE(rows) << describe(rows.error());
    EXPECT_EQ((*rows)[0].integer(0), static_cast<std::int64_t>(jobs.size())) << "a submission that was refused is there";
  }

  std::map<std::int64_t, std::int64_t> jobs;                     // submission → job
  std::map<std::int64_t, JobState> ends;
  std::map<std::string, int> cancelled;                          // run → life
  std::map<std::int64_t, std::int64_t> rollbacks;                // run → job
  std::vector<Asked> fresh;                                      // of this life
  bool idle = false;

 private:
  struct Read {
    Job job;
    std::vector<records::Effect> effects;
    std::map<std::string, json::value> done;                     // by path
    std::vector<StageRecord> undone;                             // in their order
  };
  struct Of {                                                    // a run, as it was seen
    int rank = 0;
    std::int64_t fence = 0;
    std::map<std::string, std::string> bodies, keys;             // by kind and item
    std::map<std::string, int> times;
  };

  void judge(const Asked& one, const test::Arrived& a) {
    Of& run = runs_[one.run];
    const std::string what = one.kind + one.item, about = what + " of " + one.run;
    const Seen& s = one.seen();
    ++requests_;
    again_ += run.times[what]++ > 0;
    EXPECT_GE(s.rank, run.rank) << about << " is asked for after what depends on it";
    run.rank = std::max(run.rank, s.rank);
    EXPECT_EQ(run.bodies.try_emplace(what, one.body).first->second, one.body) << about << " is asked for with other arguments";
    EXPECT_EQ(run.keys.try_emplace(what, one.key).first->second, one.key) << about << " has two keys";
    EXPECT_EQ(one.key.empty(), s.again != Again::by_key) << about;
    if (!one.key.empty()) EXPECT_EQ(owners_.try_emplace(one.key, about).first->second, about) << "two effects have one key";
    if (s.again == Again::never) EXPECT_EQ(run.times[what], 1) << about << " is sent twice and must not be";
    const std::int64_t fence = a.header("x-ballast-fence").empty() ? 0 : std::stoll(a.header("x-ballast-fence"));
    EXPECT_GE(fence, run.fence) << about << " comes from a holder that was replaced";
    run.fence = fence;
    for (const std::string& who : {one.run, a.asks("of")})
      if (const auto at = cancelled.find(who); at != cancelled.end() && !s.undoes) EXPECT_EQ(at->second, one.life) << about << " is asked for after " << who << " was cancelled";
  }
  test::Reply hooked(const test::Arrived& a) {
    const auto body = parse_json(a.body);
    const std::string id = a.header("webhook-id");
    if (!body || id.empty()) ADD_FAILURE() << "no webhook: " << a.body;
    EXPECT_EQ(hooks_.try_emplace(id, a.body).first->second, a.body) << "the webhook " << id << " says two things";
    if (body) hooked_[std::string(body->at("data").at("id").as_string())] = std::string(body->at("type").as_string());
    return {.status = random_.chance(0.03) ? 503 : 200, .body = "{}", .after = {}, .sent = {}};
  }

  static std::vector<std::string> paths_of(const std::string& kind) {
    if (kind == "take") return {"each[0].a", "each[1].a"};
    return {std::string(kinds().at(kind).stage)};
  }
  static bool settled(const Read& row, const std::string& path) {
    using enum records::EffectState;
    return count(row, path, false, confirmed) + count(row, path, false, compensated) + count(row, path, false, compensation_failed) == 1;
  }
  static Read read(store::Database& db, JobId id) {
    auto all = db.read_now([&](store::Tx& tx) -> Result<Read> {
      auto job = get_job(tx, id);
      auto effects = records::list_effects(tx, id.value);
      auto journal = load_records(tx, id);
      if (!job || !effects || !journal) return fail(!job ? job.error() : !effects ? effects.error() : journal.error());
      Read out{.job = *job ? std::move(**job) : Job{}, .effects = std::move(*effects), .done = {}, .undone = {}};
      for (StageRecord& r : *journal) {
        if (r.what == StageRecord::What::done && !r.path.starts_with('$'))
          EXPECT_TRUE(out.done.try_emplace(r.path, r.value ? *r.value : json::value(nullptr)).second) << r.path << " of " << to_string(id) << " has two results";
        if (r.what == StageRecord::What::compensated) out.undone.push_back(std::move(r));
      }
      return out;
    });
    EXPECT_TRUE(all) << describe(all.error());
    return all ? std::move(*all) : Read{};
  }
  static int count(const Read& row, const std::string& path, bool undoing, records::EffectState state) {
    int n = 0;
    for (const auto& e : row.effects) n += e.intent.id.path == path && (e.intent.id.kind == records::EffectKind::compensation) == undoing && e.state == state;
    return n;
  }
  // The outputs that were recorded are those that the other side gave, to whom it gave them.
  void check_effects(store::Database& db, const Read& row, const std::string& run) {
    using enum records::EffectState;
    std::map<std::pair<std::string, bool>, int> tries;
    for (const auto& e : row.effects) {
      EXPECT_NE(e.state, intended) << run;
      EXPECT_NE(e.state, dispatched) << run << ": nobody says what became of " << e.intent.id.path;
      ++tries[{e.intent.id.path, e.intent.id.kind == records::EffectKind::compensation}];
    }
    const auto& of = runs_[run];
    for (const auto& [kind, s] : kinds()) {
      if (s.flow != row.job.spec.name || s.again == Again::reads) continue;
      const auto paths = paths_of(kind);
      for (std::size_t i = 0; i < paths.size(); ++i) {
        const std::string what = kind + (kind == "take" ? std::to_string(i) : ""), about = what + " of " + run;
        const int asked = of.times.contains(what) ? of.times.at(what) : 0, confirmed = count(row, paths[i], s.undoes, records::EffectState::confirmed),
                  compensated = count(row, paths[i], s.undoes, records::EffectState::compensated), lost = count(row, paths[i], s.undoes, compensation_failed);
        EXPECT_LE(asked, (tries[{paths[i], s.undoes}])) << about << ": a call without its effect";
        EXPECT_LE(confirmed + compensated + lost, 1) << about << ": two outcomes";
        if (confirmed + compensated + lost == 1) EXPECT_GE(asked, 1) << about << " is confirmed and was never asked for";
        if (s.again == Again::never && asked == 1) EXPECT_EQ(confirmed + compensated + lost + count(row, paths[i], s.undoes, unknown), 1) << about;
        if (s.undoes || !row.done.contains(paths[i])) continue;
        EXPECT_EQ(confirmed + compensated + lost, 1) << about << " has a result and no outcome";
        if (!of.keys.contains(what) || of.keys.at(what).empty()) continue;
        EXPECT_EQ(row.done.at(paths[i]).at("body").at("nonce").to_number<std::int64_t>(), by_key_[of.keys.at(what)]) << about << " is not what was answered";
      }
    }
    check_audit(db, row, run);
  }
  // Of each effect's each move, one entry of the trail.
  void check_audit(store::Database& db, const Read& row, const std::string& run) {
    const auto trail = db.read_now([&](store::Tx& tx) { return records::list_audit(tx, run, 0, 10'000); });
    ASSERT_TRUE(trail) << describe(trail.error());
    std::map<std::string, int> told;
    for (const auto& r : *trail) ++told[r.entry.action];
    EXPECT_EQ(told[std::string(records::audit::effect_dispatched)], static_cast<int>(row.effects.size())) << run;
    EXPECT_LE(told[std::string(records::audit::approval_granted)] + told[std::string(records::audit::approval_edited)] + told[std::string(records::audit::approval_rejected)], 1) << run;
  }

  void check_run(store::Database& db, std::int64_t n, JobId id) {
    const Read row = read(db, id);
    const std::string run = to_string(id);
    const Job& job = row.job;
    SCOPED_TRACE(run + ", a run of " + job.spec.name + ", submission " + std::to_string(n));
    EXPECT_TRUE(job.id && terminal(job.state)) << "it was accepted, and has not ended";
    EXPECT_LE(job.attempt, job.spec.max_attempts);
    if (const auto told = ends.find(id.value); told != ends.end()) EXPECT_EQ(told->second, job.state) << "it ended otherwise once";
    if (cancelled.contains(run)) EXPECT_EQ(job.state, JobState::cancelled);
    check_effects(db, row, run);
    if (!job.spec.webhook.empty()) EXPECT_EQ(hooked_[run], "job." + std::string(to_string(job.state))) << "its webhook said something else, or nothing";
    if (job.spec.name == "ask") check_approval(db, row, id);
    if (job.state == JobState::cancelled) return void(++tally_["cancelled"]);
    if (job.state == JobState::done) return check_done(row, run);
    const auto error = error_json(job.error);
    const std::string why(error.contains("message") ? std::string_view(error.at("message").as_string()) : "");
    const bool crashed = why.find("the process that ran this attempt ended") != std::string::npos;
    if (crashed) EXPECT_TRUE(job.spec.name == "wide" || (is_hasty(n) && job.attempt == kHasty)) << why;      // of `wide` it may have been a child
    ++tally_[crashed                    ? "worn out"
             : job.spec.name == "trip"  ? "undone"
             : job.spec.name == "ask"   ? "rejected"
             : why.contains("resolve")  ? "in doubt"
                                        : "otherwise: " + why];
    if (!crashed && job.spec.name == "trip") check_undone(row, run);
    if (!crashed && job.spec.name == "once") EXPECT_TRUE(why.contains("/effects/resolve")) << why;
    if (!crashed && job.spec.name == "ask") EXPECT_TRUE(why.contains("rejected it")) << why;
    EXPECT_TRUE(crashed || job.spec.name == "trip" || job.spec.name == "once" || job.spec.name == "ask") << why;
  }
  void check_done(const Read& row, const std::string& run) {
    ++tally_["done"];
    const auto output = parse_json(row.job.output);
    ASSERT_TRUE(output) << row.job.output;
    const Seen* last = nullptr;
    for (const auto& [kind, s] : kinds()) {
      if (s.flow != row.job.spec.name || s.undoes) continue;
      if (!last || s.rank > last->rank) last = &s;
      for (const auto& path : paths_of(kind)) EXPECT_TRUE(row.done.contains(path)) << path << " has no result";
      EXPECT_GE(runs_[run].times[kind + (kind == "take" ? "0" : "")], 1) << kind << " was never asked for";
    }
    EXPECT_EQ(row.done.at(std::string(last->stage)), *output);
  }
  // In reverse, each once; a failed one is to be seen.
  void check_undone(const Read& row, const std::string& run) {
    std::vector<std::string> order;
    for (const auto& r : row.undone) order.push_back(r.path);
    EXPECT_EQ(order, (std::vector<std::string>{"c", "b", "a"}));
    Of& of = runs_[run];
    for (const auto& r : row.undone) {
      const auto undoing = std::ranges::find_if(kinds(), [&](const auto& k) { return k.second.flow == "trip" && k.second.undoes && k.second.stage == r.path; });
      using enum records::EffectState;
      EXPECT_EQ(count(row, r.path, false, r.error ? compensation_failed : compensated), 1) << r.path;
      EXPECT_EQ(count(row, r.path, true, r.error ? unknown : confirmed), 1) << r.path;
      if (undoing->second.again != Again::never) EXPECT_FALSE(r.error) << r.path << ": " << describe(*r.error);
      if (!r.error) EXPECT_GE(of.times[undoing->first], 1);
    }
  }
  void check_rollback(store::Database& db, JobId run, JobId job) {
    const Read row = read(db, run), undoing = read(db, job);
    SCOPED_TRACE("the rollback of " + to_string(run));
    if (undoing.job.state == JobState::dead && undoing.job.spec.max_attempts == kHasty && undoing.job.attempt == kHasty) return void(++tally_["worn out"]);
    EXPECT_EQ(undoing.job.state, JobState::done) << undoing.job.error;
    EXPECT_EQ(row.undone.size(), 1u);
    EXPECT_EQ(count(row, "c", false, records::EffectState::compensated), 1);
    EXPECT_EQ(count(row, "c", true, records::EffectState::confirmed), 1);
    EXPECT_GE(runs_[to_string(run)].times["unsell"], 1);
    ++tally_["rolled back"];
  }
  // One question, one decision, used once, and what was settled is exactly what was decided.
  void check_approval(store::Database& db, const Read& row, JobId id) {
    const auto asked = db.read_now([&](store::Tx& tx) { return list_approvals(tx, {.state = std::nullopt, .job = id}); });
    ASSERT_TRUE(asked) << describe(asked.error());
    EXPECT_LE(asked->approvals.size(), 1u);
    for (const Approval& listed : asked->approvals) {
      EXPECT_NE(listed.state, ApprovalState::pending);
      const bool yes = listed.state == ApprovalState::approved || listed.state == ApprovalState::edited;
      if (row.job.state == JobState::done) EXPECT_TRUE(yes && listed.taken);
      const Of& of = runs_[to_string(id)];
      EXPECT_TRUE(yes || !of.times.contains("pay")) << "it is settled without a decision";
      if (!of.bodies.contains("pay")) continue;
      const auto whole = *db.read_now([&](store::Tx& tx) { return get_approval(tx, listed.id); });
      EXPECT_EQ(parse_json(of.bodies.at("pay")), whole->value ? *whole->value : whole->ask.shown) << "another value is settled than was decided on";
      EXPECT_TRUE(listed.taken) << "it is settled, and the decision is not used";
    }
  }
  void check_totals(store::Database& db) {
    const auto zero = [&](const char* sql) {
      const auto rows = db.read_now([&](store::Tx& tx) { return tx.run(store::Statement(sql)); });
      ASSERT_TRUE(rows) << describe(rows.error());
      EXPECT_EQ((*rows)[0].integer(0), 0) << sql;
    };
    zero("SELECT COUNT(*) FROM jobs WHERE live = 1");
    zero("SELECT COUNT(*) FROM outbox WHERE state <> 1");
    zero("SELECT COUNT(*) FROM effects WHERE state < 2");
    zero("SELECT COUNT(*) FROM (SELECT input FROM jobs WHERE name = 'ask' OR name = 'once' OR name = 'trip' GROUP BY input HAVING COUNT(*) > 1) AS twice");
    zero("SELECT COUNT(*) FROM (SELECT job, path, input FROM run_steps WHERE what = 1 GROUP BY job, path, input HAVING COUNT(*) > 1) AS twice");
  }

  SeededRandom random_;
  std::uint64_t nonces_ = 0, requests_ = 0, again_ = 0;
  std::map<std::string, std::int64_t> by_key_;
  std::map<std::string, std::string> owners_, hooks_, hooked_;   // by key; by the webhook's id; by run
  std::map<std::string, Of> runs_;
  std::map<std::string, int> tally_;
};

}  // namespace ballast::work::kill
