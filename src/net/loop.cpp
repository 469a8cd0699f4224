#include "net/loop.hpp"

#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <ctime>
#include <exception>
#include <iterator>
#include <string>
#include <system_error>
#include <thread>

#include "base/log.hpp"
#include "base/thread.hpp"
#include "net/channel.hpp"

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

// The C library opens a thread's heap to it page by page, each time under the process's memory lock, which whoever readies the journal's
// pages may hold for milliseconds; and each page is a fault when it is first used. What was opened once stays open, so it is done here for what
// a loop is likely to come to use, and the first of it is touched. That stays in memory while what is returned, which stands behind it, is held: the
// library gives back only what is free to the heap's end.
std::unique_ptr<char[]> open_heap() {
  constexpr std::size_t piece = std::size_t{96} << 10, pieces = 340;        // 32 MiB, half of such a heap; pieces below what would be mapped alone
  constexpr std::size_t used = 11;                                          // 1 MiB: what some thousands of calls a second come to use
  std::vector<std::unique_ptr<char[]>> taken(pieces);
  std::unique_ptr<char[]> behind;
  for (std::size_t i = 0; i < pieces; ++i) {
    taken[i] = std::make_unique_for_overwrite<char[]>(piece);
    if (i < used)
      for (std::size_t at = 0; at < piece; at += 4096) static_cast<volatile char*>(taken[i].get())[at] = 0;
    if (i + 1 == used) behind = std::make_unique_for_overwrite<char[]>(1);
  }
  while (!taken.empty()) taken.pop_back();                                  // from the end, so that they melt together
  return behind;
}

}  // namespace

Loop::Core::Core(const Clock& clock) : clock_(clock), wheel_(clock.mono()) {
  epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
  wake_ = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  epoll_event event{.events = EPOLLIN | EPOLLET, .data = {.ptr = nullptr}};
  if (epoll_ < 0 || wake_ < 0 || ::epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_, &event) != 0)
    throw std::system_error(errno, std::generic_category(), "an event loop cannot be made");
}

Loop::Core::~Core() {
  if (epoll_ >= 0) ::close(epoll_);
  if (wake_ >= 0) ::close(wake_);
}

void Loop::Core::run() {
  while (!stopping_.load(std::memory_order_acquire)) turn();
}

void Loop::Core::stop() {
  stopping_.store(true, std::memory_order_release);
  const std::uint64_t one = 1;
  (void)!::write(wake_, &one, sizeof one);
}

