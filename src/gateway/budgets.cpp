#include "gateway/budgets.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <set>
#include <tuple>

#include <fmt/format.h>

#include "base/text.hpp"
#include "gateway/budgets_ledger.hpp"
#include "gateway/principal.hpp"

namespace ballast::gateway {

namespace {

constexpr std::array<std::string_view, 7> kScopeNames{"request", "key", "user", "feature", "team", "model", "system"};
constexpr std::array<std::string_view, 4> kPeriodNames{"hour", "day", "month", "fixed"};
constexpr std::size_t kMaxRules = 32;
constexpr unsigned kMaxFactor = 16;
constexpr std::size_t kMaxDistrusted = 4096;

// Whose money a rule counts; empty if the rule does not apply. Model and request rules are asked with the model.
std::string_view value_for(const BudgetRule& rule, const BudgetSubject& s, std::string_view model) {
  std::string_view value;
  switch (rule.scope) {
    case BudgetScope::key: value = s.key; break;
    case BudgetScope::user: value = s.user; break;
    case BudgetScope::feature: value = s.feature; break;
    case BudgetScope::team: value = s.team; break;
    case BudgetScope::model: value = model; break;
    case BudgetScope::request: return rule.match.empty() || (!model.empty() && name_matches(rule.match, model)) ? "*" : "";
    case BudgetScope::system: return "*";
  }
  return rule.match.empty() || name_matches(rule.match, value) ? value : std::string_view{};
}

bool of_caller(BudgetScope scope) { return scope != BudgetScope::model && scope != BudgetScope::request; }

Result<void> check_rule(const BudgetRule& rule, const std::string& field) {
  if (rule.amount < Money{}) return fail(ErrorCode::caller_invalid_request, "must not be negative", field + ".amount");
  if (rule.period == BudgetPeriod::fixed && rule.scope != BudgetScope::request && rule.to <= rule.from)
    return fail(ErrorCode::caller_invalid_request, "a fixed window must end after it begins", field + ".to");
  if (rule.name.find('|') != std::string::npos || rule.name.size() > kMaxAttribution)
    return fail(ErrorCode::caller_invalid_request, fmt::format("at most {} bytes, without '|'", kMaxAttribution), field + ".name");
  return {};
}

// "$0.25", for a person.
std::string dollars(Money m) {
  auto text = "$" + to_usd(m);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.ends_with('.')) text.pop_back();
  return text;
}

}  // namespace

std::string_view to_string(BudgetScope scope) { return kScopeNames[static_cast<std::size_t>(scope)]; }
std::string_view to_string(BudgetPeriod period) { return kPeriodNames[static_cast<std::size_t>(period)]; }
std::optional<BudgetScope> budget_scope_from(std::string_view name) {
  const auto it = std::ranges::find(kScopeNames, name);
  return it == kScopeNames.end() ? std::nullopt : std::optional(static_cast<BudgetScope>(it - kScopeNames.begin()));
}
std::optional<BudgetPeriod> budget_period_from(std::string_view name) {
  const auto it = std::ranges::find(kPeriodNames, name);
  return it == kPeriodNames.end() ? std::nullopt : std::optional(static_cast<BudgetPeriod>(it - kPeriodNames.begin()));
}

std::string default_budget_name(const BudgetRule& rule) {
  std::string name(to_string(rule.scope));
  if (!rule.match.empty()) name += ":" + rule.match;
  if (rule.scope != BudgetScope::request) name += fmt::format("/{}", to_string(rule.period));
  std::ranges::replace(name, '|', '_');
  return name;
}

WindowSpan window_at(const BudgetRule& rule, WallTime now) {
  using namespace std::chrono;
  switch (rule.period) {
    case BudgetPeriod::hour: {
      const auto start = floor<hours>(now);
      return {start, start + hours(1)};
    }
    case BudgetPeriod::day: {
      const auto start = floor<days>(now);
      return {start, start + days(1)};
    }
    case BudgetPeriod::month: {
      const year_month_day date(floor<days>(now));
      const auto month = date.year() / date.month();
      return {sys_days(month / day(1)), sys_days((month + months(1)) / day(1))};
    }
    case BudgetPeriod::fixed: break;
  }
  return {rule.from, rule.to};
}

