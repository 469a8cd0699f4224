// A job, live: server-sent events of its state and of what happens while it runs. A client that was cut off goes on where it was: it sends the
// last id it saw (Last-Event-ID). `state` events have no id; the first one and the last one are always told.
#include "net/sse.hpp"
#include "base/text.hpp"
#include "server/job_json.hpp"
#include "server/reply.hpp"
#include "server/routes.hpp"
#include "server/sessions.hpp"
#include "server/work_door.hpp"
#include "work/event_rows.hpp"

namespace ballast::server {

namespace {

constexpr Duration kKeepAlive = std::chrono::seconds(15);
constexpr std::size_t kPage = 500;

struct Seen {
  std::int64_t seq = 0;
  std::uint32_t attempt = 0;
  std::string state;
};

// What the database has that the client has not seen, as event-stream bytes.
struct News {
  std::string bytes;
  bool ended = false;
  bool more = false;
};

Result<News> news_of(store::Tx& tx, work::JobId id, bool running, Seen& seen) {
  News news;
  auto events = work::list_events(tx, id, seen.seq, kPage);
  if (!events) return std::unexpected(std::move(events.error()));
  for (const auto& e : *events) {
    if (seen.attempt != 0 && e.attempt != seen.attempt) net::sse_write(news.bytes, "reset", fmt::format(R"({{"attempt":{}}})", e.attempt));
    seen.attempt = e.attempt;
    seen.seq = e.seq;
    news.bytes += fmt::format("id: {}\n", e.seq);
    net::sse_write(news.bytes, e.kind, e.data);
  }
  news.more = events->size() == kPage;
  if (news.more) return news;
  auto job = work::get_job(tx, id);
  if (!job) return std::unexpected(std::move(job.error()));
  if (!*job) return fail(ErrorCode::caller_not_found, "there is no such job", "id");
  news.ended = work::terminal((*job)->state);
  const std::string state = to_json(job_json(**job, running && !news.ended, news.ended ? Detail::whole : Detail::brief));
  if (state != seen.state) net::sse_write(news.bytes, "state", state);
  seen.state = state;
  return news;
}

// Where a client stands that has seen the event `last`.
Result<Seen> seen_by(store::Tx& tx, work::JobId id, std::int64_t last) {
  Seen seen{.seq = last};
  if (last <= 0) return seen;
  const auto events = work::list_events(tx, id, last - 1, 1);
  if (!events) return std::unexpected(events.error());
  if (!events->empty()) seen.attempt = events->front().attempt;
  return seen;
}

// Until the job has ended, the client has left, may no more or the process ends.
Task<void> follow(const Parts& parts, net::Exchange& exchange, work::JobId id, std::uint64_t ticket, Seen seen) {
  WorkDoor& door = *parts.work;
  for (;;) {
    if (!may_still(exchange, parts, gateway::Scope::call)) co_return exchange.abort();
    const auto running = co_await door.ask(exchange, [&]() -> Task<bool> { co_return (co_await door.jobs().running({id})).front(); });
    const Seen before = seen;
    const auto news = co_await door.engine().database().read(exchange.loop(), [&](store::Tx& tx) {
      seen = before;                         // the body may run again
      return news_of(tx, id, running, seen);
    });
    if (!news) co_return exchange.abort();
    const auto sent = co_await exchange.write(news->bytes);
    if (!sent) co_return;
    if (news->ended) {
      const auto finished = co_await exchange.finish();
      (void)finished;                        // it left with its last event
      co_return;
    }
    if (news->more) continue;
    const auto waited = co_await door.ask(exchange, [&]() -> Task<std::pair<bool, bool>> {
      auto& engine = door.engine();
      const bool fresh = co_await engine.feed().wait(ticket, engine.home().clock().mono() + kKeepAlive);
      co_return std::pair(fresh, engine.feed().closed());
    });
    if (waited.second) {
      const auto finished = co_await exchange.finish();
      (void)finished;
      co_return;
    }
    if (waited.first) continue;
    const auto alive = co_await exchange.write(": keep\n\n");
    if (!alive) co_return;
  }
}

}  // namespace

Task<bool> events_api(net::Exchange& exchange, const Parts& parts) {
  const auto& request = exchange.request();
  constexpr std::string_view one = "/api/jobs/", end = "/events";
  if (request.method != "GET" || !request.path.starts_with(one) || !request.path.ends_with(end)) co_return false;
  const auto id = work::parse_job_id(request.path.substr(one.size(), request.path.size() - one.size() - end.size()));
  const auto who = require_scope(exchange, parts, gateway::Scope::call);
  Error refusal{ErrorCode::caller_not_found, "there is no such job, or it is another key's", "id"};
  if (!who) refusal = who.error();
  WorkDoor& door = *parts.work;
  Result<std::optional<work::Job>> job = std::optional<work::Job>{};
  if (who && id) {
    auto found = co_await door.engine().database().read(exchange.loop(), [&](store::Tx& tx) { return work::get_job(tx, *id); });
    job = std::move(found);
  }
  if (!job) refusal = job.error();
  const bool mine = job && *job && (who->key->scopes.has(gateway::Scope::read) || (*job)->spec.key_id == who->key_id());
  if (!mine) {
    co_await reply_problem(exchange, refusal);
    co_return true;
  }
  const auto last = parse_int<std::int64_t>(request.headers.get("last-event-id")).value_or(0);
  const auto seen = co_await door.engine().database().read(exchange.loop(), [&](store::Tx& tx) { return seen_by(tx, *id, last); });
  if (!seen) {
    co_await reply_problem(exchange, seen.error());
    co_return true;
  }
  const std::uint64_t ticket = door.new_ticket();
  const auto followed = co_await door.ask(exchange, [&]() -> Task<bool> {
    door.engine().feed().follow(ticket, *id);
    co_return true;
  });
  (void)followed;
  CancelHook gone;
  work::Engine& engine = door.engine();
  struct Left { work::Engine& engine; std::uint64_t ticket; } left{engine, ticket};
  const auto leave = [](void* self) {
    const Left l = *static_cast<Left*>(self);
    l.engine.home().post([l] { l.engine.feed().leave(l.ticket); });
  };
  gone.attach(exchange.gone(), leave, &left);
  const auto begun = co_await exchange.start_stream(200, {{"content-type", "text/event-stream"}, {"cache-control", "no-store"}}, "retry: 1000\n\n");
  if (begun) co_await follow(parts, exchange, *id, ticket, *seen);
  gone.detach();
  leave(&left);
  co_return true;
}

}  // namespace ballast::server
