// Quotas and slices as they stand in the database (PostgreSQL: one file has one node, which has no use for them).
// A quota's row is the lock of its slices: whoever changes a slice has locked it. Rows are locked in order of name, so nobody waits in a ring.
// Repositories take a Tx and never begin one.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "cluster/slices.hpp"
#include "store/database.hpp"

namespace ballast::cluster {

constexpr std::size_t kMostAsks = 256;                   // of one transaction
constexpr std::size_t kMostName = 1'024;                 // bytes of a quota's name, which has no NUL
// Money: the holder of what no living boot's slice has: spent before the quota was made, by boots whose journals are imported, without a slice, and corrections.
constexpr std::string_view kLedger = "ledger";

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
// Migration cluster/5.
constexpr std::string_view kHolderTable = R"sql(
CREATE TABLE quota_holders (holder {text} NOT NULL PRIMARY KEY, journal {text} NOT NULL) {clustered};
)sql";

// Migration cluster/6: PostgreSQL's timeline when money was last asked for, and until when none is granted since it became another one.
constexpr std::string_view kQuotaCalm = R"sql(
CREATE TABLE quota_calm (n {int} NOT NULL PRIMARY KEY, timeline {int} NOT NULL, until_us {int} NOT NULL) {table};
INSERT INTO quota_calm (n, timeline, until_us) VALUES (1, 0, 0);
)sql";
constexpr std::int64_t kCalmUs = 5'000'000;              // every node that lives has asked, and said what it has charged, within it

// What a node asks of one quota. Borrowed.
struct QuotaAsk {
  std::string_view name;
  Terms terms;
  Ask ask;
  std::string_view about;                                // money: what the ledger calls it
  Nano spent_before = 0;                                 // money: where it is made, the ledger's
};
struct QuotaAnswer {
  enum class Kind : std::uint8_t { settled, unknown, other } kind = Kind::unknown;
  Answer answer;                                         // settled
};

// Makes those that are not there, full. Of a transaction of its own, before the first ask.
Result<void> make_quotas(store::Tx& tx, std::span<const QuotaAsk> asks);
// Settles all, each name once, at most kMostAsks. `unknown`: there is no such quota, or no more: make it. `other`: it is one of another kind or period.
Result<std::vector<QuotaAnswer>> settle_quotas(store::Tx& tx, std::span<const QuotaAsk> asks);

// Money. Σ `spent` of a quota's slices is what the ledger says of its window, at every commit; so whoever changes the ledger's sum notes it here, afterwards and
// in the same transaction.
//
// This much more was spent of each by that boot, whose journal was imported; less than nothing where it is known better. Where it has no slice, and with `kLedger`,
// it is nobody's. Nothing happens where there is no such quota: who makes it asks the ledger (QuotasOptions::spent_before). Each name once.
struct Spent {
  std::string quota;
  Nano more = 0;
};
Result<void> note_spent(store::Tx& tx, std::string_view holder, std::span<const Spent> spent);

// A boot that may hold money, and the journal that says what it spent. Before its first take.
Result<void> add_holder(store::Tx& tx, std::string_view holder, std::string_view journal);
// Boots of this journal whose money is not settled, but for one.
Result<std::vector<std::string>> holders_of(store::Tx& tx, std::string_view journal, std::string_view but);
// The journal of this boot is wholly imported and it takes nothing more: what its money slices did not spend is free again. How many there were.
Result<std::int64_t> close_holder(store::Tx& tx, std::string_view holder);

// What all but `holder` have charged to windows that have not ended, as far as was told: of who is silent, all it has; and what of it is spent, by the ledger.
// Of so many windows at most, by name.
struct Charged {
  std::string quota;
  Nano charged = 0, spent = 0;
};
Result<std::vector<Charged>> charged_beside(store::Tx& tx, std::string_view holder, std::size_t limit);

// Forgets what nobody can miss: windows of money that ended a week ago, and quotas that were not asked of for an hour and a period.
Result<std::int64_t> sweep_quotas(store::Tx& tx);

}  // namespace ballast::cluster
