#include "work/meter.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

namespace ballast::work {

namespace {

constexpr Duration kMinute = std::chrono::minutes(1), kFive = std::chrono::minutes(5);
constexpr metrics::Shape kByQueue{.scale = 1e-9, .first_bit = 17, .last_bit = 42, .max_series = 200};
constexpr metrics::Shape kJobs{.scale = 1, .first_bit = 0, .last_bit = 14};
constexpr std::pair<std::string_view, std::uint64_t QueueFigures::*> kPlaces[] = {
    {"ready", &QueueFigures::ready}, {"delayed", &QueueFigures::delayed}, {"blocked", &QueueFigures::blocked}, {"running", &QueueFigures::leased}, {"waiting", &QueueFigures::waiting}};

double seconds(Duration d) { return std::chrono::duration<double>(d).count(); }

}  // namespace

// ---- moving sums ----

void Recent::add(MonoTime now, double amount) {
  const std::int64_t slice = slice_of(now);
  if (slice - newest_ >= kSlices) slices_.fill(0);
  else
    for (std::int64_t s = newest_ + 1; s <= slice; ++s) slices_[static_cast<std::size_t>(s % kSlices)] = 0;
  newest_ = std::max(newest_, slice);
  slices_[static_cast<std::size_t>(slice % kSlices)] += amount;
}

std::int64_t Recent::first_of(MonoTime now, Duration window) const {
  const std::int64_t slices = std::clamp<std::int64_t>(window / kSlice, 1, kSlices);
  return slice_of(now) - slices + 1;
}

double Recent::sum(MonoTime now, Duration window) const {
  double total = 0;
  for (std::int64_t s = std::max({first_of(now, window), newest_ - kSlices + 1, std::int64_t{0}}); s <= newest_; ++s) total += slices_[static_cast<std::size_t>(s % kSlices)];
  return total;
}

double Recent::rate(MonoTime now, Duration window) const {
  const MonoTime from = std::max(began_, MonoTime(first_of(now, window) * kSlice));
  return sum(now, window) / seconds(std::max<Duration>(now - from, kSlice));
}

std::uint64_t workers_wanted(const QueueFigures& f, const QueueRules& rules, const QueueRates& rates, Duration drain) {
  if (rules.paused) return f.leased;
  const double at_hand = static_cast<double>(f.ready + f.leased), arriving = rates.arrivals_1m * seconds(drain);
  double wanted = static_cast<double>(f.leased);
  if (rates.per_job) wanted = std::min(std::ceil(seconds(*rates.per_job) * (at_hand + arriving) / seconds(drain) - 1e-9), at_hand + std::ceil(arriving));
  if (f.ready > 0) wanted = std::max(wanted, 1.0);
  if (rules.concurrency > 0) wanted = std::min(wanted, static_cast<double>(rules.concurrency));
  return static_cast<std::uint64_t>(std::max(wanted, 0.0));
}

std::uint64_t workers_wanted(const QueueView& v, QueueRules rules, Duration drain, unsigned nodes) {
  rules.concurrency = static_cast<std::uint32_t>(std::min<std::uint64_t>(std::uint64_t{rules.concurrency} * nodes, std::numeric_limits<std::uint32_t>::max()));
  return workers_wanted(QueueFigures{.ready = v.ready, .leased = v.running}, rules, v.rates, drain);
}

// ---- registration ----

Meter::Meter(metrics::Registry& r)
    : accepted_(r.counters("ballast_jobs_accepted_total", "Jobs accepted", {"queue", "kind"})),
      ended_(r.counters("ballast_jobs_ended_total", "Jobs ended: done, dead or cancelled", {"queue", "kind", "state"})),
      failed_(r.counters("ballast_job_attempts_failed_total", "Attempts that failed, by error code", {"queue", "code"})),
      expired_(r.counters("ballast_job_leases_expired_total", "Leases whose worker sent no heartbeat in time", {"queue"})),
      leases_(r.counters("ballast_job_leases_total", "Leases given", {"queue"})),
      ready_for_(r.histograms("ballast_job_ready_seconds", "From ready to leased", {"queue"}, kByQueue)),
      held_(r.histograms("ballast_job_lease_seconds", "From leased to the lease's end", {"queue"}, kByQueue)),
      duration_(r.histograms("ballast_job_duration_seconds", "From submission to the end", {"queue", "kind"}, kByQueue)),
      live_(r.gauges("ballast_jobs_live", "Jobs that have not ended, by where they are", {"queue", "place"})),
      oldest_(r.gauges("ballast_jobs_oldest_ready_seconds", "How long the oldest ready job has been ready", {"queue"})),
      wanted_(r.gauges("ballast_queue_workers_wanted", "Leases at once that would drain the queue in five minutes", {"queue"})),
      paused_(r.gauges("ballast_queue_paused", "1: the queue leases nothing until it is resumed", {"queue"})),
      dead_(r.gauges("ballast_jobs_dead_letters", "Dead jobs that are kept; counted up to 10000", {"queue"})),
      dead_oldest_(r.gauges("ballast_jobs_dead_letters_oldest_seconds", "How long the oldest of them has been dead", {"queue"})),
      all_live_(r.gauges("ballast_cluster_jobs_live", "Jobs of all nodes that have not ended, by where they are, as this node has heard", {"queue", "place"})),
      all_oldest_(r.gauges("ballast_cluster_jobs_oldest_ready_seconds", "How long the oldest ready job of all nodes has been ready", {"queue"})),
      all_wanted_(r.gauges("ballast_cluster_workers_wanted", "Leases at once on all nodes that would drain the queue in five minutes", {"queue"})),
      cycle_seconds_(r.histogram("ballast_job_cycle_seconds", "A commit cycle, its transaction included")),
      cycle_jobs_(r.histogram("ballast_job_cycle_jobs", "Jobs that one transaction accepted, moved or leased", kJobs)),
      claims_(r.counter("ballast_job_claims_total", "Batches of leases that were given together")),
      cycles_failed_(r.counter("ballast_job_cycles_failed_total", "Commit cycles whose transaction failed")) {}

Meter::Queue::Queue(const Meter& m, std::string queue, MonoTime now)
    : name(std::move(queue)), leases(m.leases_.with({name})), expired(m.expired_.with({name})), ready_for(m.ready_for_.with({name})), held(m.held_.with({name})),
      arrivals(now), ends(now), served(now), busy_s(now) {}

Meter::Queue& Meter::queue(std::string_view name, MonoTime now) {
  if (last_ && last_->name == name) return *last_;
  auto at = queues_.find(name);
  if (at == queues_.end()) at = queues_.emplace(std::string(name), std::make_unique<Queue>(*this, std::string(name), now)).first;
  last_ = at->second.get();
  return *last_;
}

// All of a kind's series at once, so that the first death of a queue is a step from 0.
Meter::Kind& Meter::kind(Queue& q, JobKind k) {
  Kind& found = q.kinds[static_cast<std::size_t>(k)];
  if (found.accepted) return found;
  const std::string_view name = to_string(k);
  found.accepted = &accepted_.with({q.name, name});
  for (const JobState state : {JobState::done, JobState::dead, JobState::cancelled})
    found.ended[static_cast<std::size_t>(state) - static_cast<std::size_t>(JobState::done)] = &ended_.with({q.name, name, to_string(state)});
  found.duration = &duration_.with({q.name, name});
  return found;
}

// ---- what the engine tells ----

void Meter::accepted(const JobSpec& spec, MonoTime now) {
  Queue& q = queue(spec.queue, now);
  kind(q, spec.kind).accepted->add();
  q.arrivals.add(now, 1);
}

void Meter::leased(const JobSpec& spec, Duration ready_for, MonoTime now) {
  Queue& q = queue(spec.queue, now);
  q.leases.add();
  q.ready_for.record(ready_for);
}

void Meter::lease_over(const JobSpec& spec, Duration held, MonoTime now) {
  Queue& q = queue(spec.queue, now);
  q.held.record(held);
  q.busy_s.add(now, seconds(held));
}

void Meter::attempt_failed(const JobSpec& spec, ErrorCode code, bool lease_expired, MonoTime now) {
  failed_.with({spec.queue, to_string(code)}).add();
  if (lease_expired) queue(spec.queue, now).expired.add();
}

void Meter::ended(const Job& job, bool leased, MonoTime now) {
  Queue& q = queue(job.spec.queue, now);
  Kind& k = kind(q, job.spec.kind);
  k.ended[static_cast<std::size_t>(job.state) - static_cast<std::size_t>(JobState::done)]->add();
  k.duration->record(std::chrono::duration_cast<Duration>(job.finished - job.created));
  q.ends.add(now, 1);
  if (leased) q.served.add(now, 1);
}

void Meter::cycle(Duration took, std::size_t jobs, std::size_t claims) {
  cycle_seconds_.record(took);
  cycle_jobs_.record(jobs);
  claims_.add(claims);
}

// ---- what others read ----

QueueRates Meter::rates(std::string_view name, MonoTime now) {
  Queue& q = queue(name, now);
  if (const double served = q.served.sum(now, kFive); served > 0)
    q.per_job = std::chrono::duration_cast<Duration>(std::chrono::duration<double>(q.busy_s.sum(now, kFive) / served));
  return {.arrivals_1m = q.arrivals.rate(now, kMinute), .arrivals_5m = q.arrivals.rate(now, kFive),
          .ends_1m = q.ends.rate(now, kMinute), .ends_5m = q.ends.rate(now, kFive), .per_job = q.per_job};
}

void Meter::publish(const Board& board, MonoTime now) {
  for (const std::string& name : board.queues()) {
    const QueueFigures f = board.figures(name);
    for (const auto& [place, count] : kPlaces) live_.with({name, place}).set(static_cast<double>(f.*count));
    oldest_.with({name}).set(f.oldest_ready == kNever ? 0 : seconds(now - f.oldest_ready));
    paused_.with({name}).set(board.rules(name).paused ? 1 : 0);
    wanted_.with({name}).set(static_cast<double>(workers_wanted(f, board.rules(name), rates(name, now), kUsualDrain)));
  }
}

void Meter::publish_all(const QueueViews& all, const Board& board, unsigned nodes) {
  constexpr std::pair<std::string_view, std::uint64_t QueueView::*> places[] = {
      {"ready", &QueueView::ready}, {"delayed", &QueueView::delayed}, {"blocked", &QueueView::blocked}, {"running", &QueueView::running}, {"waiting", &QueueView::waiting}};
  QueueViews told = all;
  all_wanted_.each([&](metrics::LabelValues labels, const metrics::Gauge&) { told.try_emplace(std::string(labels[0])); });      // of some of those told before nobody speaks any more
  for (const auto& [name, view] : told) {
    for (const auto& [place, count] : places) all_live_.with({name, place}).set(static_cast<double>(view.*count));
    all_oldest_.with({name}).set(view.oldest ? seconds(*view.oldest) : 0);
    all_wanted_.with({name}).set(static_cast<double>(workers_wanted(view, board.rules(name), kUsualDrain, nodes)));
  }
}

void Meter::publish_dead(std::span<const DeadLetters> dead, WallTime now) {
  std::vector<std::string> queues;                       // of those told before, some may have none left
  dead_.each([&](metrics::LabelValues labels, const metrics::Gauge&) { queues.emplace_back(labels[0]); });
  for (const std::string& name : queues)
    for (auto* family : {&dead_, &dead_oldest_}) family->with({name}).set(0);
  for (const DeadLetters& d : dead) {
    dead_.with({d.queue}).set(static_cast<double>(d.jobs));
    dead_oldest_.with({d.queue}).set(std::max(0.0, seconds(now - d.oldest)));
  }
}

}  // namespace ballast::work
