// The process that is killed: an engine with runs of flows, their calls, webhooks and audit anchors, put together as the server does, and whoever
// acts on runs from outside (people, events, cancellations). It never ends by itself.
#pragma once
#include <atomic>
#include <csignal>
#include <optional>
#include <set>

#include "base/log.hpp"
#include "base/random.hpp"
#include "net/client.hpp"
#include "net/loop.hpp"
#include "records/audit_anchors.hpp"
#include "run_kill_flows.hpp"
#include "work/approval_rows.hpp"
#include "work/dispatch.hpp"
#include "work/effect_journal.hpp"
#include "work/flow_book.hpp"
#include "work/run_again.hpp"
#include "work/runner.hpp"
#include "work/signals.hpp"
#include "work/stage_http.hpp"
#include "work/webhooks.hpp"

namespace ballast::work::kill {

// A transport that names the moments before a request leaves and after the head of its answer has come.
class Tapped final : public net::Transport {
 public:
  Tapped(net::Transport& real, std::function<void(std::string_view)> at, const char* before, const char* after) : real_(real), at_(std::move(at)), before_(before), after_(after) {}
  Task<Result<std::unique_ptr<net::ClientResponse>>> send(Scheduler& loop, const net::ClientRequest& request, net::Timeouts timeouts, CancelToken cancel) override {
    at_(before_);
    auto answer = co_await real_.send(loop, request, timeouts, cancel);
    at_(after_);
    co_return answer;
  }

 private:
  net::Transport& real_;
  const std::function<void(std::string_view)> at_;
  const char* const before_;
  const char* const after_;
};

class Child {
 public:
  Child(Plan plan, FlowSet flows, int pipe)
      : plan_(std::move(plan)), flows_(std::move(flows)), pipe_(pipe), random_(plan_.seed), database_(open(plan_.url)), policy_(policy_of(plan_.shop)),
        client_(loops_, net::ClientOptions{.egress = policy_}), book_(fixed_environment({{"SHOP", plan_.shop}})), engine_(home(), *database_, engine_options(), plan_.seed),
        door_(engine_), runner_(door_, book_, {.at = hook()}),
        webhooks_(home(), told_, *database_, policy_, [](const Job& job, bool) { return json::object{{"id", to_string(job.id)}, {"state", to_string(job.state)}}; },
                  {.seed = plan_.seed, .deliverer = {.poll = 20ms, .rules = {.schedule = std::vector<Duration>(20, Duration(5ms)), .jitter = 0}}}) {}

  [[noreturn]] void live() {
    log::set_level(log::Level::warn);
    wire();
    if (auto put = book_.put(*database_, flows_, clock_.wall()); !put) fail_with(11, put.error());
    if (auto started = engine_.start(dispatch_, &ends_); !started) fail_with(12, started.error());
    if (auto started = webhooks_.start(); !started) fail_with(13, started.error());
    auto anchors = records::Anchorer::open({.directory = plan_.anchors, .node = "n1", .every = 20ms});
    if (!anchors) fail_with(14, anchors.error());
    (*anchors)->start(*database_);
    loops_.start();
    home().post([this] {
      engine_.open();
      webhooks_.poke();
      if (!plan_.calm) tasks_.spawn(submit());
      if (!plan_.calm) tasks_.spawn(cancel());
      tasks_.spawn(people());
      tasks_.spawn(events());
      if (plan_.ends()) tasks_.spawn(say_when_idle());
    });
    for (;;) ::pause();
  }

 private:
  [[noreturn]] static void fail_with(int status, const Error& why) {
    std::fprintf(stderr, "%s\n", describe(why).c_str());
    ::_exit(status);
  }
  static std::unique_ptr<store::Database> open(const std::string& url) {
    auto opened = store::open_database(url);
    if (!opened) fail_with(3, opened.error());
    return std::move(*opened);
  }
  static std::shared_ptr<const net::EgressPolicy> policy_of(const std::string& shop) {
    auto policy = net::EgressPolicy::parse({shop.substr(std::string_view("http://").size())});
    if (!policy) fail_with(4, policy.error());
    return std::make_shared<const net::EgressPolicy>(std::move(*policy));
  }
  EngineOptions engine_options() {
    EngineOptions options{.local_leases = 64};
    options.at = hook();
    return options;
  }
  net::Loop& home() { return loops_.at(0); }
  std::function<void(std::string_view)> hook() {
    return [this](std::string_view point) { at(point); };
  }
  void at(std::string_view point) {
    if (point == plan_.point && passed_.fetch_add(1) + 1 == plan_.nth) ::kill(::getpid(), SIGKILL);
  }
  void tell(const Event& e) {
    if (::write(pipe_, &e, sizeof e) != sizeof e) ::_exit(5);
  }
  auto sleep(Duration d) { return SleepUntil(home(), clock_.mono() + d); }

