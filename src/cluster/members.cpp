#include "cluster/members.hpp"

#include <algorithm>

#include "cluster/quota_rows.hpp"

namespace ballast::cluster {

namespace {

constexpr std::string_view kFirst = R"sql(
CREATE TABLE installation (n {int} NOT NULL PRIMARY KEY, id {text} NOT NULL) {table};
CREATE TABLE members (
  slot {int} NOT NULL PRIMARY KEY, name {text} NOT NULL, boot {text} NOT NULL, address {text} NOT NULL, version {text} NOT NULL, state {int} NOT NULL,
  joined_us {int} NOT NULL, beat_us {int} NOT NULL, beats {int} NOT NULL, load {text} NOT NULL) {table};
CREATE UNIQUE INDEX members_by_name ON members (name);
)sql";

constexpr std::string_view kDuties = R"sql(
CREATE TABLE duties (
  name {text} NOT NULL PRIMARY KEY, holder {text} NOT NULL, slot {int} NOT NULL, fence {int} NOT NULL, since_us {int} NOT NULL) {table};
)sql";

// topics: topics.hpp. resting: resting.hpp.
constexpr std::string_view kKnowledge = R"sql(
CREATE TABLE topics (topic {int} NOT NULL PRIMARY KEY, number {int} NOT NULL) {table};
CREATE TABLE resting (
  provider {text} NOT NULL, model {text} NOT NULL, what {int} NOT NULL, slot {int} NOT NULL, at_us {int} NOT NULL, until_us {int} NOT NULL,
  PRIMARY KEY (provider, model)) {table};
)sql";

constexpr store::Migration kMigrations[] = {
    {"cluster", 1, "the nodes of an installation", kFirst},
    {"cluster", 2, "what one node at a time does", kDuties},
    {"cluster", 3, "quotas and their slices", kQuotaTables},
    {"cluster", 4, "what nodes tell each other", kKnowledge},
    {"cluster", 5, "whose journal tells what a holder spent", kHolderTable},
    {"cluster", 6, "money after a failover", kQuotaCalm},
};

#define BALLAST_MEMBER "slot, name, boot, address, version, state, joined_us, beat_us, beats, load"

Member member_of(const store::Row& r) {
  return {.slot = static_cast<unsigned>(r.integer(0)), .name = r.string(1), .boot = r.string(2), .address = r.string(3), .version = r.string(4),
          .state = static_cast<MemberState>(r.integer(5)), .joined = from_unix_us(r.integer(6)), .beat = from_unix_us(r.integer(7)),
          .beats = static_cast<std::uint64_t>(r.integer(8)), .load = r.string(9)};
}

Result<bool> changed_one(const Result<store::Rows>& rows) {
  if (!rows) return std::unexpected(rows.error());
  return rows->affected() == 1;
}

// Where a node of this name belongs, among all members by slot.
std::optional<unsigned> place_of(std::span<const Member> members, std::string_view name) {
  if (const auto mine = std::ranges::find(members, name, &Member::name); mine != members.end()) return mine->slot;
  unsigned free = 0;
  for (const Member& m : members) free += m.slot == free;
  if (free < kSlots) return free;
  std::optional<Member> oldest;
  for (const Member& m : members)
    if (m.state == MemberState::gone && (!oldest || m.beat < oldest->beat)) oldest = m;
  return oldest ? std::optional(oldest->slot) : std::nullopt;
}

}  // namespace

std::string_view to_string(MemberState state) {
  switch (state) {
    case MemberState::joining: return "joining";
    case MemberState::serving: return "serving";
    case MemberState::draining: return "draining";
    case MemberState::gone: return "gone";
  }
  return "";
}

std::span<const store::Migration> migrations() { return kMigrations; }

Result<std::string> installation_of(store::Tx& tx, std::string_view fresh) {
  if (auto made = tx.run("INSERT INTO installation (n, id) VALUES (1, $1) ON CONFLICT (n) DO NOTHING", {fresh}); !made) return std::unexpected(made.error());
  auto rows = tx.run("SELECT id FROM installation WHERE n = 1");
  if (!rows) return std::unexpected(rows.error());
  return (*rows)[0].string(0);
}

Result<std::vector<Member>> load_members(store::Tx& tx) {
  auto rows = tx.run("SELECT " BALLAST_MEMBER " FROM members ORDER BY slot");
  if (!rows) return std::unexpected(rows.error());
  std::vector<Member> out;
  out.reserve(rows->size());
  for (const store::Row r : *rows) out.push_back(member_of(r));
  return out;
}

Result<std::optional<Member>> find_member(store::Tx& tx, std::string_view name) {
  auto rows = tx.run("SELECT " BALLAST_MEMBER " FROM members WHERE name = $1", {name});
  if (!rows) return std::unexpected(rows.error());
  if (rows->empty()) return std::optional<Member>();
  return std::optional(member_of((*rows)[0]));
}

Result<unsigned> take_slot(store::Tx& tx, const Member& who) {
  // One at a time: the row is locked until this transaction ends.
  if (auto turn = tx.run("UPDATE installation SET id = id WHERE n = 1"); !turn) return std::unexpected(turn.error());
  const auto members = load_members(tx);
  if (!members) return std::unexpected(members.error());
  const auto slot = place_of(*members, who.name);
  if (!slot) return fail(ErrorCode::caller_too_large, "all 1,024 slots of this installation are taken by nodes that are not gone; stop one first", "database");
  const std::int64_t now = unix_us(tx.now());
  auto taken = tx.run("INSERT INTO members (slot, name, boot, address, version, state, joined_us, beat_us, beats, load) "
                      "VALUES ($1, $2, $3, $4, $5, $6, $7, $7, 0, $8) ON CONFLICT (slot) DO UPDATE SET name = excluded.name, boot = excluded.boot, "
                      "address = excluded.address, version = excluded.version, state = excluded.state, joined_us = excluded.joined_us, "
                      "beat_us = excluded.beat_us, beats = 0, load = excluded.load",
                      {*slot, who.name, who.boot, who.address, who.version, static_cast<int>(MemberState::joining), now, who.load});
  if (!taken) return std::unexpected(taken.error());
  return *slot;
}

Result<bool> beat(store::Tx& tx, unsigned slot, std::string_view boot, MemberState state, std::string_view load) {
  return changed_one(tx.run("UPDATE members SET beats = beats + 1, beat_us = $3, state = $4, load = $5 WHERE slot = $1 AND boot = $2 AND state <> $6",
                            {slot, boot, unix_us(tx.now()), static_cast<int>(state), load, static_cast<int>(MemberState::gone)}));
}

Result<bool> declare_gone(store::Tx& tx, unsigned slot, std::string_view boot, std::uint64_t beats) {
  return changed_one(tx.run("UPDATE members SET state = $4 WHERE slot = $1 AND boot = $2 AND beats = $3 AND state <> $4",
                            {slot, boot, beats, static_cast<int>(MemberState::gone)}));
}

}  // namespace ballast::cluster
