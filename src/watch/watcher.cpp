#include "watch/watcher.hpp"

#include <algorithm>
#include <array>

#include "base/log.hpp"
#include "base/thread.hpp"
#include "watch/rows.hpp"

namespace ballast::watch {

namespace {

using namespace std::chrono_literals;

constexpr std::size_t kGroups = 50, kGroupsBefore = 20;
constexpr auto kLate = 16min;                          // calls that end so long after they came still count where they came
constexpr auto kLittle = 3min;

WallTime floor_to(WallTime t, Duration step) { return WallTime(t.time_since_epoch() / step * step); }

}  // namespace

Watcher::Watcher(World world, Options options, Pace pace)
    : world_(std::move(world)), pace_(pace), options_(std::move(options)),
      alerts_(world_.metrics.gauges("ballast_alerts", "Alerts that are pending, firing or silenced", {"state", "severity"})),
      notices_(world_.metrics.counters("ballast_alert_notices_total", "Notices of alerts that receivers are owed since the start", {"receiver"})),
      failures_(world_.metrics.counter("ballast_alert_look_failures_total", "Times the watcher could not read or keep what it needs")) {}

Watcher::~Watcher() { stop(); }

void Watcher::start() { thread_ = std::thread([this] { run(); }); }

void Watcher::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Watcher::hurry() {
  {
    const std::lock_guard lock(mutex_);
    hurried_ = true;
  }
  wake_.notify_all();
}

void Watcher::use(Options options) {
  const std::lock_guard lock(mutex_);
  options_ = std::move(options);
  changed_ = true;
}

Options Watcher::options() const {
  const std::lock_guard lock(mutex_);
  return options_;
}

void Watcher::run() {
  name_this_thread("watch");
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    lock.unlock();
    if (const auto looked = look(); !looked) {
      failures_.add();
      log::warn("alerts_not_judged", {{"why", looked.error().message}});
    }
    lock.lock();
    wake_.wait_for(lock, pace_.every, [this] { return stopping_ || hurried_; });
    hurried_ = false;
  }
}

Result<bool> Watcher::look() {
  const WallTime now = world_.clock.wall();
  if (world_.mine && !world_.mine()) {
    judge_.reset();
    return false;
  }
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(changed_, false)) judge_.reset();
    acting_ = options_;
  }
  if (!judge_)
    if (auto begun = begin(now); !begun) return fail(std::move(begun.error()));
  // Late calls are looked for once a minute.
  const bool all = floor_to(now, 1min) > read_to_;
  auto minutes = read(floor_to(now - (all ? Duration(kLate) : Duration(kLittle)), 1min), now + 1s, 1min, kGroups);
  if (!minutes) return fail(std::move(minutes.error()));
  read_to_ = floor_to(now, 1min);
  auto changes = judge_->feed(now, *minutes, world_.gauges ? world_.gauges() : Gauges{});
  if (auto kept = keep(now, std::move(changes)); !kept) {
    judge_.reset();                                    // what it changed is not kept: read anew
    return fail(std::move(kept.error()));
  }
  return true;
}

Result<std::vector<Minute>> Watcher::read(WallTime from, WallTime to, Duration step, std::size_t groups) {
  return world_.minutes(from, to, step, judge_->wanted(), groups);
}

Result<void> Watcher::begin(WallTime now) {
  auto judge = std::make_unique<Judge>(acting_.rules);
  judge_ = std::move(judge);
  const auto give_up = [this](Error e) -> Result<void> {
    judge_.reset();
    return fail(std::move(e));
  };
  const WallTime fine = floor_to(now - 3h, 5min);
  const auto hours = read(floor_to(now - 28 * 24h, 1h), floor_to(fine, 1h), 1h, kGroupsBefore);
  if (!hours) return give_up(hours.error());
  for (const Minute& m : *hours) judge_->learn_hours(m.start, m.samples);
  const auto slots = read(floor_to(now - 71h, 5min), fine, 5min, kGroupsBefore);
  if (!slots) return give_up(slots.error());
  for (const Minute& m : *slots) judge_->learn_slots(m.start, m.samples);
  auto live = world_.database.read_now([](store::Tx& tx) { return live_alerts(tx); });
  if (!live) return give_up(live.error());
  live_ = std::move(*live);
  for (const Alert& a : live_) last_id_ = std::max(last_id_, a.id);
  // One look at each minute since, with nothing to fire: their alerts were told when they were, or are the next look's.
  const auto minutes = read(fine, floor_to(now, 1min), 1min, kGroupsBefore);
  if (!minutes) return give_up(minutes.error());
  judge_->learn_minutes(*minutes);
  judge_->restore(live_, now);
  // An alert of a rule that is no more has nobody to end it.
  for (Alert& a : live_)
    if (a.state != State::resolved && std::ranges::none_of(acting_.rules, [&](const Rule& r) { return r.name == a.rule && !r.off; })) {
      a.state = State::resolved;
      a.resolved_at = a.updated = now;
    }
  read_to_ = {};
  return {};
}

