// Signals: what comes from outside for runs that wait for it (`wait: {event: …}`): kept until its time is over, so that one which comes before the
// run waits is not missed. Each waiting run takes it for itself; one that has taken a signal takes later ones of that name and key next.
//
// Repositories take a Tx and never begin one.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/hash.hpp"
#include "store/database.hpp"
#include "work/job.hpp"

namespace ballast::work {

inline constexpr std::size_t kMaxSignal = 1u << 20;          // bytes of a payload
inline constexpr Duration kSignalKept = std::chrono::hours(24), kSignalKeptMost = std::chrono::hours(24 * 30);

struct Signal {
  JobId id;                                  // of the engine, as jobs have them
  std::string name;
  std::string key;                           // canonical JSON of the event's key; empty: it has none
  std::string key_id;                        // whose runs it is for; empty: everybody's (an administrator sent it)
  std::string payload;                       // JSON
  WallTime at{};
};

// A run's waiting for one.
struct SignalWait {
  JobId job;
  std::string path;                          // of the stage
  Digest input{};
  std::string name;
  std::optional<std::string> key;            // canonical JSON; none: any
};

Result<void> put_signal(store::Tx& tx, const Signal& signal, WallTime until);
// The live runs that wait for it, at most `most`, to be woken. Asked once the signal is durable, not in its transaction: see `send_signal`.
Result<std::vector<JobId>> listeners(store::Tx& tx, const Signal& signal, std::size_t most);
Result<void> put_wait(store::Tx& tx, const SignalWait& wait, std::string_view key_id);
Result<void> delete_wait(store::Tx& tx, const SignalWait& wait);
// The first that fits and came after `after`.
Result<std::optional<Signal>> find_signal(store::Tx& tx, const SignalWait& wait, std::string_view key_id, WallTime after);
Result<void> delete_waits(store::Tx& tx, JobId job);
// Those whose time is over, at most `most`.
Result<void> sweep_signals(store::Tx& tx, WallTime now, std::size_t most);

}  // namespace ballast::work
