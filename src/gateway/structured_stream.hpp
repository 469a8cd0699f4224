// A stream under a demand: its text is told as long as it can still become the JSON that was asked for, and its end only when it has.
// Synchronous, without I/O: the relay feeds it and encodes what it lets through.
#pragma once
#include <map>
#include <vector>

#include "gateway/collect.hpp"
#include "gateway/json_strand.hpp"
#include "gateway/structured.hpp"

namespace ballast::gateway {

struct WatchOptions {
  bool hold = false;          // nothing is told before all of it is judged
  bool pass = false;          // a wrong answer is told all the same
};

// One upstream stream's, or that of several where one goes on after another. A violation stops the telling, not the reading: what is left is
// judged whole at the end, and told if what was told already is a beginning of it (a fence that stands around it is, once taken off).
class AnswerWatch {
 public:
  AnswerWatch(const Demand& demand, WatchOptions options) : demand_(demand), options_(options) {}

  // What may be told of `event` now is appended to `out`.
  void push(llm::StreamEvent event, std::vector<llm::StreamEvent>& out);

  // The caller may be sent what was let through: it cannot be taken back afterwards. With `hold` the road sends it, at the end.
  bool told() const { return told_ && !options_.hold; }
  // An answer was wrong, and its end is not told.
  bool refused() const { return refused_; }
  // The gravest so far; nothing where no answer was judged (calls of tools, refusals).
  const std::optional<Verdict>& verdict() const { return verdict_; }
  // The words of the refused answer, and with `pass` the whole reply as it came.
  const std::string& words() const { return words_; }
  llm::ChatReply take_raw() { return raw_.take(); }

 private:
  struct Choice {
    JsonStrand answer;
    std::string signature;       // of text that is not told yet
    bool exempt = false;         // it calls tools or declines: its text is not judged
    bool ended = false;          // nothing behind its end is told
  };
  void text(Choice& choice, llm::TextDelta delta, std::vector<llm::StreamEvent>& out);
  void exempt(Choice& choice, std::uint32_t index, std::vector<llm::StreamEvent>& out);
  void finish(Choice& choice, llm::Finish end, std::vector<llm::StreamEvent>& out);
  // The verdict on a whole answer; what is left of it is told, or nothing more.
  void conclude(Choice& choice, const llm::Finish& end, std::vector<llm::StreamEvent>& out);
  void tell_text(Choice& choice, std::uint32_t index, std::string text, std::vector<llm::StreamEvent>& out);
  void tell(llm::StreamEvent event, std::vector<llm::StreamEvent>& out) {
    told_ = true;
    out.push_back(std::move(event));
  }

  const Demand& demand_;
  WatchOptions options_;
  std::map<std::uint32_t, Choice> choices_;
  std::optional<Verdict> verdict_;
  std::string words_;
  StreamCollector raw_;
  bool told_ = false;
  bool refused_ = false;
};

}  // namespace ballast::gateway
