// Effects: what a run did to the world outside, try by try; and what a person found out about one whose fate is unknown.
#include "base/config_node.hpp"
#include "base/log.hpp"
#include "server/effect_json.hpp"
#include "server/job_json.hpp"
#include "server/reply.hpp"
#include "server/routes.hpp"
#include "server/work_door.hpp"
#include "work/effect_journal.hpp"
#include "work/job_rows.hpp"

namespace ballast::server {

namespace {

using records::EffectState;

constexpr std::size_t kMaxNote = 2'000;

Error gone() { return {ErrorCode::caller_not_found, "there is no such run, or it is another key's", "id"}; }

Task<void> list(net::Exchange& exchange, const Parts& parts, const gateway::Principal& who, work::JobId id) {
  const auto job = co_await parts.database.read(exchange.loop(), [id](store::Tx& tx) { return work::get_job(tx, id); });
  if (!job) co_return co_await reply_problem(exchange, job.error());
  if (!*job || !(who.key->scopes.has(gateway::Scope::read) || (*job)->spec.key_id == who.key_id())) co_return co_await reply_problem(exchange, gone());
  const auto effects = co_await parts.database.read(exchange.loop(), [id](store::Tx& tx) { return records::list_effects(tx, id.value); });
  if (!effects) co_return co_await reply_problem(exchange, effects.error());
  const std::string state = query(exchange.request(), "state");
  co_await reply_json(exchange, 200, effects_json(id, *effects, state));
}

struct Found {
  work::EffectChoice which;
  EffectState state = EffectState::confirmed;
  std::string note;
};

Result<void> read_choice(const JsonRef& body, work::EffectChoice& which) {
  auto stage = body.get<std::string>("stage");
  if (!stage) return fail(std::move(stage.error()));
  which.path = std::move(*stage);
  const auto attempt = body.maybe_int("attempt", 1, 1'000'000);
  if (!attempt) return fail(attempt.error());
  which.attempt = static_cast<std::uint32_t>(attempt->value_or(0));
  const auto kind = body.maybe<std::string>("kind");
  if (!kind) return fail(kind.error());
  if (*kind) which.kind = effect_kind_from(**kind);
  if (*kind && !which.kind) return fail(ErrorCode::caller_invalid_request, "must be http, settle, worker or compensation", "kind");
  const auto input = body.maybe<std::string>("input");
  if (!input) return fail(input.error());
  if (!*input) return {};
  const auto bytes = from_hex(**input);
  if (!bytes || bytes->size() != sizeof(Digest)) return fail(ErrorCode::caller_invalid_request, "must be the 64 hexadecimal digits that the list of effects shows", "input");
  std::copy(bytes->begin(), bytes->end(), which.input.emplace().begin());
  return {};
}

Result<Found> found_from(const JsonRef& body) {
  if (auto known = only_members(body, {"stage", "attempt", "kind", "input", "state", "note"}); !known) return fail(std::move(known.error()));
  Found f;
  if (auto read = read_choice(body, f.which); !read) return fail(std::move(read.error()));
  const auto state = body.get<std::string_view>("state");
  if (!state) return fail(state.error());
  if (*state != "confirmed" && *state != "failed") return fail(ErrorCode::caller_invalid_request, "must be confirmed (it has happened) or failed (it has not)", "state");
  f.state = *state == "confirmed" ? EffectState::confirmed : EffectState::failed;
  auto note = body.maybe<std::string>("note");
  if (!note) return fail(std::move(note.error()));
  f.note = note->value_or("");
  if (f.note.size() > kMaxNote) return fail(ErrorCode::caller_too_large, fmt::format("has more than {} bytes", kMaxNote), "note");
  return f;
}

Task<void> resolve(net::Exchange& exchange, const Parts& parts, const gateway::Principal& who, work::JobId id) {
  const auto document = parse_json(exchange.body(), {.max_bytes = 64u << 10, .max_depth = 4});
  if (!document) co_return co_await reply_problem(exchange, document.error());
  const auto found = found_from(JsonRef(*document));
  if (!found) co_return co_await reply_problem(exchange, found.error());
  const std::string actor = "key:" + who.key_id();
  const auto resolved = co_await parts.database.write(exchange.loop(), [&](store::Tx& tx) -> Result<records::Effect> {
    const auto job = work::get_job(tx, id);
    if (!job) return fail(job.error());
    if (!*job) return fail(gone());
    return work::resolve_effect(tx, id, found->which, found->state, found->note, actor, parts.clock.wall());
  });
  if (!resolved) co_return co_await reply_problem(exchange, resolved.error());
  log::info("effect_resolved", {{"id", to_string(id)}, {"stage", found->which.path}, {"state", to_string(found->state)}, {"by", who.key_id()}});
  co_await reply_json(exchange, 200, effect_json(*resolved));
}

}  // namespace

Task<bool> effects_api(net::Exchange& exchange, const Parts& parts) {
  const auto& request = exchange.request();
  constexpr std::string_view job = "/api/jobs/", all = "/effects", one = "/effects/resolve";
  const bool resolving = request.method == "POST" && request.path.ends_with(one), listing = request.method == "GET" && request.path.ends_with(all);
  if (!request.path.starts_with(job) || !(resolving || listing)) co_return false;
  const auto who = require_scope(exchange, parts, resolving ? gateway::Scope::admin : gateway::Scope::call);
  const std::size_t end = (resolving ? one : all).size();
  const auto id = request.path.size() > job.size() + end ? work::parse_job_id(request.path.substr(job.size(), request.path.size() - job.size() - end)) : std::nullopt;
  if (!who) co_await reply_problem(exchange, who.error());
  else if (!id) co_await reply_problem(exchange, gone());
  else if (resolving) co_await resolve(exchange, parts, *who, *id);
  else co_await list(exchange, parts, *who, *id);
  co_return true;
}

}  // namespace ballast::server
