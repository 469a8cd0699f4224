// Steps: a call's decision as it happens, for whoever made the call. A page opens GET /api/steps under a name that it has just made up, waits
// for `hello`, and sends its call with that name in x-ballast-steps; the road then tells each step as it is taken (gateway/step_listener.hpp).
//
// A name counts for calls of the key that follows, and for one of them: who guesses another's name hears nothing and changes nothing.
// Everything is bounded: followers, those of one key, what waits for one of them, and how long one waits for its call. While nobody follows
// a call costs one look at a counter.
#pragma once
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "gateway/step_listener.hpp"
#include "server/live.hpp"

namespace ballast::server {

// Any thread, but for `news().take`, which is for the loop it was made for.
class StepsFollower {
 public:
  StepsFollower(Scheduler& loop, std::string key_id, std::size_t most_bytes)
      : key_id_(std::move(key_id)), queue_(std::make_shared<LiveFollower>(loop, most_bytes)) {}
  const std::string& key_id() const { return key_id_; }
  LiveFollower& news() { return *queue_; }
  bool begun() const { return begun_.load(); }
  // True for the first call of the key, once.
  bool begin(std::string_view key_id, std::string_view call_id);
  void step(std::string_view step);
  void over(std::string_view call_id);       // the last word: `end`; the call's id is empty where none came

 private:
  const std::string key_id_;
  std::atomic<bool> begun_{false};
  std::shared_ptr<LiveFollower> queue_;
};

// One call that names a follower, for as long as it is served.
class StepsOfCall final : public gateway::StepListener {
 public:
  explicit StepsOfCall(std::shared_ptr<StepsFollower> follower) : follower_(std::move(follower)) {}
  ~StepsOfCall() override;
  StepsOfCall(const StepsOfCall&) = delete;
  StepsOfCall& operator=(const StepsOfCall&) = delete;
  bool begins(std::string_view key_id, std::string_view call_id) override;
  void heard(std::string_view step) override { follower_->step(step); }

 private:
  std::shared_ptr<StepsFollower> follower_;
  std::string call_id_;                      // once it has begun
};

class Steps {
 public:
  struct Options {
    std::size_t followers = 64, of_one_key = 8;
    std::size_t bytes = 64u << 10;           // that wait for one of them: some decision records
  };
  explicit Steps(Options options) : options_(options) {}

  // Refuses a name that is too short to be secret, too long, or taken; and more followers than may be.
  Result<std::shared_ptr<StepsFollower>> join(std::string_view name, std::string key_id, Scheduler& loop);
  void leave(std::string_view name, const std::shared_ptr<StepsFollower>& follower);
  // What a call says in x-ballast-steps; null: nobody follows it.
  std::unique_ptr<StepsOfCall> of(std::string_view name) const;
  std::size_t followers() const { return count_.load(std::memory_order_relaxed); }
  // Nobody joins any more, and who waits for a call is let go; those whose call is under way hear its end. Idempotent.
  void stop();

 private:
  const Options options_;
  std::atomic<std::size_t> count_{0};
  mutable std::mutex mutex_;                 // guards what follows
  std::map<std::string, std::shared_ptr<StepsFollower>, std::less<>> all_;
  bool stopping_ = false;
};

}  // namespace ballast::server
