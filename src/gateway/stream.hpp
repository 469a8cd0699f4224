// Pumping one upstream stream through a Relay to the caller: timers, hold-back, the moment of commitment.
#pragma once
#include <functional>
#include <optional>
#include <string>

#include "base/clock.hpp"
#include "gateway/call.hpp"
#include "gateway/relay.hpp"
#include "net/transport.hpp"

namespace ballast::gateway {

struct StreamTimers {
  Duration first_token = std::chrono::seconds(30);   // from dispatch to the first content
  Duration idle = std::chrono::seconds(30);          // between reads, once content flows
  Duration after_finish = std::chrono::seconds(1);   // for usage and terminator, once a finish reason was seen
  Duration drain = std::chrono::seconds(10);         // reading on for the usage, once the caller has left
  MonoTime total = MonoTime::max();                  // the whole attempt
};

// The caller's side of a streamed answer, over all its attempts. Nothing is sent until `commit`: what is held back can still
// be thrown away.
class StreamOut {
 public:
  // `head` makes the reply head at the moment of commitment, when it is known who serves.
  StreamOut(ReplySink& sink, std::function<ReplyHead()> head) : sink_(sink), head_(std::move(head)) {}
  // Of several streams racing for one caller only the one that may commit does: asked once, before the first byte.
  void race(std::function<bool()> may_commit) { may_commit_ = std::move(may_commit); }
  bool committed() const { return committed_; }
  bool caller_left() const { return left_; }
  MonoTime first_byte() const { return first_byte_; }
  std::string& pending() { return pending_; }            // written, not yet sent
  void discard() { pending_.clear(); }
  // Sends what is pending, the head first where it has not been. A failure means that the caller left.
  Task<void> flush();
  // Sends what is pending and the end.
  Task<Result<void>> finish();
  // Sends what is pending and cuts the connection: no client mistakes it for a clean end.
  Task<void> cut();

 private:
  ReplySink& sink_;
  std::function<ReplyHead()> head_;
  std::function<bool()> may_commit_;
  std::string pending_;
  bool committed_ = false;
  bool left_ = false;
  MonoTime first_byte_{};
};

struct PumpResult {
  Result<void>& end;                         // the stream's own end: clean, or why not
  std::optional<MonoTime> first_content;
  bool nobody_listened = false;              // it was given up because the caller had left, not because it was late
  bool theirs = false;                       // the provider ended it, well or badly: it makes no more that we do not see
};

// Reads `response` to its end. On a clean end the last bytes stay in `out.pending()`: the road settles before they go.
// `hold_back` tokens are kept back before the commitment (0: commit with the first content).
Task<void> pump(net::ClientResponse& response, Relay& relay, StreamOut& out, ReplySink& sink, StreamTimers timers, MonoTime dispatched,
                unsigned hold_back, PumpResult& result);

}  // namespace ballast::gateway
