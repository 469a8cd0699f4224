// Quotas and slices as they stand in the database (PostgreSQL: one file has one node, which has no use for them).
// A quota's row is the lock of its slices: whoever changes a slice has locked it. Rows are locked in order of name, so nobody waits in a ring.
// Repositories take a Tx and never begin one.
#pragma once
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/money.hpp"
#include "base/result.hpp"
#include "cluster/slices.hpp"
#include "store/database.hpp"

namespace ballast::cluster {

constexpr std::size_t kMostAsks = 256;                   // of one transaction
constexpr std::size_t kMostName = 1'024;                 // bytes of a quota's name, which has no NUL

// Migration cluster/3.
constexpr std::string_view kQuotaTables = R"sql(
CREATE TABLE quotas (
  name {text} NOT NULL PRIMARY KEY, kind {int} NOT NULL, amount {int} NOT NULL, period_us {int} NOT NULL, linger_us {int} NOT NULL, ends_us {int} NOT NULL,
  version {int} NOT NULL, level {int} NOT NULL, at_us {int} NOT NULL) {table};
CREATE TABLE slices (
  quota {text} NOT NULL, holder {text} NOT NULL, seq {int} NOT NULL, share {int} NOT NULL, floor {int} NOT NULL, want {int} NOT NULL, least {int} NOT NULL,
  asked_us {int} NOT NULL, served_us {int} NOT NULL, expires_us {int} NOT NULL, spent {int} NOT NULL, closed {int} NOT NULL, PRIMARY KEY (quota, holder)) {clustered};
CREATE INDEX slices_by_holder ON slices (holder);
)sql";

// What a node asks of one quota. Borrowed.
struct QuotaAsk {
  std::string_view name;
  Terms terms;
  Ask ask;
};
struct QuotaAnswer {
  enum class Kind : std::uint8_t { settled, unknown, other } kind = Kind::unknown;
  Answer answer;                                         // settled
};

// Makes those that are not there, full. Of a transaction of its own, before the first ask.
Result<void> make_quotas(store::Tx& tx, std::span<const QuotaAsk> asks);
// Settles all, each name once, at most kMostAsks. `unknown`: there is no such quota, or no more: make it. `other`: it is one of another kind or period.
Result<std::vector<QuotaAnswer>> settle_quotas(store::Tx& tx, std::span<const QuotaAsk> asks);

// Money, for whoever imports a node's journal, in the transaction that adds its calls: this much more of the window was spent by that boot. In order of quota.
// Nothing happens where there is no such slice.
Result<void> note_spent(store::Tx& tx, std::string_view quota, std::string_view holder, Money more);
// The journal of this boot is wholly imported and its process is dead: what its money slices did not spend is free again. How many there were.
Result<std::int64_t> close_holder(store::Tx& tx, std::string_view holder);

// Forgets what nobody can miss: windows of money that ended a week ago, and quotas that were not asked of for an hour and a period.
Result<std::int64_t> sweep_quotas(store::Tx& tx);

}  // namespace ballast::cluster
