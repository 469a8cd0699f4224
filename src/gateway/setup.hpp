// Setup: what the road is configured with, as one immutable value. A reload builds another and swaps the pointer; calls
// under way finish with the one they began with.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "gateway/budgets.hpp"
#include "gateway/credentials.hpp"
#include "gateway/fair_queue.hpp"
#include "gateway/limits.hpp"
#include "gateway/routes.hpp"
#include "llm/prices.hpp"
#include "llm/provider.hpp"
#include "net/transport.hpp"

namespace ballast::gateway {

// One configured provider, ready to be called.
struct ProviderAccess {
  llm::ProviderSpec spec;
  std::shared_ptr<CredentialPool> credentials;
  net::Transport* transport = nullptr;           // the network, or the simulator in process; outlives the setup
};

enum class LedgerMode : std::uint8_t { background, strict };

struct Setup {
  std::map<std::string, ProviderAccess, std::less<>> providers;
  std::shared_ptr<const RouteTable> routes;
  std::map<std::string, std::shared_ptr<const classify::Model>, std::less<>> classifiers;   // of routes, and of whoever asks by name
  std::shared_ptr<const llm::PriceBook> prices;
  std::shared_ptr<Limits> limits;                // never null; may be without rules
  std::shared_ptr<FairQueue> queue;              // of `limits`
  std::shared_ptr<BudgetBook> budgets;           // never null; may be without rules
  LedgerMode ledger = LedgerMode::background;
  bool require_key = true;                       // false: calls without a key are "anonymous" (loopback development only)
  Duration drain_on_disconnect = std::chrono::seconds(10);   // how long an abandoned answer is read on for its usage
  std::size_t max_reply_bytes = 64u << 20;
  bool access_log = true;
  bool records_messages = false;                 // some route does
};
using SetupPtr = std::shared_ptr<const Setup>;

}  // namespace ballast::gateway
