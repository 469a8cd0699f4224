// The tables of this room.
#pragma once
#include <span>

#include "store/database.hpp"

namespace ballast::records {

// For `Database::migrate`, with the migrations of the rooms above.
std::span<const store::Migration> migrations();

}  // namespace ballast::records
