#include "server/refused_keys.hpp"

#include <algorithm>

#include "base/config_node.hpp"
#include "base/json.hpp"
#include "base/log.hpp"
#include "records/audit.hpp"
#include "server/sessions.hpp"

namespace ballast::server {

namespace {

constexpr std::size_t kMostAddresses = 4096;

std::int64_t minute_of(WallTime t) { return std::chrono::floor<std::chrono::minutes>(t).time_since_epoch().count(); }

}  // namespace

RefusedKeys::RefusedKeys(metrics::Registry& metrics, Options options)
    : options_(options),
      by_header_(metrics.counters("ballast_keys_refused_total", "Keys that were sent and are none, by how they came.", {"where"}).with({"header"})),
      by_sign_in_(metrics.counters("ballast_keys_refused_total", "Keys that were sent and are none, by how they came.", {"where"}).with({"sign_in"})) {}

// The minute before is over, and what came of it waits for `take`; a burst before that one that nobody took gives way.
void RefusedKeys::turn(std::int64_t minute) {
  if (minute <= minute_) return;
  const auto most = std::ranges::max_element(of_, {}, [](const auto& o) { return o.second; });
  if (most != of_.end() && most->second >= options_.burst) {
    Burst burst{.minute = WallTime(std::chrono::minutes(minute_)), .refused = all_, .addresses = of_.size(), .most = {of_.begin(), of_.end()}};
    std::ranges::sort(burst.most, std::greater{}, [](const auto& o) { return o.second; });
    if (burst.most.size() > options_.told) burst.most.resize(options_.told);
    over_ = std::move(burst);
  }
  minute_ = minute;
  all_ = 0;
  of_.clear();
}

void RefusedKeys::note(Where where, std::string_view peer, WallTime now) {
  (where == Where::header ? by_header_ : by_sign_in_).add();
  const std::string address = address_of(peer);
  bool first = false;
  {
    const std::lock_guard hold(mutex_);
    turn(minute_of(now));
    ++all_;
    if (of_.size() < kMostAddresses || of_.contains(address)) first = ++of_[address] == options_.burst;
  }
  if (first) log::warn("keys_refused", {{"address", address}, {"in_a_minute", options_.burst}});
}

std::optional<RefusedKeys::Burst> RefusedKeys::take(WallTime now) {
  const std::lock_guard hold(mutex_);
  turn(minute_of(now));
  return std::exchange(over_, std::nullopt);
}

Result<void> tell_bursts(RefusedKeys& refused, store::Database& database, WallTime now) {
  const auto burst = refused.take(now);
  if (!burst) return {};
  json::array most;
  for (const auto& [address, n] : burst->most) most.push_back(json::object{{"address", address}, {"refused", n}});
  const records::AuditEntry entry{.actor = "system", .action = std::string(records::audit::keys_refused), .subject = burst->most.front().first, .arguments = {},
                                  .outcome = to_json(json::object{{"minute", to_rfc3339(burst->minute)}, {"refused", burst->refused}, {"addresses", burst->addresses}, {"most", std::move(most)}}),
                                  .at = now};
  return database.write_now(
      [&](store::Tx& tx) -> Result<void> {
        auto head = records::append_audit(tx, records::admin_chain("0"), std::span(&entry, 1), now);
        if (!head) return std::unexpected(std::move(head.error()));
        return {};
      },
      {.priority = store::Priority::low});
}

}  // namespace ballast::server
