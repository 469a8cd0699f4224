// Small things every native route needs: JSON out, problems (RFC 9457) out, principals in.
#pragma once
#include "base/json.hpp"
#include "base/text.hpp"
#include "server/server.hpp"

namespace ballast::server {

Task<void> reply_json(net::Exchange& exchange, int status, json::value body);
Task<void> reply_text(net::Exchange& exchange, int status, std::string_view type, std::string_view body);
// type, title, status, detail, code (the error vocabulary), field.
json::object problem_object(const Error& error, int status);
Task<void> reply_problem(net::Exchange& exchange, const Error& error);
int problem_status(ErrorCode code);

// An error, and a list, as OpenAI's API tells them.
Task<void> reply_openai_error(net::Exchange& exchange, const Error& error);
Task<void> reply_openai_list(net::Exchange& exchange, json::array data, bool has_more);

// Several fields of one name are one list (RFC 9110, section 5.3).
std::string all_of(const net::Headers& headers, std::string_view name);
// The caller's secret, whichever header carries it.
std::string_view secret_of(const net::RequestHead& request);
// A request was refused: for its key, if it has one? Then it is counted (refused_keys.hpp).
void note_refused(const net::Exchange& exchange, const Parts& parts, const Error& why);
// The token of a page's session, where no header has a key and the path is one that sessions are for; else empty.
std::string_view session_token(const net::RequestHead& request, const Parts& parts);
// Who the session is; caller_forbidden for a change whose headers do not prove that the page made it.
Result<gateway::Principal> require_session(const net::RequestHead& request, const Parts& parts, std::string_view token);
// Looks for a session that is not known here, where the request names one: another node may have made it.
Task<void> acquaint(net::Exchange& exchange, const Parts& parts);
// Who asks, by a header's key or else a page's session; caller_unauthenticated, or caller_forbidden without `scope`.
Result<gateway::Principal> require_scope(net::Exchange& exchange, const Parts& parts, gateway::Scope scope);
// What was answered before the question is in the ledger when it is read, unless the importer is far behind.
Task<void> catch_up(net::Exchange& exchange, const Parts& parts);
// The decoded query value; empty if absent.
std::string query(const net::RequestHead& request, std::string_view name);
// As a whole number; `fallback` if absent. caller_invalid_request naming it and the bounds.
Result<std::size_t> query_count(const net::RequestHead& request, std::string_view name, std::size_t fallback, std::size_t least, std::size_t most);
// As a time (RFC 3339, or a day); `into` stays as it is if absent.
template <class Time>
Result<void> query_time(const net::RequestHead& request, std::string_view name, Time& into) {
  const std::string text = query(request, name);
  if (text.empty()) return {};
  auto at = parse_time(text, name);
  if (!at) return fail(std::move(at.error()));
  into = *at;
  return {};
}

}  // namespace ballast::server