int Loop::Core::patience() const {
  if (!posted_here_.empty() || !running_.empty() || !again_.empty() || !telling_.empty() || !outbox.empty() || posted_.load(std::memory_order_acquire)) return 0;
  if (vigil.lasts(clock_)) return 0;
  if (wake_at_ == MonoTime::max()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(wake_at_ - clock_.mono()).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, 60'000));
}

void Loop::Core::turn() {
  if (event_ == events_end_) {            // else a handler threw, and the rest of its turn follows
    const int n = ::epoll_wait(epoll_, events_.data(), static_cast<int>(events_.size()), patience());
    event_ = 0;
    events_end_ = static_cast<std::size_t>(std::max(n, 0));
  }
  tell_channels();
  if (wake_at_ != MonoTime::max()) {
    if (const MonoTime now = clock_.mono(); now >= wake_at_) {
      wheel_.advance(now);
      wake_at_ = wheel_.next_due().value_or(MonoTime::max());
    }
  }
  run_posted();
  outbox.flush();
}

void Loop::Core::tell_channels() {
  if (telling_.empty()) telling_.swap(again_);
  while (telling_at_ < telling_.size())
    if (Channel* channel = telling_[telling_at_++]) channel->happened(EPOLLIN);
  telling_.clear();
  telling_at_ = 0;
  while (event_ < events_end_) {
    const epoll_event& event = events_[event_++];
    if (auto* channel = static_cast<Channel*>(event.data.ptr)) channel->happened(event.events);
  }
}

void Loop::Core::run_posted() {
  if (running_.empty()) {
    running_.swap(posted_here_);
    if (posted_.exchange(false, std::memory_order_acq_rel)) {
      const std::lock_guard lock(mutex_);
      std::ranges::move(posted_elsewhere_, std::back_inserter(running_));
      posted_elsewhere_.clear();
    }
  }
  while (running_at_ < running_.size()) {
    Posted next = std::move(running_[running_at_++]);
    if (next.handle) next.handle.resume();
    else next.function();
  }
  running_.clear();
  running_at_ = 0;
}

void Loop::Core::post(std::coroutine_handle<> h, std::function<void()> f) {
  if (current_loop && &current_loop->core() == this) {
    posted_here_.push_back({h, std::move(f)});
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    posted_elsewhere_.push_back({h, std::move(f)});
  }
  if (posted_.exchange(true, std::memory_order_acq_rel)) return;     // it has been woken
  const std::uint64_t one = 1;
  (void)!::write(wake_, &one, sizeof one);
}

void Loop::Core::arm(Timer& timer, MonoTime due, Timer::Callback callback, void* context) {
  wheel_.arm(timer, due, callback, context);
  wake_at_ = std::min(wake_at_, due);
}

bool Loop::Core::add(int fd, Channel& channel) {
  epoll_event event{.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data = {.ptr = &channel}};
  return ::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0;
}

void Loop::Core::forget(const Channel& channel) {
  for (std::size_t i = event_; i < events_end_; ++i)
    if (events_[i].data.ptr == &channel) events_[i].data.ptr = nullptr;
  for (auto* list : {&again_, &telling_}) std::ranges::replace(*list, const_cast<Channel*>(&channel), nullptr);
}

void Loop::Core::tell_again(Channel& channel) { again_.push_back(&channel); }

void Outbox::add(QueuedSend& message) {
  (first_ ? last_->next : first_) = &message;
  last_ = &message;
  if (!unsent_) unsent_ = &message;
  if (++count_ >= kMost) send_all();
}

void Outbox::send_all() {
  for (auto* m = unsent_; m; m = m->next) m->send(*m);
  unsent_ = nullptr;
  count_ = 0;
}

void Outbox::flush() {
  send_all();
  if (!sent_) {
    sent_ = std::exchange(first_, nullptr);
    last_ = nullptr;
  }
  while (sent_) {
    auto* next = std::exchange(sent_, sent_->next);     // it dies with the frame that goes on
    next->waiter.resume();
  }
}

std::string_view Loop::Core::http_date() {
  const MonoTime now = clock_.mono();
  if (now >= date_until_) {
    const WallTime wall = clock_.wall();
    const auto seconds = std::chrono::floor<std::chrono::seconds>(wall.time_since_epoch());
    const std::time_t t = seconds.count();
    std::tm parts{};
    gmtime_r(&t, &parts);
    std::strftime(date_, sizeof date_, "%a, %d %b %Y %H:%M:%S GMT", &parts);
    date_until_ = now + (seconds + std::chrono::seconds(1) - wall.time_since_epoch());
  }
  return {date_, 29};
}

Loop::Loop(LoopGroup&, unsigned index, const Clock& clock) : clock_(clock), index_(index), core_(std::make_unique<Core>(clock)) {}
Loop::~Loop() = default;

void Loop::post(std::function<void()> f) { core_->post({}, std::move(f)); }
void Loop::resume(std::coroutine_handle<> h) { core_->post(h, {}); }
void Loop::arm(Timer& timer, MonoTime due, Timer::Callback callback, void* context) {
  assert(on_this_thread() || current_loop == nullptr);
  core_->arm(timer, due, callback, context);
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
      const auto heap = open_heap();
      name_this_thread("loop-" + std::to_string(l->index()));
      for (bool ended = false; !ended;) {
        try {
          l->core().run();
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
  for (auto& loop : loops_) loop->core().stop();
  for (auto& t : threads_->threads) t.join();
  threads_->threads.clear();
}

Loop* LoopGroup::current() { return current_loop; }

}  // namespace ballast::net
