// Step 3 of the road: what was answered before. Idempotency first (it is a promise), then the cache (it is a saving).
#include <algorithm>

#include "base/hash.hpp"
#include "gateway/cache_shared.hpp"
#include "gateway/road.hpp"

namespace ballast::gateway {

namespace {

// How long a caller waits for another's call that makes the same answer.
MonoTime patience(const Scene& scene, const Asked& asked) { return scene.now() + asked.route->retries.deadline; }

// A route whose schema is another one is another route, as far as answers go; so is one that judges them beside one that does not.
std::string cache_name(const Asked& asked) {
  return asked.judged_by() ? asked.route->name + "#" + (asked.demand_of_route ? asked.demand->id : "judged") : asked.route->name;
}

// The same key on another endpoint is another request.
Digest request_digest(const Call& call) {
  Sha256 hash;
  hash.update(llm::to_string(call.wire));
  hash.update("\n");
  hash.update(llm::to_string(call.operation));
  hash.update("\n");
  hash.update(call.path_model);
  hash.update("\n");
  hash.update(call.body);
  return hash.finish();
}

Task<Result<void>> enter_idempotent(const Scene& scene, const Asked& asked, Memory& memory, Trail& trail) {
  auto entry = co_await scene.world.idempotency.enter(asked.who.key_id(), std::string(scene.call.idempotency_key),
                                                      request_digest(scene.call), trail.call_id, scene.sink.loop(),
                                                      patience(scene, asked), scene.sink.gone(), scene.call.durable != nullptr);
  if (!entry) {
    trail.decision.step(scene.now(), "idempotency_refused", {{"why", entry.error().message}});
    co_return fail(std::move(entry.error()));
  }
  if (auto* claim = std::get_if<IdempotencyClaim>(&*entry)) {
    memory.claim = std::move(*claim);
  } else {
    memory.replay = std::get<std::shared_ptr<const RememberedReply>>(*entry);
    trail.decision.step(scene.now(), "idempotent_replay", {{"of", memory.replay->call_id}});
    trail.record.cache = records::CacheState::replay;
    trail.record.served_by = memory.replay->served_by;
  }
  co_return Result<void>{};
}

// In the cache's terms, what is not there: an answer that the caller would take (RFC 9111, section 5.2.1.7).
Error not_cached() {
  return {ErrorCode::caller_not_found, "nothing stored answers this request, and Cache-Control: only-if-cached lets nobody be asked", "cache-control"};
}

struct Again {
  bool waited = false;                            // until another call had made it
  bool shared = false;                            // another node has made it
};
CachedReplyPtr found_again(CachedReplyPtr reply, Again how, const Scene& scene, Trail& trail) {
  trail.record.cache = how.waited ? records::CacheState::joined : records::CacheState::hit;
  trail.record.served_by = "cache";
  trail.record.usage = {.input = reply->input_tokens, .output = reply->output_tokens};
  trail.age = scene.world.clock.wall() - reply->stored;
  trail.record.saved_nano = std::max<std::int64_t>(reply->cost.nano, 0);
  scene.metrics.saved.add(static_cast<std::uint64_t>(trail.record.saved_nano));
  trail.decision.step(scene.now(), "cache_hit", {{"of", reply->call_id}, how.shared ? Fact("shared", true) : Fact("waited", how.waited)});
  return reply;
}

// An answer of all nodes'. It is kept here too, as old as it is: also one that will not do for this call, for others and for when nobody answers.
Task<CachedReplyPtr> find_elsewhere(const Scene& scene, const Asked& asked, Memory& memory) {
  const Route& route = *asked.route;
  if (!scene.world.shared_cache || !route.cache.across_nodes) co_return nullptr;
  auto found = co_await scene.world.shared_cache->find(*memory.key, route.name, scene.sink.loop(), scene.sink.gone());
  if (!found) co_return nullptr;
  const Duration age = std::max<Duration>(scene.world.clock.wall() - found->stored, Duration::zero()), stale = route.degrade.stale;
  const bool good = age < route.cache.ttl && age <= scene.call.cache.oldest();
  if (good && memory.lead.leads()) co_return memory.lead.publish(std::move(*found), route.cache.ttl, stale, age);
  const auto here = scene.world.cache.find_stale(*memory.key, Duration::max());
  if (age >= std::max(route.cache.ttl, stale) || (here && here->stored >= found->stored)) co_return nullptr;
  auto kept = scene.world.cache.store(*memory.key, std::move(*found), route.cache.ttl, stale, age);
  co_return good ? kept : nullptr;
}

Task<Result<void>> consult_cache(const Scene& scene, const Asked& asked, Memory& memory, Trail& trail) {
  const auto& route = *asked.route;
  const std::string name = cache_name(asked);
  memory.key = cache_key({.wire = llm::to_string(scene.call.wire), .operation = llm::to_string(scene.call.operation),
                          .route = name, .scope = route.cache.scope == CacheScope::key ? asked.who.key_id() : std::string_view(),
                          .body = scene.call.body});
  const CacheControl& wanted = scene.call.cache;
  if (wanted.only_if_cached) {
    const bool reads = memory.key && wanted.reads();
    auto here = reads ? scene.world.cache.find(*memory.key, wanted.oldest()) : nullptr;
    CachedReplyPtr elsewhere;
    if (reads && !here) elsewhere = co_await find_elsewhere(scene, asked, memory);
    if (!here && !elsewhere) co_return fail(not_cached());
    const bool shared = !here;
    memory.hit = found_again(shared ? std::move(elsewhere) : std::move(here), {.shared = shared}, scene, trail);
    co_return Result<void>{};
  }
  if (!memory.key || !wanted.reads()) {
    trail.record.cache = records::CacheState::bypass;
    memory.refresh = memory.key && !wanted.no_store;
    if (wanted.no_store) memory.key.reset();
    if (!wanted.reads()) trail.decision.step(scene.now(), "cache_bypassed", {{"by", "cache-control"}, {"stores", memory.refresh}});
    co_return Result<void>{};
  }
  auto found = co_await scene.world.cache.look_up(*memory.key, wanted.oldest(), scene.sink.loop(), patience(scene, asked), scene.sink.gone());
  if (!found) co_return fail(std::move(found.error()));
  if (auto* hit = std::get_if<CacheHit>(&*found)) {
    memory.hit = found_again(std::move(hit->reply), {.waited = hit->waited}, scene, trail);
    co_return Result<void>{};
  }
  memory.lead = std::move(std::get<CacheLead>(*found));
  auto elsewhere = co_await find_elsewhere(scene, asked, memory);
  if (elsewhere) {
    memory.hit = found_again(std::move(elsewhere), {.shared = true}, scene, trail);
  } else {
    trail.record.cache = records::CacheState::miss;
    trail.decision.step(scene.now(), "cache_miss", {});
  }
  co_return Result<void>{};
}

}  // namespace

Task<Result<Memory>> look_up(const Scene& scene, const Asked& asked, Trail& trail) {
  Memory memory;
  if (!scene.call.idempotency_key.empty()) {
    auto entered = co_await enter_idempotent(scene, asked, memory, trail);
    if (!entered) co_return fail(std::move(entered.error()));
    if (memory.replay) co_return memory;
  }
  if (asked.images && asked.images->stream) {
    // The cache knows one form of an answer, and a stream of images is passed on as it came.
  } else if (asked.route->cache.ttl > Duration::zero()) {
    auto consulted = co_await consult_cache(scene, asked, memory, trail);
    if (!consulted) {
      if (memory.claim.held()) co_await memory.claim.release();
      co_return fail(std::move(consulted.error()));
    }
    if (memory.hit && memory.claim.held()) {
      const auto& hit = *memory.hit;
      co_await memory.claim.finish({.status = hit.status, .content_type = hit.content_type, .body = hit.body,
                                    .call_id = trail.call_id, .served_by = "cache"});
    }
    scene.metrics.cache.with({records::to_string(trail.record.cache)}).add();
  } else if (scene.call.cache.only_if_cached) {
    if (memory.claim.held()) co_await memory.claim.release();
    co_return fail(not_cached());
  } else if (asked.route->degrade.stale > Duration::zero()) {
    const std::string name = cache_name(asked);
    memory.key = cache_key({.wire = llm::to_string(scene.call.wire), .operation = llm::to_string(scene.call.operation),
                            .route = name, .scope = asked.who.key_id(), .body = scene.call.body});
  }
  co_return memory;
}

Task<void> answer_from_memory(const Scene& scene, const Asked& asked, const Memory& memory, Trail& trail) {
  const bool stream = asked.facts.stream;
  if (memory.hit)
    co_await answer_whole(scene, stream, asked.facts.include_usage, memory.hit->status, memory.hit->content_type, memory.hit->body, trail);
  else
    co_await answer_whole(scene, stream, asked.facts.include_usage, memory.replay->status, memory.replay->content_type,
                          memory.replay->body, trail);
}

}  // namespace ballast::gateway
