// What becomes of a webhook after an attempt to deliver it: done, again later, or dead. Pure; the Deliverer performs it.
//
// By the Standard Webhooks convention: 2xx alone is a success, a redirect is a failure; ten attempts over three days; 410 Gone ends it and
// says that the endpoint wants no more; Retry-After is obeyed up to a limit. The id and the body are the row's: the same in every attempt.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/random.hpp"
#include "base/result.hpp"
#include "base/task.hpp"

namespace ballast::work {

// A delivery that is owed, as it was committed with what it tells of.
struct OutboxRow {
  std::int64_t id = 0;
  std::string kind;                     // what it tells: "job.done", …
  std::string url;
  std::string body;                     // the exact bytes
  std::string secret_ref;               // which secrets sign it; empty: it goes unsigned
  std::uint32_t attempt = 0;            // attempts made and counted before
  WallTime created{};
};

// The header webhook-id.
std::string webhook_id(const OutboxRow& row);

// How an attempt ended: with a status, or with an error.
struct Attempted {
  int status = 0;
  std::optional<Duration> retry_after;
  std::optional<Error> error;
};

// What the row becomes.
struct Delivery {
  enum class Verdict : std::uint8_t {
    delivered,
    retry,                              // due again at `next`
    dead,                               // for a person to look at: never due again by itself
    put_back,                           // not attempted, or cut short by us: due at `next`, the attempt is not counted
  };
  Verdict verdict = Verdict::put_back;
  std::uint32_t attempt = 0;            // attempts made and counted by now
  WallTime next{};                      // retry, put_back
  int status = 0;                       // of the answer; 0: there was none
  std::string why;                      // what went wrong, for a person; nothing of what the receiver's body said
  std::optional<ErrorCode> code;        // where there was no answer
  bool disable_endpoint = false;        // 410: nothing more is to be sent to this URL
};

struct DeliveryRules {
  // Waits after the first, second, … failed attempt; after the attempt that follows the last one the row is dead.
  std::vector<Duration> schedule = {std::chrono::seconds(5), std::chrono::minutes(5), std::chrono::minutes(30), std::chrono::hours(2), std::chrono::hours(5),
                                    std::chrono::hours(10), std::chrono::hours(14), std::chrono::hours(20), std::chrono::hours(24)};
  double jitter = 0.2;                  // a wait is longer by up to this share of it
  Duration longest_retry_after = std::chrono::hours(24);
};

// Dead at once: 410, and what no time will mend (a malformed URL, an address that its own text forbids).
Delivery decide_delivery(const OutboxRow& row, const Attempted& attempted, WallTime now, const DeliveryRules& rules, Random& random);

// Where the rows are. Called on the deliverer's loop, one take at a time, many settles.
class OutboxStore {
 public:
  virtual ~OutboxStore() = default;
  // Rows that are due, the longest due first, at most `most`. Each is the deliverer's until it is settled; a store that hands out rows again that
  // were never settled (after a restart, or a lease of its own) makes deliveries that happened happen again, with the same id.
  virtual Task<Result<std::vector<OutboxRow>>> take_due(WallTime now, std::size_t most) = 0;
  virtual Task<Result<void>> settle(std::int64_t id, Delivery outcome) = 0;
};

}  // namespace ballast::work
