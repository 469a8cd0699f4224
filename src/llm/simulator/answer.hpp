// What the simulator says: private to it.
#pragma once
#include "llm/simulator/simulator.hpp"
#include "llm/wire.hpp"

namespace ballast::llm {

struct SimDraft {
  ChatReply reply;
  std::vector<StreamEvent> events;       // the same as a stream, a token a delta
  Usage usage;
  bool include_usage = false;
  void report(std::uint64_t output);     // claim other usage than was served
};
SimDraft draft_answer(const ChatRequest& request, const SimModel& model, std::int64_t unix_seconds, Random& random);
// A request at fault, told as the provider of the wire would: in its shape, without our codes.
SimScript refuse(Wire wire, const Error& error, Duration latency = {});
// Embeddings and images.
SimScript draft_pass_through(const SimRequest& request, const SimConfig& config, std::int64_t unix_seconds);

}  // namespace ballast::llm
