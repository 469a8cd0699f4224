// Jobs as JSON: what a submission says, and how a job is shown. Pure.
#pragma once
#include "base/json.hpp"
#include "gateway/principal.hpp"
#include "net/http.hpp"
#include "work/engine.hpp"
#include "work/meter.hpp"

namespace ballast::server {

// One member of the body that asks for work: exactly one of `task`, `call` and `flow`, its input, and how it is to be queued. Unknown members are errors.
// The key's identity and attribution are `who`'s; `tenant` is the key's id unless the body says otherwise.
Result<work::Submission> submission_from(const JsonRef& body, const gateway::Principal& who);

// "30s" or a number of seconds. Nothing when absent or null.
Result<std::optional<Duration>> maybe_duration(const JsonRef& body, std::string_view name);
// caller_invalid_request naming the first member of `body` that is not among `known`.
Result<void> only_members(const JsonRef& body, std::initializer_list<std::string_view> known);

enum class Detail : std::uint8_t { brief, whole };       // whole: with input and output
json::object job_json(const work::Job& job, bool running, Detail detail);
json::object lease_json(const work::Lease& lease);
// Of all nodes, and beneath `here` of this one.
json::object queue_json(std::string_view name, const work::QueueRules& rules, const work::QueueView& all, const work::QueueView& here);
// What an autoscaler reads, put into a queue's object: rates, the mean time in leases of a job, and `wanted`.
void add_flow(json::object& queue, const work::QueueView& all, const work::QueueRules& rules, Duration drain, unsigned nodes);
// {"code","message"[,"field"]} of one refused item of a list.
json::object refusal_json(const Error& error);
// Stored bytes as JSON: the document, a string if it is none, or base64 if it is no text.
json::value payload_json(std::string_view bytes);

}  // namespace ballast::server
