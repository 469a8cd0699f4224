#include "gateway/attempt.hpp"

#include "base/json.hpp"
#include "base/log.hpp"
#include "base/secrets.hpp"
#include "gateway/outgoing.hpp"
#include "gateway/slice_wait.hpp"

namespace ballast::gateway {

namespace {

constexpr std::size_t kErrorBody = 1 << 20;

// Cancels the attempt when the caller has been away for longer than we read on for the usage.
class Abandon {
 public:
  Abandon(Scheduler& loop, CancelToken gone, CancelToken lost, Duration patience) : loop_(loop), patience_(patience) {
    lost_.attach(lost, [](void* self) { static_cast<Abandon*>(self)->source_.cancel(); }, this);
    hook_.attach(gone, [](void* self) { static_cast<Abandon*>(self)->left(); }, this);
  }
  CancelToken token() { return &source_; }

 private:
  void left() {
    loop_.arm(timer_, loop_.clock().mono() + patience_, [](void* self) { static_cast<Abandon*>(self)->source_.cancel(); }, this);
  }
  Scheduler& loop_;
  Duration patience_;
  CancelSource source_;
  Timer timer_;
  CancelHook hook_, lost_;
};

// All that an attempt holds while it lasts.
struct Grip {
  Permit permit;
  CredentialLease lease;
  Admission admission;
  unsigned hold_attempt = 0;
  std::size_t record = 0;                // index into the trail's attempts
  MonoTime started;
};

// What became of the money of an attempt: refused; what the provider reported; no report, but all it made was seen; no report,
// and it may go on making what nobody sees.
enum class Charge : std::uint8_t { nothing, usage, seen, unknown };

struct Ending {
  Result<void>& end;                     // the answer's
  Charge charge = Charge::nothing;
  std::optional<llm::Usage> usage;
  std::uint64_t seen_bytes = 0;          // Charge::seen: every token made is contained in so many bytes
  int http_status = 0;
  std::optional<MonoTime> first_content;
  bool cut = false;
  bool ours = false;                     // a timer ended it that the target never had: says nothing of its health
};

// Of `own`, a target's timer, the route's deadline left it `granted`: enough to judge it by?
bool cut_short(Duration granted, Duration own) { return granted < own / 2; }

std::uint64_t micros(Duration d) { return static_cast<std::uint64_t>(std::max<std::int64_t>(d.count() / 1000, 0)); }

Result<void> write_intent(const Scene& scene, const Planned& plan, const Candidate& c, Trail& trail) {
  auto& r = trail.record;
  plan.hold.charges(r.charges);
  const Money most = Money{r.incurred_nano} + plan.running + c.ceiling;   // hedged attempts run beside it
  const std::int64_t hold_nano = std::max(plan.hold.ceiling(), most).nano;
  return scene.world.journal.intent(scene.loop(), {r, c.target->provider, c.target->model, hold_nano});
}

Error limited(const Scene& scene, const Candidate& c, Refusal refusal, Trail& trail) {
  note_unchecked(scene, refusal);
  trail.decision.step(scene.now(), "target_limited", {{"target", c.target->name}, {"why", refusal.error.message}});
  if (refusal.error.code != ErrorCode::internal_unavailable) return std::move(refusal.error);
  // Nobody can say whether it may be asked: for this call it rests, and another is asked, or what is kept for such times answers.
  Error rests{ErrorCode::provider_all_failed, c.target->name + " cannot be asked: " + refusal.error.message};
  rests.retryable = refusal.error.retryable;
  rests.retry_after = refusal.error.retry_after;
  rests.cause = std::make_shared<const Error>(std::move(refusal.error));
  return rests;
}

// Breaker, credential, limits, money, journal: all, or a reason why not and nothing taken.
// Not inlined, like all that only begins or ends an attempt: a coroutine's frame would have room for what they use.
[[gnu::noinline]] Result<void> take_hold(const Scene& scene, const Asked& asked, Planned& plan, const Candidate& c, const AttemptOptions& options,
                                         Trail& trail, std::optional<Grip>& into, AttemptOutcome& outcome) {
  Breaker& breaker = *c.breaker;
  auto permit = breaker.try_acquire();
  if (!permit && options.early) permit = breaker.try_early();
  if (permit && permit->early()) trail.decision.step(scene.now(), "early_try", {{"target", c.target->name}});
  if (!permit) {
    trail.decision.step(scene.now(), "breaker_open", {{"target", c.target->name}});
    Error resting{ErrorCode::provider_all_failed, c.target->name + " rests after repeated failures"};
    resting.retry_after = std::chrono::duration_cast<std::chrono::milliseconds>(breaker.view().retry_at - scene.now());
    return fail(std::move(resting));
  }
  auto lease = pick_counted(scene, asked, c, options.exclude, trail);
  if (!lease) {
    trail.decision.step(scene.now(), "no_credential", {{"target", c.target->name}, {"why", lease.error().message}});
    return fail(std::move(lease.error()));
  }
  auto admission = options.room ? std::expected<Admission, Refusal>(std::move(*options.room)) : admit_seated(scene, asked, c.target, trail);
  if (!admission) {
    outcome.for_slice = admission.error().slice;
    return fail(outcome.for_slice ? std::move(admission.error().error) : limited(scene, c, std::move(admission.error()), trail));
  }
  auto held = plan.hold.begin(c.target->name, c.ceiling, options.again);
  if (!held) {
    admission->refund();
    outcome.lacking = plan.hold.lacking();
    if (!outcome.lacking.slice || is_final(outcome.lacking)) trail.decision.step(scene.now(), "budget_refused", {{"target", c.target->name}, {"why", held.error().message}});
    return fail(std::move(held.error()));
  }
  Grip& grip = into.emplace(std::move(*permit), std::move(*lease), std::move(*admission), *held, trail.record.attempts.size(), scene.now());
  if (auto ok = write_intent(scene, plan, c, trail); !ok) {
    plan.hold.end(grip.hold_attempt, {});
    grip.admission.refund();
    return fail(std::move(ok.error()));
  }
  plan.running += c.ceiling;
  trail.record.attempts.push_back({.id = scene.here.ids.next(scene.world.clock.wall()), .n = static_cast<std::uint32_t>(grip.record),
                                   .provider = c.target->provider, .model = c.target->model,
                                   .credential = std::string(grip.lease.name()), .started = scene.world.clock.wall()});
  return {};
}

// Tokens of an answer that its text does not show: separators, ends, the framing of tool calls.
constexpr std::uint64_t kUnseenTokens = 64;

// What an attempt without a report cost at most, when all that was made was seen: the whole prompt, and a token for each byte. A
// model that thinks unseen has no such bound but its ceiling. Images are counted, where they are priced apiece.
std::optional<Money> seen_bound(const Asked& asked, const Planned& plan, const Candidate& c, const Ending& ending) {
  if (asked.images && c.info) return llm::untold_cost(*asked.images, ending.usage ? ending.usage->images : 0, *c.info);
  if (!c.info || !c.info->priced || c.info->reasoning || asked.facts.wants_reasoning || !asked.chat) return std::nullopt;
  const auto bound = llm::ceiling(extent_of(asked, plan, c), *c.info, ending.seen_bytes + kUnseenTokens);
  return bound ? std::optional(std::min(*bound, c.ceiling)) : std::nullopt;
}

// Into the books: what was reported, what can be proven, or the ceiling until somebody reconciles it.
Money book(const Asked& asked, bool batch, Planned& plan, const Candidate& c, const Grip& grip, const Ending& ending, records::AttemptRecord& r) {
  std::optional<Money> known;
  if (ending.charge == Charge::nothing) known = Money{};
  if (ending.charge == Charge::usage && ending.usage) known = c.info ? llm::cost(*ending.usage, *c.info, batch) : Money{};
  if (ending.charge == Charge::seen) known = seen_bound(asked, plan, c, ending);
  if (known) {
    plan.hold.end(grip.hold_attempt, *known);
    return *known;
  }
  auto left = plan.hold.end_unknown(grip.hold_attempt, static_cast<unsigned>(grip.record));
  const Money charged = std::max(left.charged, c.ceiling);   // no budget holds less
  if (charged == Money{}) return charged;                    // without a price there is nothing to find out
  r.cost = records::Cost::unknown;
  r.windows = std::move(left.windows);
  return charged;
}

// Books what the attempt cost and tells breaker, credential and limits how it went.
void let_go(const Scene& scene, const Asked& asked, Planned& plan, const Candidate& c, Grip& grip, const Ending& ending, Trail& trail,
            Money* billed) {
  auto& r = trail.record.attempts[grip.record];
  const Money incurred = book(asked, scene.call.durable && scene.call.durable->answered, plan, c, grip, ending, r);
  plan.running -= c.ceiling;
  const Duration took = scene.now() - grip.started;
  r.latency_us = micros(took);
  if (ending.first_content) r.first_token_us = micros(*ending.first_content - grip.started);
  r.http_status = static_cast<std::uint16_t>(ending.http_status);
  r.outcome = ending.end ? "ok" : std::string(to_string(ending.end.error().code));
  r.cut = ending.cut;
  r.incurred_nano = incurred.nano;
  if (ending.usage) r.usage = token_counts(*ending.usage);
  trail.record.incurred_nano = (Money{trail.record.incurred_nano} + incurred).nano;
  const std::uint64_t tokens = ending.usage ? ending.usage->total() : 0;
  grip.admission.settle(tokens);
  if (ending.end) {
    if (billed) *billed = incurred;
    grip.permit.success(took, ending.first_content ? std::optional(*ending.first_content - grip.started) : std::nullopt);
    grip.lease.succeeded(tokens);
  } else {
    if (ending.ours) {
      grip.permit.neutral();
      trail.decision.step(scene.now(), "not_blamed", {{"target", c.target->name}});
    } else {
      grip.permit.failure(ending.end.error().code);
    }
    grip.lease.failed(ending.end.error());
    log::info("attempt_failed", {{"call", trail.call_id}, {"target", c.target->name}, {"code", ending.end.error().code},
                                 {"http_status", ending.http_status}, {"why", log::redact(ending.end.error().message)}});
  }
}

llm::RetryHeaders retry_headers(const net::ResponseHead& head, WallTime now) {
  return {.retry_after = head.headers.get("retry-after"), .retry_after_ms = head.headers.get("retry-after-ms"),
          .x_should_retry = head.headers.get("x-should-retry"),
          .now = std::chrono::time_point_cast<std::chrono::system_clock::duration>(now)};
}

// A failure that carries its status: the provider refused, so nothing is charged.
Task<void> read_refusal(const Scene& scene, net::ClientResponse& response, llm::Wire wire, MonoTime deadline, Ending& ending) {
  const int status = response.head().status;
  auto body = co_await response.read_all(kErrorBody, deadline);
  Error error = llm::parse_error(wire, status, retry_headers(response.head(), scene.world.clock.wall()), body ? *body : std::string());
  ending.end = fail(std::move(error));
  ending.http_status = status;
}

// Embeddings and images: the reply's bytes, and its usage.
Result<void> read_passed_through(const Asked& asked, std::string body, Answer& answer) {
  bool ended = true;
  if (asked.images) {
    const auto reply = llm::read_image_reply(body);
    answer.usage = reply.usage;
    ended = reply.ended;
  } else if (const auto document = parse_json(body, {.max_bytes = 256u << 20}); document && JsonRef(*document).find("usage")) {
    answer.usage = llm::read_told_usage(JsonRef(*document));
  }
  answer.body = std::move(body);
  if (!ended) return fail(ErrorCode::provider_bad_response, "the provider's stream ended before the image was finished");
  return {};
}

// The whole reply in the caller's wire, its usage and its finish.
// `by_tool`: the answer is the input of a tool that had to be called.
Result<void> read_reply(const Scene& scene, const Asked& asked, llm::Wire wire, bool by_tool, std::string body, Answer& answer) {
  if (!asked.chat) return read_passed_through(asked, std::move(body), answer);
  auto facts = scene.here.facts.reply(wire, body);
  if (!facts) return fail(ErrorCode::provider_bad_response, "the provider's reply is not what its API promises: " + facts.error().message);
  if (facts->has_error) return fail(llm::parse_error(wire, 200, {}, body));
  if (facts->finish == llm::FinishReason::none && facts->content_bytes == 0 && facts->tool_calls == 0 && !facts->usage)
    return fail(ErrorCode::provider_bad_response, "the provider's reply holds no answer");
  answer.usage = facts->usage;
  answer.finish = facts->finish;
  if (facts->finish == llm::FinishReason::content_filter && asked.route->on_content_filter == OnContentFilter::next)
    return fail(ErrorCode::provider_content_filter, "the provider's content filter stopped the answer");
  if (wire == scene.call.wire && !by_tool) {
    answer.body = std::move(body);
    return {};
  }
  const auto document = parse_json(body, {.max_bytes = scene.setup.max_reply_bytes});
  if (!document) return fail(ErrorCode::provider_bad_response, document.error().message);
  auto reply = llm::parse_reply(wire, *document);
  if (!reply) return fail(std::move(reply.error()));
  if (by_tool) llm::answer_from_tool(*reply);
  if (reply->created == 0) reply->created = unix_ms(scene.world.clock.wall()) / 1000;   // Anthropic's and Gemini's do not say
  auto written = llm::write_reply(scene.call.wire, *reply);
  if (!written) return fail(std::move(written.error()));
  answer.body = to_json(std::move(*written));
  answer.translated = true;
  return {};
}

Task<void> receive_whole(const Scene& scene, const Asked& asked, net::ClientResponse& response, llm::Wire wire, bool by_tool, MonoTime deadline,
                         Answer& answer, Ending& ending) {
  ending.http_status = response.head().status;
  const std::string type(response.head().headers.get("content-type"));
  auto body = co_await response.read_all(scene.setup.max_reply_bytes, deadline);
  if (!body) {
    ending.charge = Charge::unknown;
    ending.cut = true;
    ending.end = fail(std::move(body.error()));
    co_return;
  }
  ending.first_content = scene.now();
  ending.seen_bytes = body->size();
  ending.end = read_reply(scene, asked, wire, by_tool, std::move(*body), answer);
  answer.status = ending.http_status;
  if (!asked.chat && !type.empty()) answer.content_type = type;
  ending.usage = answer.usage;
  const bool told = answer.usage && (!asked.images || answer.usage->total() > 0);
  if (!ending.end && asked.images) ending.charge = Charge::unknown;    // a stream that broke off: the image may be made
  else if (told) ending.charge = Charge::usage;
  else if (ending.end) ending.charge = Charge::seen;
}

// What a stream that was pumped to its end says of the attempt.
[[gnu::noinline]] void conclude(const Scene& scene, const Relay& relay, const StreamOut& out, const PumpResult& pumped, bool short_of_time,
                                Answer& answer, Ending& ending) {
  ending.first_content = pumped.first_content;
  const bool late = !ending.end && ending.end.error().code == ErrorCode::provider_timeout;
  ending.ours = late && (pumped.nobody_listened || (!relay.content_seen() && short_of_time));
  ending.usage = relay.usage();
  ending.seen_bytes = relay.token_bytes();
  ending.charge = relay.usage() && (ending.end || relay.finished()) ? Charge::usage
                  : !pumped.theirs                                  ? Charge::unknown
                  : ending.end || relay.content_seen()              ? Charge::seen
                                                                    : Charge::nothing;
  ending.cut = !ending.end;
  answer.streamed = true;
  answer.usage = relay.usage();
  answer.finish = relay.finish();
  answer.caller_left = out.caller_left();
  if (relay.malformed()) scene.metrics.malformed.add(relay.malformed());
}

bool says_event_stream(const net::ResponseHead& head) { return head.headers.get("content-type").starts_with("text/event-stream"); }

// One exchange with a provider, from the request to the response's end.
struct Passage {
  const Scene& scene;
  const Asked& asked;
  const Candidate& candidate;
  const Grip& grip;
  const AttemptOptions& options;
  StreamOut& out;
  Relay& relay;
  Trail& trail;
  Answer& answer;
  Ending& ending;
  MonoTime start_by{};                   // the first token is due, whatever the target's own timers say
  llm::Wire wire{};                      // the target's
  bool overtaken() const { return options.overtaken && *options.overtaken; }
};

// What a provider's batch has answered already.
class KnownResponse final : public net::ClientResponse {
 public:
  explicit KnownResponse(const ProviderAnswer& answer) : body_(answer.body) {
    head_.status = answer.status;
    head_.headers.put("content-type", "application/json");
  }
  const net::ResponseHead& head() const override { return head_; }
  Task<Result<std::string_view>> read_some(net::Deadline) override { co_return std::exchange(body_, {}); }

