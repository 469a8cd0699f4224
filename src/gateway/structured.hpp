// What a call demands of its answer, and the judgement of an answer: valid, put right, cut off or wrong. Pure but for the cache; the
// step on the road is structured_road.cpp, the one on a stream structured_stream.hpp.
#pragma once
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.hpp"
#include "llm/structured.hpp"
#include "llm/types.hpp"
#include "schema/schema.hpp"

namespace ballast::gateway {

// Immutable and shared; every loop may judge by one at once.
struct Demand {
  llm::ResponseFormat format;
  llm::SchemaHints hints;
  std::optional<schema::Schema> schema;    // nothing: any JSON value will do (JSON mode)
  bool strict = false;                     // OpenAI can be told to hold itself to it
  std::uint64_t asking_bytes = 0;          // what asking adds to a prompt at most
  std::string id;                          // tells it from others: for cache keys
};
using DemandPtr = std::shared_ptr<const Demand>;

// A schema of a caller costs the loop that reads it: what is above these does not compile, or refuses the answer.
inline constexpr std::size_t kMaxSchemaBytes = 256u << 10;
inline constexpr std::size_t kMaxSchemaNodes = 20'000;
inline constexpr std::size_t kMaxAnswerDepth = 256;

// Errors: caller_invalid_request, or caller_too_large above a limit, `field` beginning with the place of the schema in the request.
Result<DemandPtr> compile_demand(llm::ResponseFormat format, std::string_view field);

// The demands that were compiled last, by what they say. One loop's: not thread-safe. Holds at most 128 of them and 4 MiB of schemas.
class DemandCache {
 public:
  Result<DemandPtr> get(llm::ResponseFormat format, std::string_view field);
  std::size_t size() const { return used_.size(); }

 private:
  static constexpr std::size_t most = 128, most_bytes = 4u << 20;
  struct Entry {
    std::string key;
    DemandPtr demand;
  };
  std::list<Entry> used_;                  // the latest first
  std::unordered_map<std::string_view, std::list<Entry>::iterator> by_key_;   // views into the list
  std::size_t bytes_ = 0;
};

// What the calls must be of which the caller forces one: the arguments of each are judged by its own tool's schema.
struct CallDemand {
  struct Tool {
    std::string name;
    DemandPtr arguments;                   // null: not judged, there is no schema or none that can be used
  };
  std::vector<Tool> tools;                 // all that may be called
  const Tool* find(std::string_view name) const;
};
using CallDemandPtr = std::shared_ptr<const CallDemand>;

enum class Standing : std::uint8_t {
  valid,
  repaired,      // one reading was possible, and it satisfies the schema
  truncated,     // it ends before it is whole: nothing is known of the rest
  wrong,
};
std::string_view to_string(Standing standing);

struct Verdict {
  Standing standing = Standing::valid;
  std::string text;                        // repaired: what to serve
  std::string_view how;                    // repaired: what was done; static
  std::vector<schema::Violation> violations;   // wrong: at most 8
  std::string tool;                        // of the call whose arguments it is about; empty: it is about a text
  bool good() const { return standing <= Standing::repaired; }
};
// Linear in `text` but for the schema's own cost, which its limits bound.
Verdict judge(const Demand& demand, std::string_view text, llm::FinishReason finish);

// Of a call's arguments. None at all are an empty object.
Verdict judge_call(const CallDemand& demand, std::string_view tool, std::string_view arguments, llm::FinishReason finish);
// Of an answer that calls no tool where one must be called.
Verdict judge_silence(llm::FinishReason finish);

// What a refused answer said: of calls the caller forced, the calls.
struct Said {
  std::string words;
  std::vector<llm::ToolCall> calls;
};

// "/items/3/price must be at least 0, is -3; …": for people and models. Quotes the answer: never for a log.
std::string in_words(const Verdict& verdict);
// What a model is told that shall do better.
std::string complaint(const Verdict& verdict);
// The rule that was broken first, without a word of the answer: "minimum"; empty if there is none.
std::string_view broken_rule(const Verdict& verdict);

}  // namespace ballast::gateway
