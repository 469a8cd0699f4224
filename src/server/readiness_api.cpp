// GET /api/readiness: the production checklist, judged now. POST /api/readiness/evidence: what a person has done that no figure shows.
#include "base/config_node.hpp"
#include "base/text.hpp"
#include "server/job_json.hpp"
#include "server/readiness_facts.hpp"
#include "server/reply.hpp"
#include "server/routes.hpp"

namespace ballast::server {

namespace {

// What only this process knows, since it started.
void add_process(const Parts& parts, SeenFacts& seen) {
  for (const auto& b : parts.gateway.world().breakers.list()) {
    seen.breakers_opened += b.opened;
    seen.breakers_open_now += b.view.state != gateway::BreakerState::closed;
  }
  for (const auto& w : parts.gateway.setup()->budgets->status()) seen.budget_windows_charged += w.spent.nano > 0;
  if (!parts.configured || !parts.configured->get().telemetry) return;
  auto& spans = parts.metrics.counters("ballast_spans_total", "Spans by what became of them on the way to the collector.", {"outcome"});
  seen.exported = spans.with({"exported"}).value();
  seen.not_exported = spans.with({"failed"}).value() + spans.with({"dropped"}).value();
}

Task<void> readiness(net::Exchange& exchange, const Parts& parts) {
  const auto who = require_scope(exchange, parts, gateway::Scope::read);
  if (!who) co_return co_await reply_problem(exchange, who.error());
  co_await catch_up(exchange, parts);
  ReadinessFacts facts{.now = parts.clock.wall(), .configured = parts.configured ? parts.configured->get() : ConfiguredFacts{}, .seen = {}, .evidence = {}};
  const auto read = co_await parts.database.read(exchange.loop(), [&](store::Tx& tx) -> Result<std::pair<SeenFacts, std::vector<records::Evidence>>> {
    auto seen = seen_in(tx, facts.now);
    if (!seen) return std::unexpected(seen.error());
    auto evidence = records::list_evidence(tx);
    if (!evidence) return std::unexpected(evidence.error());
    return std::pair(std::move(*seen), std::move(*evidence));
  });
  if (!read) co_return co_await reply_problem(exchange, read.error());
  facts.seen = read->first;
  facts.evidence = read->second;
  add_process(parts, *facts.seen);
  co_await reply_json(exchange, 200, readiness_json(facts));
}

Result<records::Evidence> read_evidence(std::string_view text, WallTime now) {
  const auto document = parse_json(text, {.max_bytes = 16 * 1024, .max_depth = 4});
  if (!document) return fail(document.error());
  const JsonRef body(*document);
  if (auto known = only_members(body, {"line", "at", "note"}); !known) return fail(std::move(known.error()));
  auto line = body.get<std::string>("line");
  if (!line) return fail(std::move(line.error()));
  const auto at = body.maybe<std::string>("at");
  if (!at) return fail(at.error());
  auto note = body.maybe<std::string>("note");
  if (!note) return fail(std::move(note.error()));
  records::Evidence e{.line = std::move(*line), .at = now, .note = std::move(*note).value_or(""), .actor = {}, .told = now};
  if (*at) {
    const auto time = parse_time(**at, "at");
    if (!time) return fail(time.error());
    e.at = *time;
  }
  if (auto good = check_evidence(e, now); !good) return fail(std::move(good.error()));
  return e;
}

Task<void> tell(net::Exchange& exchange, const Parts& parts) {
  const auto who = require_scope(exchange, parts, gateway::Scope::admin);
  if (!who) co_return co_await reply_problem(exchange, who.error());
  auto evidence = read_evidence(exchange.body(), parts.clock.wall());
  if (!evidence) co_return co_await reply_problem(exchange, evidence.error());
  evidence->actor = "key:" + who->key_id();
  const auto put = co_await parts.database.write(exchange.loop(), [&](store::Tx& tx) -> Result<bool> {
    if (auto done = records::put_evidence(tx, *evidence); !done) return std::unexpected(done.error());
    return true;
  });
  if (!put) co_return co_await reply_problem(exchange, put.error());
  co_await reply_json(exchange, 201, json::object{{"line", evidence->line}, {"at", to_rfc3339(evidence->at)}, {"note", evidence->note}});
}

}  // namespace

Task<bool> readiness_api(net::Exchange& exchange, const Parts& parts) {
  const auto& request = exchange.request();
  if (request.method == "GET" && request.path == "/api/readiness") co_await readiness(exchange, parts);
  else if (request.method == "POST" && request.path == "/api/readiness/evidence") co_await tell(exchange, parts);
  else co_return false;
  co_return true;
}

}  // namespace ballast::server
