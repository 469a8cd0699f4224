// GET /api/live: what happens now, as server-sent events, for as long as whoever asks may read.
#include "base/log.hpp"
#include "net/sse.hpp"
#include "server/live.hpp"
#include "server/reply.hpp"
#include "server/routes.hpp"
#include "server/sessions.hpp"

namespace ballast::server {

namespace {

constexpr Duration kKeepAlive = std::chrono::seconds(15);

Task<void> follow(net::Exchange& exchange, const Parts& parts, std::shared_ptr<LiveFollower> follower) {
  MonoTime told = parts.clock.mono();
  for (;;) {
    std::string news = co_await follower->take(told + kKeepAlive);
    const bool over = follower->ended() || !may_still(exchange, parts, gateway::Scope::read);
    if (over) co_return;
    if (news.empty()) news = ": keep\n\n";
    const auto sent = co_await exchange.write(news);
    if (!sent) co_return;
    told = parts.clock.mono();
  }
}

}  // namespace

Task<bool> live_api(net::Exchange& exchange, const Parts& parts) {
  const auto& request = exchange.request();
  if (request.path != "/api/live" || request.method != "GET" || !parts.live) co_return false;
  const auto who = require_scope(exchange, parts, gateway::Scope::read);
  if (!who) {
    co_await reply_problem(exchange, who.error());
    co_return true;
  }
  const auto follower = parts.live->join(exchange.loop());
  if (!follower) {
    co_await reply_problem(exchange, Error{ErrorCode::internal_unavailable, "as many follow as may, or this node is going away: try again in a while"});
    co_return true;
  }
  CancelHook gone;
  gone.attach(exchange.gone(), [](void* f) { static_cast<LiveFollower*>(f)->end(); }, follower.get());
  std::string hello = "retry: 2000\n\n";
  net::sse_write(hello, "hello", to_json(json::object{{"version", parts.version}, {"at", to_rfc3339(parts.clock.wall())}}));
  const auto begun = co_await exchange.start_stream(200, {{"content-type", "text/event-stream"}, {"cache-control", "no-store"}, {"x-accel-buffering", "no"}}, hello);
  if (begun) co_await follow(exchange, parts, follower);
  gone.detach();
  parts.live->leave(follower);
  const auto finished = co_await exchange.finish();
  (void)finished;                            // whoever left wants nothing
  co_return true;
}

}  // namespace ballast::server
