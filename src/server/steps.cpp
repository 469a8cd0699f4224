#include "server/steps.hpp"

#include <algorithm>

#include "net/sse.hpp"

namespace ballast::server {

namespace {

constexpr std::size_t kShortestName = 16, kLongestName = 64;

Result<void> check_name(std::string_view name) {
  const bool fits = name.size() >= kShortestName && name.size() <= kLongestName;
  const bool plain = std::ranges::all_of(name, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_'; });
  if (fits && plain) return {};
  return fail(ErrorCode::caller_invalid_request, "must be 16 to 64 letters, digits, - or _, made up anew for each call", "name");
}

}  // namespace

bool StepsFollower::begin(std::string_view key_id, std::string_view call_id) {
  if (key_id != key_id_ || begun_.exchange(true)) return false;
  std::string bytes;
  net::sse_write(bytes, "call", to_json(json::object{{"call", call_id}}));
  queue_->tell(bytes);
  return true;
}

void StepsFollower::step(std::string_view step) {
  std::string bytes;
  net::sse_write(bytes, "step", step);
  queue_->tell(bytes);
}

void StepsFollower::over(std::string_view call_id) {
  std::string bytes;
  net::sse_write(bytes, "end", to_json(json::object{{"call", call_id.empty() ? json::value(nullptr) : json::value(call_id)}}));
  queue_->tell(bytes);
  queue_->end();
}

StepsOfCall::~StepsOfCall() {
  if (!call_id_.empty()) follower_->over(call_id_);
}

bool StepsOfCall::begins(std::string_view key_id, std::string_view call_id) {
  if (!follower_->begin(key_id, call_id)) return false;
  call_id_ = call_id;
  return true;
}

Result<std::shared_ptr<StepsFollower>> Steps::join(std::string_view name, std::string key_id, Scheduler& loop) {
  if (auto ok = check_name(name); !ok) return fail(std::move(ok.error()));
  const std::lock_guard hold(mutex_);
  if (stopping_) return fail(ErrorCode::internal_unavailable, "this node is going away: try again in a while");
  const auto same_key = [&](const auto& each) { return each.second->key_id() == key_id; };
  if (all_.size() >= options_.followers || static_cast<std::size_t>(std::ranges::count_if(all_, same_key)) >= options_.of_one_key)
    return fail(ErrorCode::internal_unavailable, "as many calls are followed as may be: try again in a while");
  if (all_.contains(name)) return fail(ErrorCode::caller_conflict, "is taken: make up a name for each call", "name");
  auto made = std::make_shared<StepsFollower>(loop, std::move(key_id), options_.bytes);
  all_.emplace(name, made);
  count_.store(all_.size(), std::memory_order_relaxed);
  return made;
}

void Steps::leave(std::string_view name, const std::shared_ptr<StepsFollower>& follower) {
  const std::lock_guard hold(mutex_);
  if (const auto at = all_.find(name); at != all_.end() && at->second == follower) all_.erase(at);
  count_.store(all_.size(), std::memory_order_relaxed);
}

std::unique_ptr<StepsOfCall> Steps::of(std::string_view name) const {
  const std::lock_guard hold(mutex_);
  const auto at = all_.find(name);
  return at == all_.end() ? nullptr : std::make_unique<StepsOfCall>(at->second);
}

void Steps::stop() {
  const std::lock_guard hold(mutex_);
  stopping_ = true;
  for (const auto& [name, follower] : all_)
    if (!follower->begun()) follower->over({});
}

}  // namespace ballast::server
