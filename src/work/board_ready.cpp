// Who is leased next, and how full the queues are.
#include <algorithm>
#include <cassert>
#include <cstdio>
#include <cstdlib>

#include "work/board.hpp"

namespace ballast::work {

bool Board::tenant_full(const LaneState& lane, std::uint32_t tenant) const {
  const auto leased = [tenant](const auto& by_tenant) {
    const auto at = by_tenant.find(tenant);
    return at == by_tenant.end() ? 0 : at->second;
  };
  const QueueState& queue = queues_[lane.queue];
  if (queue.rules.per_tenant && leased(queue.leased_by_tenant) >= queue.rules.per_tenant) return true;
  if (!lane.gate || lane.gate->most_of_tenant.empty()) return false;
  const auto most = lane.gate->most_of_tenant.find(tenant_names_.uses[tenant].name);
  return most != lane.gate->most_of_tenant.end() && leased(lane.gate->leased_by_tenant) >= most->second;
}

void Board::set_pace(std::string_view name, std::string_view tenant, std::uint32_t most) {
  const auto at = gates_.find(name);
  if (at == gates_.end()) return;            // no job here has to pass it
  GateState& gate = *at->second;
  if (tenant.empty()) {
    gate.most = most;
    return;
  }
  if (most == kUnpaced) gate.most_of_tenant.erase(std::string(tenant));
  else gate.most_of_tenant.insert_or_assign(std::string(tenant), most);
  if (const std::uint32_t number = tenant_names_.known(tenant))
    for (const std::uint32_t lane : gate.lanes) into_ring(lanes_[lane], number);
}

void Board::into_ring(LaneState& lane, std::uint32_t tenant) {
  const auto at = lane.tenants.find(tenant);
  if (at == lane.tenants.end() || at->second.in_ring || at->second.count == 0 || tenant_full(lane, tenant)) return;
  at->second.in_ring = true;
  lane.ring.push_back(tenant);
}

Entry* Board::pop_front(Waiting& w) {
  if (w.count == 0) return nullptr;
  for (auto& line : w.by_priority) {
    while (!line.empty()) {
      const auto at = entries_.find(line.front());
      line.pop_front();
      if (at == entries_.end() || at->second.place != Entry::Place::ready) continue;
      at->second.in_line = false;
      if (!at->second.settling) return &at->second;
    }
  }
  return nullptr;
}

Entry* Board::next_of(LaneState& lane, MonoTime now) {
  while (!lane.ring.empty()) {
    const std::uint32_t tenant = lane.ring.front();
    lane.ring.pop_front();
    Waiting& w = lane.tenants.find(tenant)->second;
    if (!tenant_full(lane, tenant)) {
      while (Entry* e = pop_front(w)) {
        Group* g = group_of(*e);
        if (!g || g->leased < g->limit) {
          w.in_ring = false;
          return e;
        }
        leave(*e);                           // `w` stays: it counts as in the ring
        enter(*e, Entry::Place::blocked, now);
        g->blocked.push_back(e->id);
      }
    }
    w.in_ring = false;
    if (w.count == 0) lane.tenants.erase(tenant);
  }
  return nullptr;
}

// Of the lane that has waited longest for its turn.
Entry* Board::next_of_lanes(std::span<LaneState* const> lanes, MonoTime now) {
  for (;;) {
    LaneState* next = nullptr;
    for (LaneState* lane : lanes)
      if (!lane->ring.empty() && !(lane->gate && lane->gate->full()) && (!next || lane->served < next->served)) next = lane;
    if (!next) return nullptr;
    if (Entry* e = next_of(*next, now)) {                // or its ring is empty now
      next->served = ++turns_;
      return e;
    }
  }
}

void Board::lease_from(std::span<const std::uint32_t> queues, const Wanted& wanted, std::size_t most, MonoTime expires, MonoTime now, Claim& claim) {
  struct Turn {                              // a queue's lanes that are wanted; served: when one of them last was
    QueueState* queue;
    std::vector<LaneState*> lanes;
    std::uint64_t served = 0;
  };
  std::vector<Turn> turns;
  for (const std::uint32_t number : queues) {
    Turn turn{.queue = &queues_[number], .lanes = {}};
    for (const std::uint32_t lane : turn.queue->lanes) {
      if (!wanted(lanes_[lane].lane)) continue;
      turn.lanes.push_back(&lanes_[lane]);
      turn.served = std::max(turn.served, lanes_[lane].served);
    }
    turns.push_back(std::move(turn));
  }
  std::ranges::sort(turns, {}, &Turn::served);
  for (bool any = true; any && claim.jobs.size() < most;) {
    any = false;
    for (const Turn& turn : turns) {
      Entry* e = claim.jobs.size() < most && !queue_full(*turn.queue) ? next_of_lanes(turn.lanes, now) : nullptr;
      if (!e) continue;
      any = true;
      LaneState& lane = lanes_[e->lane];
      const std::uint32_t tenant = e->tenant;
      grant(*e, claim.fence, expires, now);
      into_ring(lane, tenant);
      claim.jobs.push_back(e->id);
    }
  }
}

Claim Board::lease_local(std::size_t most, MonoTime now) {
  Claim claim{.fence = next_fence_, .holder = {}, .jobs = {}};
  std::vector<std::uint32_t> all(queues_.size());
  for (std::uint32_t i = 0; i < all.size(); ++i) all[i] = i;
  lease_from(all, [](const Lane& lane) { return lane.task.empty(); }, most, kNever, now, claim);
  if (!claim.jobs.empty()) ++next_fence_;
  return claim;
}

Claim Board::lease_for(std::string_view holder, std::span<const std::string> queues, std::span<const std::string> tasks, std::size_t most,
                       MonoTime now, MonoTime expires) {
  assert(!holder.empty());
  Claim claim{.fence = next_fence_, .holder = std::string(holder), .jobs = {}};
  std::vector<std::uint32_t> numbers;
  for (const auto& name : queues)
    if (const auto at = queue_numbers_.find(name); at != queue_numbers_.end()) numbers.push_back(at->second);
  claims_[claim.fence].holder = holder;
  lease_from(numbers, [&](const Lane& lane) { return !lane.task.empty() && (tasks.empty() || std::ranges::find(tasks, lane.task) != tasks.end()); },
             most, expires, now, claim);
  if (claim.jobs.empty()) claims_.erase(claim.fence);
  else ++next_fence_;
  return claim;
}

std::vector<Board::Spare> Board::spare(std::size_t most, bool leaving) const {
  std::vector<Spare> out;
  for (const LaneState& lane : lanes_) {
    if (lane.ring.empty() || queues_[lane.queue].rules != QueueRules{} || (!leaving && lane.gate && lane.gate->full())) continue;
    Spare spare{.lane = lane.lane, .jobs = {}};
    const std::size_t share = std::max<std::size_t>(1, most / lane.ring.size());
    for (const std::uint32_t tenant : lane.ring) {
      const std::size_t room = std::min(most, spare.jobs.size() + share);
      std::size_t looked = 0;                // at ids that left meanwhile, too
      for (const auto& line : lane.tenants.find(tenant)->second.by_priority)
        for (auto at = line.begin(); at != line.end() && spare.jobs.size() < room && looked < 4 * share; ++at, ++looked)
          if (const Entry* e = find(*at); e && e->place == Entry::Place::ready && e->in_line && e->group == 0 && !e->settling) spare.jobs.push_back(e->id);
      if (spare.jobs.size() == most) break;
    }
    if (!spare.jobs.empty()) out.push_back(std::move(spare));
  }
  return out;
}

// ---- queues ----

void Board::set_rules(std::string_view name, QueueRules rules) {
  QueueState& queue = queues_[queue_number(name)];
  queue.rules = rules;
  for (const std::uint32_t number : queue.lanes) {
    std::vector<std::uint32_t> tenants;
    for (const auto& [tenant, w] : lanes_[number].tenants) tenants.push_back(tenant);
    std::ranges::sort(tenants);
    for (const std::uint32_t tenant : tenants) into_ring(lanes_[number], tenant);
  }
}

QueueRules Board::rules(std::string_view queue) const {
  const auto at = queue_numbers_.find(queue);
  return at == queue_numbers_.end() ? QueueRules{} : queues_[at->second].rules;
}

bool Board::knows_key(std::string_view queue, std::string_view key) const {
  const auto at = queue_numbers_.find(queue);
  return at != queue_numbers_.end() &&
         std::ranges::any_of(queues_[at->second].lanes, [&](std::uint32_t lane) { return group_names_.known(group_name(lane, key)) != 0; });
}

QueueFigures Board::figures(std::string_view name) const {
  const auto at = queue_numbers_.find(name);
  if (at == queue_numbers_.end()) return {};
  const QueueState& queue = queues_[at->second];
  QueueFigures figures = queue.figures;
  for (const std::uint32_t lane : queue.lanes)
    for (const auto& [tenant, w] : lanes_[lane].tenants)
      for (const auto& line : w.by_priority)
        for (const JobId id : line)
          if (const Entry* e = find(id); e && e->place == Entry::Place::ready) {
            figures.oldest_ready = std::min(figures.oldest_ready, e->since);
            break;
          }
  return figures;
}

std::vector<std::string> Board::queues() const {
  std::vector<std::string> names;
  for (const auto& [name, number] : queue_numbers_) names.push_back(name);
  return names;
}

bool Board::has_local_ready() const {
  return std::ranges::any_of(lanes_, [&](const LaneState& lane) { return lane.lane.task.empty() && !lane.ring.empty() && !(lane.gate && lane.gate->full()) && !queue_full(queues_[lane.queue]); });
}

bool Board::has_ready_for(std::span<const std::string> queues, std::span<const std::string> tasks) const {
  return std::ranges::any_of(lanes_, [&](const LaneState& lane) {
    return !lane.lane.task.empty() && !lane.ring.empty() && !queue_full(queues_[lane.queue]) && std::ranges::find(queues, lane.lane.queue) != queues.end() &&
           (tasks.empty() || std::ranges::find(tasks, lane.lane.task) != tasks.end());
  });
}

// ---- the invariants ----

namespace {

void must(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "the board's invariant does not hold: %s\n", what);
  std::abort();
}

}  // namespace

