#include "gateway/road.hpp"

#include "base/json.hpp"
#include "base/log.hpp"
#include "gateway/cache_shared.hpp"
#include "gateway/hedge.hpp"
#include "gateway/slice_wait.hpp"

namespace ballast::gateway {

struct Gateway::Room {
  RoadMetrics metrics;
  std::vector<std::unique_ptr<PerLoop>> loops;
  mutable std::mutex mutex;                        // guards `setup`
  SetupPtr setup;
  explicit Room(metrics::Registry& registry) : metrics(registry) {}
};

Gateway::Gateway(World world, SetupPtr setup) : world_(world), room_(std::make_unique<Room>(world.metrics)) {
  for (unsigned i = 0; i < world_.loops; ++i) room_->loops.push_back(std::make_unique<PerLoop>());
  room_->setup = std::move(setup);
}

Gateway::~Gateway() = default;

void Gateway::reload(SetupPtr setup) {
  std::lock_guard lock(room_->mutex);
  room_->setup.swap(setup);
}

SetupPtr Gateway::setup() const {
  std::lock_guard lock(room_->mutex);
  return room_->setup;
}

Result<Principal> Gateway::authenticate(unsigned loop, std::string_view secret) {
  return world_.keys.authenticate(loop, secret, world_.clock.wall());
}

namespace {

// Refused before anything was dispatched: the caller's key is free again, the story is told, nothing is owed.
Task<void> refuse(const Scene& scene, const Asked* asked, Memory* memory, Error& error, Trail& trail) {
  if (memory && memory->claim.held()) {
    const auto freed = co_await memory->claim.release();
    if (!freed) log::warn("idempotency_release_failed", {{"call", trail.call_id}, {"error", freed.error().message}});
  }
  if (memory) memory->lead.abandon();
  const auto told = llm::write_error(scene.call.wire, error);
  note_outcome(trail, error, told.status);
  co_await settle(scene, asked, nullptr, trail);
  co_await answer_error(scene, std::move(error), trail);
}

Task<Result<Admission>> admit(const Scene& scene, const Asked& asked, Trail& trail) {
  if (!scene.setup.limits->any()) co_return Admission{};
  const LimitSubject subject = limit_subject(asked);
  auto admitted = admit_seated(scene, asked, nullptr, trail);
  QueueOptions queue = asked.route->queue;
  if (!admitted && admitted.error().slice) {
    const MonoTime since = scene.now();
    co_await wait_for_slice(scene, asked, nullptr, since + std::max(kSliceWait, queue.wait), scene.sink.gone(), admitted, trail);
    queue.wait -= scene.now() - since;
  }
  const bool may_wait = !admitted && !admitted.error().never && admitted.error().error.code != ErrorCode::caller_cancelled;
  if (may_wait && queue.wait > Duration::zero()) {
    const MonoTime since = scene.now();
    trail.decision.moment(since, "waiting", {{"why", admitted.error().error.message}});
    admitted = co_await scene.setup.queue->admit(subject, asked.weight.tokens(), asked.who.key_id(), queue,
                                                 scene.sink.loop(), scene.sink.gone());
    trail.decision.step(scene.now(), "waited", {{"us", (scene.now() - since).count() / 1000}, {"admitted", admitted.has_value()}});
  }
  if (!admitted) {
    note_unchecked(scene, admitted.error());
    trail.limits = admitted.error().figures;
    trail.decision.step(scene.now(), "limit_refused", {{"why", admitted.error().error.message}});
    co_return fail(std::move(admitted.error().error));
  }
  trail.limits = admitted->figures();
  trail.decision.step(scene.now(), "admitted", {{"tokens_estimated", asked.weight.tokens()}});
  co_return std::move(*admitted);
}

// What the caller's cache and idempotency key remember of a good answer.
Task<void> remember(const Scene& scene, const Asked& asked, Memory& memory, Answer& answer, Relay& relay, Trail& trail) {
  if (!memory.remembers()) co_return;
  if (answer.invalid) {                  // whoever asks again may get a better one; but who asks by the same key gets this
    memory.lead.abandon();
    memory.refresh = false;
  }
  std::string body = answer.streamed ? std::string() : answer.body;
  if (answer.streamed) {
    auto document = llm::write_reply(scene.call.wire, relay.collected());
    if (document) body = ballast::to_json(json::value(std::move(*document)));
  }
  if (body.empty() || answer.caller_left) {
    memory.lead.abandon();
    if (body.empty()) co_return;
  }
  const auto& r = trail.record;
  if (memory.claim.held()) {
    const auto kept = co_await memory.claim.finish(
        {.status = answer.status, .content_type = answer.content_type, .body = body, .call_id = trail.call_id, .served_by = r.served_by});
    if (!kept) log::error("idempotency_store_failed", {{"call", trail.call_id}, {"error", kept.error().message}});
  }
  if (!memory.lead.leads() && (!memory.refresh || answer.caller_left)) co_return;
  CachedReply reply{.status = answer.status, .content_type = answer.content_type, .body = std::move(body),
                    .served_by = r.served_by, .call_id = trail.call_id,
                    .input_tokens = r.usage.input + r.usage.cached + r.usage.cache_write,
                    .output_tokens = r.usage.output + r.usage.reasoning, .cost = {r.billed_nano}, .stored = scene.world.clock.wall()};
  const auto& route = *asked.route;
  const CachedReplyPtr kept = memory.lead.leads() ? memory.lead.publish(std::move(reply), route.cache.ttl, route.degrade.stale)
                                                  : scene.world.cache.store(*memory.key, std::move(reply), route.cache.ttl, route.degrade.stale);
  if (SharedCache* shared = scene.world.shared_cache; shared && route.cache.across_nodes)
    shared->offer(*memory.key, route.name, r.user, kept, std::max(route.cache.ttl, route.degrade.stale));
}

Task<void> deliver(const Scene& scene, Answer& answer, StreamOut& out, Trail& trail) {
  if (answer.streamed) {
    const auto sent = co_await out.finish();
    if (!sent && !answer.caller_left) log::info("caller_left", {{"call", trail.call_id}});
    co_return;
  }
  if (answer.translated)
    if (auto told = llm::retell(scene.call.wire, answer.body, scene.call.body)) answer.body = std::move(*told);
  ReplyHead head = reply_head(trail, answer.status, answer.content_type, true);
  const auto sent = co_await scene.sink.reply(std::move(head), answer.body);
  if (!sent) log::info("caller_left", {{"call", trail.call_id}});
}

// Everything failed: what was begun is ended with an error event; else degrade, else say why.
Task<void> give_up(const Scene& scene, const Asked& asked, Planned& plan, Memory& memory, Answer& answer, Lane& lane,
                   Trail& trail) {
  StreamOut& out = lane.out;
  Error why = std::move(answer.end.error());
  auto instead = out.committed() || answer.caller_left ? std::nullopt : degrade(scene, asked, memory, why, trail);
  const int status = instead ? 200 : llm::http_status(why.code, scene.call.wire);
  if (instead) {
    trail.record.status = records::CallStatus::ok;
    trail.record.error = to_string(why.code);
  } else {
    note_outcome(trail, why, out.committed() ? 200 : status);
  }
  // A call that cost something keeps its idempotency key: its retry must not spend twice unasked.
  if (memory.claim.held() && trail.record.incurred_nano == 0) {
    const auto freed = co_await memory.claim.release();
    if (!freed) log::warn("idempotency_release_failed", {{"call", trail.call_id}, {"error", freed.error().message}});
  }
  memory.lead.abandon();
  co_await settle(scene, &asked, &plan, trail);
  if (out.committed()) {
    scene.sink.failed(why);
    lane.relay.fail(why, out.pending());
    const auto ended = co_await out.finish();
    if (!ended) scene.sink.abort();
  } else if (answer.caller_left) {
    scene.sink.abort();
  } else if (instead) {
    co_await answer_whole(scene, instead->stream, asked.facts.include_usage, 200, "application/json", instead->body, trail);
  } else {
    co_await answer_error(scene, std::move(why), trail);
  }
}

// No target admits: wait for one, or make `plan` the error.
Task<void> await_opening(const Scene& scene, const Asked& asked, const Memory& memory, Result<Planned>& plan, Trail& trail) {
  auto opened = co_await wait_for_any(scene, asked, memory, *plan, trail);
  if (!opened) plan = fail(std::move(opened.error()));
}

// What other nodes' money may still make good; null: nothing.
[[gnu::noinline]] std::unique_ptr<Shortage> hold_if_planned(const Scene& scene, const Asked& asked, Result<Planned>& plan, Trail& trail, bool again = false) {
  if (!plan) return nullptr;
  Shortage lacking;
  auto held = hold_money(scene, asked, *plan, trail, lacking, again);
  if (held) return nullptr;
  plan = fail(std::move(held.error()));
  return lacking.slice ? std::make_unique<Shortage>(std::move(lacking)) : nullptr;
}

// A slice of this node's was too small: planned anew by what the database says, until the money is held, or is known not to be there.
Task<void> plan_anew(const Scene& scene, const Asked& asked, const Memory& memory, std::unique_ptr<Shortage> lacking, Result<Planned>& plan, Trail& trail) {
  const MonoTime until = scene.now() + kSliceWait;
  while (lacking) {
    const bool more = co_await wait_for_money(scene, *lacking, until, trail, plan.error());
    if (!more) co_return;
    trail.warning.clear();                   // the plan's
    plan = make_candidates(scene, asked, trail);
    if (plan && !plan->warm()) co_await await_opening(scene, asked, memory, plan, trail);
    lacking = hold_if_planned(scene, asked, plan, trail, true);
  }
}

// There is nothing to try, or no money for it: degrade where that may be, else say why.
Task<void> refuse_planned(const Scene& scene, const Asked& asked, Memory& memory, Error& why, Trail& trail) {
  const bool degradable = why.code == ErrorCode::provider_all_failed;
  auto instead = degradable ? degrade(scene, asked, memory, why, trail) : std::nullopt;
  if (!instead) co_return co_await refuse(scene, &asked, &memory, why, trail);
  if (memory.claim.held()) co_await memory.claim.release();
  memory.lead.abandon();
  co_await settle(scene, &asked, nullptr, trail);
  co_await answer_whole(scene, instead->stream, asked.facts.include_usage, 200, "application/json", instead->body, trail);
}

// What a provider's batch has answered goes nowhere else, and once.
void go_where_answered(const Scene& scene, Asked& asked) {
  const ProviderAnswer* answer = scene.call.durable ? scene.call.durable->answered : nullptr;
  if (!answer) return;
  Route only{.name = asked.route->name, .targets = {}, .direct = asked.route->direct};
  for (const Target& target : asked.route->targets)
    if (target.name == answer->target) only.targets = {target};
  if (auto target = only.targets.empty() ? target_from(answer->target, "model") : Result<Target>(only.targets.front())) only.targets = {std::move(*target)};
  only.retries.attempts = 1;
  only.structured = asked.route->structured;
  only.degrade = {};
  asked.route = std::make_shared<const Route>(std::move(only));
}

// The frames of `walk` and of what it awaits for an answer live as long as a stream does: what is rare has a frame of its own.
Task<void> walk(const Scene& scene, Trail& trail) {
  auto asked = read_request(scene, trail);
  if (!asked) co_return co_await refuse(scene, nullptr, nullptr, asked.error(), trail);
  if (scene.recording) scene.recording->arm(asked->route->record, scene.call, trail.record.id);

  go_where_answered(scene, *asked);
  auto admission = co_await admit(scene, *asked, trail);
  if (!admission) co_return co_await refuse(scene, &*asked, nullptr, admission.error(), trail);

  auto memory = co_await look_up(scene, *asked, trail);
  if (!memory) {
    admission->refund();
    co_return co_await refuse(scene, &*asked, nullptr, memory.error(), trail);
  }
  if (memory->hit || memory->replay) {
    admission->settle(0);
    co_await settle(scene, &*asked, nullptr, trail);
    co_return co_await answer_from_memory(scene, *asked, *memory, trail);
  }

  auto plan = make_candidates(scene, *asked, trail);
  if (plan && !plan->warm()) co_await await_opening(scene, *asked, *memory, plan, trail);
  if (auto lacking = hold_if_planned(scene, *asked, plan, trail)) co_await plan_anew(scene, *asked, *memory, std::move(lacking), plan, trail);
  if (!plan) {
    admission->refund();
    co_return co_await refuse_planned(scene, *asked, *memory, plan.error(), trail);
  }

  const RelayOptions shape{.client = scene.call.wire, .include_usage = asked->facts.include_usage, .choices = asked->facts.n,
                           .may_continue = asked->route->rescue.mode == RescueMode::proceed, .collect = memory->remembers(),
                           .max_answer_bytes = scene.setup.max_reply_bytes, .request = scene.call.body,
                           
                           .judged_by = asked->judged_by(), .hold = asked->route->structured.hold, .pass = asked->route->structured.pass,
                           .created = unix_ms(scene.world.clock.wall()) / 1000};
  const LaneMaker make_lane = [&] {
    return std::make_unique<Lane>(Relay(shape, scene.here.facts),
                                  StreamOut(scene.sink, [&] {
                                    note_budget(scene, *asked, trail);
                                    trail.decision.moment(scene.now(), "answering", {{"target", trail.record.served_by}});
                                    return reply_head(trail, 200, "text/event-stream", false);
                                  }));
  };
  std::unique_ptr<Lane> lane = make_lane();
  Answer answer;
  if (plan->question) co_await ask_question(scene, *asked, *plan, trail, answer);
  if (answer.end) co_await attempt_all(scene, *asked, *plan, make_lane, lane, trail, answer);
  trail.finish = answer.finish;
  trail.streamed = answer.streamed;
  const auto& used = trail.record.usage;
  if (!answer.end && !answer.dispatched)
    admission->refund();                 // nothing went out: a refused call consumes nothing
  else
    admission->settle(used.input + used.cached + used.cache_write + used.output + used.reasoning);
  if (!answer.end) co_return co_await give_up(scene, *asked, *plan, *memory, answer, *lane, trail);

  note_routing_saved(scene, *asked, *plan, answer, trail);
  co_await remember(scene, *asked, *memory, answer, lane->relay, trail);
  co_await settle(scene, &*asked, &*plan, trail);
  co_await deliver(scene, answer, lane->out, trail);
}

// Joins the caller's trace, or begins one where somebody collects them.
void begin_trace(const World& world, PerLoop& here, const Call& call, Trail& trail) {
  const auto parent = trace::parse_traceparent(call.traceparent);
  if (!parent && !world.spans) return;
  trail.span = parent ? trace::child_of(*parent, here.random) : trace::new_trace(here.random, world.trace_sample);
  trail.parent_span = parent ? parent->span : 0;
  trail.record.trace_id = trace::trace_id_hex(trail.span);
}

Task<void> answer_escaped(const Scene& scene, std::string what, Trail& trail) {
  log::error("call_escaped", {{"call", trail.call_id}, {"what", what}});
  Error error{ErrorCode::internal_error, "this node failed; the call's id is in the reply's headers"};
  note_outcome(trail, error, 500);
  co_await settle(scene, nullptr, nullptr, trail);
  co_await answer_error(scene, std::move(error), trail);
}

}  // namespace

std::expected<Seat, Refusal> Gateway::draw(const Call& call, ReplySink& sink) {
  const SetupPtr held = setup();
  if (!held->limits->any()) return Seat{};
  return draw_seat({world_, *held, *room_->loops[sink.loop().index() % room_->loops.size()], room_->metrics, call, sink});
}

std::optional<Gateway::BatchTarget> Gateway::batch_target(const Call& call, ReplySink& sink) {
  const SetupPtr held = setup();
  return find_batch_target({world_, *held, *room_->loops[sink.loop().index() % room_->loops.size()], room_->metrics, call, sink});
}

Task<void> Gateway::serve(const Call& call, ReplySink& sink) {
  PerLoop& here = *room_->loops[sink.loop().index() % room_->loops.size()];
  const SetupPtr held = setup();
  const WallTime arrived = world_.clock.wall();
  Trail trail(here.ids.next(arrived), world_.clock.mono(), arrived, call);
  begin_trace(world_, here, call, trail);
  room_->metrics.in_flight.add(1);
  const auto recording = held->records_messages && world_.recorder ? std::make_unique<RecordingSink>(sink) : nullptr;
  const Scene scene{world_, *held, here, room_->metrics, call, recording ? *recording : sink, recording.get()};
  std::string escaped;
  try {
    co_await walk(scene, trail);
  } catch (const std::exception& e) {    // allocation, or a bug: the call ends, the node goes on
    escaped = e.what();
  }
  room_->metrics.in_flight.add(-1);
  if (!escaped.empty()) co_await answer_escaped(scene, std::move(escaped), trail);
  if (recording) recording->finish(call, trail.record, *world_.recorder);
}

}  // namespace ballast::gateway
