// Members: the processes of one installation, as they stand in its database. A process takes a slot, counts its beats there, and leaves.
//
// A slot is the number of a node in ids and fences; a node's name keeps it from one start to the next. A boot is one process' hold of a slot: whatever it
// writes there is conditional on it, so that a process whose slot was taken over writes nothing more.
// Repositories take a Tx and never begin one.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "store/database.hpp"

namespace ballast::cluster {

constexpr unsigned kSlots = 1024;                        // as many as an id has room for

enum class MemberState : std::uint8_t { joining, serving, draining, gone };
std::string_view to_string(MemberState state);

struct Member {
  unsigned slot = 0;
  std::string name;                                      // the node's own, for as long as its data directory lives
  std::string boot;                                      // this process
  std::string address, version;                          // where it listens, what it runs: for people
  MemberState state = MemberState::joining;
  WallTime joined{}, beat{};                             // by the database's clock; for people, nobody is judged by them
  std::uint64_t beats = 0;                               // counted since it joined
  std::string load;                                      // JSON of the node's own figures
};

std::span<const store::Migration> migrations();

// The installation's own name, `fresh` where it has none yet. It moves with the data.
Result<std::string> installation_of(store::Tx& tx, std::string_view fresh);

// Every slot that was ever taken and not given to another, by slot. One transaction at a time may `take_slot`.
Result<std::vector<Member>> load_members(store::Tx& tx);
Result<std::optional<Member>> find_member(store::Tx& tx, std::string_view name);
// The slot of this name, or a free one: lowest of those never taken, else the one whose node is gone for longest. Whoever had it before can write no
// more under it. caller_too_large: all are taken.
Result<unsigned> take_slot(store::Tx& tx, const Member& who);
// One beat more. False: the slot is another boot's now, or this one was taken for dead.
Result<bool> beat(store::Tx& tx, unsigned slot, std::string_view boot, MemberState state, std::string_view load);
// Says of another that it is gone, if it is still that boot and has not counted on. False: it is not.
Result<bool> declare_gone(store::Tx& tx, unsigned slot, std::string_view boot, std::uint64_t beats);

}  // namespace ballast::cluster
