// CredentialPool: the API keys of one provider, each with its own limits, cool-down and health; which to use next.
//
// Of the credentials that are alive, not cooling down and within their own limits, the one that was rate-limited longest
// ago is taken (never is longest), in rotation among equals. A credential refused for good (401, 402, 403, billing) is dead
// until the configuration is reloaded, or for `probation`, after which one call may try it again; each refusal in a row doubles
// that. While no other is alive it waits `lone_rest` at most, as a breaker would: a provider's last key is always asked again soon.
//
// Concurrency: thread-safe; one short mutex per provider. Bounds: at most 64 credentials a provider.
#pragma once
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"

namespace ballast::gateway {

struct CredentialConfig {
  std::string name;                        // for people: "openai#1"; never the secret
  std::string value;                       // may be empty: a provider that needs none
  std::optional<std::uint64_t> rpm;        // requests per minute
  std::optional<std::uint64_t> tpm;        // tokens per minute, by estimate, then corrected
  std::optional<std::uint32_t> concurrency;
};

// Credentials already tried in this call, by index.
using TriedCredentials = std::uint64_t;    // bit i: credential i

class CredentialPool;

// One credential in use by one attempt. Move-only; report at most once, dying unreported just releases it.
class CredentialLease {
 public:
  CredentialLease(CredentialLease&& o) noexcept;
  CredentialLease& operator=(CredentialLease&& o) noexcept;
  ~CredentialLease();
  unsigned index() const { return index_; }
  TriedCredentials bit() const { return TriedCredentials{1} << index_; }
  std::string_view secret() const;         // valid as long as the lease
  std::string_view name() const;
  void succeeded(std::uint64_t actual_tokens);
  // Cools down or kills the credential by the class of the error (retry_after honoured); other classes change nothing.
  void failed(const Error& error);

 private:
  friend class CredentialPool;
  CredentialLease(std::shared_ptr<CredentialPool> pool, unsigned index, std::uint64_t estimate)
      : pool_(std::move(pool)), index_(index), estimate_(estimate) {}
  void close(std::uint64_t actual_tokens, bool succeeded);
  std::shared_ptr<CredentialPool> pool_;
  unsigned index_ = 0;
  std::uint64_t estimate_ = 0;
  bool reported_ = false;
};

class CredentialPool : public std::enable_shared_from_this<CredentialPool> {
 public:
  struct Options {
    Duration probation = std::chrono::seconds(5);            // after a first refusal; doubles up to
    Duration max_probation = std::chrono::minutes(10);
    Duration cool_down = std::chrono::seconds(5);            // after a 429 that does not say how long; doubles up to
    Duration max_cool_down = std::chrono::minutes(2);
    Duration lone_rest = std::chrono::seconds(30);           // of either kind, for the last one; what a provider says is obeyed
  };
  ~CredentialPool();
  // No credential given: a single empty one. More than 64: caller_invalid_request.
  static Result<std::shared_ptr<CredentialPool>> create(std::string provider, std::vector<CredentialConfig> credentials,
                                                        const Clock& clock, Options options);
  // On reload: cool-downs of credentials with the same secret carry over, deaths do not.
  void adopt(const CredentialPool& previous);

  // provider_rate_limited when all are cooling down or at their limits; provider_auth or provider_quota when all are dead; both
  // with retry_after, and both mean "try another provider".
  Result<CredentialLease> pick(std::uint64_t token_estimate, TriedCredentials exclude = 0);
  // Is there a key that `pick` would give now for a call of `low` tokens, and not for one of `high`? Costs nothing where no key has a tpm.
  bool hangs_on_tokens(std::uint64_t low, std::uint64_t high) const;
  // Would `pick` with these exclusions succeed now?
  bool available(TriedCredentials exclude = 0) const;
  std::size_t size() const;

  struct Listing {
    std::string name;
    bool dead = false;
    std::string reason;                    // the error code that killed or cooled it
    Duration available_in{};
    std::uint32_t in_flight = 0;
    std::uint64_t picked = 0, limited = 0;
  };
  std::vector<Listing> list() const;

 private:
  friend class CredentialLease;
  struct Entry;
  CredentialPool(std::string provider, const Clock& clock, Options options);
  std::int64_t ready_at(const Entry& entry, std::uint64_t tokens, std::int64_t now) const;
  bool all_dead() const;
  void release(unsigned index, std::uint64_t estimate, std::uint64_t actual, bool succeeded);
  void fail_credential(unsigned index, const Error& error);

  const std::string provider_;
  const Clock& clock_;
  const Options options_;
  bool limits_tokens_ = false;             // some key has a tpm; never changes
  mutable std::mutex mutex_;
  std::vector<Entry> entries_;
  std::uint64_t turn_ = 0;
};

}  // namespace ballast::gateway