Result<std::unique_ptr<BudgetBook>> BudgetBook::create(std::vector<BudgetRule> rules, const Clock& clock, Options options,
                                                       const BudgetBook* previous) {
  if (rules.size() > kMaxRules) return fail(ErrorCode::caller_invalid_request, fmt::format("at most {} budgets", kMaxRules), "budgets");
  std::set<std::string> names;
  for (std::size_t i = 0; i < rules.size(); ++i) {
    const auto field = fmt::format("budgets[{}]", i);
    if (auto checked = check_rule(rules[i], field); !checked) return std::unexpected(checked.error());
    if (rules[i].name.empty()) rules[i].name = default_budget_name(rules[i]);
    if (!names.insert(rules[i].name).second)
      return fail(ErrorCode::caller_invalid_request, fmt::format("two budgets are named \"{}\"", rules[i].name), field + ".name");
  }
  auto ledger = previous ? previous->ledger_ : std::make_shared<Ledger>(options);
  const std::int64_t version = std::max(unix_us(clock.wall()), previous ? previous->version_ + 1 : 1);
  return std::unique_ptr<BudgetBook>(new BudgetBook(std::move(rules), clock, std::move(ledger), version));
}

BudgetBook::BudgetBook(std::vector<BudgetRule> rules, const Clock& clock, std::shared_ptr<Ledger> ledger, std::int64_t version)
    : clock_(clock), made_(clock.wall()), rules_(std::move(rules)), ledger_(std::move(ledger)), version_(version) {}
BudgetBook::~BudgetBook() = default;

bool BudgetBook::applies(const BudgetSubject& subject, std::span<const std::string_view> models) const {
  return std::ranges::any_of(rules_, [&](const BudgetRule& rule) {
    if (of_caller(rule.scope)) return !value_for(rule, subject, {}).empty();
    return std::ranges::any_of(models, [&](std::string_view model) { return !value_for(rule, subject, model).empty(); });
  });
}

Money BudgetBook::left_in(std::size_t index, std::string_view value, WallTime now, bool for_plan) const {
  const BudgetRule& rule = rules_[index];
  if (rule.scope == BudgetScope::request) return rule.amount;
  const auto span = window_at(rule, now);
  if (now < span.start || now >= span.end) return {};
  if (!ledger_->options.quotas) return std::max(Money{}, rule.amount - ledger_->look({rule.name, value, span}).charged);
  Window* w = ledger_->find({rule.name, value, span});
  if (!w) return rule.amount;
  const Money left = w->left(rule.amount, for_plan);
  ledger_->unpin(*w);
  return std::max(Money{}, left);
}

std::optional<BudgetBook::Tightest> BudgetBook::least_left(const BudgetSubject& subject, std::string_view model, WallTime now, bool for_plan) const {
  std::optional<Tightest> least;
  for (std::size_t i = 0; i < rules_.size(); ++i) {
    if (!for_plan && rules_[i].scope == BudgetScope::request) continue;
    const auto value = value_for(rules_[i], subject, model);
    if (value.empty()) continue;
    const Money left = left_in(i, value, now, for_plan);
    if (!least || left < least->left) least = {i, value, left};
  }
  return least;
}

std::optional<Money> BudgetBook::remaining(const BudgetSubject& subject, std::string_view model) const {
  if (rules_.empty()) return std::nullopt;
  const auto least = least_left(subject, model, clock_.wall(), true);
  return least ? std::optional(least->left) : std::nullopt;
}

std::optional<BudgetLeft> BudgetBook::tightest(const BudgetSubject& subject, std::string_view model) const {
  if (rules_.empty()) return std::nullopt;
  const WallTime now = clock_.wall();
  const auto least = least_left(subject, model, now, false);
  if (!least) return std::nullopt;
  const auto span = window_at(rules_[least->rule], now);
  return BudgetLeft{least->left, std::max(Duration::zero(), Duration((now < span.start ? span.start : span.end) - now))};
}

Error BudgetBook::too_little(const BudgetSubject& subject, std::string_view model, Money wanted) const {
  const WallTime now = clock_.wall();
  const auto least = least_left(subject, model, now, true);
  assert(least);
  return refusal(rules_[least->rule], least->value, wanted, least->left, window_at(rules_[least->rule], now));
}

