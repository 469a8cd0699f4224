// The configuration in force as GET /api/config shows it: made by whoever knows the configuration, at the start and at each reload. Thread-safe.
#pragma once
#include <memory>
#include <mutex>
#include <string>

#include "base/json.hpp"

namespace ballast::server {

class ShownConfig {
 public:
  // Without secrets: all of it is shown to whoever may read.
  void use(const json::object& values) {
    auto next = std::make_shared<const std::string>(to_json(values));
    const std::lock_guard hold(mutex_);
    text_ = std::move(next);
  }
  std::shared_ptr<const std::string> text() const {
    const std::lock_guard hold(mutex_);
    return text_;
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const std::string> text_ = std::make_shared<const std::string>("{}");
};

}  // namespace ballast::server
