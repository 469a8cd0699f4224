// The steps of the road, private to the gateway room. Each takes what it needs and returns what the next one needs; the
// Trail alone is written by all. `road.cpp` tells the story, the other files are its chapters.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/ids.hpp"
#include "base/task_group.hpp"
#include "gateway/gateway.hpp"
#include "gateway/plan.hpp"
#include "gateway/prompt_tokens.hpp"
#include "gateway/recording_sink.hpp"
#include "gateway/relay.hpp"
#include "gateway/road_metrics.hpp"
#include "gateway/stream.hpp"
#include "gateway/structured.hpp"
#include "gateway/trail.hpp"
#include "llm/facts.hpp"
#include "llm/images.hpp"
#include "llm/price_memo.hpp"

namespace ballast::gateway {

// What one event loop has for itself: no locks, no sharing.
struct PerLoop {
  llm::FactsReader facts;
  SeededRandom random{os_seed()};
  IdGenerator ids;
  std::string scratch;                            // for log lines
  RoundBudget rounds;
  llm::PriceMemo prices;
  DemandCache demands;
};

// Where a step happens: who else is there. References only; all of it outlives the call.
struct Scene {
  const World& world;
  const Setup& setup;
  PerLoop& here;
  const RoadMetrics& metrics;
  const Call& call;
  ReplySink& sink;
  RecordingSink* recording = nullptr;             // the same sink, where some route records messages

