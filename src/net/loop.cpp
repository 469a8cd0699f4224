#include "net/loop.hpp"

#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <cassert>
#include <ctime>
#include <exception>
#include <string>
#include <thread>

#include "base/log.hpp"
#include "net/core.hpp"

namespace ballast::net {
namespace {
thread_local Loop* current_loop = nullptr;

// A loop runs for microseconds at a time. Told so, the kernel (6.12 and later) lets it interrupt what computes beside it on the same
// core, the importer above all, instead of after that thread's slice of milliseconds. Elsewhere this changes nothing.
void ask_for_short_slices() {
  struct {                                // sched_attr of sched_setattr(2); the C library's headers have none
    std::uint32_t size, policy;
    std::uint64_t flags;
    std::int32_t nice;
    std::uint32_t priority;
    std::uint64_t runtime, deadline, period;
    std::uint32_t util_min, util_max;
  } want{};
  want.size = sizeof want;
  if (::syscall(SYS_sched_getattr, 0, &want, sizeof want, 0) != 0) return;
  want.runtime = 100'000;           // ns, the least there is
  (void)::syscall(SYS_sched_setattr, 0, &want, 0);
}

}  // namespace

// UNSAFE_IO: sockets and timers are touched by the loop's thread only, so the reactor needs no locks; posting keeps its own.
Loop::Core::Core(const Clock& clock)
    : io(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE_IO), work(io.get_executor()), wheel(clock.mono()), wake(io) {}

void Outbox::add(QueuedSend& message) {
  if (!first_) {
    first_ = &message;
    asio::post(io_, [this] { flush(); });
  } else {
    last_->next = &message;
  }
  last_ = &message;
  if (!unsent_) unsent_ = &message;
  if (++count_ >= kMost) send_all();
}

void Outbox::send_all() {
  for (auto* m = unsent_; m; m = m->next) m->send(*m);
  unsent_ = nullptr;
  count_ = 0;
}

// Everything is sent before anybody goes on: whoever goes on may add to the next turn's messages.
void Outbox::flush() {
  send_all();
  auto* m = std::exchange(first_, nullptr);
  last_ = nullptr;
  while (m) {
    auto* next = m->next;                // `m` dies with the frame that goes on
    m->waiter.resume();
    m = next;
  }
}

void Loop::Core::schedule(Loop& loop) {
  const auto due = wheel.next_due();
  if (!due) return;                    // a wake-up that finds nothing costs less than taking it back
  if (*due >= wake_at) return;
  wake_at = *due;
  const Duration wait = *due - loop.clock().mono();
  wake.expires_after(wait.count() > 0 ? wait : Duration(0));
  wake.async_wait([this, &loop](const boost::system::error_code& failed) {
    if (failed) return;                // re-armed for an earlier time
    wake_at = MonoTime::max();
    advancing = true;
    wheel.advance(loop.clock().mono());
    advancing = false;
    schedule(loop);
  });
}

std::string_view Loop::Core::http_date(const Clock& clock) {
  const MonoTime now = clock.mono();
  if (now >= date_until) {
    const WallTime wall = clock.wall();
    const auto seconds = std::chrono::floor<std::chrono::seconds>(wall.time_since_epoch());
    const std::time_t t = seconds.count();
    std::tm parts{};
    gmtime_r(&t, &parts);
    std::strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &parts);
    date_until = now + (seconds + std::chrono::seconds(1) - wall.time_since_epoch());
  }
  return {date, 29};
}

Loop::Loop(LoopGroup&, unsigned index, const Clock& clock) : clock_(clock), index_(index), core_(std::make_unique<Core>(clock)) {}
Loop::~Loop() = default;

void Loop::post(std::function<void()> f) { asio::post(core_->io, std::move(f)); }
void Loop::resume(std::coroutine_handle<> h) {
  asio::post(core_->io, [h] { h.resume(); });
}
void Loop::arm(Timer& timer, MonoTime due, Timer::Callback callback, void* context) {
  assert(on_this_thread() || current_loop == nullptr);
  core_->wheel.arm(timer, due, callback, context);
  if (!core_->advancing && due < core_->wake_at) core_->schedule(*this);
}
bool Loop::on_this_thread() const { return current_loop == this; }

struct LoopGroup::Threads {
  std::vector<std::thread> threads;
};

LoopGroup::LoopGroup(unsigned loops, const Clock& clock) : threads_(std::make_unique<Threads>()) {
  for (unsigned i = 0; i < (loops ? loops : 1); ++i) loops_.push_back(std::make_unique<Loop>(*this, i, clock));
}

LoopGroup::~LoopGroup() { stop(); }

void LoopGroup::start() {
  assert(threads_->threads.empty());
  for (auto& loop : loops_)
    threads_->threads.emplace_back([l = loop.get()] {
      current_loop = l;
      ask_for_short_slices();
      ::pthread_setname_np(::pthread_self(), ("loop-" + std::to_string(l->index())).c_str());
      for (bool ended = false; !ended;) {
        try {
          l->core().io.run();
          ended = true;
        } catch (const std::exception& e) {   // from a posted function: a bug, but not the end of every other call
          log::error("loop_escaped", {{"what", log::redact(e.what())}, {"loop", l->index()}});
        }
      }
      current_loop = nullptr;
    });
}

bool LoopGroup::running() const { return !threads_->threads.empty(); }

void LoopGroup::stop() {
  for (auto& loop : loops_) loop->core().io.stop();
  for (auto& t : threads_->threads) t.join();
  threads_->threads.clear();
}

Loop* LoopGroup::current() { return current_loop; }

}  // namespace ballast::net
