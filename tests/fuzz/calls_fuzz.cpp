// The query of a search for calls, as anybody may write it: it is refused with the parameter's name, or it is a filter that means what it says; and a key
// that may not read what others did sees its own calls whatever it writes.
#include <cstdint>
#include <string>
#include <string_view>

#include "gateway/keys.hpp"
#include "records/ledger_scan.hpp"
#include "require.hpp"
#include "server/call_filter.hpp"

using namespace ballast;

namespace {

gateway::Principal who(gateway::Scope scope) {
  auto key = std::make_shared<gateway::KeyInfo>(gateway::KeyInfo{.id = "key_own", .name = "own"});
  key->scopes.bits = static_cast<std::uint8_t>(scope);
  return {.key = std::move(key), .user = {}, .feature = {}};
}

// What whoever searches does with a filter before the ledger is read.
void use(const records::CallFilter& f) {
  if (f.min_latency_us) require(*f.min_latency_us <= 100'000'000'000'000);
  if (f.max_latency_us) require(*f.max_latency_us <= 100'000'000'000'000);
  if (f.status) require(!records::to_string(*f.status).empty());
  if (f.cache) require(!records::to_string(*f.cache).empty());
  if (const auto ids = records::page_of(f, {})) require(ids->first <= ids->second);
  (void)records::ZoneProbe(f).may_match({});
  (void)records::CallMatcher(f);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto reader = who(gateway::Scope::read), caller = who(gateway::Scope::usage);
  net::RequestHead request;
  request.method = "GET";
  request.path = "/api/calls";
  request.query = std::string_view(reinterpret_cast<const char*>(data), size);
  const auto all = server::search_filter(request, reader), own = server::search_filter(request, caller);
  require(all.has_value() == own.has_value());
  if (!all) {
    require(all.error().code == ErrorCode::caller_invalid_request && !all.error().field.empty() && all.error().field == own.error().field);
    return 0;
  }
  require(own->key_id == "key_own");
  use(*all);
  use(*own);
  const auto used = server::usage_filter(request, reader);
  require(used && used->user == all->user && used->from == all->from && used->to == all->to);
  return 0;
}
