// Flow: one `flows/NAME.yaml` as an immutable value. Read once (`read_flow`), proved (flow_check.hpp), then walked by `decide`.
//
// A flow is a graph of stages. A stage comes after those that its expressions read (`.stages.NAME.output`) and those it names in
// `after` or `needs`; stages that do not depend on each other may run together. Stages of a `map` are a graph of their own, once
// per item, that also sees the stages around it.
//
// What an expression (jq) or a template sees, and no more:
//   .input                   the run's input
//   .stages.NAME             of the stages it comes after: {output, confidence, skipped, fallback}; output is null when skipped
//   .run                     {id, flow, version}
//   .NAME, .index            inside a map: the item under the name that `as` gave it ("item"), and its number from 0
//   .output                  only in `confidence` and `compensate`: the stage's own output
//   .error                   only in the `output` of a fallback: {code, message}
//   .values                  only in the effect of a settle stage, which sees this and .run alone
//
// Expressions and templates are compiled when the file is read; a Flow is therefore safe to share between threads.
#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/clock.hpp"
#include "base/config_node.hpp"
#include "base/hash.hpp"
#include "base/json.hpp"
#include "base/money.hpp"
#include "base/result.hpp"
#include "base/secrets.hpp"
#include "schema/schema.hpp"
#include "work/job.hpp"
#include "work/jq.hpp"
#include "work/template.hpp"

