#include "cluster/duties.hpp"

#include <algorithm>
#include <utility>

#include "base/log.hpp"

namespace ballast::cluster {

namespace {

constexpr auto kLimit = std::chrono::milliseconds(2'000);   // of one transaction

struct Load {
  std::string_view boot;
  std::size_t duties = 0;
};

// Those that may hold duties, by slot.
std::vector<Load> holders(const Picture& picture) {
  std::vector<Load> out;
  for (const auto& seen : picture.members)
    if (seen.lives && seen.member.state == MemberState::serving) out.push_back({seen.member.boot});
  return out;
}

bool is_member(const Picture& picture, std::string_view boot) {
  return std::ranges::any_of(picture.members, [&](const auto& seen) { return seen.lives && seen.member.boot == boot; });
}

}  // namespace

Result<std::vector<Duty>> load_duties(store::Tx& tx) {
  auto rows = tx.run("SELECT name, holder, slot, fence, since_us FROM duties ORDER BY name");
  if (!rows) return std::unexpected(rows.error());
  std::vector<Duty> out;
  out.reserve(rows->size());
  for (const store::Row r : *rows) out.push_back({r.string(0), r.string(1), static_cast<unsigned>(r.integer(2)), r.integer(3), from_unix_us(r.integer(4))});
  return out;
}

Result<bool> take_duty(store::Tx& tx, const Duty& was, unsigned slot, std::string_view boot) {
  auto members = tx.run("SELECT boot FROM members WHERE boot IN ($1, $2) AND state <> $3", {boot, was.holder, static_cast<int>(MemberState::gone)});
  if (!members) return std::unexpected(members.error());
  if (members->size() != 1 || (*members)[0].text(0) != boot) return false;
  auto taken = tx.run("INSERT INTO duties (name, holder, slot, fence, since_us) VALUES ($1, $2, $3, 1, $4) ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, "
                      "slot = excluded.slot, fence = duties.fence + 1, since_us = excluded.since_us WHERE duties.holder = $5 AND duties.fence = $6",
                      {was.name, boot, slot, unix_us(tx.now()), was.holder, was.fence});
  if (!taken) return std::unexpected(taken.error());
  return taken->affected() == 1;
}

Result<bool> release_duty(store::Tx& tx, std::string_view name, std::string_view boot) {
  auto done = tx.run("UPDATE duties SET holder = '', since_us = $3 WHERE name = $1 AND holder = $2", {name, boot, unix_us(tx.now())});
  if (!done) return std::unexpected(done.error());
  return done->affected() == 1;
}

DutyMoves decide(std::span<const Duty> rows, std::span<const std::string> names, const Picture& picture, std::string_view boot,
                 const std::function<bool(std::string_view)>& overdue, bool settled) {
  DutyMoves moves;
  std::vector<Load> nodes = holders(picture);
  const auto node = [&](std::string_view b) { return std::ranges::find(nodes, b, &Load::boot); };
  if (node(boot) == nodes.end()) return moves;
  std::vector<Duty> free;
  std::vector<std::string> mine;
  for (const std::string& name : names) {
    const auto row = std::ranges::find(rows, name, &Duty::name);
    if (row == rows.end() || row->holder.empty() || !is_member(picture, row->holder)) {
      free.push_back(row == rows.end() ? Duty{.name = name} : *row);
      continue;
    }
    if (const auto n = node(row->holder); n != nodes.end()) ++n->duties;
    if (row->holder == boot) mine.push_back(name);
  }
  for (Duty& d : free) {
    const auto turn = std::ranges::min_element(nodes, {}, &Load::duties);
    ++turn->duties;
    if (turn->boot == boot || overdue(d.name)) moves.take.push_back(std::move(d));
  }
  if (!free.empty() || !settled) return moves;
  if (mine.size() < std::ranges::min(nodes, {}, &Load::duties).duties + 2) return moves;
  const std::size_t fair = (names.size() + nodes.size() - 1) / nodes.size(), kept = std::min(mine.size() - 1, fair);
  moves.give.assign(mine.begin() + static_cast<std::ptrdiff_t>(kept), mine.end());
  return moves;
}

Duties::Duties(Membership& membership, std::vector<std::string> names, Listener listener, Pace pace)
    : membership_(membership), names_([&] {
        std::ranges::sort(names);
        return std::move(names);
      }()), listener_(std::move(listener)), pace_(pace) {}

// Of what counts as known: that was so when the transaction began, and a later beat of this node is what others go by.
Result<void> Duties::read(store::Tx& tx) {
  reading_ = membership_.clock().mono();
  auto rows = load_duties(tx);
  if (!rows) return std::unexpected(rows.error());
  read_rows_ = std::move(*rows);
  return {};
}

// What the rows say counts, also where this node did not hear what became of a transaction of its own.
void Duties::note(const std::vector<Duty>& rows, MonoTime now) {
  std::vector<std::string> lost, gained;
  {
    const std::lock_guard lock(mutex_);
    if (rows != rows_) moved_ = now;
    rows_ = rows;
    looked_ = reading_;
    for (const std::string& name : names_) {
      const auto row = std::ranges::find(rows, name, &Duty::name);
      const bool mine = row != rows.end() && row->holder == membership_.boot();
      Held& h = held_[name];
      if (h.held && !(mine && row->fence == h.fence)) lost.push_back(name);
      if (mine && !ending_ && !(h.held && row->fence == h.fence)) gained.push_back(name);
      h = {mine && !ending_, mine ? row->fence : 0};
    }
  }
  for (const std::string& name : lost)
    if (listener_.lost) listener_.lost(name);
  for (const std::string& name : gained)
    if (listener_.gained) listener_.gained(name);
}

void Duties::act(const Picture& picture) {
  const std::vector<Duty> rows = read_rows_;
  const MonoTime now = membership_.clock().mono();
  note(rows, now);
  {
    const std::lock_guard lock(mutex_);
    if (ending_) return;
  }
  for (const std::string& name : names_) {
    const auto row = std::ranges::find(rows, name, &Duty::name);
    if (row != rows.end() && is_member(picture, row->holder)) free_since_.erase(name);
    else free_since_.emplace(name, now);
  }
  const auto overdue = [&](std::string_view name) {
    const auto at = free_since_.find(name);
    return at != free_since_.end() && now - at->second >= pace_.overdue;
  };
  const DutyMoves moves = decide(rows, names_, picture, membership_.boot(), overdue, now - moved_ >= pace_.settled);
  for (const Duty& was : moves.take) take(was);
  for (const std::string& name : moves.give) give(name);
}

void Duties::take(const Duty& was) {
  const auto taken = membership_.own().write_now([&](store::Tx& tx) { return take_duty(tx, was, membership_.slot(), membership_.boot()); }, {.limit = kLimit});
  if (!taken) log::warn("duty_not_taken", {{"duty", was.name}, {"why", taken.error().message}});
  if (!taken || !*taken) return;
  {
    const std::lock_guard lock(mutex_);
    held_[was.name] = {true, was.fence + 1};
  }
  log::info("duty_taken", {{"duty", was.name}, {"node", membership_.name()}, {"fence", was.fence + 1}});
  if (listener_.gained) listener_.gained(was.name);
}

// What it was done by here stops first.
void Duties::give(const std::string& name) {
  {
    const std::lock_guard lock(mutex_);
    held_[name].held = false;
  }
  if (listener_.lost) listener_.lost(name);
  const auto given = membership_.own().write_now([&](store::Tx& tx) { return release_duty(tx, name, membership_.boot()); }, {.limit = kLimit});
  if (!given) return log::warn("duty_not_given", {{"duty", name}, {"why", given.error().message}});
  log::info("duty_given", {{"duty", name}, {"node", membership_.name()}});
}

void Duties::forget() {
  std::vector<std::string> lost;
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
    for (auto& [name, h] : held_)
      if (std::exchange(h.held, false)) lost.push_back(name);
  }
  for (const std::string& name : lost)
    if (listener_.lost) listener_.lost(name);
}

void Duties::hand_back() {
  if (membership_.alone()) return;
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
    for (auto& [name, h] : held_) h.held = false;
  }
  if (membership_.lost()) return;
  const auto given = membership_.own().write_now([&](store::Tx& tx) -> Result<bool> {
    for (const std::string& name : names_)
      if (auto done = release_duty(tx, name, membership_.boot()); !done) return done;
    return true;
  }, {.limit = kLimit});
  if (!given) log::warn("duties_not_handed_back", {{"why", given.error().message}});
}

