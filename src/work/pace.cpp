#include "work/pace.hpp"

#include <algorithm>
#include <cassert>

#include <fmt/format.h>

namespace ballast::work {

namespace {

constexpr double kWideOpen = 256;            // a window that no longer matters
constexpr Duration kShortest = std::chrono::milliseconds(1);

Error none_came(std::string_view model, Duration rest) {
  return {.code = ErrorCode::policy_rate_limited, .message = fmt::format("there was no room for \"{}\" in the limits; others wait for it too", model),
          .field = {}, .retryable = true, .retry_after = std::chrono::ceil<std::chrono::milliseconds>(rest)};
}

}  // namespace

// In the frame of its turn. Published to the line before the turn suspends, taken back before it ends.
struct Pace::Waiter {
  enum class State : std::uint8_t { waiting, called, late, cancelled };
  Pace& pace;
  Line& line;                                // lives while somebody waits in it
  const Who& who;
  const Draw& draw;
  State state = State::waiting;
  std::coroutine_handle<> handle;
  Timer timer;
  CancelHook hook;

  void decide(State to) {
    if (state != State::waiting) return;
    state = to;
    if (to != State::called) pace.leave(line, *this);
    if (handle) pace.home_.resume(handle);
  }
  bool await_ready() const noexcept { return state != State::waiting; }
  void await_suspend(std::coroutine_handle<> h) noexcept { handle = h; }
  void await_resume() const noexcept {}
};

Pace::Pace(Scheduler& home, Options options) : home_(home), options_(options) {}
Pace::~Pace() { assert(std::ranges::all_of(lines_, [](const auto& line) { return line.second->waiting == 0; })); }

std::size_t Pace::waiting(std::string_view model) const {
  const auto at = lines_.find(model);
  return at == lines_.end() ? 0 : at->second->waiting;
}

Pace::Line& Pace::line_of(const std::string& model) {
  auto& line = lines_[model];
  if (!line) {
    line = std::make_unique<Line>();
    line->model = model;
    line->pace = this;
  }
  return *line;
}

bool Pace::may_call(const Line& line) const {
  return home_.clock().mono() >= line.rests_until && (line.window == 0 || line.under_way < line.window);
}

bool Pace::idle(const Line& line) const { return line.waiting == 0 && line.under_way == 0 && home_.clock().mono() >= line.rests_until; }

// How many of a tenant may wait, and how many of all: another tenant always finds a place, as long as there are not very many.
std::uint32_t Pace::places_of_tenant(const Line& line) const {
  const auto share = options_.waiting / static_cast<std::uint32_t>(line.rings() + 1);
  return std::clamp<std::uint32_t>(share, 1, options_.waiting_of_tenant);
}
std::uint32_t Pace::places(const Line& line) const {
  return std::min(options_.waiting, static_cast<std::uint32_t>(line.rings() + 1) * options_.waiting_of_tenant);
}

Task<Result<void>> Pace::turn(Who who, Draw draw, MonoTime deadline, CancelToken cancel) {
  const std::string& model = who.model;
  if (cancel && cancel->cancelled()) co_return fail(ErrorCode::caller_cancelled, "nobody wants the answer any more");
  Line& line = line_of(model);
  Waiter waiter{.pace = *this, .line = line, .who = who, .draw = draw, .state = Waiter::State::waiting, .handle = {}, .timer = {}, .hook = {}};
  enter(line, waiter);
  pump(line);
  if (waiter.state == Waiter::State::waiting &&
      (line.tenants.at(who.tenant).in_line() > places_of_tenant(line) || line.waiting > places(line)))
    waiter.decide(Waiter::State::late);      // too many wait
  tell(line);
  if (waiter.state == Waiter::State::waiting) {
    home_.arm(waiter.timer, deadline, [](void* self) { static_cast<Waiter*>(self)->decide(Waiter::State::late); }, &waiter);
    waiter.hook.attach(cancel, [](void* self) { static_cast<Waiter*>(self)->decide(Waiter::State::cancelled); }, &waiter);
    co_await waiter;
    waiter.timer.cancel();
    waiter.hook.detach();
  }
  if (waiter.state == Waiter::State::called) co_return Result<void>{};
  forget_if_idle(model);
  if (waiter.state == Waiter::State::cancelled) co_return fail(ErrorCode::caller_cancelled, "nobody wants the answer any more");
  co_return fail(none_came(model, options_.rest));
}

void Pace::enter(Line& line, Waiter& waiter) {
  auto& mine = line.tenants[waiter.who.tenant].waiting[waiter.who.may_wait];
  if (mine.empty()) line.ring[waiter.who.may_wait].push_back(waiter.who.tenant);
  mine.push_back(&waiter);
  ++line.waiting;
}

void Pace::leave(Line& line, Waiter& waiter) {
  auto& mine = line.tenants.at(waiter.who.tenant).waiting[waiter.who.may_wait];
  std::erase(mine, &waiter);
  --line.waiting;
  if (mine.empty()) std::erase(line.ring[waiter.who.may_wait], waiter.who.tenant);
  tell(line);
}

// Of one kind: each tenant in turn, until none finds room.
void Pace::let_go(Line& line, bool may_wait, MonoTime now, MonoTime& next) {
  auto& ring = line.ring[may_wait];
  for (std::size_t refused = 0; refused < ring.size() && may_call(line);) {
    ring.push_back(ring.front());
    ring.pop_front();
    Tenant& tenant = line.tenants.at(ring.back());
    auto& waiting = tenant.waiting[may_wait];
    Waiter& first = *waiting.front();
    if (const auto when = first.draw()) {
      next = std::min(next, *when == kNever ? now + options_.poll : std::max(*when, now + kShortest));
      ++refused;
      continue;
    }
    refused = 0;
    waiting.pop_front();
    if (waiting.empty()) ring.pop_back();
    --line.waiting;
    ++tenant.under_way;
    ++line.under_way;
    tenant.paced = tenant.paced || first.handle;
    first.decide(Waiter::State::called);
  }
}

// Lets go whom there is room for, each tenant in turn, and finds out when to ask again.
void Pace::pump(Line& line) {
  const MonoTime now = home_.clock().mono();
  MonoTime next = now < line.rests_until ? line.rests_until : kNever;
  let_go(line, false, now, next);
  let_go(line, true, now, next);
  line.timer.cancel();
  if (next != kNever)
    home_.arm(line.timer, next, [](void* self) {
      auto& due = *static_cast<Line*>(self);
      Pace& pace = *due.pace;
      pace.pump(due);
      pace.tell(due);
      pace.forget_if_idle(std::string(due.model));
    }, &line);
}

void Pace::ended(const Who& who, std::optional<Duration> rest, bool well) {
  Line& line = *lines_.at(who.model);
  Tenant& tenant = line.tenants.at(who.tenant);
  const MonoTime now = home_.clock().mono();
  if (rest) {
    if (now >= line.rests_until) line.window = std::max(1.0, line.under_way / 2.0);   // once a rest, however many hear of it
    line.rests_until = std::max(line.rests_until, now + (*rest > Duration::zero() ? *rest : options_.rest));
  } else if (well && line.window > 0) {
    line.window += 1 / line.window;
    if (line.window > kWideOpen) line.window = 0;
  }
  --tenant.under_way;
  --line.under_way;
  pump(line);
  tell(line);
  forget_if_idle(who.model);
}

// How many leases the model and each tenant that has had to wait may have now. All tenants of a line are told when one moves: they share it.
void Pace::tell(Line& line) {
  if (!held_) return;
  const auto say = [&](const std::string& tenant, std::uint32_t& told, std::uint32_t most) {
    if (std::exchange(told, most) != most) held_(line.model, tenant, most);
  };
  for (auto at = line.tenants.begin(); at != line.tenants.end();) {
    Tenant& tenant = at->second;
    const bool idle = tenant.in_line() == 0 && tenant.under_way == 0;
    tenant.paced = !idle && (tenant.paced || tenant.in_line() > 0);
    if (!at->first.empty()) say(at->first, tenant.told, tenant.paced ? tenant.under_way + places_of_tenant(line) : kUnpaced);
    at = idle ? line.tenants.erase(at) : std::next(at);
  }
  say({}, line.told, idle(line) ? kUnpaced : line.under_way + places(line));
}

void Pace::forget_if_idle(const std::string& model) {
  const auto at = lines_.find(model);
  if (at == lines_.end()) return;
  if (idle(*at->second)) lines_.erase(at);
}

}  // namespace ballast::work
