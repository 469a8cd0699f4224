// Batches, in OpenAI's shape. A key sees its own, whatever its scopes.
#include "base/config_node.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "server/job_json.hpp"
#include "server/reply.hpp"
#include "server/routes.hpp"
#include "server/work_door.hpp"
#include "work/batch_rows.hpp"

namespace ballast::server {

namespace {

using work::Batch;
using work::BatchState;
using work::JobId;

constexpr std::string_view kBatchesPath = "/v1/batches";
constexpr Duration kShortestWindow = std::chrono::seconds(1), kLongestWindow = std::chrono::hours(24 * 30);
constexpr std::size_t kMostMetadata = 16, kMostMetadataKey = 64, kMostMetadataValue = 512, kMostListed = 100;

Error no_such_batch(std::string_view id) { return {ErrorCode::caller_not_found, fmt::format("No batch found with id '{}'.", utf8_prefix(id, 100)), "id"}; }
Error wrong(std::string_view field, std::string message) { return {ErrorCode::caller_invalid_request, std::move(message), std::string(field)}; }

json::value time_json(WallTime at) { return at == WallTime{} ? json::value(nullptr) : json::value(unix_ms(at) / 1000); }

json::value mistakes_json(const Batch& b) {
  if (b.mistakes.empty()) return nullptr;
  json::array data;
  for (const auto& m : b.mistakes)
    data.push_back(json::object{{"code", m.code}, {"message", m.message}, {"param", m.param.empty() ? json::value(nullptr) : json::value(m.param)},
                                {"line", m.line ? json::value(m.line) : json::value(nullptr)}});
  return json::object{{"object", "list"}, {"data", std::move(data)}};
}

json::object batch_json(const Batch& b, const work::BatchCounts& counts) {
  const auto file = [&](JobId id) { return id && terminal(b.state) ? json::value(work::file_id(id)) : json::value(nullptr); };
  json::object o{{"id", work::batch_id(b.id)}, {"object", "batch"}, {"endpoint", b.endpoint}, {"errors", mistakes_json(b)}, {"input_file_id", work::file_id(b.input)},
                 {"completion_window", b.window}, {"status", to_string(b.state)}, {"output_file_id", file(b.output)}, {"error_file_id", file(b.errors)},
                 {"created_at", time_json(b.created)}, {"in_progress_at", time_json(b.in_progress)}, {"expires_at", time_json(b.expires)}, {"finalizing_at", time_json(b.finalizing)},
                 {"completed_at", time_json(b.completed)}, {"failed_at", time_json(b.failed)}, {"expired_at", time_json(b.expired)}, {"cancelling_at", time_json(b.cancelling)},
                 {"cancelled_at", time_json(b.cancelled)}, {"request_counts", {{"total", counts.total}, {"completed", counts.completed}, {"failed", counts.failed}}}};
  o["metadata"] = b.metadata.empty() ? json::value(nullptr) : json::value(b.metadata);
  o["usage"] = nullptr;
  if (b.usage)
    o["usage"] = json::object{{"input_tokens", b.usage->input}, {"input_tokens_details", {{"cached_tokens", b.usage->cached}}}, {"output_tokens", b.usage->output},
                              {"output_tokens_details", {{"reasoning_tokens", b.usage->reasoning}}}, {"total_tokens", b.usage->input + b.usage->output}};
  return o;
}

Result<json::object> read_metadata(const JsonRef& body) {
  const auto metadata = body.find("metadata");
  if (!metadata || metadata->value().is_null()) return json::object{};
  if (!metadata->is_object() || metadata->size() > kMostMetadata) return fail(wrong("metadata", fmt::format("must be an object of at most {} strings", kMostMetadata)));
  for (const auto& [name, value] : metadata->value().get_object())
    if (!value.is_string() || name.size() > kMostMetadataKey || value.get_string().size() > kMostMetadataValue)
      return fail(wrong("metadata", fmt::format("each is a string of at most {} bytes, its name at most {}", kMostMetadataValue, kMostMetadataKey)));
  return metadata->value().get_object();
}

struct Ask {
  Batch batch;
  Duration window{};
};
Result<Ask> read_ask(std::string_view text, const gateway::Principal& who) {
  const auto document = parse_json(text, {.max_bytes = 1u << 20, .max_depth = 16});
  if (!document) return fail(document.error());
  const JsonRef body(*document);
  if (auto known = only_members(body, {"input_file_id", "endpoint", "completion_window", "metadata", "output_expires_after"}); !known) return fail(std::move(known.error()));
  auto file = body.get<std::string>("input_file_id");
  if (!file) return fail(std::move(file.error()));
  auto endpoint = body.get<std::string>("endpoint");
  if (!endpoint) return fail(std::move(endpoint.error()));
  auto window = body.get<std::string>("completion_window");
  if (!window) return fail(std::move(window.error()));
  auto metadata = read_metadata(body);
  if (!metadata) return fail(std::move(metadata.error()));
  Ask ask;
  const auto id = work::parse_file_id(*file);
  if (!id) return fail(wrong("input_file_id", "must be the id of a file that was uploaded with the purpose batch"));
  if (!work::shape_of_endpoint(*endpoint)) return fail(wrong("endpoint", "must be one of " + work::batch_endpoints()));
  const auto span = parse_duration(*window, "completion_window");
  if (!span || *span < kShortestWindow || *span > kLongestWindow) return fail(wrong("completion_window", "must be 24h, or a duration from 1s to 30d"));
  ask.window = *span;
  ask.batch.input = *id;
  ask.batch.owner = who.key_id();
  ask.batch.endpoint = std::move(*endpoint);
  ask.batch.window = std::move(*window);
  ask.batch.metadata = std::move(*metadata);
  ask.batch.user = who.user;
  ask.batch.feature = who.feature;
  if (!who.key->user.empty()) ask.batch.user = who.key->user;
  if (!who.key->feature.empty()) ask.batch.feature = who.key->feature;
  return ask;
}

Task<void> create(WorkDoor& door, net::Exchange& exchange, const gateway::Principal& who) {
  auto ask = read_ask(exchange.body(), who);
  if (!ask) co_return co_await reply_openai_error(exchange, ask.error());
  const auto file = co_await door.engine().database().read(exchange.loop(), [&](store::Tx& tx) { return work::get_file(tx, ask->batch.input); });
  if (!file) co_return co_await reply_openai_error(exchange, file.error());
  if (!*file || (*file)->owner != who.key_id() || (*file)->purpose != "batch")
    co_return co_await reply_openai_error(exchange, wrong("input_file_id", "there is no such file of this key with the purpose batch"));
  const auto made = co_await door.ask(exchange, [&] { return door.batches().create(std::move(ask->batch), ask->window); });
  if (!made) co_return co_await reply_openai_error(exchange, made.error());
  log::info("batch_created", {{"batch", work::batch_id(made->id)}, {"by", who.key_id()}});
  co_await reply_json(exchange, 200, batch_json(*made, made->counts));
}

// With the counts as they are now, of those that are not over.
Task<json::array> shown(WorkDoor& door, net::Exchange& exchange, const std::vector<Batch>& batches) {
  const auto counts = co_await door.ask(exchange, [&]() -> Task<std::vector<work::BatchCounts>> {
    std::vector<work::BatchCounts> out;
    for (const Batch& b : batches) out.push_back(terminal(b.state) ? b.counts : co_await door.batches().counts_now(b));
    co_return out;
  });
  json::array all;
  for (std::size_t i = 0; i < batches.size(); ++i) all.push_back(batch_json(batches[i], counts[i]));
  co_return all;
}

Task<void> list(WorkDoor& door, net::Exchange& exchange, const gateway::Principal& who) {
  JobId after;
  const auto limit = query_count(exchange.request(), "limit", 20, 1, kMostListed);
  if (!limit) co_return co_await reply_openai_error(exchange, limit.error());
  if (const std::string text = query(exchange.request(), "after"); !text.empty()) {
    const auto id = work::parse_batch_id(text);
    if (!id) co_return co_await reply_openai_error(exchange, wrong("after", "must be a batch's id"));
    after = *id;
  }
  auto batches = co_await door.engine().database().read(exchange.loop(), [&](store::Tx& tx) { return work::list_batches(tx, who.key_id(), after, *limit + 1); });
  if (!batches) co_return co_await reply_openai_error(exchange, batches.error());
  const bool more = batches->size() > *limit;
  if (more) batches->pop_back();
  auto data = co_await shown(door, exchange, *batches);
  co_await reply_openai_list(exchange, std::move(data), more);
}

Task<void> cancel(WorkDoor& door, net::Exchange& exchange, const gateway::Principal& who, const Batch& batch) {
  if (terminal(batch.state))
    co_return co_await reply_openai_error(exchange, Error{ErrorCode::caller_conflict, fmt::format("Cannot cancel a batch with status '{}'.", to_string(batch.state))});
  const auto cancelled = co_await door.ask(exchange, [&] { return door.batches().cancel(batch.id); });
  if (!cancelled) co_return co_await reply_openai_error(exchange, cancelled.error());
  log::info("batch_cancelled", {{"batch", work::batch_id(batch.id)}, {"by", who.key_id()}});
  co_await reply_json(exchange, 200, batch_json(*cancelled, cancelled->counts));
}

// BATCH or BATCH/cancel.
Task<bool> one_batch(WorkDoor& door, net::Exchange& exchange, const gateway::Principal& who, std::string_view rest) {
  const std::string_view method = exchange.request().method;
  const bool cancelling = rest.ends_with("/cancel");
  if (cancelling) rest.remove_suffix(7);
  if (method != (cancelling ? "POST" : "GET") || rest.contains('/')) co_return false;
  const auto id = work::parse_batch_id(rest);
  Result<std::optional<Batch>> batch = std::optional<Batch>{};
  if (id) {
    auto found = co_await door.engine().database().read(exchange.loop(), [&](store::Tx& tx) { return work::get_batch(tx, *id); });
    batch = std::move(found);
  }
  if (!batch) {
    co_await reply_openai_error(exchange, batch.error());
  } else if (!*batch || (*batch)->owner != who.key_id()) {
    co_await reply_openai_error(exchange, no_such_batch(rest));
  } else if (cancelling) {
    co_await cancel(door, exchange, who, **batch);
  } else {
    auto one = co_await shown(door, exchange, {**batch});
    co_await reply_json(exchange, 200, std::move(one.front()));
  }
  co_return true;
}

}  // namespace

Task<bool> batches_api(net::Exchange& exchange, const Parts& parts) {
  const auto& request = exchange.request();
  const bool all = request.path == kBatchesPath;
  if (!all && !request.path.starts_with("/v1/batches/")) co_return false;
  const auto who = require_scope(exchange, parts, gateway::Scope::call);
  WorkDoor& door = *parts.work;
  bool known = true;
  if (!who) co_await reply_openai_error(exchange, who.error());
  else if (all && request.method == "POST") co_await create(door, exchange, *who);
  else if (all && request.method == "GET") co_await list(door, exchange, *who);
  else if (!all) known = co_await one_batch(door, exchange, *who, request.path.substr(kBatchesPath.size() + 1));
  else known = false;
  co_return known;
}

}  // namespace ballast::server
