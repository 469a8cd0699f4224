#include "server/unknown_json.hpp"

namespace ballast::server {

namespace {

json::array list_of(const std::vector<std::string>& texts) {
  json::array out;
  for (const auto& t : texts) out.push_back(json::value(t));
  return out;
}

}  // namespace

json::object unknown_json(std::span<const records::CallRecord> calls, std::size_t limit) {
  json::array list;
  for (const auto& call : calls)
    for (const auto& a : call.attempts) {
      if (a.cost != records::Cost::unknown) continue;
      list.push_back(json::object{{"call", to_string(call.id, "call")}, {"attempt", a.n}, {"provider", a.provider}, {"model", a.model},
                                  {"charged_usd", to_usd({a.incurred_nano})}, {"started", to_rfc3339(a.started)}, {"outcome", a.outcome},
                                  {"call_status", records::to_string(call.status)}, {"key", call.key_name.empty() ? call.key_id : call.key_name},
                                  {"user", call.user}, {"windows", list_of(a.windows)}});
    }
  json::object out{{"unknown", std::move(list)}};
  if (!calls.empty() && calls.size() == limit) out["next"] = to_string(calls.back().id, "call");
  return out;
}

json::object reconciled_json(Id call, const records::Reconciled& done) {
  const auto& a = done.attempt;
  return {{"call", to_string(call, "call")}, {"attempt", a.n}, {"provider", a.provider}, {"model", a.model}, {"was_usd", to_usd({a.ceiling_nano})},
          {"incurred_usd", to_usd({a.incurred_nano})}, {"reconciled_by", a.reconciled_by}, {"reconciled_at", to_rfc3339(a.reconciled_at)},
          {"windows", list_of(a.windows)}, {"already", done.already}};
}

}  // namespace ballast::server