  // As app/workshop does.
  void wire() {
    dispatch_.use(engine_);
    dispatch_.set_kind(JobKind::flow, [this](Lease lease, CancelToken cancel) { return run(std::move(lease), cancel); });
    dispatch_.add_task("cut", [](Lease lease, CancelToken) -> Task<Outcome> {
      co_return Outcome{.to = Commit::To::done, .output = lease.job->input, .error = {}, .delay = {}, .also = {}, .children = {}};
    });
    runner_.set_performer(StageKind::http, http_performer(home(), http_));
    runner_.set_performer(StageKind::settle, settle_performer(home(), settle_));
    runner_.set_undoer(http_undoer(home(), undo_));
    runner_.set_recovery(effects_recovery());
    engine_.on_ended([this](const Job& job) { ended(job); });
  }
  Task<Outcome> run(Lease lease, CancelToken cancel) {
    if (lease.job->spec.origin == Origin::rollback) at("rolling_back");
    auto outcome = co_await runner_.run(std::move(lease), cancel);
    at("last_word");
    co_return outcome;
  }
  void ended(const Job& job) {
    const bool child = job.spec.origin == Origin::child, failed = job.spec.kind == JobKind::flow && job.state != JobState::done && job.spec.origin != Origin::rollback;
    at(child ? "child_ended" : "ended");
    if (failed) at("calling_off");
    tell({Event::ended, job.id.value, static_cast<std::int64_t>(job.state)});
    if (webhooks_.wants(job.spec)) webhooks_.poke();
    if (child && job.spec.parent) tasks_.spawn(wake(job.spec.parent));
    if (failed) tasks_.spawn(runner_.called_off(job.id, "the run is " + std::string(to_string(job.state))));
    if (job.spec.name == "chain" && job.spec.origin == Origin::submitted && job.state == JobState::done && job.id.value % 3 == 0) tasks_.spawn(roll_back(job));
  }
  Task<void> wake(JobId id) { (void)co_await engine_.wake_surely(id); }
  Task<void> roll_back(Job job) {
    std::vector<Submission> one;
    one.push_back(rollback_of(job));
    one.push_back(rollback_of(job));         // asked for twice, it is one
    auto accepted = co_await engine_.submit(std::move(one));
    if (!accepted[0] || !accepted[1]) co_return;
    if (accepted[0]->id != accepted[1]->id) tell({Event::wrong, job.id.value, 1});
    tell({Event::rolled_back, accepted[0]->id.value, job.id.value});
  }

