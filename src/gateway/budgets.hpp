// Budgets: money that may be spent per request, key, user, feature, team, model and in all, by hour, day, month or a fixed
// window. No budget is overshot at any concurrency: what a call may cost at most is *held* before it is dispatched.
//
// Invariant of every window: charged = spent + held ≤ amount, kept by one compare-and-swap on one atomic. The only way past
// it is a provider that reports more than the proven ceiling: that is booked, counted, and stops the optimism for the model
// (its later ceilings count double, then fourfold … sixteenfold) until `trust` is called.
//
// Over several nodes (`Options::quotas`) a window is a quota of money (cluster/quota.hpp): the amount is that of all nodes together, and a process charges
// only what its slice holds: this process' charges ≤ its slice, and the slices together ≤ amount, by the database's row, whatever dies or is late. A hold
// that its slice is too small for has asked the database for more as it fails, and says so (`Shortage`). What is *left* is then an estimate for plans and
// for people: what was told last, less what was charged here since.
//
// A hold is charged to the windows of the moment it was made, even if it settles in the next. Windows are UTC.
// Concurrency: BudgetBook is thread-safe; a Hold belongs to one call on one loop.
// Bounds: `Options::max_windows` windows in memory (about 200 bytes each). A window that is past and unheld, or uncharged,
// may be forgotten; if none is, new values of that budget share one overflow window with one value's amount: stricter,
// never laxer; over several nodes they are refused. Unknown outcomes: `max_unknown` can be reconciled here; older ones in the ledger alone, until the next start.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/money.hpp"
#include "base/result.hpp"
#include "records/call_record.hpp"

namespace ballast::cluster {
class HeldQuota;
class Quotas;
}  // namespace ballast::cluster

namespace ballast::gateway {

enum class BudgetScope : std::uint8_t { request, key, user, feature, team, model, system };
enum class BudgetPeriod : std::uint8_t { hour, day, month, fixed };
std::string_view to_string(BudgetScope scope);
std::optional<BudgetScope> budget_scope_from(std::string_view name);
std::string_view to_string(BudgetPeriod period);
std::optional<BudgetPeriod> budget_period_from(std::string_view name);

struct BudgetRule {
  std::string name;                        // unique and stable: spent money is remembered under it; empty: made from the rest
  BudgetScope scope = BudgetScope::system;
  std::string match;                       // exact, or prefix with '*'; empty: every value, each for itself. Scope request: of the model
  Money amount;
  BudgetPeriod period = BudgetPeriod::day; // ignored for scope request
  WallTime from{}, to{};                   // period fixed: [from, to); outside it nothing may be spent
};
// "key/month", "system:…": the name of an unnamed rule.
std::string default_budget_name(const BudgetRule& rule);
// [start, end) of the window that contains `now`.
struct WindowSpan {
  WallTime start{}, end{};
  friend bool operator==(const WindowSpan&, const WindowSpan&) = default;
};
WindowSpan window_at(const BudgetRule& rule, WallTime now);

// Whom a call's money counts for. Views are copied where they must last.
struct BudgetSubject {
  std::string_view key, user, feature, team;
};

// Why a hold failed that other nodes' money could make succeed: this slice had too little. The answer to what it asked for comes within
// half a second (slice_wait.hpp).
struct Shortage {
  std::shared_ptr<cluster::HeldQuota> slice;   // null: there is none
  std::uint64_t seen = 0;                  // its answers, from before it said no
  Money wanted;
};
// The database has said of late that the whole has less left: there is nothing to wait for.
bool is_final(const Shortage& lacking);
// Adds to `refusal`, which nobody could make good, why: the database is away, or others have the rest.
void tell_why(const Shortage& lacking, Error& refusal);

// The money one call may still spend. Move-only. Made by `BudgetBook::hold`, then for each attempt `begin` … `end`, then
// `settle` exactly once. A Hold that dies unsettled keeps its attempts charged at their ceilings and is put among the
// unknown outcomes: money never returns silently.
class Hold {
 public:
  Hold() noexcept;                         // of no budget: everything succeeds and costs nothing
  Hold(Hold&& o) noexcept;
  Hold& operator=(Hold&& o) noexcept;
  ~Hold();

