// `ballast migrate-store`: an installation goes from one database into another (store/transfer.hpp).
#pragma once
#include <span>

#include "app/cli.hpp"
#include "store/database.hpp"
#include "store/transfer.hpp"

namespace ballast::app {

void add_migrate_store(CLI::App& app, Run& run);

// What is not carried, and why. Everything else that the migrations of any room make is carried without being named.
std::span<const store::LeftOut> left_out_tables();

// Tells the audit trail of a database that `migrate-store` has filled: once, in the transaction of whoever works with it first. Elsewhere nothing.
Result<void> tell_move(store::Tx& tx);

}  // namespace ballast::app