void Board::audit(MonoTime now) const {
  std::vector<QueueFigures> counted(queues_.size());
  std::vector<std::uint64_t> ready(lanes_.size());
  std::unordered_map<std::uint64_t, std::uint64_t> held_back;   // (lane, tenant): ready, but somebody decides about them
  std::unordered_map<std::uint32_t, std::uint32_t> groups;
  std::unordered_map<Fence, std::uint32_t> claims;
  std::unordered_map<const GateState*, std::uint32_t> gates;
  std::unordered_map<std::uint64_t, std::uint32_t> shares;
  for (const auto& [id, e] : entries_) {
    const std::uint32_t queue = lanes_[e.lane].queue;
    QueueFigures& f = counted[queue];
    switch (e.place) {
      case Entry::Place::delayed: ++f.delayed; break;
      case Entry::Place::ready: ++f.ready, ++ready[e.lane], held_back[(std::uint64_t{e.lane} << 32) | e.tenant] += e.settling; break;
      case Entry::Place::blocked: ++f.blocked; break;
      case Entry::Place::waiting: ++f.waiting; break;
      case Entry::Place::leased:
        ++f.leased, ++claims[e.fence], ++shares[(std::uint64_t{queue} << 32) | e.tenant];
        if (e.group) ++groups[e.group];
        if (lanes_[e.lane].gate) ++gates[lanes_[e.lane].gate];
        must(e.fence > 0 && e.fence < next_fence_, "a lease's fence was handed out");
    }
    must(e.place != Entry::Place::delayed || e.due > now - std::chrono::hours(24 * 365), "a delayed job has a time");
    if (e.place == Entry::Place::blocked) must(groups_.at(e.group).leased + groups_.at(e.group).ready >= groups_.at(e.group).limit, "a blocked job's key is at its limit");
  }
  for (const auto& [name, gate] : gates_) {
    std::uint32_t n = 0;
    for (const auto& [tenant, leased] : gate->leased_by_tenant) n += leased;
    must(n == gate->leased && gates[gate.get()] == n, "a gate's leases");
  }
  for (std::size_t i = 0; i < queues_.size(); ++i) {
    const QueueFigures &a = counted[i], &b = queues_[i].figures;
    must(a.ready == b.ready && a.delayed == b.delayed && a.blocked == b.blocked && a.leased == b.leased && a.waiting == b.waiting, "a queue's figures");
    for (const auto& [tenant, n] : queues_[i].leased_by_tenant)
      must(shares[(std::uint64_t{i} << 32) | tenant] == n, "a tenant's leases");
  }
  for (std::size_t i = 0; i < lanes_.size(); ++i) {
    const LaneState& lane = lanes_[i];
    std::uint64_t n = 0;
    for (const auto& [tenant, w] : lane.tenants) {
      n += w.count;
      must(w.count > 0 || w.in_ring, "no empty tenant is kept");
      must(w.count == held_back[(std::uint64_t{i} << 32) | tenant] || w.in_ring || tenant_full(lane, tenant), "a tenant with ready jobs has its turn coming");
    }
    must(n == ready[i] && n == lane.ready, "a lane's ready jobs");
  }
  for (const auto& [number, g] : groups_) must(groups[number] == g.leased, "a key's leases");
  must(claims.size() == claims_.size(), "claims are those of leases");
  for (const auto& [fence, c] : claims_) must(claims[fence] == c.left, "a claim's leases");
}

}  // namespace ballast::work