  // Holds `ceiling` for one more attempt on `model` ("provider/model"), beside what ended and running attempts have used;
  // what the call already holds is used first. Adds the model's own budgets. policy_budget_exceeded holds nothing more.
  // Returns the attempt's number, from 0.
  // `again`: it failed before for want of a slice. Then `lacking` says which.
  Result<unsigned> begin(std::string_view model, Money ceiling, bool again = false);
  Shortage lacking() const;                // of the last `begin`
  // The attempt cost `incurred`; the rest of its ceiling is free for the next. Above the ceiling: booked as it is, and
  // the model's optimism stops. Each attempt ends once.
  void end(unsigned attempt, Money incurred);
  // Nobody knows what the attempt cost: it stays charged at its ceiling until `BudgetBook::reconcile`. `recorded`: its number among the
  // attempts of the call's record, where that is another.
  struct Unsettled {
    Money charged;                         // the ceiling, as held
    std::vector<std::string> windows;      // where
  };
  Unsettled end_unknown(unsigned attempt, std::optional<unsigned> recorded = {});
  // Returns what no attempt used. Attempts still running end as unknown. Idempotent.
  void settle();

  Money ceiling() const;                   // held and spent so far
  Money incurred() const;                  // by ended attempts
  bool settled() const;
  // What stands charged to each window now: with `settle` done, the outcome; before, the intent's worst case.
  // A window's name is stable across restarts: "budget|value|start in unix seconds". Overwrites `out`, reusing its room.
  void charges(std::vector<records::BudgetCharge>& out) const;