Money BudgetBook::prudent(std::string_view model, Money ceiling) const {
  if (!ledger_->any_distrust.load(std::memory_order_acquire)) return ceiling;
  const std::lock_guard lock(ledger_->rare);
  const auto it = ledger_->distrust.find(model);
  if (it == ledger_->distrust.end()) return ceiling;
  for (unsigned f = it->second.factor; f > 1; f /= 2) ceiling += ceiling;     // saturates
  return ceiling;
}

Error BudgetBook::refusal(const BudgetRule& rule, std::string_view value, Money wanted, Money left, WindowSpan span) const {
  Error e{.code = ErrorCode::policy_budget_exceeded};
  const auto most = dollars(wanted), amount = dollars(rule.amount);
  if (rule.scope == BudgetScope::request) {
    e.message = fmt::format("budget \"{}\" allows {} for one call; this one may cost up to {}", rule.name, amount, most);
    return e;
  }
  const std::string whose = rule.scope == BudgetScope::system ? "everybody" : fmt::format("{} \"{}\"", to_string(rule.scope), value);
  e.message = fmt::format("budget \"{}\" (of {}, per {}) leaves {} of {}; the call may cost up to {}", rule.name, whose,
                          rule.period == BudgetPeriod::fixed ? "fixed window" : to_string(rule.period), dollars(std::max(left, Money{})), amount, most);
  const WallTime now = clock_.wall();
  // What is spent of a fixed window never comes back.
  const bool once = rule.period == BudgetPeriod::fixed;
  if (once && now >= span.start) {
    e.message += fmt::format("; it {} {}", now < span.end ? "ends" : "ended", to_rfc3339(span.end));
    return e;
  }
  const WallTime opens = once ? span.start : span.end;
  if (opens <= now) return e;               // a call that outlived its window
  e.message += fmt::format("; it {} {}", once ? "begins" : "resets", to_rfc3339(opens));
  e.retry_after = std::chrono::ceil<std::chrono::milliseconds>(opens - now);
  return e;
}

Result<void> BudgetBook::charge(std::size_t index, std::string_view value, Money amount, WallTime now, Piece& piece, Asking& asking) const {
  const BudgetRule& rule = rules_[index];
  const auto span = window_at(rule, now);
  if (now < span.start || now >= span.end) return fail(refusal(rule, value, amount, {}, span));
  Window& window = ledger_->pin({rule.name, value, span}, now);
  if (auto given = ledger_->options.quotas ? give_slice(window, rule) : Result<void>{}; !given) {
    ledger_->unpin(window);
    return given;
  }
  Money left;
  if (!try_charge(window, amount, rule.amount, left, asking)) {
    ledger_->unpin(window);
    return fail(refusal(rule, value, amount, left, span));
  }
  piece = {.rule = index, .window = &window, .amount = amount};
  return {};
}

Result<void> BudgetBook::charge_more(const Piece& piece, Money more, Asking& asking) const {
  const BudgetRule& rule = rules_[piece.rule];
  Money left;
  if (try_charge(*piece.window, more, rule.amount, left, asking)) return {};
  return fail(refusal(rule, piece.window->value, more, left, piece.window->span));
}

Result<Hold> BudgetBook::hold(const BudgetSubject& subject, std::string_view call, Money ceiling, Shortage* lacking, bool again) {
  if (rules_.empty()) return Hold{};
  assert(ceiling >= Money{});
  const WallTime now = clock_.wall();
  auto state = std::make_unique<Hold::State>();
  state->book = this;
  state->call = call;
  state->settled = true;                   // until everything is held, going back is silent
  Asking asking{.again = again, .lacking = {}};
  const auto back_out = [&](Error why) {
    for (const Piece& p : state->caller) p.window->add(Money{} - ceiling);
    if (lacking) *lacking = std::move(asking.lacking);
    return fail(std::move(why));
  };
  for (std::size_t i = 0; i < rules_.size(); ++i) {
    const BudgetRule& rule = rules_[i];
    if (rule.scope == BudgetScope::request && rule.match.empty() && ceiling > rule.amount)
      return back_out(refusal(rule, {}, ceiling, rule.amount, {}));
    const auto value = of_caller(rule.scope) ? value_for(rule, subject, {}) : std::string_view{};
    if (value.empty()) continue;
    Piece piece;
    if (auto charged = charge(i, value, ceiling, now, piece, asking); !charged) return back_out(std::move(charged.error()));
    state->caller.push_back(piece);
  }
  state->held = ceiling;
  state->settled = false;
  return Hold(std::move(state));
}

