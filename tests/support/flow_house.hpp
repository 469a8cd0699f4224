// Runs of flows in simulated time over a real database, in processes that can be made to die.
#pragma once
#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "fake_web.hpp"
#include "records/audit.hpp"
#include "records/effects.hpp"
#include "records/migrations.hpp"
#include "work/dispatch.hpp"
#include "work/effect_journal.hpp"
#include "work/flow_book.hpp"
#include "work/job_trace.hpp"
#include "work/run_move.hpp"
#include "work/runner.hpp"
#include "work/stage_http.hpp"
#include "work_house.hpp"

namespace ballast::test {

class FlowHouse {
 public:
  explicit FlowHouse(store::Database& real) : database(real) {}
  ~FlowHouse() { stop(); }

  void add(std::string_view text, std::map<std::string, std::string> env = {}) {
    auto flow = work::read_flow(text, "f.yaml", fixed_environment(std::move(env)), {});
    ASSERT_TRUE(flow) << (flow ? "" : flow.error().message);
    flows_[(*flow)->name()] = *flow;
  }
  void start() {
    stop();
    process_ = std::make_unique<Process>(*this);
    auto put = process_->book.put(database, flows_, clock.wall());
    ASSERT_TRUE(put) << (put ? "" : describe(put.error()));
    auto started = process_->engine.start(process_->dispatch, &closer_);
    ASSERT_TRUE(started) << (started ? "" : describe(started.error()));
    process_->engine.open();
    loop.run_until_idle();
  }
  // The process ends; what it has under way is given back.
  void stop() {
    if (!process_) return;
    loop.run(process_->engine.drain({}));
    loop.run_until_idle();
    process_.reset();
  }
  // Nothing that it still wanted to say is heard.
  void crash() {
    database.otherwise = ObedientDatabase::Fate::broken;
    stop();
    database.otherwise = ObedientDatabase::Fate::fine;
  }
  work::Engine& engine() { return process_->engine; }
  work::Door& door() { return process_->door; }
  work::Runner& runner() { return process_->runner; }
  work::FlowBook& book() { return process_->book; }
  // What was added since comes into force.
  void reload() { ASSERT_TRUE(process_->book.put(database, flows_, clock.wall())); }
  // To the version in force, unless `to` says another.
  Result<work::MovePlan> plan(work::JobId id, std::string to = "current", bool call_off = false) {
    return loop.run(work::plan_move(loop, database, process_->book, {.run = id, .to = std::move(to), .call_off = call_off, .actor = "key:test"}, clock.wall()));
  }
  Result<work::MovePlan> move(work::JobId id, std::string to = "current", bool call_off = false) {
    auto moved = loop.run(process_->door.move({.run = id, .to = std::move(to), .call_off = call_off, .actor = "key:test"}, clock.wall()));
    loop.run_until_idle();
    return moved;
  }

  work::JobId submit(const std::string& flow, const std::string& input = "{}") {
    work::Submission s;
    s.spec.kind = work::JobKind::flow;
    s.spec.name = flow;
    s.input = input;
    auto bound = work::bind_flow(process_->book, s, clock.wall());
    EXPECT_TRUE(bound) << (bound ? "" : describe(bound.error()));
    return submit(std::move(s));
  }
  work::JobId submit(work::Submission s) {
    auto accepted = loop.run(process_->engine.submit(std::vector{std::move(s)}));
    EXPECT_TRUE(accepted.front());
    loop.run_until_idle();
    return accepted.front() ? accepted.front()->id : work::JobId{};
  }
  void pass(Duration d) { loop.advance(d); }
  work::Job job(work::JobId id) {
    auto found = database.read_now([&](store::Tx& tx) { return work::get_job(tx, id); });
    EXPECT_TRUE(found && *found);
    return found && *found ? **found : work::Job{};
  }
  // "done", or "dead: message".
  std::string end(work::JobId id) {
    const work::Job j = job(id);
    const auto said = work::error_json(j.error);
    const auto* message = j.state == work::JobState::dead ? said.if_contains("message") : nullptr;
    return std::string(work::to_string(j.state)) + (message ? ": " + std::string(message->as_string()) : "");
  }
  std::vector<records::Effect> effects(work::JobId id) {
    auto rows = database.read_now([&](store::Tx& tx) { return records::list_effects(tx, id.value); });
    EXPECT_TRUE(rows);
    return rows ? *rows : std::vector<records::Effect>{};
  }
  // "charge http 1 confirmed", in the order they were intended.
  std::vector<std::string> told(work::JobId id) {
    std::vector<std::string> out;
    for (const auto& e : effects(id))
      out.push_back(fmt::format("{} {} {} {}", e.intent.id.path, records::to_string(e.intent.id.kind), e.intent.id.attempt, records::to_string(e.state)));
    return out;
  }
  std::vector<std::string> audit(work::JobId id) {
    auto rows = database.read_now([&](store::Tx& tx) { return records::list_audit(tx, work::to_string(id), 0, 1000); });
    EXPECT_TRUE(rows);
    std::vector<std::string> out;
    for (const auto& row : *rows) out.push_back(row.entry.action + " " + row.entry.subject);
    return out;
  }

  SimClock clock{WallTime(std::chrono::seconds(1'800'000'000))};
  SimLoop loop{clock};
  ObedientDatabase database;
  FakeWeb web;
  trace::SpanSink* spans = nullptr;          // of the processes begun from now on, which then tell runs of their children's ends too

 private:
  struct Process {
    explicit Process(FlowHouse& h)
        : dispatch(h.loop, {}), engine(h.loop, h.database, {}, ++h.seed_), book(fixed_environment({})), door(engine, {.flows = &book}), runner(door, book) {
      dispatch.use(engine);
      dispatch.set_kind(work::JobKind::flow, [this](work::Lease lease, CancelToken cancel) { return runner.run(std::move(lease), cancel); },
                        [this](const work::Lease& lease) { return runner.at_once(lease); });
      runner.set_performer(work::StageKind::http, work::http_performer(h.loop, h.web));
      runner.set_performer(work::StageKind::settle, work::settle_performer(h.loop, h.web));
      runner.set_undoer(work::http_undoer(h.loop, h.web));
      runner.set_recovery(work::effects_recovery());
      if (h.spans) trace(*h.spans);
    }
    void trace(trace::SpanSink& sink) {
      tracer.emplace(sink, work::JobTracer::Options{});
      engine.use(&*tracer);
      runner.use(&*tracer);
      engine.on_ended([this](const work::Job& job) {
        if (job.spec.origin == work::Origin::child) wakes.spawn(wake(job.spec.parent));
        if (job.spec.kind == work::JobKind::flow && job.state != work::JobState::done) wakes.spawn(runner.called_off(job.id, "it is over"));
      });
    }
    Task<void> wake(work::JobId id) { (void)co_await engine.wake_surely(id); }
    work::Dispatch dispatch;
    work::Engine engine;
    work::FlowBook book;
    work::Door door;
    work::Runner runner;
    std::optional<work::JobTracer> tracer;
    TaskGroup wakes{"wakes"};
  };
  const work::EffectCloser closer_{nullptr};
  work::FlowSet flows_;
  std::uint64_t seed_ = 0;
  std::unique_ptr<Process> process_;
};

}  // namespace ballast::test
