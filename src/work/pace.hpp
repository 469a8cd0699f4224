// Pace: who may call a model next. Work that finds no room in the limits waits here, in order, and is let go when there is room, so that a
// backlog drains at the pace of the limits without being refused again and again.
//
// One line for each model; in it tenants take turns, each tenant's in order of arrival. Only the head of each tenant asks for room, when
// there may be some: after the time a refusal named, or when a call has ended. A model whose provider asked for rest (429 with or without
// Retry-After) rests for all; afterwards as many are under way at once as went well (additive increase, multiplicative decrease: RFC 5681).
//
// What waits here holds a lease. `Held` is told how many leases a model, or one tenant of it, may have as long as somebody waits, so that
// the others stay on the board in their order, and other models' jobs have their turn. A tenant that only its own limits hold back holds
// back nobody else.
//
// Single-threaded: the home loop. Bounds: a line for each model that somebody waits or calls for.
#pragma once
#include <coroutine>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/cancel.hpp"
#include "base/result.hpp"
#include "base/scheduler.hpp"
#include "base/task.hpp"
#include "work/board.hpp"

namespace ballast::work {

class Pace {
 public:
  struct Options {
    std::uint32_t waiting = 128;             // of a model at once, and
    std::uint32_t waiting_of_tenant = 16;    // of one tenant: fewer where many tenants wait. Beyond them `turn` refuses at once
    Duration poll = std::chrono::milliseconds(50);       // where nobody knows when there will be room
    Duration rest = std::chrono::seconds(1);             // asked for without saying how long
  };
  // How room is drawn. Nothing: it has been taken. Else when to ask again; MonoTime::max(): nobody knows.
  using Draw = std::function<std::optional<MonoTime>()>;
  // At most `most` of the model's leases from now on (kUnpaced: any number); `tenant` empty: of all tenants together.
  using Held = std::function<void(const std::string& model, const std::string& tenant, std::uint32_t most)>;

  Pace(Scheduler& home, Options options);
  ~Pace();                                   // after every turn has ended
  void on_held(Held held) { held_ = std::move(held); }

  // Whose call of which model. What may wait has a turn of its own, after everybody who may not: when none of them can take one.
  struct Who {
    std::string model, tenant;
    bool may_wait = false;
  };
  // Waits for room and takes it. After success the call is under way until `ended`. policy_rate_limited with retry_after: too many wait,
  // or none came until `deadline`; caller_cancelled. `draw` is called inside `turn` and until it ends, never after.
  Task<Result<void>> turn(Who who, Draw draw, MonoTime deadline, CancelToken cancel);
  // How it went: well, or with the rest that the provider asked for (zero: it did not say how long).
  void ended(const Who& who, std::optional<Duration> rest = {}, bool well = true);

  std::size_t waiting(std::string_view model) const;

 private:
  struct Waiter;
  struct Tenant {
    std::deque<Waiter*> waiting[2];          // those who may not wait; those who may
    std::size_t in_line() const { return waiting[0].size() + waiting[1].size(); }
    std::uint32_t under_way = 0;
    std::uint32_t told = kUnpaced;
    bool paced = false;                      // has had to wait, and has not been idle since
  };
  struct Line {
    std::string model;
    std::map<std::string, Tenant> tenants;
    std::deque<std::string> ring[2];         // tenants of whom somebody waits, of either kind
    std::size_t rings() const { return ring[0].size() + ring[1].size(); }
    std::uint32_t waiting = 0, under_way = 0, told = kUnpaced;
    double window = 0;                       // under way at once, after a rest; 0: any number
    MonoTime rests_until{};
    Timer timer;
    Pace* pace = nullptr;
  };
  Line& line_of(const std::string& model);
  bool may_call(const Line& line) const;
  bool idle(const Line& line) const;
  std::uint32_t places(const Line& line) const;
  std::uint32_t places_of_tenant(const Line& line) const;
  void enter(Line& line, Waiter& waiter);
  void leave(Line& line, Waiter& waiter);
  void pump(Line& line);
  void let_go(Line& line, bool may_wait, MonoTime now, MonoTime& next);
  void tell(Line& line);
  void forget_if_idle(const std::string& model);

  Scheduler& home_;
  const Options options_;
  Held held_;
  std::map<std::string, std::unique_ptr<Line>, std::less<>> lines_;
};

}  // namespace ballast::work