namespace ballast::work {

inline constexpr std::size_t kMaxStages = 500;             // of one flow, with those of its maps
inline constexpr std::size_t kMaxMapDepth = 4;
inline constexpr std::uint32_t kDefaultMapItems = 1'000;
inline constexpr std::uint32_t kMaxMapItems = 10'000;
inline constexpr std::size_t kMaxStageName = 64;

// Where something stands in its file, for the messages about it.
struct Place {
  int line = 0, column = 0;
  std::string field;                          // "stages.triage.when"
};

// A compiled expression or template; empty where the file has none.
struct Expr {
  std::optional<Jq> jq;
  Place at;
  explicit operator bool() const { return jq.has_value(); }
};
struct Text {
  std::optional<Template> text;
  Place at;
  explicit operator bool() const { return text.has_value(); }
};
struct Shape {                                // a JSON Schema
  std::optional<schema::Schema> schema;
  json::value text;
  Place at;
  explicit operator bool() const { return schema.has_value(); }
};

enum class StageKind : std::uint8_t { model, http, transform, text, approve, wait, map, choose, flow, settle, worker, query, classify };
inline constexpr std::size_t kStageKinds = 13;
enum class Risk : std::uint8_t { read, write, destructive };
enum class Idempotency : std::uint8_t {
  none,                                       // trying again may do it twice: never retried once it may have arrived
  natural,                                    // doing it twice is doing it once
  key,                                        // the other side honours our Idempotency-Key
};
std::string_view to_string(StageKind kind);   // as the file has it: "template" for text
std::string_view to_string(Risk risk);
std::string_view to_string(Idempotency idempotency);

// ---- What stages do

struct Message {
  std::string role;                           // "system", "user" or "assistant"
  Text content;
};
// A call on the gateway's road. Output: the text, or with a schema the structured answer.
struct ModelStage {
  std::string route;                          // a route, alias or model
  Text system, prompt;                        // prompt: the one user message; or messages
  std::vector<Message> messages;
  Expr messages_from;                         // a list of {role, content} made by jq
  Shape schema;                               // asked of the model, and checked
  std::optional<std::uint32_t> max_tokens;
  std::optional<double> temperature, top_p;
  std::optional<std::int64_t> seed;
  std::vector<std::string> stop;
};

// An HTTP call. Output: {status, headers, body}; body is JSON where it parses as such, else text.
struct HttpCall {
  std::string method = "GET";
  Text url;
  std::vector<std::pair<std::string, Text>> headers;
  Expr body;                                  // JSON, or a text as it is
  std::vector<std::pair<std::uint16_t, std::uint16_t>> expect = {{200, 299}};   // status ranges that are a success
  Shape schema;                               // of the answer's body
  Risk risk = Risk::read;                     // default: read for GET and HEAD, else destructive
  Idempotency idempotency = Idempotency::natural;
  bool trusted = false;                       // its answer may reach a settle stage
  bool trace = false;                         // the other side is told the trace: traceparent, and the run's tracestate
  std::shared_ptr<const SecretValues> secrets;   // the flow's own; never null
};
struct HttpStage { HttpCall call; };
struct TransformStage { Expr program; };      // output: its one value
struct TextStage { Text text; };              // output: the text

// When a human must look. Otherwise the stage passes by itself.
struct ApproveWhen {
  enum class Rule : std::uint8_t { always, never, risk, confidence, sample };
  Rule rule = Rule::always;
  Risk risk = Risk::destructive;              // rule risk: what comes after it has this risk or a higher one
  double below = 0;                           // rule confidence: of any stage it shows, or of `of`
  std::string of;
  double share = 0;                           // rule sample: 0 to 1, drawn from the run and the stage
  friend bool operator==(const ApproveWhen&, const ApproveWhen&) = default;
};
// Output: {decision, value, by, at, note}. `value` is what was shown, or its edited form; decision is "approved" or "passed".
struct ApproveStage {
  Expr show;                                  // what is looked at, and bound by its digest
  ApproveWhen when;
  Duration expires{};                         // zero: never, which `check` refuses
  struct Escalation { Duration after{}; std::string to; };
  std::optional<Escalation> escalate;
  std::vector<std::string> assignees;         // "user:anna", "group:editors", "key:NAME"; empty: whoever may approve
  bool editable = false;
  std::vector<std::string> edit_paths;        // editable: only these members ("reply.text"); empty: all that `edit_schema` allows
  Shape edit_schema;
  bool signature = false;                     // only an assigned user's own signature over the digest will do
  enum class Otherwise : std::uint8_t { fail, skip };
  Otherwise on_reject = Otherwise::fail;      // skip: as if its `when` had been false
  Otherwise on_expire = Otherwise::fail;
};

// Output: {at} for a time, the event's payload for an event. An event that does not come within the stage's timeout fails it.
struct WaitStage {
  Duration for_{};                            // one of the three
  Expr until;                                 // RFC 3339 text, or seconds since 1970
  std::string event;
  Expr key;                                   // which event of that name: equal text or JSON; none: any
};

struct Stage;
using Stages = std::vector<Stage>;            // in the order of the file

// The stages once per item. Output: the list of each item's `output`, in order; with `collect` a failed item is {error}.
struct MapStage {
  Expr over;                                  // a list
  std::string as = "item";
  std::uint32_t limit = 0;                    // items at once; 0: not given, which `check` warns of
  std::uint32_t max = kDefaultMapItems;       // a longer list fails the stage
  Stages stages;
  Expr output;                                // none: of the one stage that nothing in the map comes after
  bool collect = false;                       // on_error: collect
};

// Takes the first branch whose condition holds; the stages that only other branches name are skipped. Output: {chosen: [names]}.
struct ChooseStage {
  struct Branch {
    Expr when;                                // empty: else
    std::vector<std::string> then;
    Place at;
  };
  std::vector<Branch> branches;
};

// A run of another flow. Output: its output.
struct FlowStage {
  std::string name;
  std::string version;                        // a number or the digest's beginning; empty: the one in force when it starts
  Expr input;                                 // none: {}
};

// Money, and whatever cannot be undone. The effect sees `.values` and `.run` alone. Output: the effect's.
struct SettleStage {
  Expr values;
  HttpCall effect;                            // body: the values, unless it has one
  Expr key;                                   // the idempotency key; none: derived from the run and the stage
};

// Work that an external worker pulls. Output: what it completes with.
struct WorkerStage {
  std::string task;
  std::string queue = "default";
  Expr input;                                 // none: {}
  Shape schema;                               // of the result
  Duration lease = std::chrono::seconds(30);
  Risk risk = Risk::write;
  Idempotency idempotency = Idempotency::key; // the job's id is its key
  bool trusted = true;
};

// A question over a dataset, by the hybrid road: a model (`route`) makes an intent of the question, or an expression gives it; a program makes the
// statement. Output: {intent, columns, rows, truncated, chart, text, sql, parameters, timing_ms}, or
// {intent, unanswerable} with the reason; with `route` also {question, asked}.
struct QueryStage {
  std::string dataset;
  Text question;                              // with `route`
  std::string route;
  Text system;                                // the operator's own words to the model, after what it is told anyway
  std::uint32_t reasks = 1;                   // an intent that is refused goes back to the model with the reason
  Expr intent;                                // or: JSON as docs/query.md has it
  Expr principal;                             // attributes for row filters, beside who submitted the run; reads .input alone
};

// Which of a classifier's labels a text belongs to: no model, microseconds, the same answer for the same classifier. Output: {label, confidence,
// out_of_scope, verdict, next: [{label, confidence}], digest}; verdict is sure, unsure or out_of_scope, digest the classifier's.
struct ClassifyStage {
  std::string classifier;                     // of the configuration
  Text text;
  double unsure_below = 0.5;                  // a label of less confidence is told as unsure
};

// ---- How stages fail

struct Retry {
  std::uint32_t attempts = 1;                 // with the first
  Backoff backoff;
  std::vector<std::string> on;                // error codes, "provider_*"; empty: those that are retryable by nature
  bool retries(const Error& error) const;
};
// What happens when the attempts are used up, or the confidence is too low.
struct Fallback {
  std::string stage;                          // runs only then; its output becomes this stage's
  Expr output;                                // or a value
  Place at;
  explicit operator bool() const { return !stage.empty() || static_cast<bool>(output); }
};

struct Stage {
  std::string name;
  Place at;
  std::variant<ModelStage, HttpStage, TransformStage, TextStage, ApproveStage, WaitStage, MapStage, ChooseStage, FlowStage, SettleStage, WorkerStage, QueryStage, ClassifyStage> does;
  Expr when;                                  // false: skipped
  std::vector<std::string> after, needs;      // as written. needs: skipped, too, when one of these was skipped
  // What it comes after, of its own graph: read, `after`, `needs`, the choices that name it. Sorted.
  std::vector<std::string> waits_for;
  std::vector<std::string> outer;             // in a map: stages around it that it reads. Sorted.
  std::vector<std::string> chosen_by;         // choose stages with a branch that names it
  bool only_fallback = false;                 // runs when another stage falls back on it, and not otherwise
  Shape input, output;                        // input: of what it sends (http body, worker and flow input, settle values, map item)
  Retry retry;
  Duration timeout{};                         // of one attempt; of wait and map: altogether. Zero: none
  Fallback fallback;
  Expr confidence;                            // 0 to 1
  std::optional<double> at_least;             // below it the stage counts as failed, without a retry
  std::optional<HttpCall> compensate;         // undoes it
  bool irreversible = false;                  // compensate: none
  Digest digest{};                            // of its definition

