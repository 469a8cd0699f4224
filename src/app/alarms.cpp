#include "app/alarms.hpp"

#include <semaphore>

#include "gateway/shared_books.hpp"
#include "watch/source.hpp"
#include "work/job_rows.hpp"
#include "work/lost_commits.hpp"
#include "work/outbox_rows.hpp"

namespace ballast::app {

namespace {

constexpr std::size_t kMostDead = 10'000;
constexpr Duration kLostCounted = std::chrono::hours(24 * 7);
constexpr unsigned kIdsOfAlerts = work::kMaxNode;   // notices take ids that no node's jobs have

double usd(Money m) { return static_cast<double>(m.nano) * 1e-9; }

}  // namespace

Alarms::Alarms(const Config& config, Ground ground)
    : ground_(std::move(ground)), ids_(kIdsOfAlerts),
      watcher_({.database = ground_.database, .clock = ground_.clock, .metrics = ground_.metrics, .outlet = *this,
                .minutes = [this](WallTime from, WallTime to, Duration step, const watch::Wanted& wanted, std::size_t groups) {
                  return ground_.database.read_now([&](store::Tx& tx) { return watch::read_minutes(tx, from, to, step, wanted, groups); });
                },
                .gauges = [this] { return gauges(); }, .mine = [this] { return ground_.node.holds(duty::alerts); },
                .still_mine = [this](store::Tx& tx) { return ground_.node.duties().check(tx, duty::alerts); }},
               config.alerts) {}

Result<void> Alarms::owe(store::Tx& tx, const watch::Receiver& receiver, const std::string& type, const std::string& body, WallTime now) {
  const std::lock_guard lock(mutex_);
  return work::insert_outbox(tx, {.id = ids_.next(now).value, .kind = type, .url = receiver.url, .body = body, .secret_ref = receiver.secret, .attempt = 0, .created = now});
}

void Alarms::poke() { ground_.shop.door().webhooks().poke(); }

// What the engine's loop knows, if it answers in time: a loop that is stuck must not stop the watch. And what other nodes say of theirs.
void Alarms::queues(watch::Gauges& g) {
  struct Answer {
    std::binary_semaphore done{0};
    std::vector<watch::Gauges::Queue> queues;
  };
  auto answer = std::make_shared<Answer>();
  work::Engine& engine = ground_.shop.engine();
  ground_.work_loop.post([answer, &engine, elsewhere = ground_.shop.door().elsewhere()] {
    const auto& board = engine.board();
    for (const auto& [name, v] : elsewhere.with(work::views_of(board, nullptr, engine.home().clock().mono())))
      answer->queues.push_back({name, v.ready, v.ready ? v.oldest.value_or(Duration::zero()) : Duration::zero(), board.rules(name).paused});
    answer->done.release();
  });
  if (answer->done.try_acquire_for(std::chrono::seconds(1))) g.queues = std::move(answer->queues);
}

void Alarms::providers(watch::Gauges& g) const {
  const auto setup = ground_.gateway.setup();
  const MonoTime now = ground_.clock.mono();
  for (const auto& b : ground_.gateway.world().breakers.list()) {
    if (b.view.state != gateway::BreakerState::closed) g.breakers.push_back({b.provider, b.model, now - b.view.down_since, b.last_error});
    const auto provider = setup->providers.find(b.provider);
    if (provider == setup->providers.end() || b.successes == 0) continue;
    // A server of one's own has no price list.
    const auto& spec = provider->second.spec;
    if (spec.kind == llm::ProviderKind::simulator || spec.base.origin.host == "localhost" || spec.base.origin.host.starts_with("127.") || spec.base.origin.host == "::1") continue;
    const auto info = setup->prices->find(b.provider, llm::to_string(spec.kind), b.model);
    if (!info || !info->priced) g.unpriced.push_back(b.provider + "/" + b.model);
  }
}

watch::Gauges Alarms::gauges() {
  watch::Gauges g;
  const WallTime now = ground_.clock.wall();
  const auto setup = ground_.gateway.setup();
  const auto& node = ground_.node.membership();
  std::optional<gateway::BudgetBook::WholeWindows> whole;
  if (!node.alone() && !setup->budgets->none())
    if (auto read = ground_.database.read_now([&](store::Tx& tx) { return gateway::whole_windows(tx, node.boot(), setup->budgets->oldest_start()); })) whole = std::move(*read);
  for (const auto& b : whole ? setup->budgets->status(*whole) : setup->budgets->status())
    g.budgets.push_back({b.budget, std::string(gateway::to_string(b.scope)), b.value, usd(b.spent), usd(b.limit), b.window_end});
  if (const auto dead = ground_.database.read_now([](store::Tx& tx) { return work::count_dead(tx, kMostDead); }))
    for (const auto& d : *dead) {
      g.dead += d.jobs;
      g.dead_oldest = std::max<Duration>(g.dead_oldest, now - d.oldest);
    }
  if (const auto lost = ground_.database.read_now([&](store::Tx& tx) { return work::lost_since(tx, now - kLostCounted); }); lost && lost->boots > 0) {
    g.lost = lost->acknowledged;
    g.lost_ago = now - lost->newest;
  }
  const auto journal = ground_.gateway.world().journal.stats();
  g.journal_failing = journal.failing;
  g.importer_behind = journal.behind;
  providers(g);
  queues(g);
  return g;
}

}  // namespace ballast::app
