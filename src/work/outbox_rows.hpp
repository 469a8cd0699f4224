// The rows of the outbox: webhooks that are owed, written with what they tell of and kept until their retention is over, also the
// delivered and the dead. Repositories take a `Tx&`, never begin one.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "store/database.hpp"
#include "work/webhook_delivery.hpp"

namespace ballast::work {

enum class OutboxState : std::uint8_t { pending = 0, delivered = 1, dead = 2 };
std::string_view to_string(OutboxState state);
std::optional<OutboxState> outbox_state_from(std::string_view name);

// A row as it is stored. Its id is that of the job whose end it tells; what tells of something else takes an id from the same space.
struct OutboxEntry {
  OutboxRow row;
  OutboxState state = OutboxState::pending;
  WallTime due{}, finished{};                // pending: the next attempt, not before; else when it came to its end
  int status = 0;                            // of the last answer; 0: there was none
  std::string why;                           // what went wrong last
};

// Owed from now on. A row that is there already stays as it is.
Result<void> insert_outbox(store::Tx& tx, const OutboxRow& row);

// Is anything due? Cheap: what an idle node asks.
Result<bool> outbox_due(store::Tx& tx, WallTime now);
// Up to `most` rows, the longest due, in order of their ids. They are the node's until `until`, or until they are settled.
Result<std::vector<OutboxRow>> take_outbox(store::Tx& tx, unsigned node, WallTime now, WallTime until, std::size_t most);
// At start: what this node had taken and did not settle is due at once.
Result<std::uint64_t> release_outbox(store::Tx& tx, unsigned node, WallTime now);
// What an attempt came to. A row that is no longer pending, or gone, stays as it is.
Result<void> settle_outbox(store::Tx& tx, std::int64_t id, const Delivery& outcome, WallTime now);

// Newest first, below `before` (0: from the newest). Bodies are left out.
Result<std::vector<OutboxEntry>> list_outbox(store::Tx& tx, std::optional<OutboxState> state, std::int64_t before, std::size_t limit);
Result<std::optional<OutboxEntry>> get_outbox(store::Tx& tx, std::int64_t id);
// Delivered or dead: pending again, at once and with all its attempts; the same id and body. caller_not_found; caller_conflict: it is pending.
Result<void> redrive_outbox(store::Tx& tx, std::int64_t id, WallTime now);

// What is owed or was told of something else than jobs ("alert.firing"), as it was sent: rows after `after`, in order of their ids.
struct OutboxBody {
  std::int64_t id = 0;
  std::string body;
};
Result<std::vector<OutboxBody>> alert_bodies(store::Tx& tx, std::int64_t after, std::size_t limit);
// Another body in its place, for what is sent from now on and what is shown.
Result<void> replace_bodies(store::Tx& tx, std::span<const OutboxBody> rows);

struct OutboxFigures {
  std::uint64_t pending = 0, dead = 0;
};
Result<OutboxFigures> outbox_figures(store::Tx& tx);
// Delivered and dead rows that came to their end before; at most `limit`.
Result<std::uint64_t> sweep_outbox(store::Tx& tx, WallTime before, std::size_t limit);

}  // namespace ballast::work