BudgetBook::Named BudgetBook::find_window(std::string_view window, WallTime now) const {
  const auto last = window.rfind('|');
  const auto first = window.find('|');
  if (first == std::string_view::npos || first == last) return {};
  const auto start = parse_int<std::int64_t>(window.substr(last + 1));
  const auto rule = std::ranges::find(rules_, window.substr(0, first), &BudgetRule::name);
  if (!start || rule == rules_.end() || rule->scope == BudgetScope::request) return {};
  const auto span = window_at(*rule, now);
  if (std::chrono::floor<std::chrono::seconds>(span.start).time_since_epoch().count() != *start || now >= span.end) return {};
  return {.rule = &*rule, .value = window.substr(first + 1, last - first - 1), .span = span};
}

bool BudgetBook::restore(std::string_view window, Money spent) {
  const WallTime now = clock_.wall();
  const Named named = find_window(window, now);
  if (!named.rule) return false;
  Window& w = ledger_->pin({named.rule->name, named.value, named.span}, now);
  if (ledger_->options.quotas) {
    follow_shared(w, {}, w.value == named.value ? spent : Money{});
    ledger_->unpin(w);
    return true;
  }
  // A correction gives back what is there at most.
  const Money now_spent{w.spent.load(std::memory_order_acquire)};
  const Money change = std::max(spent, Money{} - now_spent);
  w.add(change);
  w.spend(change);
  ledger_->unpin(w);
  return true;
}

bool BudgetBook::reconcile(const Reconciled& now) {
  std::optional<Ledger::Unknown> found;
  const bool restored = now.began < made_ && now.at >= made_;     // as it was before it was reconciled
  {
    const std::lock_guard lock(ledger_->rare);
    const auto it = std::ranges::find_if(ledger_->unknown, [&](const Ledger::Unknown& u) { return u.outcome.call == now.call && u.outcome.attempt == now.attempt; });
    if (it != ledger_->unknown.end()) {
      found = std::move(*it);
      ledger_->unknown.erase(it);
    } else if (!restored || ledger_->followed.size() >= ledger_->options.max_unknown ||
               !ledger_->followed.emplace(std::string(now.call), now.attempt).second) {
      return false;
    }
  }
  if (found) {
    for (Window* w : found->windows) {
      if (ledger_->options.quotas) {
        follow_shared(*w, found->outcome.charged, now.incurred - found->outcome.charged);
      } else {
        w->add(now.incurred - found->outcome.charged);
        w->spend(now.incurred);
      }
      ledger_->unpin(*w);
    }
  } else {
    for (const std::string& window : now.windows) restore(window, now.incurred - now.charged);
  }
  if (now.incurred > now.charged) book_over(now.model, now.charged, now.incurred);
  return true;
}

std::vector<UnknownOutcome> BudgetBook::unknown() const {
  const std::lock_guard lock(ledger_->rare);
  std::vector<UnknownOutcome> out;
  for (const auto& u : ledger_->unknown) out.push_back(u.outcome);
  return out;
}

void BudgetBook::book_over(std::string_view model, Money ceiling, Money incurred) {
  const std::lock_guard lock(ledger_->rare);
  ++ledger_->overspends;
  ledger_->overspent += incurred - ceiling;
  if (ledger_->distrust.size() >= kMaxDistrusted && !ledger_->distrust.contains(model)) return;
  auto& d = ledger_->distrust[std::string(model)];
  d.factor = std::min(kMaxFactor, d.factor * 2);
  ++d.times;
  d.over += incurred - ceiling;
  ledger_->any_distrust.store(true, std::memory_order_release);
}