Result<void> Watcher::keep(WallTime now, std::vector<Change> changes) {
  std::vector<Alert> live = live_, put;
  std::vector<std::int64_t> gone;
  for (Change& c : changes) {
    auto known = std::ranges::find_if(live, [&](const Alert& a) { return a.state != State::resolved && fingerprint(a) == fingerprint(c.alert); });
    if (known == live.end()) {
      if (c.what == Change::What::lapsed) continue;
      c.alert.id = last_id_ = std::max(unix_us(now), last_id_ + 1);
      live.push_back(c.alert);
      put.push_back(c.alert);
      continue;
    }
    c.alert.id = known->id, c.alert.announced = known->announced, c.alert.told = known->told;
    *known = c.alert;
    if (c.what == Change::What::lapsed) gone.push_back(known->id), live.erase(known);
    else put.push_back(c.alert);
  }
  const auto written = world_.database.write_now([&](store::Tx& tx) -> Result<std::pair<std::vector<Alert>, std::vector<std::string>>> {
    if (world_.still_mine)
      if (auto mine = world_.still_mine(tx); !mine) return fail(std::move(mine.error()));
    auto quiet = silences(tx, now);
    if (!quiet) return fail(std::move(quiet.error()));
    std::vector<Alert> next = live;
    for (Alert& a : next) a.silenced = std::ranges::any_of(*quiet, [&](const Silence& s) { return matches(s, a); });
    const auto notices = plan(next, now, acting_.grouping);
    for (const std::int64_t id : gone)
      if (auto done = drop_alert(tx, id); !done) return fail(std::move(done.error()));
    for (std::size_t i = 0; i < next.size(); ++i) {
      const auto same = [&](const Alert& a) { return a.id == next[i].id; };
      const auto was = std::ranges::find_if(live_, same);
      if (was != live_.end() && std::ranges::none_of(put, same) && was->announced == next[i].announced && was->told == next[i].told && was->state == next[i].state) continue;
      if (auto done = put_alert(tx, next[i]); !done) return fail(std::move(done.error()));
    }
    std::vector<std::string> owed_to;
    for (const Notice& n : notices)
      for (const Receiver& r : acting_.receivers) {
        const Notice wanted = for_receiver(n, r);
        if (wanted.firing.empty() && wanted.resolved.empty()) continue;
        const std::string body = r.type == Receiver::Type::slack ? slack_body(wanted) : webhook_body(wanted, now);
        if (auto owe = world_.outlet.owe(tx, r, std::string(type_of(wanted)), body, now); !owe) return fail(std::move(owe.error()));
        owed_to.push_back(r.name);
      }
    if (now - swept_ > 1h)
      if (auto swept = sweep_alerts(tx, now - acting_.retention, 1'000); !swept) return fail(std::move(swept.error()));
    return std::pair(std::move(next), std::move(owed_to));
  });
  if (!written) return fail(written.error());
  if (now - swept_ > 1h) swept_ = now;
  live_ = written->first;
  std::erase_if(live_, [](const Alert& a) { return a.state == State::resolved && !owed(a); });
  for (const auto& name : written->second) notices_.with({name}).add();
  if (!written->second.empty()) world_.outlet.poke();
  publish();
  tell(changes);
  return {};
}

void Watcher::tell(const std::vector<Change>& changes) {
  for (const Change& c : changes) {
    if (c.what == Change::What::fired || c.what == Change::What::resolved) {
      std::string labels;
      for (const auto& [name, value] : c.alert.labels) labels += (labels.empty() ? "" : ",") + name + "=" + value;
      const auto say = c.what == Change::What::fired ? &log::warn : &log::info;
      say(c.what == Change::What::fired ? "alert_firing" : "alert_resolved",
          {{"rule", c.alert.rule}, {"severity", to_string(c.alert.severity)}, {"labels", labels}, {"what", c.alert.title}, {"detail", c.alert.detail}, {"value", c.alert.value},
           {"threshold", c.alert.threshold}});
    }
    if (tell_) tell_(c.alert);
  }
}

void Watcher::publish() const {
  for (const Severity severity : {Severity::info, Severity::ticket, Severity::page})
    for (const std::string_view state : {"pending", "firing", "silenced"}) {
      const auto n = std::ranges::count_if(live_, [&](const Alert& a) {
        const std::string_view is = a.state == State::resolved ? "resolved" : a.state == State::pending ? "pending" : a.silenced ? "silenced" : "firing";
        return a.severity == severity && is == state;
      });
      alerts_.with({state, to_string(severity)}).set(static_cast<double>(n));
    }
}

Result<Watcher::Trial> Watcher::trial(const std::string& receiver, WallTime now) const {
  const Options options = this->options();
  const auto r = std::ranges::find(options.receivers, receiver, &Receiver::name);
  if (r == options.receivers.end()) return fail(ErrorCode::caller_not_found, "there is no receiver of that name under alerts.receivers", "receiver");
  const Notice notice{.rule = "test", .firing = {{.rule = "test", .severity = r->least, .state = State::firing, .title = "a test: nothing is wrong", .detail = "sent by hand", .since = now, .updated = now}},
                      .resolved = {}};
  return Trial{world_.outlet, *r, r->type == Receiver::Type::slack ? slack_body(notice) : webhook_body(notice, now), now};
}

}  // namespace ballast::watch
