// A stream under a demand: a text is told as long as it can still become the JSON that was asked for, and its end only when it has; so are
// the arguments of calls that the caller forces. Synchronous, without I/O: the relay feeds it and encodes what it lets through.
#pragma once
#include <map>
#include <vector>

#include "gateway/collect.hpp"
#include "gateway/json_strand.hpp"
#include "gateway/structured.hpp"

namespace ballast::gateway {

// What an answer is judged by: one of the two at least. Where calls are forced, no text is judged. Both outlive who judges.
struct JudgedBy {
  const Demand* answer = nullptr;
  const CallDemand* calls = nullptr;
  explicit operator bool() const { return answer != nullptr || calls != nullptr; }
};

struct WatchOptions {
  bool hold = false;          // nothing is told before all of it is judged
  bool pass = false;          // a wrong answer is told all the same
};

// One upstream stream's, or that of several where one goes on after another. A violation stops the telling, not the reading: what is left is
// judged whole at the end, and told if what was told already is a beginning of it (a fence that stands around it is, once taken off).
class AnswerWatch {
 public:
  AnswerWatch(JudgedBy by, WatchOptions options) : by_(by), options_(options) {}

  // What may be told of `event` now is appended to `out`.
  void push(llm::StreamEvent event, std::vector<llm::StreamEvent>& out);

  // The caller may be sent what was let through: it cannot be taken back afterwards. With `hold` the road sends it, at the end.
  bool told() const { return told_ && !options_.hold; }
  // An answer was wrong, and its end is not told.
  bool refused() const { return refused_; }
  // The gravest so far; nothing where no answer was judged (calls that nobody forced, refusals).
  const std::optional<Verdict>& verdict() const { return verdict_; }
  // What the refused answer said, and with `pass` the whole reply as it came.
  const Said& said() const { return said_; }
  llm::ChatReply take_raw() { return raw_.take(); }

 private:
  using Events = std::vector<llm::StreamEvent>;
  struct ForcedCall {
    llm::ToolStart start;
    JsonStrand arguments;
    bool judged = true;
    bool told = false;           // its start
  };
  struct Choice {
    JsonStrand answer;
    std::string signature;       // of text that is not told yet
    std::map<std::uint32_t, ForcedCall> calls;
    Events before_calls;         // what it says before the first of them is told
    bool calling = false;        // one was told
    bool exempt = false;         // it declines, or calls unasked: nothing is judged
    bool ended = false;          // nothing behind its end is told
  };
  void text(Choice& choice, llm::TextDelta delta, Events& out);
  void exempt(Choice& choice, std::uint32_t index, Events& out);
  void finish(Choice& choice, llm::Finish end, Events& out);
  // The verdict on a whole answer; what is left of it is told, or nothing more.
  void conclude(Choice& choice, const llm::Finish& end, Events& out);
  // Forced calls: false if the event is none of their business.
  bool call(Choice& choice, llm::StreamEvent& event, Events& out);
  void conclude_calls(Choice& choice, const llm::Finish& end, Events& out);
  void tell_call(Choice& choice, std::uint32_t index, std::string arguments, Events& out);
  void refuse(Choice& choice);
  bool may_be_asked_again() const { return options_.hold || !told_; }
  void note(Verdict verdict);
  void tell_text(Choice& choice, std::uint32_t index, std::string text, Events& out);
  void tell(llm::StreamEvent event, Events& out) {
    told_ = true;
    out.push_back(std::move(event));
  }

  JudgedBy by_;
  WatchOptions options_;
  std::map<std::uint32_t, Choice> choices_;
  std::optional<Verdict> verdict_;
  Said said_;
  StreamCollector raw_;
  bool told_ = false;
  bool refused_ = false;
};

}  // namespace ballast::gateway
