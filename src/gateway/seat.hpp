// Seat: room in the limits, drawn for a call before it begins, so that work that can wait waits outside the road and is never refused on it.
#pragma once
#include <memory>
#include <string>

#include "gateway/limits.hpp"
#include "gateway/principal.hpp"

namespace ballast::gateway {

// What a call will be admitted with: its caller's room, and that of the target it is likely to go to. Move-only; what the road did not
// take is given back when it dies, as if it had never been drawn.
class Seat {
 public:
  Seat() = default;
  Seat(std::shared_ptr<Limits> limits, Admission caller, std::string target, Admission room)
      : limits_(std::move(limits)), caller_(std::move(caller)), target_(std::move(target)), room_(std::move(room)) {}
  Seat(Seat&& o) noexcept = default;
  Seat& operator=(Seat&& o) noexcept {
    give_back();
    limits_ = std::move(o.limits_);
    caller_ = std::move(o.caller_);
    target_ = std::move(o.target_);
    room_ = std::move(o.room_);
    return *this;
  }
  ~Seat() { give_back(); }

  // The caller's room, if it was drawn of these limits and is still here; else an empty one.
  Admission take_caller(const Limits* limits) { return limits_.get() == limits ? std::move(caller_) : Admission{}; }
  // Likewise the target's, if the call goes to it.
  Admission take_target(const Limits* limits, std::string_view target) {
    return limits_.get() == limits && target_ == target ? std::move(room_) : Admission{};
  }

 private:
  void give_back() {
    caller_.refund();
    room_.refund();
  }
  std::shared_ptr<Limits> limits_;         // outlives what was drawn of it
  Admission caller_;
  std::string target_;
  Admission room_;
};

}  // namespace ballast::gateway