  Task<void> submit() {
    for (std::int64_t next = plan_.first; plan_.last == 0 || next <= plan_.last;) {
      while (engine_.board().size() > 40) co_await sleep(1ms);
      std::vector<Submission> bulk;
      std::vector<std::int64_t> numbers;
      for (auto i = 1 + random_.below(6); i-- > 0;) {
        const std::int64_t n = next > 1 && random_.chance(0.2) ? 1 + static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(next))) : next++;
        numbers.push_back(n);
        bulk.push_back(numbered(n, plan_.shop));
        if (auto bound = bind_flow(book_, bulk.back(), clock_.wall()); !bound) fail_with(6, bound.error());
      }
      auto results = co_await engine_.submit(std::move(bulk));
      for (std::size_t i = 0; i < results.size(); ++i) {
        if (!results[i]) continue;
        tell({Event::accepted, results[i]->id.value, numbers[i]});
        if (is_cancelled(numbers[i])) doomed_.push_back(results[i]->id);
      }
    }
    submitted_ = true;
  }
  Task<void> cancel() {
    for (;;) {
      co_await sleep(random_.chance(0.5) ? 1ms : 7ms);
      if (doomed_.empty()) continue;
      std::vector<JobId> ids;
      ids.push_back(doomed_.back());
      doomed_.pop_back();
      const JobId id = ids.front();
      auto cancelled = co_await engine_.cancel(std::move(ids), "chaos");
      if (cancelled[0]) tell({Event::cancelled, id.value});
    }
  }
  // Two of them, who never agree: the first one's word counts.
  Task<void> people() {
    for (;;) {
      co_await sleep(2ms);
      auto page = co_await database_->read(home(), [](store::Tx& tx) { return list_approvals(tx, {.limit = 20}); });
      if (!page) continue;
      for (const Approval& listed : page->approvals) {
        auto whole = co_await database_->read(home(), [id = listed.id](store::Tx& tx) { return get_approval(tx, id); });
        if (!whole || !*whole) continue;
        const bool first = co_await decide(**whole, random_.below(10), "ann");
        at("person_decided");
        if (first && co_await decide(**whole, random_.below(10), "bob")) tell({Event::wrong, listed.id.job.value, 2});
        (void)co_await engine_.wake(listed.id.job);
      }
    }
  }
  Task<bool> decide(const Approval& a, std::uint64_t how, std::string who) {
    Decision d{.id = a.id, .choice = how == 0 ? Decision::Choice::reject : how < 5 ? Decision::Choice::edit : Decision::Choice::approve, .seen = a.digest, .value = {}, .note = {},
               .by = {.key_id = "key_" + who, .key_name = who, .user = who, .team = {}, .admin = true, .link = false}};
    if (d.choice == Decision::Choice::edit) {
      d.value = a.ask.shown;
      d.value->as_object()["tip"] = static_cast<std::int64_t>(how);
    }
    auto decided = co_await database_->write(home(), [&](store::Tx& tx) { return decide_approval(tx, d, clock_.wall()); });
    co_return decided.has_value();
  }
  // What runs listen for comes: once they do.
  Task<void> events() {
    struct Waiting { std::string name, key; };
    std::set<std::string> sent;
    for (;;) {
      co_await sleep(2ms);
      auto waits = co_await database_->read(home(), [](store::Tx& tx) -> Result<std::vector<Waiting>> {
        const auto rows = tx.run("SELECT name, key FROM signal_waits LIMIT 50");
        if (!rows) return fail(rows.error());
        std::vector<Waiting> out;
        for (const auto& r : *rows) out.push_back({r.string(0), r.string(1)});
        return out;
      });
      if (!waits) continue;
      for (const Waiting& w : *waits) {
        if (!sent.insert(w.key).second) continue;
        const Signal signal{.id = engine_.new_id(), .name = w.name, .key = w.key, .key_id = {}, .payload = R"({"of":)" + w.key + "}", .at = clock_.wall()};
        const auto put = co_await database_->write(home(), [&](store::Tx& tx) { return put_signal(tx, signal, signal.at + 24h); });
        at("event_put");
        if (put) co_await wake_listeners(door_, signal, 100);
        else sent.erase(w.key);              // sent again, as whoever has no answer does
      }
    }
  }
  // As the server's sweep does, and more often; and says when there is nothing to do.
  Task<void> say_when_idle() {
    for (;;) {
      co_await sleep(10ms);
      const auto untold = co_await database_->write(home(), [&](store::Tx& tx) -> Result<std::vector<JobId>> {
        if (auto withdrawn = withdraw_orphans(tx, clock_.wall(), 1'000); !withdrawn) return fail(withdrawn.error());
        return undelivered(tx, clock_.wall() - 50ms, 1'000);
      });
      if (!untold) continue;
      for (const JobId id : *untold) (void)co_await engine_.wake(id);
      if (!(plan_.calm || submitted_) || engine_.board().size() > 0) continue;
      auto owed = co_await database_->read(home(), [](store::Tx& tx) { return outbox_figures(tx); });
      if (owed && owed->pending == 0) tell({Event::idle});
    }
  }

  const Plan plan_;
  const FlowSet flows_;
  const int pipe_;
  std::atomic<std::uint64_t> passed_{0};
  SeededRandom random_;
  SystemClock clock_;
  net::LoopGroup loops_{1, clock_};
  std::unique_ptr<store::Database> database_;
  const std::shared_ptr<const net::EgressPolicy> policy_;
  net::Client client_;
  Tapped http_{client_, hook(), "sending", "answered"}, settle_{client_, hook(), "settling", "settled"}, undo_{client_, hook(), "undoing", "undone"},
      told_{client_, hook(), "telling", "told_of"};
  Dispatch dispatch_{home(), {}};
  FlowBook book_;
  Engine engine_;
  Door door_;
  Runner runner_;
  Webhooks webhooks_;
  const EffectCloser ends_{&webhooks_};
  std::vector<JobId> doomed_;
  bool submitted_ = false;                   // all that it was to
  TaskGroup tasks_{"child"};
};

}  // namespace ballast::work::kill
