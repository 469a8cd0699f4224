// Signing in to the dashboard, out of it, and who is in: a key goes in once, a cookie comes back. What a cookie may do is what its key may, on paths
// below /api/ and /v1/ alone; and who changes anything by it proves that a page of this server does: by a header that no other site can send.
#include "base/log.hpp"
#include "base/text.hpp"
#include "cluster/topics.hpp"
#include "records/audit.hpp"
#include "server/refused_keys.hpp"
#include "server/reply.hpp"
#include "server/routes.hpp"
#include "server/sessions.hpp"

namespace ballast::server {

namespace {

constexpr std::string_view kPath = "/api/session";

bool reads(std::string_view method) { return method == "GET" || method == "HEAD"; }

// What a browser says of where a request comes from: no other site's page made this one.
Result<void> same_site(const net::RequestHead& request) {
  const std::string_view from = request.headers.get("sec-fetch-site");
  if (from.empty() || from == "same-origin" || (from == "none" && reads(request.method))) return {};
  return fail(ErrorCode::caller_forbidden, "only a page of this server may ask this by a session", "sec-fetch-site");
}

std::string cookie_of(std::string_view token, Duration life, bool secure) {
  return fmt::format("{}={}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}{}", secure ? kSecureSessionCookie : kSessionCookie, token, std::chrono::ceil<std::chrono::seconds>(life).count(), secure ? "; Secure" : "");
}

// A proxy before this server may speak TLS for it. Who only says so has a cookie that his browser keeps to itself.
bool secure(const net::RequestHead& request, const Parts& parts) {
  return parts.tls || iequals(trim(split(request.headers.get("x-forwarded-proto"), ',').front()), "https");
}

json::object session_json(const gateway::Principal& who, const Parts& parts, std::optional<WallTime> expires) {
  return {{"key", {{"id", who.key_id()}, {"name", who.key_name()}, {"scopes", gateway::to_string(who.key->scopes)}}},
          {"expires", expires ? json::value(to_rfc3339(*expires)) : json::value(nullptr)},
          {"version", parts.version},
          {"require_key", parts.gateway.setup()->require_key}};
}

Task<void> answer(net::Exchange& exchange, int status, std::string_view cookie, std::string_view body) {
  net::Headers headers{{"content-type", "application/json"}, {"cache-control", "no-store"}, {"x-content-type-options", "nosniff"}};
  if (!cookie.empty()) headers.put("set-cookie", cookie);
  const auto sent = co_await exchange.respond(status, headers, body);
  if (!sent) log::debug("caller_left", {{"path", exchange.request().path}});
}

Result<std::string> key_in(const net::Exchange& exchange) {
  // A form of another site cannot send this type without asking first, and is not answered.
  if (!exchange.request().headers.get("content-type").starts_with("application/json"))
    return fail(ErrorCode::caller_invalid_request, "must be application/json", "content-type");
  const auto document = parse_json(exchange.body(), {.max_bytes = 4096, .max_depth = 4});
  if (!document) return fail(document.error());
  if (!document->is_object() || document->get_object().size() != 1) return fail(ErrorCode::caller_invalid_request, "must be an object with the member key alone", "key");
  return JsonRef(*document).get<std::string>("key");
}

Result<void> tell(store::Tx& tx, std::string_view action, const gateway::Principal& who, std::string_view address, WallTime now) {
  const records::AuditEntry entry{.actor = "key:" + who.key_id(), .action = std::string(action), .subject = who.key_id(), .arguments = {},
                                  .outcome = to_json(json::object{{"name", who.key_name()}, {"address", address}}), .at = now};
  auto head = records::append_audit(tx, records::admin_chain("0"), std::span(&entry, 1), now);
  if (!head) return std::unexpected(std::move(head.error()));
  return {};
}

Task<void> sign_in(net::Exchange& exchange, const Parts& parts) {
  const WallTime now = parts.clock.wall();
  const std::string address = address_of(exchange.peer());
  Sessions& sessions = *parts.sessions;
  if (const auto ok = same_site(exchange.request()); !ok) co_return co_await reply_problem(exchange, ok.error());
  const auto key = key_in(exchange);
  if (!key) co_return co_await reply_problem(exchange, key.error());
  const auto may = sessions.may_try(address, now);
  if (!may && key->size() < kBeyondGuessing) co_return co_await reply_problem(exchange, may.error());
  auto who = parts.gateway.authenticate(exchange.loop().index(), *key);
  if (!who && who.error().code != ErrorCode::caller_unauthenticated) co_return co_await reply_problem(exchange, who.error());
  if (!who && !may) co_return co_await reply_problem(exchange, may.error());
  if (!who) {
    sessions.failed(address, now);
    if (parts.refused) parts.refused->note(RefusedKeys::Where::sign_in, exchange.peer(), now);
    log::warn("sign_in_refused", {{"address", address}});
    who.error().field = "key";
    co_return co_await reply_problem(exchange, who.error());
  }
  const auto made = sessions.make(*who->key, *key, now);
  const std::string_view before = session_token(exchange.request(), parts);
  const auto stored = co_await parts.database.write(exchange.loop(), [&](store::Tx& tx) -> Result<void> {
    if (!before.empty())
      if (auto gone = records::delete_session(tx, sha256(before)); !gone) return gone;
    if (auto done = records::insert_session(tx, made.row); !done) return done;
    if (auto bound = records::bound_sessions(tx, made.row.key_id, sessions.options().most_of_a_key); !bound) return bound;
    return tell(tx, records::audit::session_opened, *who, address, now);
  });
  if (!stored) co_return co_await reply_problem(exchange, stored.error());
  if (!before.empty()) sessions.drop(sha256(before));
  if (const auto put = sessions.put(made.row); !put) co_return co_await reply_problem(exchange, put.error());
  log::info("signed_in", {{"key", who->key_id()}, {"address", address}});
  json::object body = session_json(*who, parts, std::min(made.row.expires, now + sessions.options().idle));
  body["csrf"] = csrf_of(made.token);
  const std::string text = to_json(body), cookie = cookie_of(made.token, made.row.expires - now, secure(exchange.request(), parts));
  co_await answer(exchange, 200, cookie, text);
}

Task<void> show(net::Exchange& exchange, const Parts& parts) {
  const std::string_view token = session_token(exchange.request(), parts);
  if (token.empty()) {
    const auto who = parts.gateway.authenticate(exchange.loop().index(), secret_of(exchange.request()));
    if (!who) note_refused(exchange, parts, who.error());
    if (!who) co_return co_await reply_problem(exchange, who.error());
    co_return co_await reply_json(exchange, 200, session_json(*who, parts, who->key->expires));
  }
  const auto held = parts.sessions->find(token, parts.clock.wall());
  if (!held) co_return co_await reply_problem(exchange, held.error());
  json::object body = session_json(held->who, parts, held->expires);
  body["csrf"] = csrf_of(token);
  co_await reply_json(exchange, 200, std::move(body));
}

Task<void> sign_out(net::Exchange& exchange, const Parts& parts) {
  const std::string_view token = session_token(exchange.request(), parts);
  if (token.empty()) co_return co_await reply_problem(exchange, Error{ErrorCode::caller_unauthenticated, "nobody is signed in", "cookie"});
  const auto who = require_session(exchange.request(), parts, token);
  if (!who) co_return co_await reply_problem(exchange, who.error());
  const Digest digest = sha256(token);
  const WallTime now = parts.clock.wall();
  const std::string address = address_of(exchange.peer());
  const auto done = co_await parts.database.write(exchange.loop(), [&](store::Tx& tx) -> Result<void> {
    if (auto gone = records::delete_session(tx, digest); !gone) return gone;
    if (auto told = cluster::touch(tx, cluster::Topic::sessions); !told) return told;
    return tell(tx, records::audit::session_closed, *who, address, now);
  });
  if (!done) co_return co_await reply_problem(exchange, done.error());
  parts.sessions->drop(digest);
  log::info("signed_out", {{"key", who->key_id()}});
  const std::string cookie = cookie_of("", Duration{}, secure(exchange.request(), parts));
  co_await answer(exchange, 204, cookie, "");
}

}  // namespace

std::string_view session_token(const net::RequestHead& request, const Parts& parts) {
  if (!request.path.starts_with("/api/") && !request.path.starts_with("/v1/")) return {};
  if (!secret_of(request).empty()) return {};
  return session_token_in(request.headers.get("cookie"), secure(request, parts));
}

Result<gateway::Principal> require_session(const net::RequestHead& request, const Parts& parts, std::string_view token) {
  if (!reads(request.method)) {
    if (auto ok = same_site(request); !ok) return fail(std::move(ok.error()));
    if (!ct_equal(request.headers.get(kCsrfHeader), csrf_of(token)))
      return fail(ErrorCode::caller_forbidden, "a session changes something only with the csrf that GET /api/session told, in this header", std::string(kCsrfHeader));
  }
  const auto* freshness = parts.gateway.world().freshness;
  const bool may_be_new = freshness && freshness->stale() && !parts.sessions->knows(token);
  auto held = parts.sessions->find(token, parts.clock.wall());
  if (!held) return fail(may_be_new ? freshness->refusal("the session is not known here and may be new", "cookie") : std::move(held.error()));
  return std::move(held->who);
}

bool may_still(net::Exchange& exchange, const Parts& parts, gateway::Scope scope) {
  const auto token = parts.sessions ? session_token(exchange.request(), parts) : std::string_view();
  if (token.empty()) return require_scope(exchange, parts, scope).has_value();
  const auto held = parts.sessions->find(token, parts.clock.wall(), true);
  if (!held) return false;
  const bool reads_all = scope != gateway::Scope::admin && held->who.key->scopes.has(gateway::Scope::read);
  return reads_all || gateway::require(held->who, scope).has_value();
}

Task<void> acquaint(net::Exchange& exchange, const Parts& parts) {
  if (!parts.sessions) co_return;
  const std::string_view token = session_token(exchange.request(), parts);
  if (token.empty() || parts.sessions->knows(token) || !parts.sessions->may_ask(parts.clock.wall())) co_return;
  const Digest digest = sha256(token);
  const auto found = co_await parts.database.read(exchange.loop(), [&](store::Tx& tx) { return records::find_session(tx, digest); });
  if (!found || !*found) co_return;
  if (const auto put = parts.sessions->put(**found); !put) log::warn("session_not_taken", {{"why", put.error().message}});
}

Task<bool> session_api(net::Exchange& exchange, const Parts& parts) {
  const auto& request = exchange.request();
  if (request.path != kPath || !parts.sessions) co_return false;
  const std::string_view method = request.method;
  if (method == "POST") co_await sign_in(exchange, parts);
  else if (reads(method)) co_await show(exchange, parts);
  else if (method == "DELETE") co_await sign_out(exchange, parts);
  else co_return false;
  co_return true;
}

}  // namespace ballast::server
