#include "work/board.hpp"

#include <algorithm>
#include <cassert>
#include <ranges>

#include <fmt/format.h>

namespace ballast::work {

namespace {

constexpr Duration kAskAgain = std::chrono::seconds(1);  // what ran out and was not dealt with is told again after this

// Ids that left a queue by another door are only skipped when they come to its front; when most are such, they are swept out.
constexpr std::size_t kStale = 64;

// Who comes back to the front of a line stands behind those of the first so many that are older.
constexpr std::size_t kFront = 1'024;

}  // namespace

// ---- names ----

std::uint32_t Board::Names::take(std::string_view name) {
  const auto at = numbers.find(name);
  if (at != numbers.end()) {
    ++uses[at->second].users;
    return at->second;
  }
  std::uint32_t number = 0;
  if (free.empty()) {
    number = static_cast<std::uint32_t>(uses.size());
    uses.emplace_back();
  } else {
    number = free.back();
    free.pop_back();
  }
  const auto made = numbers.emplace(std::string(name), number).first;
  uses[number] = {made->first, 1};
  return number;
}

void Board::Names::give_back(std::uint32_t number) {
  assert(number && uses[number].users > 0);
  if (--uses[number].users > 0) return;
  numbers.erase(numbers.find(uses[number].name));
  uses[number] = {};
  free.push_back(number);
}

std::uint32_t Board::Names::known(std::string_view name) const {
  const auto at = numbers.find(name);
  return at == numbers.end() ? 0 : at->second;
}

std::uint32_t Board::queue_number(std::string_view queue) {
  const auto at = queue_numbers_.find(queue);
  if (at != queue_numbers_.end()) return at->second;
  const auto number = static_cast<std::uint32_t>(queues_.size());
  queues_.emplace_back();
  queue_numbers_.emplace(std::string(queue), number);
  return number;
}

Board::GateState* Board::gate_of(std::string_view name) {
  if (name.empty()) return nullptr;
  const auto at = gates_.find(name);
  return at != gates_.end() ? at->second.get() : gates_.emplace(std::string(name), std::make_unique<GateState>()).first->second.get();
}

std::uint32_t Board::lane_number(const Lane& lane) {
  const auto at = lane_numbers_.find(lane);
  if (at != lane_numbers_.end()) return at->second;
  const auto number = static_cast<std::uint32_t>(lanes_.size());
  lanes_.emplace_back(LaneState{.lane = lane, .queue = queue_number(lane.queue), .gate = gate_of(lane.gate), .tenants = {}, .ring = {}});
  queues_[lanes_.back().queue].lanes.push_back(number);
  if (GateState* gate = lanes_.back().gate) gate->lanes.push_back(number);
  lane_numbers_.emplace(lane, number);
  return number;
}

// ---- places ----

std::uint64_t& Board::figure(const Entry& e, QueueState& queue) {
  switch (e.place) {
    case Entry::Place::delayed: return queue.figures.delayed;
    case Entry::Place::ready: return queue.figures.ready;
    case Entry::Place::blocked: return queue.figures.blocked;
    case Entry::Place::leased: return queue.figures.leased;
    case Entry::Place::waiting: break;
  }
  return queue.figures.waiting;
}

void Board::enter(Entry& e, Entry::Place place, MonoTime now) {
  e.place = place;
  e.since = now;
  ++figure(e, queue_of(e));
}

void Board::leave(Entry& e) {
  --figure(e, queue_of(e));
  if (e.place != Entry::Place::ready) return;
  e.in_line = false;
  LaneState& lane = lanes_[e.lane];
  --lane.ready;
  if (Group* g = group_of(e)) --g->ready;
  Waiting& w = lane.tenants.find(e.tenant)->second;
  if (--w.count == 0 && !w.in_ring) lane.tenants.erase(e.tenant);
}

void Board::make_ready(Entry& e, MonoTime now, bool front) {
  enter(e, Entry::Place::ready, now);
  LaneState& lane = lanes_[e.lane];
  Waiting& w = lane.tenants[e.tenant];
  line_up(w, e, front);
  ++w.count;
  ++lane.ready;
  if (Group* g = group_of(e)) ++g->ready;
  into_ring(lane, e.tenant);
}

void Board::line_up(Waiting& w, Entry& e, bool front) {
  auto& line = w.by_priority[std::min<std::size_t>(e.priority, w.by_priority.size() - 1)];
  if (line.size() > 2 * w.count + kStale)
    std::erase_if(line, [&](JobId id) { const Entry* o = find(id); return !o || !o->in_line; });
  if (front) line.insert(std::find_if(line.begin(), line.begin() + static_cast<std::ptrdiff_t>(std::min(line.size(), kFront)), [&](JobId id) { return e.id < id; }), e.id);
  else line.push_back(e.id);
  e.in_line = true;
}

void Board::place_by_due(Entry& e, MonoTime now) {
  if (e.due <= now) return make_ready(e, now);
  enter(e, Entry::Place::delayed, now);
  due_.push({e.due, e.id});
}

bool Board::add(const Job& job, const Lane& lane, MonoTime now, MonoTime due, MonoTime deadline, JobState state) {
  const auto [at, fresh] = entries_.try_emplace(job.id);
  if (!fresh) return false;
  Entry& e = at->second;
  e.id = job.id;
  e.lane = lane_number(lane);
  e.tenant = tenant_names_.take(job.spec.tenant);
  if (!job.spec.concurrency_key.empty() && job.spec.concurrency > 0) {
    e.group = group_names_.take(group_name(e.lane, job.spec.concurrency_key));
    Group& group = groups_[e.group];
    if (group.newest < e.id) group.newest = e.id, group.limit = job.spec.concurrency;   // the last word said about a key holds
    unblock(group, now);
  }
  e.attempt = job.attempt;
  e.max_attempts = job.spec.max_attempts;
  e.priority = job.spec.priority;
  e.due = due;
  e.deadline = deadline;
  if (deadline != kNever) deadlines_.push({deadline, e.id});
  if (state == JobState::waiting) enter(e, Entry::Place::waiting, now);
  else place_by_due(e, now);
  return true;
}

void Board::remove(JobId id, MonoTime now) {
  const auto at = entries_.find(id);
  if (at == entries_.end()) return;
  Entry& e = at->second;
  const bool leased = e.place == Entry::Place::leased;
  leave(e);
  if (leased) release(e, now);
  tenant_names_.give_back(e.tenant);
  const std::uint32_t group = e.group;
  entries_.erase(at);
  if (group == 0) return;
  group_names_.give_back(group);
  if (group_names_.uses[group].users == 0) groups_.erase(group);
  else unblock(groups_[group], now);
}

void Board::had_before(JobId id) {
  const auto at = entries_.find(id);
  if (at != entries_.end() && at->second.fence == 0) at->second.fence = 1;   // below all that are handed out
}

const Entry* Board::find(JobId id) const {
  const auto at = entries_.find(id);
  return at == entries_.end() ? nullptr : &at->second;
}

std::string Board::group_name(std::uint32_t lane, std::string_view key) { return fmt::format("{}\n{}", lane, key); }

// ---- leases ----

Result<void> Board::held(JobId id, Fence fence) {
  const auto at = entries_.find(id);
  if (at == entries_.end()) return fail(ErrorCode::caller_not_found, "there is no such live job: it ended, was cancelled or never was", "id");
  const Entry& e = at->second;
  if (e.place != Entry::Place::leased || e.fence != fence)
    return fail(ErrorCode::caller_conflict, "this lease is over: it expired, was cancelled, or another worker has the job now", "fence");
  if (e.settling) return fail(ErrorCode::caller_conflict, "this lease's outcome is being written already", "fence");
  return {};
}

Result<void> Board::extend(JobId id, Fence fence, MonoTime expires) {
  if (auto yours = held(id, fence); !yours) return yours;
  Entry& e = entries_.find(id)->second;
  e.expires = std::max(e.expires, expires);              // its timer finds the new time when the old one comes
  return {};
}

Result<const Entry*> Board::hold(JobId id) {
  const auto at = entries_.find(id);
  if (at == entries_.end()) return fail(ErrorCode::caller_not_found, "there is no such live job: it ended or never was", "id");
  if (at->second.settling) return fail(ErrorCode::caller_conflict, "what becomes of this job is being written at this moment", "id");
  at->second.settling = true;
  return &at->second;
}

// If it was passed over while it was held, it stands in line anew.
void Board::let_go(JobId id) {
  const auto at = entries_.find(id);
  if (at == entries_.end() || !at->second.settling) return;
  Entry& e = at->second;
  e.settling = false;
  if (e.place != Entry::Place::ready) return;
  LaneState& lane = lanes_[e.lane];
  if (!e.in_line) line_up(lane.tenants.find(e.tenant)->second, e, true);
  into_ring(lane, e.tenant);
}

void Board::grant(Entry& e, Fence fence, MonoTime expires, MonoTime now) {
  leave(e);
  e.ready_since = e.since;
  e.leased_before = e.fence != 0;
  enter(e, Entry::Place::leased, now);
  e.fence = fence;
  e.expires = expires;
  e.settling = false;
  if (expires != kNever) leases_.push({expires, e.id, fence});
  ++queue_of(e).leased_by_tenant[e.tenant];
  if (GateState* gate = lanes_[e.lane].gate) {
    ++gate->leased;
    ++gate->leased_by_tenant[e.tenant];
  }
  if (Group* g = group_of(e)) ++g->leased;
  ClaimState& claim = claims_[fence];
  ++claim.left;
  if (claim.holder.empty()) ++leased_local_;
}

void Board::drop_claim_share(Fence fence) {
  const auto at = claims_.find(fence);
  assert(at != claims_.end() && at->second.left > 0);
  if (at->second.holder.empty()) --leased_local_;
  if (--at->second.left > 0) return;
  claims_.erase(at);
  ended_claims_.push_back(fence);
}

// The entry has left its place already; whom its end lets go on, goes on.
void Board::release(Entry& e, MonoTime now) {
  QueueState& queue = queue_of(e);
  const auto share = queue.leased_by_tenant.find(e.tenant);
  if (--share->second == 0) queue.leased_by_tenant.erase(share);
  drop_claim_share(e.fence);
  e.expires = kNever;
  e.settling = false;
  for (const std::uint32_t lane : queue.lanes) into_ring(lanes_[lane], e.tenant);
  if (GateState* gate = lanes_[e.lane].gate) {
    --gate->leased;
    const auto at_gate = gate->leased_by_tenant.find(e.tenant);
    if (--at_gate->second == 0) gate->leased_by_tenant.erase(at_gate);
    for (const std::uint32_t lane : gate->lanes) into_ring(lanes_[lane], e.tenant);
  }
  Group* g = group_of(e);
  if (!g) return;
  --g->leased;
  unblock(*g, now);
}

void Board::unblock(Group& g, MonoTime now) {
  std::vector<Entry*> next;
  while (!g.blocked.empty() && g.leased + g.ready + next.size() < g.limit) {
    const auto at = entries_.find(g.blocked.front());
    g.blocked.pop_front();
    if (at != entries_.end() && at->second.place == Entry::Place::blocked) next.push_back(&at->second);
  }
  for (Entry* e : next | std::views::reverse) {          // the oldest comes to stand in front
    leave(*e);
    make_ready(*e, now, true);
  }
}

void Board::unlease(JobId id, MonoTime now) {
  const auto at = entries_.find(id);
  if (at == entries_.end() || at->second.place != Entry::Place::leased) return;
  leave(at->second);
  release(at->second, now);
  make_ready(at->second, now, true);
}

void Board::restore_lease(JobId id, Fence fence, std::string_view holder, MonoTime expires) {
  const auto at = entries_.find(id);
  if (at == entries_.end() || at->second.place == Entry::Place::leased) return;
  claims_[fence].holder = holder;
  grant(at->second, fence, expires, at->second.since);
}

void Board::requeue(JobId id, std::uint32_t attempt, MonoTime due, MonoTime now) {
  const auto at = entries_.find(id);
  if (at == entries_.end()) return;
  Entry& e = at->second;
  const bool leased = e.place == Entry::Place::leased;
  leave(e);
  if (leased) release(e, now);
  const bool given_back = leased && attempt == e.attempt && due <= now;
  e.attempt = attempt;
  e.due = due;
  e.settling = false;
  e.woken = false;
  if (given_back) make_ready(e, now, true);              // nothing was tried: it keeps its place
  else place_by_due(e, now);
}

bool Board::wake(JobId id) {
  const auto at = entries_.find(id);
  if (at == entries_.end()) return false;
  at->second.woken = true;
  return at->second.place == Entry::Place::waiting;
}

void Board::park(JobId id, std::uint32_t attempt, MonoTime due, MonoTime now) {
  const auto at = entries_.find(id);
  if (at == entries_.end() || at->second.place != Entry::Place::leased) return;
  Entry& e = at->second;
  leave(e);
  release(e, now);
  e.attempt = attempt;
  e.due = due;
  if (std::exchange(e.woken, false)) return make_ready(e, now);
  enter(e, Entry::Place::waiting, now);
  if (due != kNever) due_.push({due, id});
}

// ---- time ----

void Board::tick(MonoTime now) {
  while (!due_.empty() && due_.top().at <= now) {
    const auto at = entries_.find(due_.top().id);
    due_.pop();
    if (at == entries_.end() || at->second.due > now) continue;
    Entry& e = at->second;
    if (e.place != Entry::Place::delayed && e.place != Entry::Place::waiting) continue;
    leave(e);
    make_ready(e, now);
  }
}

std::vector<JobId> Board::expired_leases(MonoTime now, std::size_t most) {
  std::vector<JobId> out;
  while (!leases_.empty() && leases_.top().at <= now && out.size() < most) {
    const auto [at, id, fence] = leases_.top();
    leases_.pop();
    const Entry* e = find(id);
    if (!e || e->place != Entry::Place::leased || e->fence != fence) continue;
    if (e->expires > now) {
      leases_.push({e->expires, id, fence});
    } else {
      leases_.push({now + kAskAgain, id, fence});
      if (!e->settling) out.push_back(id);
    }
  }
  return out;
}

std::vector<JobId> Board::past_deadline(MonoTime now, std::size_t most) {
  std::vector<JobId> out;
  while (!deadlines_.empty() && deadlines_.top().at <= now && out.size() < most) {
    const JobId id = deadlines_.top().id;
    deadlines_.pop();
    const Entry* e = find(id);
    if (!e) continue;
    deadlines_.push({now + kAskAgain, id});
    if (!e->settling) out.push_back(id);
  }
  return out;
}

MonoTime Board::next_event() const {
  MonoTime next = kNever;
  for (const Timers* timers : {&due_, &deadlines_, &leases_})
    if (!timers->empty()) next = std::min(next, timers->top().at);
  return next;
}

}  // namespace ballast::work
