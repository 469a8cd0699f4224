#include "work/feed.hpp"

#include <cassert>
#include <utility>

namespace ballast::work {

Feed::~Feed() { assert(followers_.empty() || closed_); }

void Feed::follow(std::uint64_t ticket, JobId job) {
  Follower& f = followers_[ticket];
  f.feed = this;
  f.job = job;
  by_job_.emplace(job, ticket);
}

void Feed::leave(std::uint64_t ticket) {
  const auto at = followers_.find(ticket);
  if (at == followers_.end()) return;
  const auto [first, last] = by_job_.equal_range(at->second.job);
  for (auto it = first; it != last; ++it)
    if (it->second == ticket) {
      by_job_.erase(it);
      break;
    }
  const auto waiter = at->second.waiter;
  followers_.erase(at);
  if (waiter) home_.resume(waiter);
}

void Feed::wake(Follower& f) {
  f.timer.cancel();
  if (const auto waiter = std::exchange(f.waiter, {})) home_.resume(waiter);
}

Task<bool> Feed::wait(std::uint64_t ticket, MonoTime deadline) {
  struct Wait {
    Feed& feed;
    Follower& f;
    MonoTime deadline;
    bool await_ready() const noexcept { return f.fresh || feed.closed_; }
    void await_suspend(std::coroutine_handle<> h) const {
      f.waiter = h;
      feed.home_.arm(f.timer, deadline, [](void* self) {
        auto* follower = static_cast<Follower*>(self);
        follower->feed->wake(*follower);
      }, &f);
    }
    void await_resume() const noexcept {}
  };
  auto at = followers_.find(ticket);
  if (at == followers_.end()) co_return false;
  co_await Wait{*this, at->second, deadline};
  at = followers_.find(ticket);              // it may have left meanwhile
  if (at == followers_.end() || closed_) co_return false;
  co_return std::exchange(at->second.fresh, false);
}

void Feed::notify(JobId job) {
  const auto [first, last] = by_job_.equal_range(job);
  for (auto it = first; it != last; ++it) {
    Follower& f = followers_.find(it->second)->second;
    f.fresh = true;
    wake(f);
  }
}

std::vector<JobId> Feed::followed() const {
  std::vector<JobId> out;
  for (auto at = by_job_.begin(); at != by_job_.end(); at = by_job_.equal_range(at->first).second) out.push_back(at->first);
  return out;
}

void Feed::close() {
  closed_ = true;
  for (auto& [ticket, f] : followers_) wake(f);
}

}  // namespace ballast::work
