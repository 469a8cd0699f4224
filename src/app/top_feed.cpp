#include "app/top_feed.hpp"

namespace ballast::app {

void LiveFigures::take(std::string_view bytes) {
  const std::scoped_lock lock(mutex_);
  parser_.push(bytes);
  for (;;) {
    const auto event = parser_.next();
    if (!event || !*event) return;
    if ((*event)->event != "figures") continue;
    auto figures = parse_json((*event)->data, {.max_bytes = 64 * 1024, .max_depth = 4});
    if (figures && figures->is_object() && ++seen_ > 1) newest_ = std::move(*figures);
  }
}

json::value LiveFigures::newest() const {
  const std::scoped_lock lock(mutex_);
  return newest_;
}

void TopFeed::look() {
  if (follow_ && !follow_->over()) {
    if (newest() != nullptr) trouble_.clear();
    return;
  }
  if (follow_) trouble_ = follow_->why();
  follow_.reset();
  live_ = std::make_unique<LiveFigures>();
  follow_ = access_.follow("/api/live", [live = live_.get()](std::string_view bytes) { live->take(bytes); });
}

}  // namespace ballast::app
