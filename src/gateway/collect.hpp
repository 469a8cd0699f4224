// Streams to whole replies and back: what a cache or an idempotency key remembers is a whole reply, whatever form it
// travelled in, and either form can be answered from it. Pure.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "llm/wire.hpp"

namespace ballast::gateway {

// Gathers one stream's events into the reply they spell. Bounded by the caller's limit on the stream itself.
class StreamCollector {
 public:
  void push(const llm::StreamEvent& event);
  // The reply so far, complete once the stream has finished.
  llm::ChatReply take();
  std::size_t bytes() const { return bytes_; }

 private:
  struct Draft {
    llm::Choice choice;
    std::map<std::uint32_t, std::size_t> tools;   // tool index → part
  };
  Draft& draft(std::uint32_t choice);
  template <class P>
  P& open_part(std::uint32_t choice);

  llm::ChatReply reply_;
  std::map<std::uint32_t, Draft> drafts_;
  bool part_closed_ = false;
  std::size_t bytes_ = 0;
};

// The events a provider would have sent for `reply`, text in pieces of about `piece_bytes` (whole UTF-8 characters).
std::vector<llm::StreamEvent> as_stream(const llm::ChatReply& reply, std::size_t piece_bytes = 64);

// `reply` as a finished stream of the wire's server-sent events, told to the caller of `request`.
std::string stream_text(llm::Wire wire, const llm::ChatReply& reply, bool include_usage, std::string_view request = {});

}  // namespace ballast::gateway
