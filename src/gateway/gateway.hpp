// The call road: the one way to a model. Every call, however it starts, walks it in this order:
//
//   authenticate → admit → look up → plan → hold → attempt* → check → settle → explain
//
// `serve` never throws for a reason outside the process and always answers through the sink: with the model's answer, with
// a degraded one that says so, or with an error in the caller's own API's shape. It returns when everything about the call
// is settled: the outcome journaled, the money booked, the limits released.
//
// Concurrency: `serve` runs on the sink's loop; one Gateway serves all loops. `reload` may be called from any thread.
#pragma once
#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/metrics.hpp"
#include "base/trace.hpp"
#include "gateway/breakers.hpp"
#include "gateway/cache.hpp"
#include "gateway/call.hpp"
#include "gateway/genai.hpp"
#include "gateway/idempotency.hpp"
#include "gateway/keys.hpp"
#include "gateway/setup.hpp"
#include "llm/provider_batch.hpp"
#include "records/journal.hpp"

namespace ballast::gateway {

class Recorder;                                  // recorder.hpp
class SharedCache;                               // cache_shared.hpp

// What outlives every reload. Borrowed; all of it outlives the Gateway.
struct World {
  const Clock& clock;
  KeyRing& keys;
  Breakers& breakers;
  ResponseCache& cache;
  Idempotency& idempotency;
  records::CallJournal& journal;
  metrics::Registry& metrics;
  trace::SpanSink* spans = nullptr;              // null: no traces
  double trace_sample = 1.0;                     // of calls that bring no trace context
  GenaiNames genai_names = GenaiNames::both;     // of the spans' attributes
  GenaiMetrics* genai = nullptr;                 // null: nobody exports them
  unsigned loops = 1;
  Recorder* recorder = nullptr;                  // null: no messages are kept
  const Freshness* freshness = nullptr;          // of what other nodes changed; null: there are no others
  SharedCache* shared_cache = nullptr;           // null: this is the only node there can be
};

class Gateway {
 public:
  Gateway(World world, SetupPtr setup);
  ~Gateway();
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;

  // `call`, what it borrows and `sink` outlive the task.
  Task<void> serve(const Call& call, ReplySink& sink);

  // Draws the seat of a durable call, before `serve`: room for it in the limits of its caller and of the first of its route's targets that
  // has any. The refusal says when to ask again; `never`, and a call that cannot be read: serve it, the road says what is wrong with it.
  std::expected<Seat, Refusal> draw(const Call& call, ReplySink& sink);

  // The target whose provider would answer this durable call in a batch: the first of its route's. Nothing: it has no batch API for such a
  // call, or a budget binds it, for no hold lasts as long as a batch.
  struct BatchTarget {
    std::string provider, model;
    llm::BatchApi api{};
  };
  std::optional<BatchTarget> batch_target(const Call& call, ReplySink& sink);

  // The tokens a request's prompt is estimated at (count_tokens), after authentication; answers through the sink.
  Task<void> count_tokens(Call call, ReplySink& sink);

  void reload(SetupPtr setup);
  SetupPtr setup() const;
  const World& world() const { return world_; }
  // Is this secret an active key, and which (server/: native routes)?
  Result<Principal> authenticate(unsigned loop, std::string_view secret);

  struct Room;                                   // known to the road's own files (road.hpp)

 private:
  World world_;
  std::unique_ptr<Room> room_;
};

}  // namespace ballast::gateway