  StageKind kind() const { return static_cast<StageKind>(does.index()); }
  template <class T>
  const T* as() const { return std::get_if<T>(&does); }
};
const Stage* find_stage(const Stages& stages, std::string_view name);
// The one stage that no other comes after: whose output is the graph's where no `output` says otherwise. Null: none, or several.
const Stage* last_stage(const Stages& stages);
// What it does to the world: of http, worker and settle as declared; of a map the worst of its stages; of a flow stage write.
Risk risk_of(const Stage& stage);
// An http, worker or settle stage that does more than read: it goes through the effects' journal.
bool is_effect(const Stage& stage);
Idempotency idempotency_of(const Stage& stage);
// The schema its output is known to satisfy: `output`, else what its kind says; null where nothing is known.
const json::value* output_schema(const Stage& stage);

struct FlowPolicy {
  ApproveWhen approve;                        // of approve stages that do not say when
  std::optional<Money> max_cost;              // of the whole run: above it no further model call starts
  Duration deadline{};                        // of the whole run; zero: the job's
  bool compensate_on_failure = false;         // on_failure: compensate
};

// The file and the files it names, as text: enough to read the same flow again when the files have changed.
struct FlowSource {
  std::string file;
  std::string text;
  std::map<std::string, std::string> files;   // schemas and prompts, by the name the flow uses
};
std::string pack_source(const FlowSource& source);
Result<FlowSource> unpack_source(std::string_view packed);

class Flow {
 public:
  const std::string& name() const { return name_; }
  std::uint64_t version() const { return version_; }              // 0: not given, the digest names it
  const Digest& digest() const { return digest_; }                // of the definition with schemas and prompts; not of comments or layout
  std::string version_name() const;                               // "3", else 12 letters of the digest
  const Shape& input() const { return input_; }
  bool input_trusted() const { return input_trusted_; }
  const Expr& output() const { return output_; }
  const FlowPolicy& policy() const { return policy_; }
  const Stages& stages() const { return stages_; }
  const FlowSource& source() const { return source_; }
  // What ${NAME} was given from the environment, where it goes into a call or has the name of a secret: hidden wherever something about a run is shown
  // or kept.
  const SecretValues& secrets() const { return *secrets_; }
  const Stage* find(std::string_view name) const { return find_stage(stages_, name); }
  // A stage by a run's path: "each[3].fetch" is `fetch` of the map `each`. Null: none.
  const Stage* at_path(std::string_view path) const;
  // The stages the output reads. Sorted.
  const std::vector<std::string>& output_reads() const { return output_reads_; }

 private:
  friend class FlowReader;                    // flow_reader.hpp
  Flow() = default;
  std::string name_;
  std::uint64_t version_ = 0;
  Digest digest_{};
  Shape input_;
  bool input_trusted_ = false;
  Expr output_;
  std::vector<std::string> output_reads_;
  FlowPolicy policy_;
  Stages stages_;
  FlowSource source_;
  std::shared_ptr<const SecretValues> secrets_;
};
using FlowPtr = std::shared_ptr<const Flow>;

// A file that a flow names, relative to the flow's own.
using FileLookup = std::function<Result<std::string>(std::string_view name)>;

// Reads one flow. `mistakes` (may be null) receives every mistake with its place; the error has the same, one per line.
// Secrets by ${NAME} are in the Flow but not in its source or digest, nor in a mistake.
Result<FlowPtr> read_flow(std::string_view text, std::string file, const EnvLookup& environment, const FileLookup& files,
                          std::vector<ConfigMistake>* mistakes = nullptr);
// The same from what was stored.
Result<FlowPtr> read_flow(const FlowSource& source, const EnvLookup& environment, std::vector<ConfigMistake>* mistakes = nullptr);

}  // namespace ballast::work
