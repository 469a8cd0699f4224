// Batch: many model calls in one file, answered into another, in the shape of OpenAI's batch API. What a batch is, how a line of its input reads,
// how a line of its output is written. Values and pure functions; `batches.hpp` makes them happen.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "work/job.hpp"
#include "work/model_call.hpp"

namespace ballast::work {

// As stored. The last four are final.
enum class BatchState : std::uint8_t { validating = 0, in_progress, finalizing, cancelling, completed, failed, expired, cancelled };
std::string_view to_string(BatchState state);
inline bool terminal(BatchState s) { return s >= BatchState::completed; }

// An id is a number as a job's is, printed "batch_0123456789abc".
std::string batch_id(JobId id);
std::optional<JobId> parse_batch_id(std::string_view text);

// Why a batch failed before any of its calls was made, by line of its file.
struct BatchMistake {
  std::string code, message;                 // OpenAI's codes where it has one
  std::string param;                         // empty: null
  std::uint64_t line = 0;                    // from 1; 0: of the whole file
};
inline constexpr std::size_t kMostMistakes = 100;        // told of one batch
inline constexpr std::size_t kMostLine = 32u << 20;      // bytes of a line
inline constexpr std::size_t kMaxCustomId = 512;         // bytes

struct BatchCounts {
  std::uint64_t total = 0, completed = 0, failed = 0;
};

struct BatchUsage {
  std::uint64_t input = 0, cached = 0, output = 0, reasoning = 0;
  // Of a reply in whichever form; a reply without usage adds nothing.
  void add(const json::value& reply);
};

struct Batch {
  JobId id;
  std::string owner;                         // the id of the key whose it is
  std::string endpoint;                      // "/v1/chat/completions"
  BatchState state = BatchState::validating;
  bool submitted = false;                    // every line is a job
  JobId input;                               // files; zero: none
  JobId output, errors;
  std::string window = "24h";
  json::object metadata;
  std::string user, feature;                 // what its calls are attributed to
  WallTime created{}, expires{};
  // When it became what it is or was; zero: it did not.
  WallTime in_progress{}, finalizing{}, completed{}, failed{}, expired{}, cancelling{}, cancelled{};
  BatchCounts counts;                        // of a live one: of its lines at least `total`
  std::optional<BatchUsage> usage;           // once all is known
  std::vector<BatchMistake> mistakes;
};
// The members without a column of their own, and back.
std::string pack_batch(const Batch& batch);
Result<void> unpack_batch(std::string_view packed, Batch& batch);

// The operation that an endpoint's lines ask for; null: no such endpoint.
const CallShape* shape_of_endpoint(std::string_view endpoint);
std::string batch_endpoints();               // of all of them, for people

// One line of the input: {"custom_id", "method": "POST", "url", "body"}.
struct BatchLine {
  std::string custom_id, model;
  std::string body;                          // JSON
};
std::expected<BatchLine, BatchMistake> read_batch_line(std::string_view text, std::string_view endpoint, std::uint64_t line);

// Cuts pieces of a file into its lines. Empty ones are passed over, and counted.
class LineCutter {
 public:
  // Once `next` has given nothing. `piece` lives until it gives nothing again.
  void push(std::string_view piece);
  void end() { ended_ = true; }
  // Nothing: no whole line is left. A line of more than kMostLine bytes is given cut, with `too_long`.
  struct Line { std::string_view text; std::uint64_t number = 0; bool too_long = false; };
  std::optional<Line> next();

 private:
  std::string rest_;                         // the beginning of a line, of pieces before
  std::string line_;                         // given out, put together
  std::string_view piece_;
  std::uint64_t number_ = 0;
  bool ended_ = false;
};

// What came of a line, as one of the output's or of the errors' lines (without the line's end).
struct BatchAnswer {
  std::string text;
  bool good = false;                         // belongs into the output
  bool late = false;                         // the window was over first
};
// `job` has ended. Its usage is added.
BatchAnswer answer_of(const Job& job, std::string_view custom_id, BatchUsage& usage);
// Of a line without a job (any more).
enum class Unmade : std::uint8_t { cancelled, late, lost };
BatchAnswer answer_of_none(Unmade why, JobId id, std::string_view custom_id);

}  // namespace ballast::work