 private:
  friend class BudgetBook;
  struct State;
  explicit Hold(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

struct BudgetStatus {
  std::string window;                      // its name: "budget|value|start in unix seconds"
  std::string budget;
  BudgetScope scope = BudgetScope::system;
  std::string value;                       // the key, user, …; "*" for system
  Money limit, spent, held, remaining;
  WallTime window_end{};
};

// An attempt whose cost nobody knows; stays charged.
struct UnknownOutcome {
  std::string call;
  unsigned attempt = 0;
  std::string model;
  Money charged;
};

// What a window leaves, held money taken off.
struct BudgetLeft {
  Money money;
  Duration reset{};                        // until the window ends; until a fixed one begins
};

class BudgetBook {
 public:
  struct Options {
    cluster::Quotas* quotas = nullptr;     // over several nodes. Outlives the book and all that share its windows; null: this is the only one
    std::size_t max_windows = 262'144;
    std::size_t max_unknown = 100'000;
  };
  // Refuses duplicate names, negative amounts, empty fixed windows, more than 32 rules.
  // `previous`: the book this one replaces on a reload. They share windows, unknown outcomes and distrust, so that spent
  // money stays spent (budgets are recognised by name) and holds of the old book settle where the new one sees it.
  static Result<std::unique_ptr<BudgetBook>> create(std::vector<BudgetRule> rules, const Clock& clock, Options options,
                                                    const BudgetBook* previous = nullptr);
  BudgetBook(const BudgetBook&) = delete;
  BudgetBook& operator=(const BudgetBook&) = delete;
  ~BudgetBook();                           // after every Hold it made is gone

  bool none() const { return rules_.empty(); }
  // Over several nodes, once this book has replaced another: from here on its amounts rule in the windows they share.
  void take_effect() const;
  // Does any budget bind this call on any of `models`? If so an unpriced model or an unbounded cost must be refused.
  bool applies(const BudgetSubject& subject, std::span<const std::string_view> models) const;
  // The least that the budgets leave for a call on `model`; nullopt: unlimited. Plans clamp max_tokens by it. Over several nodes what was told more than a
  // second ago does not count: a hold that goes too far finds out what is true.
  std::optional<Money> remaining(const BudgetSubject& subject, std::string_view model) const;
  // The window among them that leaves least, those of scope request aside; nullopt: none binds the call.
  std::optional<BudgetLeft> tightest(const BudgetSubject& subject, std::string_view model) const;
  // policy_budget_exceeded for a call on `model` that may cost `wanted`, told of the budget that leaves the least, as `hold` tells it.
  Error too_little(const BudgetSubject& subject, std::string_view model, Money wanted) const;
  // `ceiling` as the book will hold it: multiplied where the model's optimism is stopped.
  Money prudent(std::string_view model, Money ceiling) const;

  // Holds `ceiling` (the dearest target of the plan, already `prudent`) in all of the caller's windows, or in none:
  // policy_budget_exceeded names the budget, whose it is, its period and when it opens anew; retry_after: then. `call` names unknown outcomes.
  // `lacking`: filled where a slice was too small, and nothing else was in the way. `again`: it was so before, for this call.
  Result<Hold> hold(const BudgetSubject& subject, std::string_view call, Money ceiling, Shortage* lacking = nullptr, bool again = false);

  // At start, and for ledger rows imported from elsewhere: adds to a window's spent. Windows that are over or whose
  // budget is gone are ignored (false). Over several nodes it is for show, until the database says better.
  bool restore(std::string_view window, Money spent);
  // Follows the ledger, where the charge of an attempt of unknown cost was replaced by what is known now. Each attempt once: false if the
  // book followed before, or never had the charge (another node's). Over several nodes the ledger's part of the quota has the difference (reconcile_charge),
  // and the slice what was charged.
  struct Reconciled {
    std::string_view call, model;          // "call_…", "provider/model"
    unsigned attempt = 0;
    Money charged, incurred;
    std::span<const std::string> windows;
    WallTime began{}, at{};                // the call; the reconciling
  };
  bool reconcile(const Reconciled& now);
  std::vector<UnknownOutcome> unknown() const;

  // Counts the overspend and doubles the model's later ceilings. `Hold::end` calls it.
  void book_over(std::string_view model, Money ceiling, Money incurred);
  struct StoppedModel {
    std::string model;
    unsigned factor = 1;
    std::uint64_t times = 0;
    Money over;                            // in all
  };
  std::vector<StoppedModel> stopped() const;
  bool trust(std::string_view model);      // an operator's decision: ceilings count once again. False: they do already

  // Of the current windows.
  WallTime oldest_start() const;
  std::vector<BudgetStatus> status() const;                        // every current window, sorted
  // The same for all nodes, by what the database says of windows (whole_windows); those this process never charged among them.
  struct Whole {
    Money charged, spent;                  // by everybody but this process, as far as they told
  };
  using WholeWindows = std::map<std::string, Whole, std::less<>>;  // by the window's name
  std::vector<BudgetStatus> status(const WholeWindows& whole) const;
  std::vector<BudgetStatus> status(const BudgetSubject& subject) const;

  struct Stats {
    std::size_t windows = 0;
    std::uint64_t overflowed = 0;          // holds that fell on an overflow window
    std::uint64_t overspends = 0;
    Money overspent;
    std::uint64_t unsettled = 0;           // holds that died without settle: a bug or a crash of a task
  };
  Stats stats() const;

 private:
  friend class Hold;
  struct Window;
  struct Ledger;                           // windows, unknown outcomes and distrust: what outlives a reload
  struct Piece;
  BudgetBook(std::vector<BudgetRule> rules, const Clock& clock, std::shared_ptr<Ledger> ledger, std::int64_t version);
  // The rule whose window now has this name, and its value in it.
  struct Named {
    const BudgetRule* rule = nullptr;      // null: there is none
    std::string_view value;
    WindowSpan span;
  };
  Named find_window(std::string_view window, WallTime now) const;
  // Charges `amount` to the window of `rule` for `value`, pinning it into `piece`; or refuses and pins nothing.
  struct Asking;                           // how a charge is made, and what it lacked
  Result<void> charge(std::size_t rule, std::string_view value, Money amount, WallTime now, Piece& piece, Asking& asking) const;
  // Charges `more` to a window pinned already.
  Result<void> charge_more(const Piece& piece, Money more, Asking& asking) const;
  bool try_charge(Window& window, Money amount, Money limit, Money& left, Asking& asking) const;
  // Over several nodes: its slice, made at its first charge, by the terms of the newest book.
  Result<void> give_slice(Window& window, const BudgetRule& rule) const;
  static void follow_shared(Window& window, Money charged, Money change);
  Error refusal(const BudgetRule& rule, std::string_view value, Money wanted, Money left, WindowSpan span) const;
  // The budget of this call that leaves the least: for a plan with those of scope request.
  struct Tightest {
    std::size_t rule = 0;
    std::string_view value;
    Money left;
  };
  std::optional<Tightest> least_left(const BudgetSubject& subject, std::string_view model, WallTime now, bool for_plan) const;
  Money left_in(std::size_t rule, std::string_view value, WallTime now, bool for_plan) const;
  BudgetStatus status_of(const BudgetRule& rule, std::string_view value, WallTime now, const WholeWindows* whole) const;
  std::vector<BudgetStatus> status_by(const WholeWindows* whole) const;

  const Clock& clock_;
  const WallTime made_;                    // earlier charges came by `restore`
  const std::vector<BudgetRule> rules_;
  const std::shared_ptr<Ledger> ledger_;
  const std::int64_t version_;             // of two books the later: its amounts rule
};

}  // namespace ballast::gateway
