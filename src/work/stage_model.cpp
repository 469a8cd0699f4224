#include "work/stage_model.hpp"

#include "base/text.hpp"
#include "llm/structured.hpp"

namespace ballast::work {

namespace {

Result<void> add_message(json::array& messages, std::string_view role, const Text& text, const json::value& context) {
  if (!text) return {};
  auto content = text.text->render(context);
  if (!content) return fail(std::move(content.error()));
  messages.push_back(json::object{{"role", role}, {"content", std::move(*content)}});
  return {};
}

// The model's words without the fence that many models put around JSON.
std::string_view without_fence(std::string_view text) {
  text = trim(text);
  if (!text.starts_with("```") || !text.ends_with("```") || text.size() < 6) return text;
  text.remove_suffix(3);
  const auto line = text.find('\n');
  return line == std::string_view::npos ? text : trim(text.substr(line + 1));
}

Error bad(std::string message) { return Error{ErrorCode::provider_bad_response, std::move(message), {}, true, {}, {}, {}, {}}; }

}  // namespace

Result<json::object> model_request(const ModelStage& stage, const json::value& context) {
  json::array messages;
  if (auto added = add_message(messages, "system", stage.system, context); !added) return fail(std::move(added.error()));
  for (const Message& m : stage.messages)
    if (auto added = add_message(messages, m.role, m.content, context); !added) return fail(std::move(added.error()));
  if (stage.messages_from) {
    auto made = stage.messages_from.jq->one(context);
    if (!made) return fail(std::move(made.error()));
    if (!made->is_array()) return fail(ErrorCode::caller_invalid_request, "must make a list of {role, content}", stage.messages_from.at.field);
    for (auto& m : made->get_array()) messages.push_back(std::move(m));
  }
  if (auto added = add_message(messages, "user", stage.prompt, context); !added) return fail(std::move(added.error()));
  json::object body{{"model", stage.route}, {"messages", std::move(messages)}};
  if (stage.max_tokens) body["max_tokens"] = *stage.max_tokens;
  if (stage.temperature) body["temperature"] = *stage.temperature;
  if (stage.top_p) body["top_p"] = *stage.top_p;
  if (stage.seed) body["seed"] = *stage.seed;
  if (!stage.stop.empty()) body["stop"] = json::value_from(stage.stop);
  if (stage.schema)
    body["response_format"] = json::object{{"type", "json_schema"}, {"json_schema", json::object{{"name", "output"}, {"schema", stage.schema.text}, {"strict", llm::can_be_strict(stage.schema.text)}}}};
  return body;
}

Result<std::string_view> model_text(const json::value& reply) {
  const auto choices = JsonRef(reply).find("choices");
  if (!choices || choices->size() == 0) return fail(bad("the model gave no answer"));
  const JsonRef choice = choices->item(0);
  const auto finish = choice.maybe<std::string>("finish_reason");
  if (finish && *finish == "length") return fail(bad("the answer was cut off at max_tokens"));
  if (finish && *finish == "content_filter") return fail(ErrorCode::provider_content_filter, "the provider's safety system refused");
  const auto message = choice.find("message");
  const auto content = message ? message->find("content") : std::nullopt;
  if (!content || !content->is_string()) return fail(bad("the model gave no text"));
  return std::string_view(content->value().get_string());
}

Result<json::value> model_json(std::string_view text) {
  auto value = parse_json(without_fence(text), {.max_bytes = text.size() + 1, .max_depth = 256});
  if (!value) return fail(bad("the answer is not JSON: " + value.error().message));
  return value;
}

Result<json::value> model_output(const ModelStage& stage, const json::value& reply) {
  const auto text = model_text(reply);
  if (!text) return fail(text.error());
  if (!stage.schema) return json::value(*text);
  auto value = model_json(*text);
  if (!value) return value;
  const auto violations = stage.schema.schema->check(*value, 3);
  if (violations.empty()) return value;
  std::string said = "the answer does not fit its schema";
  for (const auto& v : violations) said += fmt::format("; {} {}", v.instance_path.empty() ? "/" : v.instance_path, v.message);
  return fail(bad(std::move(said)));
}

// Of this run: the stage's key is also that of the runs it comes from, whose answer a redrive or fork does not want again.
ModelRequest model_call_of(const StageCall& call, std::string route, const json::object& body, unsigned nth) {
  const JobSpec& spec = call.run.spec;
  auto key = fmt::format("{}#{}#{}", to_string(call.run.id), call.stage.key, call.stage.attempt);
  if (nth != 0) key += fmt::format("#{}", nth);
  return {.body = to_json(body), .model = std::move(route), .key_id = spec.key_id, .user = spec.user, .feature = spec.feature.empty() ? spec.name : spec.feature,
          .idempotency_key = std::move(key), .traceparent = call.traceparent, .tracestate = spec.tracestate, .tenant = spec.tenant};
}

Performer model_performer(ModelCaller& caller) {
  return {.prepare = {}, .perform = [&caller](StageCall call) -> Task<Performed> {
    const ModelStage& stage = *call.stage.stage->as<ModelStage>();
    Performed done;
    auto body = model_request(stage, *call.stage.context);
    if (!body) {
      done.error = std::move(body.error());
      co_return done;
    }
    ModelReply reply = co_await caller.call(model_call_of(call, stage.route, *body), call.cancel);
    if (!reply.cost_usd.empty())
      if (const auto cost = money_from_usd(reply.cost_usd, "cost")) done.cost = *cost;
    if (reply.error) {
      done.error = std::move(reply.error);
      co_return done;
    }
    const auto document = parse_json(reply.body, {.max_bytes = reply.body.size() + 1, .max_depth = 256});
    auto output = document ? model_output(stage, *document) : Result<json::value>(fail(bad("the reply cannot be read")));
    if (output) done.value = std::make_shared<const json::value>(std::move(*output));
    else done.error = std::move(output.error());
    co_return done;
  }};
}

}  // namespace ballast::work
