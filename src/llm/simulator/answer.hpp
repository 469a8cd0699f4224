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
// `lie`: one of the json_ faults, or null.
SimDraft draft_answer(const ChatRequest& request, const SimModel& model, const SimFault* lie, std::int64_t unix_seconds, Random& random);
// A value that satisfies the schema, where its keywords leave an easy one: the same for the same schema. Regular expressions, `not` and
// conditions are not looked at.
json::value sample_of(const json::value& schema);
// `text`, as a model says it that does not do as it was told.
std::string lie_about(std::string text, SimFaultKind kind);
// A request at fault, told as the provider of the wire would: in its shape, without our codes.
SimScript refuse(Wire wire, const Error& error, Duration latency = {});
// Embeddings and images.
SimScript draft_pass_through(const SimRequest& request, const SimConfig& config, std::int64_t unix_seconds);

}  // namespace ballast::llm
