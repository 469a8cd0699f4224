#include <algorithm>
#include <cassert>

#include "gateway/budgets_ledger.hpp"
#include "gateway/principal.hpp"

namespace ballast::gateway {

Hold::State::~State() {
  for (const auto& piece : caller) book->ledger_->unpin(*piece.window);
  for (const auto& piece : models) book->ledger_->unpin(*piece.window);
}

Hold::Hold() noexcept = default;
Hold::Hold(std::unique_ptr<State> state) : state_(std::move(state)) {}
Hold::Hold(Hold&& o) noexcept = default;
Hold& Hold::operator=(Hold&& o) noexcept {
  if (this != &o) {
    Hold old(std::move(*this));
    state_ = std::move(o.state_);
  }
  return *this;
}

Hold::~Hold() {
  if (!state_ || state_->settled) return;
  state_->book->ledger_->unsettled.fetch_add(1, std::memory_order_relaxed);
  settle();
}

Result<unsigned> Hold::begin(std::string_view model, Money ceiling, bool again) {
  if (!state_) return 0U;
  State& s = *state_;
  assert(!s.settled);
  s.lacking = {};
  BudgetBook::Asking asking{.again = again, .lacking = {}};
  const BudgetBook& book = *s.book;
  ceiling = book.prudent(model, ceiling);
  const Money more = std::max(Money{}, s.committed + ceiling - s.held);
  const std::size_t models_before = s.models.size();
  std::size_t extended = 0;
  const auto back_out = [&](Error why) {
    for (std::size_t i = 0; i < extended; ++i) s.caller[i].window->add(Money{} - more);
    for (; s.models.size() > models_before; s.models.pop_back()) {
      s.models.back().window->add(Money{} - ceiling);
      book.ledger_->unpin(*s.models.back().window);
    }
    s.lacking = std::move(asking.lacking);
    return fail(std::move(why));
  };
  for (; more > Money{} && extended < s.caller.size(); ++extended)
    if (auto charged = book.charge_more(s.caller[extended], more, asking); !charged) return back_out(std::move(charged.error()));
  std::optional<WallTime> now;                     // read for the first rule that binds the model
  for (std::size_t i = 0; i < book.rules_.size(); ++i) {
    const BudgetRule& rule = book.rules_[i];
    if (rule.scope != BudgetScope::request && rule.scope != BudgetScope::model) continue;
    if (!rule.match.empty() && !name_matches(rule.match, model)) continue;
    if (!now) now = book.clock_.wall();
    if (rule.scope == BudgetScope::request) {
      if (s.committed + ceiling > rule.amount) return back_out(book.refusal(rule, {}, s.committed + ceiling, rule.amount, {}));
      continue;
    }
    BudgetBook::Piece piece;
    if (auto charged = book.charge(i, model, ceiling, *now, piece, asking); !charged) return back_out(std::move(charged.error()));
    piece.attempt = static_cast<unsigned>(s.attempts.size());
    s.models.push_back(piece);
  }
  s.held += more;
  s.committed += ceiling;
  s.attempts.push_back({.model = std::string(model), .ceiling = ceiling});
  return static_cast<unsigned>(s.attempts.size() - 1);
}

Shortage Hold::lacking() const { return state_ ? state_->lacking : Shortage{}; }

void Hold::end(unsigned attempt, Money incurred) {
  if (!state_) return;
  State& s = *state_;
  assert(attempt < s.attempts.size() && incurred >= Money{});
  State::Attempt& a = s.attempts[attempt];
  if (a.at != State::Attempt::At::running) return;
  a.at = State::Attempt::At::ended;
  a.incurred = incurred;
  s.committed += incurred - a.ceiling;
  for (auto& piece : s.models) {
    if (piece.attempt != attempt) continue;
    piece.window->add(incurred - a.ceiling);
    piece.window->spend(incurred);
    piece.amount = incurred;
  }
  // More than everything held: it was spent all the same, so the books say so.
  const Money over = std::max(Money{}, s.committed - s.held);
  for (auto& piece : s.caller) {
    if (over > Money{}) piece.window->add(over);
    piece.window->spend(incurred);
  }
  s.held += over;
  if (incurred > a.ceiling) const_cast<BudgetBook*>(s.book)->book_over(a.model, a.ceiling, incurred);
}

Hold::Unsettled Hold::end_unknown(unsigned attempt, std::optional<unsigned> recorded) {
  if (!state_) return {};
  State& s = *state_;
  assert(attempt < s.attempts.size());
  State::Attempt& a = s.attempts[attempt];
  if (a.at != State::Attempt::At::running) return {};
  a.at = State::Attempt::At::unknown;
  auto& ledger = *s.book->ledger_;
  std::vector<BudgetBook::Window*> windows;
  for (const auto& piece : s.caller) windows.push_back(piece.window);
  for (const auto& piece : s.models)
    if (piece.attempt == attempt) windows.push_back(piece.window);
  Unsettled left{.charged = a.ceiling};
  for (auto* w : windows) {
    ledger.pin_again(*w);
    left.windows.push_back(w->id());
  }

  std::optional<BudgetBook::Ledger::Unknown> given_up;
  {
    const std::lock_guard lock(ledger.rare);
    ledger.unknown.push_back({{.call = s.call, .attempt = recorded.value_or(attempt), .model = a.model, .charged = a.ceiling}, std::move(windows)});
    if (ledger.unknown.size() > ledger.options.max_unknown) {
      given_up = std::move(ledger.unknown.front());
      ledger.unknown.pop_front();
    }
  }
  if (given_up)      // nobody came to reconcile it: it counts as spent
    for (auto* w : given_up->windows) {
      w->spend(given_up->outcome.charged);
      ledger.unpin(*w);
    }
  return left;
}

void Hold::settle() {
  if (!state_ || state_->settled) return;
  State& s = *state_;
  for (unsigned i = 0; i < s.attempts.size(); ++i) end_unknown(i);
  const Money unused = s.held - s.committed;
  for (auto& piece : s.caller) {
    piece.window->add(Money{} - unused);
    piece.amount = s.committed;
  }
  s.held = s.committed;
  s.settled = true;
}

Money Hold::ceiling() const { return state_ ? state_->held : Money{}; }

Money Hold::incurred() const {
  Money sum;
  if (state_)
    for (const auto& a : state_->attempts) sum += a.incurred;
  return sum;
}

bool Hold::settled() const { return !state_ || state_->settled; }

void Hold::charges(std::vector<records::BudgetCharge>& out) const {
  const std::size_t callers = state_ ? state_->caller.size() : 0;
  if (state_) out.reserve(callers + state_->models.size());
  std::size_t n = 0;
  const auto next = [&]() -> records::BudgetCharge& { return n < out.size() ? out[n++] : (++n, out.emplace_back()); };
  for (std::size_t i = 0; i < callers; ++i) {
    auto& charge = next();
    state_->caller[i].window->id(charge.window);
    charge.nano = state_->held.nano;
  }
  for (std::size_t i = 0; state_ && i < state_->models.size(); ++i) {
    const auto& piece = state_->models[i];
    auto& charge = next();
    piece.window->id(charge.window);
    charge.nano = piece.amount.nano;
    for (std::size_t k = callers; k + 1 < n; ++k) {      // an earlier attempt on the same model
      if (out[k].window != charge.window) continue;
      out[k].nano = (Money{out[k].nano} + piece.amount).nano;
      --n;
      break;
    }
  }
  out.resize(n);
}

}  // namespace ballast::gateway
