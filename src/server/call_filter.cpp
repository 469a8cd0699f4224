#include "server/call_filter.hpp"

#include "base/config_node.hpp"
#include "base/money.hpp"
#include "server/reply.hpp"
#include "server/usage_json.hpp"

namespace ballast::server {

namespace {

// One of an enumeration's names; `into` stays as it is if absent.
template <class E>
Result<void> query_name(const net::RequestHead& request, std::string_view name, int values, std::optional<E>& into) {
  const std::string text = query(request, name);
  if (text.empty()) return {};
  std::string all;
  for (int i = 0; i < values; ++i) {
    const auto value = static_cast<E>(i);
    if (records::to_string(value) == text) {
      into = value;
      return {};
    }
    all.append(i ? ", " : "").append(records::to_string(value));
  }
  return fail(ErrorCode::caller_invalid_request, "must be one of " + all, std::string(name));
}

}  // namespace

Result<records::CallFilter> usage_filter(const net::RequestHead& request, const gateway::Principal& who) {
  records::CallFilter f;
  for (const auto& [name, value] : kCallFilters) f.*value = query(request, name);
  if (!who.key->scopes.has(gateway::Scope::read)) f.key_id = who.key_id();   // a key sees its own
  if (auto ok = query_time(request, "from", f.from); !ok) return fail(std::move(ok.error()));
  if (auto ok = query_time(request, "to", f.to); !ok) return fail(std::move(ok.error()));
  return f;
}

Result<records::CallFilter> search_filter(const net::RequestHead& request, const gateway::Principal& who) {
  auto f = usage_filter(request, who);
  if (!f) return f;
  f->error = query(request, "error");
  if (auto ok = query_name(request, "status", 4, f->status); !ok) return fail(std::move(ok.error()));
  if (auto ok = query_name(request, "cache", 8, f->cache); !ok) return fail(std::move(ok.error()));
  for (const auto& [name, into] : {std::pair("min_cost", &f->min_cost_nano), {"max_cost", &f->max_cost_nano}}) {
    const std::string text = query(request, name);
    if (text.empty()) continue;
    const auto cost = money_from_usd(text, name);
    if (!cost) return fail(cost.error());
    *into = cost->nano;
  }
  for (const auto& [name, into] : {std::pair("min_latency", &f->min_latency_us), {"max_latency", &f->max_latency_us}}) {
    constexpr std::size_t longest = 100'000'000'000;   // ms: three years
    const auto ms = query_count(request, name, longest + 1, 0, longest);
    if (!ms) return fail(ms.error());
    if (*ms <= longest) *into = *ms * 1'000;
  }
  return f;
}

}  // namespace ballast::server
