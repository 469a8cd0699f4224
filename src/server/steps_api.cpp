// GET /api/steps: the decision of a call that is about to be made, step by step, for whoever makes it.
#include "net/sse.hpp"
#include "server/reply.hpp"
#include "server/routes.hpp"
#include "server/sessions.hpp"
#include "server/steps.hpp"

namespace ballast::server {

namespace {

constexpr Duration kKeepAlive = std::chrono::seconds(15);
constexpr Duration kPatience = std::chrono::seconds(30);   // for the call to begin

Task<void> follow(net::Exchange& exchange, const Parts& parts, StepsFollower& follower) {
  const MonoTime since = parts.clock.mono();
  for (;;) {
    const MonoTime now = parts.clock.mono();
    std::string news = co_await follower.news().take(follower.begun() ? now + kKeepAlive : std::min(now + kKeepAlive, since + kPatience));
    if (!may_still(exchange, parts, gateway::Scope::usage)) co_return;
    const bool over = follower.news().ended();
    if (over) news += co_await follower.news().take(parts.clock.mono());   // what came between
    if (!over && !follower.begun() && parts.clock.mono() >= since + kPatience) follower.over({});
    if (news.empty() && !over) news = ": keep\n\n";
    const auto sent = news.empty() ? Result<void>{} : co_await exchange.write(news);
    if (!sent || over) co_return;
  }
}

}  // namespace

Task<bool> steps_api(net::Exchange& exchange, const Parts& parts) {
  const auto& request = exchange.request();
  if (request.path != "/api/steps" || request.method != "GET" || !parts.steps) co_return false;
  const auto who = require_scope(exchange, parts, gateway::Scope::usage);
  if (!who) {
    co_await reply_problem(exchange, who.error());
    co_return true;
  }
  const std::string name = query(request, "name");
  const auto joined = parts.steps->join(name, who->key_id(), exchange.loop());
  if (!joined) {
    co_await reply_problem(exchange, joined.error());
    co_return true;
  }
  StepsFollower& follower = **joined;
  CancelHook gone;
  gone.attach(exchange.gone(), [](void* f) { static_cast<StepsFollower*>(f)->news().end(); }, &follower);
  std::string hello;
  net::sse_write(hello, "hello", to_json(json::object{{"name", name}}));
  const auto begun = co_await exchange.start_stream(200, {{"content-type", "text/event-stream"}, {"cache-control", "no-store"}, {"x-accel-buffering", "no"}}, hello);
  if (begun) co_await follow(exchange, parts, follower);
  gone.detach();
  parts.steps->leave(name, *joined);
  const auto finished = co_await exchange.finish();
  (void)finished;                            // whoever left wants nothing
  co_return true;
}

}  // namespace ballast::server