// A beat that was committed after `looked_` is the last that others may have seen.
bool Duties::fresh() const { return membership_.clock().mono() - looked_ < membership_.options().dead_after; }

bool Duties::holds(std::string_view name) const {
  if (membership_.alone()) return true;
  const std::lock_guard lock(mutex_);
  const auto at = held_.find(name);
  return at != held_.end() && at->second.held && fresh();
}

Result<void> Duties::check(store::Tx& tx, std::string_view name) const {
  if (membership_.alone()) return {};
  Held h;
  {
    const std::lock_guard lock(mutex_);
    if (const auto at = held_.find(name); at != held_.end()) h = at->second;
  }
  if (h.held) {
    static constexpr store::Statement mine("SELECT 1 FROM duties WHERE name = $1 AND holder = $2 AND fence = $3",
                                           "SELECT 1 FROM duties WHERE name = $1 AND holder = $2 AND fence = $3 FOR SHARE");
    auto rows = tx.run(mine, {name, membership_.boot(), h.fence});
    if (!rows) return std::unexpected(rows.error());
    if (!rows->empty()) return {};
  }
  return fail(ErrorCode::internal_unavailable, fmt::format("this node does not have the duty {} any more", name), "duty");
}

std::vector<Duty> Duties::seen() const {
  if (!membership_.alone()) {
    const std::lock_guard lock(mutex_);
    return rows_;
  }
  std::vector<Duty> all;
  for (const std::string& name : names_) all.push_back({.name = name, .holder = membership_.boot()});
  return all;
}

}  // namespace ballast::cluster
