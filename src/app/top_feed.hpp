// The figures of the last second, as GET /api/live sends them while somebody follows.
#pragma once
#include <memory>
#include <mutex>
#include <string>

#include "app/access.hpp"
#include "net/sse.hpp"

namespace ballast::app {

// Bytes of the stream in, the newest `figures` out. Thread-safe.
class LiveFigures {
 public:
  void take(std::string_view bytes);
  // Null: none yet. The first that a server makes are of no time at all, so they do not count.
  json::value newest() const;

 private:
  mutable std::mutex mutex_;
  net::SseParser parser_;
  int seen_ = 0;
  json::value newest_;
};

// Follows a server; begins again where it broke off.
class TopFeed {
 public:
  explicit TopFeed(Access& access) : access_(access) {}
  // Once per look.
  void look();
  json::value newest() const { return live_ ? live_->newest() : json::value(nullptr); }
  // Why there are none; empty: there are, or they are about to come.
  const std::string& trouble() const { return trouble_; }

 private:
  Access& access_;
  std::string trouble_;
  std::unique_ptr<LiveFigures> live_;
  std::unique_ptr<Follow> follow_;       // it writes into live_
};

}  // namespace ballast::app