std::vector<BudgetBook::StoppedModel> BudgetBook::stopped() const {
  const std::lock_guard lock(ledger_->rare);
  std::vector<StoppedModel> out;
  for (const auto& [model, d] : ledger_->distrust) out.push_back({model, d.factor, d.times, d.over});
  return out;
}

bool BudgetBook::trust(std::string_view model) {
  const std::lock_guard lock(ledger_->rare);
  const auto it = ledger_->distrust.find(model);
  if (it == ledger_->distrust.end()) return false;
  ledger_->distrust.erase(it);
  ledger_->any_distrust.store(!ledger_->distrust.empty(), std::memory_order_release);
  return true;
}

BudgetStatus BudgetBook::status_of(const BudgetRule& rule, std::string_view value, WallTime now, const WholeWindows* whole) const {
  const auto span = window_at(rule, now);
  Window named{.budget = rule.name, .value = std::string(value), .span = span};
  BudgetStatus out{.window = named.id(), .budget = rule.name, .scope = rule.scope, .value = std::string(rule.scope == BudgetScope::system ? "*" : value),
                   .limit = rule.amount, .spent = {}, .held = {}, .remaining = {}, .window_end = span.end};
  Money charged, mine, held;                             // by all; by this process, and what of it is not spent
  if (Window* w = ledger_->find({rule.name, value, span})) {
    mine = {w->charged.load(std::memory_order_acquire)};
    held = mine - Money{w->spent.load(std::memory_order_acquire)};
    charged = rule.amount - w->left(rule.amount, false);
    ledger_->unpin(*w);
  }
  out.spent = charged - held;                            // what others have is spent, as far as is known here
  if (whole)
    if (const auto told = whole->find(out.window); told != whole->end()) {
      charged = told->second.charged + mine;
      out.spent = told->second.spent + (mine - held);
    }
  out.held = charged - out.spent;
  out.remaining = std::max(Money{}, rule.amount - charged);
  return out;
}

WallTime BudgetBook::oldest_start() const {
  const WallTime now = clock_.wall();
  WallTime oldest = now;
  for (const auto& rule : rules_) oldest = std::min(oldest, window_at(rule, now).start);
  return oldest;
}

std::vector<BudgetStatus> BudgetBook::status() const { return status_by(nullptr); }
std::vector<BudgetStatus> BudgetBook::status(const WholeWindows& whole) const { return status_by(&whole); }

std::vector<BudgetStatus> BudgetBook::status_by(const WholeWindows* whole) const {
  const WallTime now = clock_.wall();
  std::set<std::pair<const BudgetRule*, std::string>> found;
  for (const auto& rule : rules_)
    if (rule.scope == BudgetScope::system) found.emplace(&rule, "*");
  ledger_->each([&](const Window& w) {
    const auto rule = std::ranges::find(rules_, w.budget, &BudgetRule::name);
    if (rule != rules_.end() && rule->scope != BudgetScope::system && w.span == window_at(*rule, now)) found.emplace(&*rule, w.value);
  });
  if (whole)
    for (const auto& [window, figures] : *whole)
      if (const Named named = find_window(window, now); named.rule && named.rule->scope != BudgetScope::system) found.emplace(named.rule, named.value);
  std::vector<BudgetStatus> out;
  for (const auto& [rule, value] : found) out.push_back(status_of(*rule, value, now, whole));
  std::ranges::sort(out, {}, [](const BudgetStatus& s) { return std::tie(s.budget, s.value); });
  return out;
}

std::vector<BudgetStatus> BudgetBook::status(const BudgetSubject& subject) const {
  const WallTime now = clock_.wall();
  std::vector<BudgetStatus> out;
  for (const auto& rule : rules_) {
    const auto value = of_caller(rule.scope) ? value_for(rule, subject, {}) : std::string_view{};
    if (!value.empty()) out.push_back(status_of(rule, value, now, nullptr));
  }
  return out;
}

BudgetBook::Stats BudgetBook::stats() const {
  Stats s{.overflowed = ledger_->overflowed.load(), .unsettled = ledger_->unsettled.load()};
  ledger_->each([&](const Window&) { ++s.windows; });
  const std::lock_guard lock(ledger_->rare);
  s.overspends = ledger_->overspends;
  s.overspent = ledger_->overspent;
  return s;
}

}  // namespace ballast::gateway