  MonoTime now() const { return world.clock.mono(); }
  unsigned loop() const { return sink.loop().index(); }
};

// What limits reckon a call at before its answer tells: a quarter of the prompt's bytes, until somebody had to count.
struct Weight {
  std::uint64_t least = 0, prompt = 0, most = 0;  // tokens of the prompt, as far as is known; all the same: nothing more is to be known
  std::uint64_t output = 0;                       // expected
  std::uint64_t tokens() const { return prompt + output; }
  bool open() const { return least != most; }
};

// Step 1, `read.cpp`: who asks, for what, along which route.
struct Asked {
  Principal who;
  llm::RequestFacts facts;
  RoutePtr route;
  mutable Weight weight;                          // refined by a count: what was asked stays as it is
  mutable Prompt prompt;                          // of a conversation; remembers its counts
  llm::Extent extent;                             // what bounds its cost
  std::optional<llm::ImageAsk> images;            // a call that makes images
  std::optional<json::value> document;            // parsed already, where the fast reader does not apply
  bool chat = true;                               // a conversation; else embeddings or images, passed through
  bool demand_of_route = false;                   // the caller's body does not say it
  DemandPtr demand;                               // what the answer must be; null: whatever it is
  CallDemandPtr calls;                            // what the calls must be that the caller forces; null: he forces none
  JudgedBy judged_by() const { return {demand.get(), calls.get()}; }
};
Result<Asked> read_request(const Scene& scene, Trail& trail);
// Whose call it is: where no key is needed (Setup::require_key) and none was sent, that of "anonymous", who may call and nothing else.
Result<Principal> who_calls(const World& world, const Setup& setup, unsigned loop, const Call& call);
LimitSubject limit_subject(const Asked& asked);

// Step 2, `seat.cpp`: from the seat a durable call brought, or from the limits. `target` null: its caller's room.
std::expected<Admission, Refusal> admit_seated(const Scene& scene, const Asked& asked, const Target* target, Trail& trail);
// After a refusal by this node's part of a shared limit (Refusal::slice): waits in turn for what the database's answers give, until they
// give no more. `admitted` is the last word then. `target` null: of its caller's limits.
Task<void> wait_for_slice(const Scene& scene, const Asked& asked, const Target* target, MonoTime until, CancelToken gone,
                          std::expected<Admission, Refusal>& admitted, Trail& trail);
// Counts what was refused because nobody can say whether it may pass.
inline void note_unchecked(const Scene& scene, const Refusal& refusal) {
  if (refusal.error.code == ErrorCode::internal_unavailable) scene.metrics.limits_unchecked.add();
}
// A seat for the call as it stands; one that cannot be read gets none, and the road tells it why.
std::expected<Seat, Refusal> draw_seat(const Scene& scene);
std::optional<Gateway::BatchTarget> find_batch_target(const Scene& scene);
BudgetSubject budget_subject(const Asked& asked);

// Step 3, `memory.cpp`: an answer from memory, or the duties of the one who makes it.
struct Memory {
  std::optional<CacheKey> key;
  CacheLead lead;
  bool refresh = false;                           // the answer is stored, though no one leads (Cache-Control: no-cache)
  IdempotencyClaim claim;
  CachedReplyPtr hit;                             // answer with this …
  std::shared_ptr<const RememberedReply> replay;  // … or this
  bool remembers() const { return lead.leads() || refresh || claim.held(); }
};
Task<Result<Memory>> look_up(const Scene& scene, const Asked& asked, Trail& trail);
Task<void> answer_from_memory(const Scene& scene, const Asked& asked, const Memory& memory, Trail& trail);

struct Answer;

// Step 4 and 5, `candidates.cpp`: the targets in order, each with what it may cost, and the money held for the dearest.
struct Candidate {
  const Target* target = nullptr;
  const ProviderAccess* access = nullptr;
  Breaker* breaker = nullptr;
  llm::ModelInfoPtr info;                         // null: unpriced and unknown
  TargetView view;
  std::optional<std::int64_t> max_tokens;         // what to send, where it differs from what was asked
  Money ceiling;                                  // proven; zero where no budget applies and nothing is known
  bool crowded = false;                           // a question beside it would take too much of what bounds its answer
  std::uint64_t spared_bytes = 0;                 // of the prompt: no tokens, as counted where a budget was near. The ceiling goes without them
  unsigned tries = 0;                             // of this call; its breaker at the last of them:
  std::uint64_t breaker_changes = 0;
};
// What a route's model is to be asked about a call whose classifier was not sure: a small call of its own, in its caller's name, made before the
// attempts and out of the same hold. Pinned: `call` borrows `body`.
struct Question {
  std::vector<std::string_view> labels;           // that it may choose of, the likeliest first; views into the classifier
  std::string_view unclear;                       // what the classifier's answer is counted as
  std::string body;
  Call call;
  Asked asked;
  Candidate candidate;
  Money ceiling;                                  // as the budgets hold it
  bool budgeted = false;
};
struct Planned {
  std::vector<Candidate> candidates;              // in the order to try; behind the admitted those that rest
  std::size_t admitted = 0;                       // 0: all that could serve rest; nothing is held yet
  Hold hold;
  Money ceiling;                                  // of the dearest
  Money running;                                  // ceilings of the attempts under way
  std::uint64_t added_bytes = 0;                  // to the prompt, beside the caller's: a refused answer and what is wrong with it, or half a one
  bool budgeted = false;
  std::unique_ptr<Question> question;             // to be asked before the first attempt
  unsigned asked_before = 0;                      // attempts of the record that were not made for the answer
  bool warm() const { return admitted > 0; }
};
// Of those for the answer. What was asked before does not count.
inline unsigned attempts_made(const Planned& plan, const Trail& trail) { return static_cast<unsigned>(trail.record.attempts.size()) - plan.asked_before; }
// `intent.cpp`, for a route with a classifier: what the last user's message wants, into `needs`; or, where that is unclear and the route has a model
// to ask, the question.
std::unique_ptr<Question> classify_call(const Scene& scene, const Asked& asked, Needs& needs, Trail& trail);
// Nobody is asked after all: the call is as unclear as the classifier left it.
void forgo_question(const Scene& scene, const Asked& asked, Planned& planned, std::string_view why, Trail& trail);
// Asks it, once, and arranges `plan` by the answer. Whatever comes of it, the call goes on: no failure of this is one of the call. `answer` says
// whether something was dispatched, and ends when the caller has left meanwhile.
Task<void> ask_question(const Scene& scene, const Asked& asked, Planned& plan, Trail& trail, Answer& answer);
// In `candidates.cpp`: what asking costs at most; false: it cannot be paid for, or has no price where a budget applies. And the admitted candidates,
// arranged anew by what is wanted.
bool price_question(const Scene& scene, Question& question, Trail& trail);
void go_by(const Route& route, const Needs& needs, Planned& plan);
// Is it known what such a call costs there?
bool is_priced(const Asked& asked, const Candidate& c);
Result<Planned> make_candidates(const Scene& scene, const Asked& asked, Trail& trail);
// `lacking`: what other nodes' money may still make good. `again`: it was so before, for this call.
Result<void> hold_money(const Scene& scene, const Asked& asked, Planned& planned, Trail& trail, Shortage& lacking, bool again = false);
// `shortage.cpp`: until the database has said what is left, or a little while before: true, to try again. Else `refusal` says why not.
Task<bool> wait_for_money(const Scene& scene, const Shortage& lacking, MonoTime until, Trail& trail, Error& refusal);
// What bounds the cost of an attempt on `c` from now on.
llm::Extent extent_of(const Asked& asked, const Planned& planned, const Candidate& c);

// `counted.cpp`: the prompt's tokens, where bytes leave open what is decided. Each count is told in the decision record.
//
// What the bytes say of a prompt's tokens.
struct TokenSpan {
  std::uint64_t least = 0, most = 0;
};
TokenSpan prompt_span(const llm::RequestFacts& facts);
// By what a target's prompts are counted: what the configuration says of the model, else what its name does.
tokens::Basis basis_of(const Target& target, const llm::ModelInfo* info);
// From the limits, by the weight that decides. `target` null: the caller's limits, counted for the route's first target.
std::expected<Admission, Refusal> admit_counted(const Scene& scene, const Asked& asked, const Target* target, Trail& trail);
// A key of `c`'s provider, likewise.
Result<CredentialLease> pick_counted(const Scene& scene, const Asked& asked, const Candidate& c, TriedCredentials exclude, Trail& trail);
// Whether the prompt fits the windows in `views`, where that is open; `all` and `views` are parallel.
void fit_by_tokens(const Scene& scene, const Asked& asked, std::span<const Candidate> all, std::span<TargetView> views, Trail& trail);
// Bytes that the prompt's proven bound may go without on `c`, if that can matter where a budget leaves `left`; 0 where its encoding is not known
// for certain: a model's name is no proof at servers of others.
std::uint64_t spare_bytes(const Scene& scene, const Asked& asked, const Candidate& c, Money left, Trail& trail);

// `resting.cpp`: when no target admits, or all have failed. Of the candidates that may be tried now, because their breakers
// admit or give an early try, the one this call has tried least; at equal tries the admitting first, then in the plan's order.
struct Opening {
  std::size_t candidate = 0;
  bool early = false;
};
std::optional<Opening> first_opening(const Planned& plan);
// Waits for one, at least `pause`, at most until the route's retry deadline. Nothing: none will come in time, too many wait, or
// the caller left.
Task<std::optional<Opening>> wait_for_opening(const Scene& scene, const Asked& asked, const Planned& plan, Duration pause, Trail& trail);
// For a plan without an admitted target: an error, or an opening came. A call with a degraded answer at hand does not wait.
Task<Result<void>> wait_for_any(const Scene& scene, const Asked& asked, const Memory& memory, const Planned& plan, Trail& trail);

// Step 6, `attempts.cpp`: the attempts, one after the other (or hedged), until one answers.
struct Answer {
  Result<void> end;                               // clean, or the last failure
  bool streamed = false;                          // `out` holds the tail; else `body` is the whole reply
  std::string body;                               // in the caller's wire
  bool translated = false;                        // `body` is not the provider's: it does not say yet what it repeats of the request
  int status = 200;
  std::string content_type = "application/json";
  std::optional<llm::Usage> usage;
  llm::FinishReason finish = llm::FinishReason::none;
  Money billed;
  bool caller_left = false;
  bool dispatched = false;                        // something went to a provider
  bool invalid = false;                           // not the JSON that was asked for, and passed on all the same
};
struct Lane;                                      // hedge.hpp: a relay and the caller's side of a stream
using LaneMaker = std::function<std::unique_ptr<Lane>()>;
// Into `answer`. `lane` may be another one afterwards: the winner's.
Task<void> attempt_all(const Scene& scene, const Asked& asked, Planned& plan, const LaneMaker& make_lane, std::unique_ptr<Lane>& lane,
                       Trail& trail, Answer& answer);

// `structured_demand.cpp`: what is demanded of the answer. Errors: what is wrong with the caller's schema of its answer. A schema of a tool
// was taken by nobody's word but the provider's: one that cannot be used is not judged by, and the decision says so.
Result<void> read_demand(const Scene& scene, Asked& asked, Trail& trail);
// How `candidate` is asked for it.
llm::Asking asking_for(const Asked& asked, const Candidate& candidate);
// The answer that was refused last, and what is said about it when the model is asked again.
struct Correction {
  Said said;                                      // by the model
  std::string complaint;                          // empty: nothing is said, there is more room
  Verdict verdict;
  unsigned asked_again = 0;
  // on_failure: pass. What to serve in the end, and of whom.
  std::optional<Answer> kept;
  llm::ChatReply kept_stream;
  std::size_t kept_attempt = 0;
};
// `structured_road.cpp`: whether it is given. Costs nothing where nothing is demanded.
struct Judged {
  const Scene& scene;
  const Asked& asked;
  Planned& plan;
  std::size_t at;                                 // the candidate that answered, in the attempt `record` of the trail
  std::size_t record;
  Lane& lane;
  Trail& trail;
  Answer& answer;
  std::unique_ptr<Correction>& correction;
};
enum class Judgement : std::uint8_t { failed, over, again };   // failed: there is no answer to judge
Judgement judge_attempt(const Judged& j);
// After the last attempt failed, when an answer had been refused before: pass it on, or say what was wrong with it.
void fall_back(const Judged& j);
// `routing_saved.cpp`: of an answer that is paid for, what its route's dearest target would have cost more.
void note_routing_saved(const Scene& scene, const Asked& asked, const Planned& plan, const Answer& answer, Trail& trail);
// In `candidates.cpp`: every attempt from now on may cost so many tokens of prompt more.
void raise_ceilings(const Asked& asked, Planned& planned, std::uint64_t bytes);

// Step 7 to 9, `settle.cpp`: exactly once, whatever happened. After it the last bytes may go.
Task<void> settle(const Scene& scene, const Asked* asked, Planned* plan, Trail& trail);
// The tightest budget of the call as it stands now, for the reply's head.
void note_budget(const Scene& scene, const Asked& asked, Trail& trail);
void note_outcome(Trail& trail, const Error& error, int http_status);

// `spans.cpp`: what is told of a settled call: its spans, if it is sampled and somebody takes them, and the conventions' metrics likewise.
void emit_spans(const Scene& scene, const Trail& trail);
void count_genai(const Scene& scene, const Trail& trail);
// Records; a sampled call becomes the figure's example, with `span`.
void measure(metrics::Histogram& histogram, std::uint64_t value, const Trail& trail, const trace::SpanContext& span);
// Of an attempt; of the call where it has none.
const trace::SpanContext& span_of(const Trail& trail, std::size_t attempt);

// `degrade.cpp`: when nothing answered: stale, template, or the error in the caller's shape.
struct Degraded {
  std::string body;                               // a whole reply in the caller's wire
  bool stream = false;                            // to be told as a stream
};
std::optional<Degraded> degrade(const Scene& scene, const Asked& asked, const Memory& memory, const Error& why, Trail& trail);
Task<void> answer_error(const Scene& scene, Error error, Trail& trail);
// A whole reply, told as the caller asked for it: JSON or a stream.
Task<void> answer_whole(const Scene& scene, bool stream, bool include_usage, int status, std::string_view content_type,
                        std::string_view body, Trail& trail);

}  // namespace ballast::gateway
