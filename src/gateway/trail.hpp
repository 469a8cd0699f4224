// Trail: what a call leaves behind while it walks the road: its ledger record, its decision log and the figures its reply
// headers tell. It is written by each step and read by none of them to decide anything.
#pragma once
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "base/clock.hpp"
#include "base/trace.hpp"
#include "gateway/budgets.hpp"
#include "gateway/call.hpp"
#include "gateway/decision.hpp"
#include "gateway/limits.hpp"
#include "llm/types.hpp"
#include "records/call_record.hpp"

namespace ballast::gateway {

struct Trail {
  Trail(Id id, MonoTime started, WallTime arrived, const Call& call);

  records::CallRecord record;
  DecisionLog decision;
  MonoTime started;
  LimitFigures limits;                   // the caller's, after admission
  std::string call_id;                   // "call_…"
  trace::SpanContext span;               // the call's own; invalid: not traced
  std::uint64_t parent_span = 0;         // the caller's
  std::vector<trace::SpanContext> attempt_spans;   // by attempt
  llm::FinishReason finish = llm::FinishReason::none;   // of the answer
  bool streamed = false;                 // the answer came in pieces
  std::optional<Duration> age;           // of an answer from memory, since it was stored
  std::optional<BudgetLeft> budget;      // the tightest of those that bind the call
  std::string_view structured;           // what became of the JSON that was asked for, for the x-ballast-structured header; static
  std::string warning;                   // deprecations, for the x-ballast-warning header
};

// "provider/model" of what answered, in `into`; empty before anything has.
using NameBuffer = fmt::basic_memory_buffer<char, 128>;
std::string_view answered_by(const records::CallRecord& record, NameBuffer& into);

// The reply's head: what happened, told in headers. `settled`: the cost is final and is told too.
ReplyHead reply_head(const Trail& trail, int status, std::string_view content_type, bool settled);

records::TokenCounts token_counts(const llm::Usage& usage);

}  // namespace ballast::gateway
