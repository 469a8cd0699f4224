// Webhooks: who asked to be told of a job's end is told, at least once and always with the same id and bytes.
//
// A delivery is owed from the transaction on that ends its job; the Deliverer performs it, and its row tells what became of it.
// The payload is that of the Standard Webhooks convention: {"type": "job.done", "timestamp": …, "data": the job as the API shows it}.
#pragma once
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/random.hpp"
#include "net/egress.hpp"
#include "work/engine.hpp"
#include "work/outbox_rows.hpp"
#include "work/webhook_deliverer.hpp"

namespace ballast::work {

// By name; of each the secrets in force, the newest first.
using WebhookSecretBook = std::map<std::string, std::vector<WebhookSecret>, std::less<>>;
inline constexpr std::string_view kDefaultSecret = "default";   // signs what names none; without it that goes unsigned
inline constexpr std::size_t kMaxWebhookUrl = 2'048;
// Inputs and outputs above this, together, stay out of the payload: they can be asked for.
inline constexpr std::size_t kMaxWebhookDetail = 64 * 1024;

class Webhooks final : public EndWriter, private OutboxStore {
 public:
  // The job as the API shows it, with or without its input and output. Pure and thread-safe.
  using Render = std::function<json::object(const Job& job, bool whole)>;
  struct Options {
    unsigned node = 0;
    std::uint64_t seed = 0;
    DelivererOptions deliverer;
  };
  // All borrowed. `transport` obeys `policy`, which is also asked when a job names its URL.
  Webhooks(Scheduler& loop, net::Transport& transport, store::Database& database, std::shared_ptr<const net::EgressPolicy> policy, Render render, Options options);

  // What an earlier process of this node had in hand is due again. Blocking; once, before the loop runs.
  Result<void> start();
  // Something may be due; also how it begins. Any thread.
  void poke();
  // Takes nothing more; attempts under way may end within `patience`. On the loop, once; nobody pokes any more.
  Task<void> drain(Duration patience) { return deliverer_.drain(patience); }

  // In force from the next attempt on. Any thread.
  void use(WebhookSecretBook book);
  // May a job ask to be told so? Any thread. caller_invalid_request (not a URL, too long, an unknown secret) or policy_egress_denied, `field` "webhook".
  Result<void> admit(const JobSpec& spec) const;

  bool wants(const JobSpec& spec) const override { return !spec.webhook.empty(); }
  Result<void> write(store::Tx& tx, const Job& ended) const override;

 private:
  Task<Result<std::vector<OutboxRow>>> take_due(WallTime now, std::size_t most) override;
  Task<Result<void>> settle(std::int64_t id, Delivery outcome) override;
  Result<std::vector<WebhookSecret>> secrets_of(std::string_view name) const;
  bool knows(std::string_view name) const;

  Scheduler& loop_;
  store::Database& database_;
  const std::shared_ptr<const net::EgressPolicy> policy_;
  const Render render_;
  const unsigned node_;
  mutable std::mutex mutex_;                 // book_
  WebhookSecretBook book_;
  SeededRandom random_;
  std::atomic<bool> poked_{false};
  bool unsure_ = false;                      // nobody learnt what the last take took; on the loop
  Deliverer deliverer_;
};

}  // namespace ballast::work
