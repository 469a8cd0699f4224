#include "app/knowledge.hpp"

#include <algorithm>

#include "base/log.hpp"
#include "base/thread.hpp"

namespace ballast::app {

namespace {

constexpr store::ReadOptions kRead{.limit = std::chrono::milliseconds(2'000)};
constexpr store::WriteOptions kWrite{.limit = std::chrono::milliseconds(2'000)};
constexpr std::size_t kMostHeard = 4'096;
constexpr unsigned kSweepEvery = 600;                    // looks

std::string name_of(std::string_view provider, std::string_view model) { return fmt::format("{}/{}", provider, model); }

bool same_target(const cluster::RestingNews& a, const cluster::RestingNews& b) { return a.provider == b.provider && a.model == b.model; }

}  // namespace

Knowledge::Knowledge(store::Database& database, gateway::Breakers& breakers, gateway::Freshness& freshness, const Clock& clock, metrics::Registry& metrics, Options options)
    : database_(database), breakers_(breakers), freshness_(freshness), clock_(clock), options_(options) {
  count(metrics, &freshness);
}

void Knowledge::count(metrics::Registry& metrics, const gateway::Freshness* freshness) {
  metrics.gauge_from("ballast_knowledge_age_seconds", "Since this node last looked at what the others know: grows while the database is away; 0 where it is the only one",
                     [freshness] { return freshness ? std::chrono::duration<double>(freshness->age()).count() : 0.0; });
  metrics.gauge_from("ballast_knowledge_stale", "1: that is longer than cluster.stale_after; unknown keys and administrative changes are refused",
                     [freshness] { return freshness && freshness->stale() ? 1.0 : 0.0; });
}

void Knowledge::start() {
  freshness_.heard();
  thread_ = std::jthread([this](const std::stop_token& stop) {
    name_this_thread("knowledge");
    run(stop);
  });
}

void Knowledge::stop() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
}

void Knowledge::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    if (look()) freshness_.heard();
    tell_age();
    std::unique_lock hold(mutex_);
    wake_.wait_for(hold, stop, options_.every, [] { return false; });
  }
}

void Knowledge::tell_age() {
  const bool stale = freshness_.stale();
  if (said_stale_.exchange(stale) == stale) return;
  if (stale) log::warn("knowledge_stale", {{"seconds", std::chrono::floor<std::chrono::seconds>(freshness_.age()).count()},
                                           {"what", "keys, breakers and rules may have changed on other nodes; unknown keys and administrative changes are refused until the database answers"}});
  else log::info("knowledge_fresh");
}

bool Knowledge::look() {
  if (!tell()) return false;
  // A standby may have taken over that counts anew from less: the same number may be of something else.
  if (const std::uint64_t seen = database_.stats().reconnects; std::exchange(reconnects_, seen) != seen) numbers_.fill(-1);
  const auto numbers = database_.read_now([](store::Tx& tx) { return cluster::load_topics(tx); }, kRead);
  if (!numbers) return false;
  const bool learnt = learn(*numbers);
  hear();
  if (++looks_ % kSweepEvery == 0) {
    const auto swept = database_.write_now([](store::Tx& tx) { return cluster::sweep_resting(tx); }, {.priority = store::Priority::low});
    if (!swept) log::warn("resting_news_not_swept", {{"why", swept.error().message}});
  }
  return learnt;
}

bool Knowledge::learn(const cluster::TopicNumbers& numbers) {
  bool all = true;
  for (std::size_t t = 0; t < cluster::kTopics; ++t) {
    if (numbers[t] == numbers_[t]) continue;
    const bool learnt = t == static_cast<std::size_t>(cluster::Topic::resting) ? learn_resting() : !learn_[t] || learn_[t]();
    if (learnt) numbers_[t] = numbers[t];
    all = all && learnt;
  }
  return all;
}

// ---- resting targets ----

// What became of this node's own breakers since they were told of last.
Knowledge::Told Knowledge::news() const {
  Told told;
  const MonoTime now = clock_.mono();
  for (const auto& b : breakers_.list()) {
    const std::string name = name_of(b.provider, b.model);
    const auto at = known_.find(name);
    const Known before = at == known_.end() ? Known{} : at->second;
    const bool closed = b.view.state == gateway::BreakerState::closed;
    told.known[name] = {b.view.changes, b.resets, closed};
    if (b.view.changes == before.changes) continue;
    if (b.resets != before.resets) {
      told.put.push_back({.provider = b.provider, .model = b.model, .what = cluster::RestingNews::What::reset, .slot = options_.slot});
    } else if (!closed) {
      const Duration left = b.view.state == gateway::BreakerState::open ? b.view.retry_at - now : Duration{};
      told.put.push_back({.provider = b.provider, .model = b.model, .slot = options_.slot, .ago = now - b.opened_at, .left = left});
    } else if (!before.closed) {
      told.drop.emplace_back(b.provider, b.model);
    }
  }
  return told;
}

bool Knowledge::tell() {
  Told told = news();
  if (!told.put.empty() || !told.drop.empty()) {
    const auto written = database_.write_now(
        [&](store::Tx& tx) -> Result<void> {
          if (auto put = cluster::put_resting(tx, told.put); !put) return put;
          for (const auto& [provider, model] : told.drop)
            if (auto dropped = cluster::drop_resting(tx, provider, model); !dropped) return dropped;
          return cluster::touch(tx, cluster::Topic::resting);
        },
        kWrite);
    if (!written) return false;
  }
  known_ = std::move(told.known);
  return true;
}

bool Knowledge::learn_resting() {
  const auto rows = database_.read_now([](store::Tx& tx) { return cluster::load_resting(tx, kMostHeard); }, kRead);
  if (!rows) return false;
  const MonoTime now = clock_.mono();
  std::vector<Heard> next;
  for (const auto& row : *rows)
    if (row.slot != options_.slot) next.push_back({row, now - row.ago, now + row.left});
  for (const Heard& h : next) {
    const bool before = std::ranges::any_of(heard_, [&](const Heard& old) { return same_target(old.news, h.news) && old.news.when == h.news.when; });
    if (h.news.what == cluster::RestingNews::What::reset && !before) absorb(h.news, breakers_.of(h.news.provider, h.news.model).hear_reset(), true);
  }
  for (const Heard& old : heard_)
    if (std::ranges::none_of(next, [&](const Heard& h) { return same_target(h.news, old.news); })) absorb(old.news, breakers_.of(old.news.provider, old.news.model).unhear(), true);
  heard_ = std::move(next);
  return true;
}

// At each look: who has had a success since is not impressed, and may be when the next look comes.
void Knowledge::hear() {
  for (const Heard& h : heard_)
    if (h.news.what == cluster::RestingNews::What::rests) absorb(h.news, breakers_.of(h.news.provider, h.news.model).hear(h.at, h.until), false);
}

// What was done here by hearsay is no news to be told.
void Knowledge::absorb(const cluster::RestingNews& of, std::optional<std::uint64_t> changes, bool closed) {
  if (!changes) return;
  Known& known = known_[name_of(of.provider, of.model)];
  known.changes = *changes;
  known.closed = closed;
}

}  // namespace ballast::app