 private:
  std::string_view body_;
  net::ResponseHead head_;
};

const ProviderAnswer* answered(const Call& call) { return call.durable ? call.durable->answered : nullptr; }

// Sends the request and waits for the head. What was sent is let go before the answer streams. Null: `ending` says why.
Task<std::unique_ptr<net::ClientResponse>> dispatch(Passage& p, CancelToken cancel) {
  const Scene& scene = p.scene;
  const Candidate& c = p.candidate;
  Trail& trail = p.trail;
  auto call = llm::make_call(c.access->spec, p.grip.lease.secret(), scene.call.operation, scene.call.wire, c.target->model, p.asked.facts.stream);
  if (!call) {
    p.ending.end = fail(std::move(call.error()));
    co_return nullptr;
  }
  p.wire = call->wire;
  if (const ProviderAnswer* known = answered(scene.call)) co_return std::make_unique<KnownResponse>(*known);
  Outgoing body;
  const auto text = p.options.continuing ? std::string_view(p.relay.text()) : std::string_view();
  if (auto made = make_outgoing(body, scene, p.asked, c, call->wire, text, p.options.correction); !made) {
    p.ending.end = fail(std::move(made.error()));
    co_return nullptr;
  }
  call->headers.put("content-type", body.content_type);
  if (!scene.call.anthropic_beta.empty() && call->wire == llm::Wire::anthropic_messages)
    call->headers.put("anthropic-beta", scene.call.anthropic_beta);

  if (trail.span.valid()) {
    trail.attempt_spans.resize(p.grip.record + 1);
    trail.attempt_spans[p.grip.record] = trace::child_of(trail.span, scene.here.random);
    call->headers.put("traceparent", trace::format_traceparent(trail.attempt_spans[p.grip.record]));
    if (trail.parent_span != 0 && !scene.call.tracestate.empty()) call->headers.put("tracestate", scene.call.tracestate);
  }

  const auto& t = c.access->spec.timeouts;
  const std::string_view pieces[] = {body.bytes};
  const net::ClientRequest request{.method = call->method, .url = call->base, .target = call->target, .headers = std::move(call->headers), .body = pieces};
  const Duration granted = std::min<Duration>(t.headers, p.start_by - scene.now());
  const Duration to_connect = std::min<Duration>(t.connect, p.options.due - scene.now());
  auto response = co_await c.access->transport->send(scene.sink.loop(), request, {.connect = to_connect, .headers = granted}, cancel);
  if (response) co_return std::move(*response);
  const ErrorCode code = response.error().code;
  const bool maybe_charged = code == ErrorCode::caller_cancelled || (code == ErrorCode::provider_timeout && response.error().field != "connect");
  p.ending.charge = maybe_charged ? Charge::unknown : Charge::nothing;
  const bool connecting = response.error().field == "connect";
  p.ending.ours = code == ErrorCode::provider_timeout && (connecting ? cut_short(to_connect, t.connect) : response.error().field == "headers" && cut_short(granted, t.headers));
  p.ending.end = fail(std::move(response.error()));
  co_return nullptr;
}

// Sends and receives. The grip is held by the caller.
Task<void> exchange(Passage& p) {
  const Scene& scene = p.scene;
  const auto& t = p.candidate.access->spec.timeouts;
  const MonoTime started = p.grip.started;
  p.start_by = std::min(p.options.due, std::max(p.trail.started + p.asked.route->retries.deadline, started + std::chrono::milliseconds(1)));
  const MonoTime end_by = std::min(p.options.due, started + t.total);
  Abandon abandon(scene.sink.loop(), scene.sink.gone(), p.options.cancel, scene.setup.drain_on_disconnect);
  const auto response = co_await dispatch(p, abandon.token());
  if (!response) co_return;
  const int status = response->head().status;
  if (status >= 300) co_return co_await read_refusal(scene, *response, p.wire, std::min(end_by, scene.now() + t.idle), p.ending);
  if (!p.overtaken()) {
    p.trail.record.provider = p.candidate.target->provider;
    p.trail.record.model = p.candidate.target->model;
    p.trail.record.served_by = p.candidate.target->name;
  }
  const bool by_tool = p.asked.demand && !p.options.continuing && asking_for(p.asked, p.candidate) == llm::Asking::tool;
  if (!p.asked.facts.stream || !says_event_stream(response->head())) {
    co_await receive_whole(scene, p.asked, *response, p.wire, by_tool, end_by, p.answer, p.ending);
    p.ending.ours = !p.ending.end && p.ending.end.error().code == ErrorCode::provider_timeout && cut_short(end_by - started, t.total);
    co_return;
  }

  p.ending.http_status = status;
  const bool continuing = p.options.continuing;
  const Duration granted = std::min<Duration>(t.first_token, p.start_by - started);
  if (p.asked.judged_by() && p.trail.structured.empty()) p.trail.structured = "watched";   // until it is judged
  p.relay.begin(p.wire, continuing, by_tool);
  const auto& rescue = p.asked.route->rescue;
  PumpResult pumped{.end = p.ending.end};
  co_await pump(*response, p.relay, p.out, scene.sink,
                {.first_token = granted, .idle = t.idle, .drain = scene.setup.drain_on_disconnect, .total = end_by}, started,
                rescue.mode == RescueMode::error || continuing ? 0 : rescue.hold_back, pumped);
  conclude(scene, p.relay, p.out, pumped, cut_short(granted, t.first_token), p.answer, p.ending);
}

// Takes what an attempt needs; false: `answer` says why it cannot be.
[[gnu::noinline]] bool begin_attempt(const Scene& scene, const Asked& asked, Planned& plan, const Candidate& c, const AttemptOptions& options,
                                     Trail& trail, std::optional<Grip>& grip, AttemptOutcome& outcome) {
  outcome.for_slice = false;
  outcome.lacking = {};
  auto ok = take_hold(scene, asked, plan, c, options, trail, grip, outcome);
  if (!ok) {
    outcome.answer.end = std::move(ok);
    return false;
  }
  outcome.credential = grip->lease.bit();
  outcome.dispatched = true;
  outcome.record = grip->record;
  trail.decision.moment(grip->started, "asking", {{"target", c.target->name}});
  return true;
}

// After a refusal by this node's part of its target's limit: waits for more of it, and begins then. Not for longer than the answer is due.
Task<bool> begin_with_more(const Scene& scene, const Asked& asked, Planned& plan, const Candidate& c, AttemptOptions options, Trail& trail,
                           std::optional<Grip>& grip, AttemptOutcome& outcome) {
  std::expected<Admission, Refusal> room = std::unexpected(Refusal{.error = std::move(outcome.answer.end.error()), .bucket = {}, .figures = {}});
  const MonoTime until = std::min({scene.now() + kSliceWait, options.due, trail.started + asked.route->retries.deadline});
  const CancelToken gone = options.cancel ? options.cancel : scene.sink.gone();
  if (until > scene.now()) co_await wait_for_slice(scene, asked, c.target, until, gone, room, trail);
  if (!room) {
    outcome.answer.end = fail(limited(scene, c, std::move(room.error()), trail));
    co_return false;
  }
  options.room = &*room;
  outcome.answer.end = {};
  const bool begun = begin_attempt(scene, asked, plan, c, options, trail, grip, outcome);
  if (!begun) room->refund();            // whatever stood in the way came before the limits
  co_return begun;
}

// As `begin_attempt`, which failed because a slice of this node's was too small: until the database has said what is left.
Task<void> begin_later(const Scene& scene, const Asked& asked, Planned& plan, const Candidate& c, AttemptOptions options, Trail& trail,
                       std::optional<Grip>& grip, AttemptOutcome& outcome) {
  const MonoTime until = scene.now() + kSliceWait;
  options.again = true;
  while (!grip) {
    const Shortage lacking = std::move(outcome.lacking);
    if (!lacking.slice || is_final(lacking)) co_return;
    Error& refusal = outcome.answer.end.error();
    const bool more = co_await wait_for_money(scene, lacking, until, trail, refusal);
    if (!more) co_return;
    if (begin_attempt(scene, asked, plan, c, options, trail, grip, outcome)) outcome.answer.end = {};
  }
}

// Of an answer, into the call's record.
void note_answer(const Answer& answer, const Ending& ending, Trail& trail) {
  auto& r = trail.record;
  r.billed_nano = answer.billed.nano;
  r.http_status = static_cast<std::uint16_t>(answer.status);
  if (ending.usage) r.usage = token_counts(*ending.usage);
  if (ending.first_content) r.first_token_us = micros(*ending.first_content - trail.started);
  if (answer.caller_left) r.status = records::CallStatus::cancelled;
}

// A provider's own words may repeat what it was sent.
[[gnu::noinline]] void hide_own_secrets(const llm::ProviderSpec& spec, std::string_view key, Error& error) {
  SecretValues own;
  own.add("key", key);
  for (const auto& [name, value] : spec.headers) {
    own.add(name, value);
    own.add(name, value.substr(value.find(' ') + 1));    // without "Bearer"
  }
  error.message = own.hide(error.message);
}

[[gnu::noinline]] void end_attempt(Passage& p, Planned& plan, Grip& grip) {
  const bool answered = p.ending.end.has_value();
  if (!answered) hide_own_secrets(p.candidate.access->spec, grip.lease.secret(), p.ending.end.error());
  let_go(p.scene, p.asked, plan, p.candidate, grip, p.ending, p.trail, answered ? &p.answer.billed : nullptr);
  if (!p.overtaken()) {
    if (answered) note_answer(p.answer, p.ending, p.trail);
    else p.trail.record.served_by.clear();
  }
  const auto& r = p.trail.record.attempts[grip.record];
  p.trail.decision.step(p.scene.now(), "attempt", {{"target", p.candidate.target->name}, {"outcome", r.outcome},
                                                   {"http_status", p.ending.http_status}, {"incurred_nano", r.incurred_nano}});
}

}  // namespace

Task<void> attempt_once(const Scene& scene, const Asked& asked, Planned& plan, const Candidate& candidate, AttemptOptions options,
                        StreamOut& out, Relay& relay, Trail& trail, AttemptOutcome& outcome) {
  std::optional<Grip> grip;
  bool begun = begin_attempt(scene, asked, plan, candidate, options, trail, grip, outcome);
  if (!begun && outcome.for_slice) begun = co_await begin_with_more(scene, asked, plan, candidate, options, trail, grip, outcome);
  if (!begun && outcome.lacking.slice) {
    co_await begin_later(scene, asked, plan, candidate, options, trail, grip, outcome);
    begun = grip.has_value();
  }
  if (!begun) co_return;
  Ending ending{.end = outcome.answer.end};
  Passage passage{scene, asked, candidate, *grip, options, out, relay, trail, outcome.answer, ending};
  co_await exchange(passage);
  end_attempt(passage, plan, *grip);
}

}  // namespace ballast::gateway
