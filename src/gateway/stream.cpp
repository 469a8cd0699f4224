#include "gateway/stream.hpp"

#include <algorithm>

namespace ballast::gateway {

Task<void> StreamOut::flush() {
  if (!left_ && !pending_.empty()) {
    if (committed_) {
      if (!co_await sink_.write(pending_)) left_ = true;
    } else if (may_commit_ && !may_commit_()) {
      left_ = true;                        // another stream won: nobody listens to this one
    } else {
      committed_ = true;
      first_byte_ = sink_.loop().clock().mono();
      if (!co_await sink_.begin(head_(), pending_)) left_ = true;
    }
  }
  pending_.clear();
}

Task<Result<void>> StreamOut::finish() {
  if (!committed_) co_await flush();
  if (left_) co_return fail(ErrorCode::caller_cancelled, "the caller left before the end of the answer");
  const auto ended = co_await sink_.end(pending_);
  pending_.clear();
  co_return ended;
}

Task<void> StreamOut::cut() {
  co_await flush();
  sink_.abort();
}

namespace {

// Until when the next read may take.
MonoTime read_deadline(const Relay& relay, const StreamTimers& timers, MonoTime now, MonoTime dispatched,
                       std::optional<MonoTime> left_at) {
  MonoTime due = relay.all_finished()   ? now + timers.after_finish
                 : relay.content_seen() ? now + timers.idle
                                        : dispatched + timers.first_token;
  if (left_at) due = std::min(due, *left_at + timers.drain);
  return std::min(due, timers.total);
}

// Feeds every whole event; an error ends the stream.
Result<void> feed(net::SseParser& parser, std::string_view bytes, Relay& relay, std::string& out) {
  parser.push(bytes);
  for (;;) {
    auto event = parser.next();
    if (!event) return fail(event.error());
    if (!*event) return {};
    if (relay.terminal()) continue;                          // nothing after the last word counts
    if (auto ok = relay.event(**event, out); !ok) return ok;
  }
}

Error name_timer(Error error, const Relay& relay) {
  if (error.code == ErrorCode::provider_timeout) {
    error.field = relay.content_seen() ? "idle" : "first_token";
    error.message = relay.content_seen() ? "the provider's stream fell silent" : "the provider sent no first token in time";
  }
  return error;
}

// What a read brought: true if there is more to read; else `result` says how the stream ended. Not inlined: the pump's frame, which
// lives as long as the stream, would have room for all of it.
[[gnu::noinline]] bool digest(Result<std::string_view>& bytes, net::SseParser& parser, Relay& relay, StreamOut& out, const Clock& clock,
                              PumpResult& result) {
  if (!bytes && !relay.all_finished()) {
    const ErrorCode code = bytes.error().code;
    result.theirs = code != ErrorCode::provider_timeout && code != ErrorCode::caller_cancelled;
    result.end = fail(name_timer(std::move(bytes.error()), relay));
    return false;
  }
  if (!bytes || bytes->empty()) {
    result.theirs = true;
    result.end = relay.end(out.pending());
    return false;
  }
  auto fed = feed(parser, *bytes, relay, out.pending());
  if (relay.content_seen() && !result.first_content) result.first_content = clock.mono();
  if (!fed) {
    result.theirs = relay.told_error();
    result.end = std::move(fed);
    return false;
  }
  if (!relay.terminal()) return true;
  result.theirs = true;
  result.end = relay.end(out.pending());
  return false;
}

}  // namespace

Task<void> pump(net::ClientResponse& response, Relay& relay, StreamOut& out, ReplySink& sink, StreamTimers timers, MonoTime dispatched,
                unsigned hold_back, PumpResult& result) {
  net::SseParser parser;
  std::optional<MonoTime> left_at;
  for (;;) {
    const Clock& clock = sink.loop().clock();
    const MonoTime now = clock.mono();
    const auto gone = sink.gone();
    if (!left_at && (out.caller_left() || (gone && gone->cancelled()))) left_at = now;
    {
      auto bytes = co_await response.read_some(read_deadline(relay, timers, now, dispatched, left_at));
      if (!bytes && !relay.all_finished()) result.nobody_listened = left_at.has_value();
      if (!digest(bytes, parser, relay, out, clock, result)) co_return;
    }
    const bool commit = relay.content_seen() && relay.tokens_seen() >= hold_back && relay.may_commit();
    if (out.committed() || commit) co_await out.flush();
  }
}

}  // namespace ballast::gateway
