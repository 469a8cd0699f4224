// What a database knows of being moved into another (store/transfer): a row in the source and one in the target. Whoever opens either to work with it
// is refused while it is not the one that counts.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "store/database.hpp"

namespace ballast::store {

class TransferSide;

// A source is open while it is copied and left when the target is the installation. A target is filling, whole (all is there and durable, the source
// does not know), done (it is the installation) and used (it has been worked with since).
enum class MoveState : unsigned char { open, left, filling, whole, done, used };
std::string_view to_string(MoveState state);

struct Move {
  std::string id;                            // of the move, the same in both
  MoveState state = MoveState::open;
  std::string other;                         // where to, or where from, without secrets
  WallTime at{};
};
enum class MoveEnd : unsigned char { from, to };

// caller_conflict: this database was left, or is not filled yet; says what to do. A target that is done is used from here on.
Result<void> refuse_moved(Tx& tx);

Result<std::optional<Move>> read_move(TransferSide& side, MoveEnd end);
// Makes the tables if they are not there; in the open transaction.
Result<void> write_move(TransferSide& side, MoveEnd end, const Move& move);

// What whoever works with a target first is to know of the move, and nobody before: until then the two are the same, row for row. In the open transaction; the
// last one counts.
Result<void> write_note(TransferSide& side, std::string_view note);
// Takes it out, so that exactly one of those that ask has it. Nothing: there is none.
Result<std::optional<std::string>> take_note(Tx& tx);

// Without user, password and parameters.
std::string shown_url(std::string_view url);

}  // namespace ballast::store
