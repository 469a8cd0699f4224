// Recorder: keeps what callers sent and what they were answered, of the calls that a route's `record` chose (records/messages).
//
// The road only copies bytes, of chosen calls, and hands them over when the call is over (`offer`, never blocking). All else is done by one
// thread here, after the calls themselves: a stream is put together, texts are redacted, what is too large is cut, and it is packed and written in batches.
// Bounded by calls and bytes: what has no room is dropped and counted (ballast_recordings_total{outcome}: kept, dropped, failed). Not part of
// the ledger's promise: SIGKILL takes what is queued, a call that is not over is not recorded.
// The same thread deletes what is older than the retention.
#pragma once
#include <atomic>
#include <memory>
#include <mutex>
#include <semaphore>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/clock.hpp"
#include "base/ids.hpp"
#include "base/metrics.hpp"
#include "base/queue.hpp"
#include "base/scheduler.hpp"
#include "base/task.hpp"
#include "gateway/redactor.hpp"
#include "llm/wire.hpp"
#include "records/messages.hpp"

namespace ballast::gateway {

enum class RecordMode : std::uint8_t { sampled, full };

// What of a route's calls is kept. A route without one keeps nothing.
struct RecordRule {
  RecordMode mode = RecordMode::sampled;
  double share = 0.01;                            // sampled
  bool errors = true;                             // sampled: failed calls too, whichever they are
  std::size_t max_bytes = 256u << 10;             // of each side, as kept
  std::shared_ptr<const Redactor> redactor;       // never null
  bool chooses(Id call) const;                    // the same call, the same answer
  std::size_t most_copied() const { return std::min(max_bytes * 32, std::size_t{16} << 20); }   // of each side: a stream is wordy, images go
};

// One side of a call as it went by.
struct RecordedSide {
  std::string bytes;
  std::string type;                               // its content-type
  std::uint64_t size = 0;                         // all of it; above bytes.size(): it was too large to copy, and `bytes` is empty
};
struct Recording {
  records::RecordedCall call;                     // without its texts
  std::shared_ptr<const RecordRule> rule;
  llm::Wire wire = llm::Wire::openai_chat;
  RecordedSide request, reply;
  std::string error, error_message;               // of a stream that failed, or of an answer that was not copied
  bool streamed = false;
};

// Request and reply as they are kept. Pure.
records::RecordedCall finish_recording(Recording recording);

class Recorder {
 public:
  struct Options {
    std::size_t calls = 4096, bytes = std::size_t{64} << 20;     // that may wait
    Duration retention = std::chrono::hours(24 * 7);             // zero: for ever
  };
  // Borrowed, all of it outlives the Recorder.
  Recorder(store::Database& database, const Clock& clock, metrics::Registry& metrics, Options options);
  ~Recorder();                                    // writes what waits
  // Any thread. False: dropped, and counted.
  bool offer(Recording&& recording);
  // Whether an offer would find no room for one more call: then it need not be made up, and is dropped and counted by this. Any thread.
  bool full();
  void retention(Duration keep) { retention_ns_.store(keep.count(), std::memory_order_relaxed); }
  // Until what was offered before is written or given up; at most `patience`. For readers that want to see what has just ended.
  Task<void> settled(Scheduler& loop, Duration patience);
  bool idle() const { return taken_.load() >= offered_.load(); }

 private:
  void run();
  void write(std::vector<Recording> batch);
  void sweep();

  store::Database& database_;
  const Clock& clock_;
  metrics::Counter &kept_, &dropped_, &failed_;
  const Options options_;
  MpscQueue<std::unique_ptr<Recording>> queue_;
  std::atomic<std::size_t> waiting_bytes_{0};
  std::atomic<std::uint64_t> offered_{0}, taken_{0};   // taken: written or given up
  std::atomic<std::int64_t> retention_ns_;
  std::atomic<bool> asleep_{false}, over_{false};
  std::counting_semaphore<> bell_{0};
  std::thread thread_;
};

}  // namespace ballast::gateway
