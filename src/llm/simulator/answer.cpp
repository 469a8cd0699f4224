#include "llm/simulator/answer.hpp"

#include <cmath>

#include "base/hash.hpp"
#include "base/ids.hpp"
#include "base/json.hpp"
#include "llm/errors.hpp"
#include "llm/form.hpp"
#include "net/sse.hpp"

namespace ballast::llm {

namespace {

std::string text_of(const std::vector<Part>& parts) {
  std::string out;
  for (const auto& part : parts)
    if (const auto* text = std::get_if<Text>(&part.body)) out += text->text;
  return out;
}

std::uint64_t input_tokens(const ChatRequest& request) {
  std::uint64_t bytes = text_of(request.system).size();
  for (const auto& message : request.messages)
    for (const auto& part : message.parts) {
      if (const auto* text = std::get_if<Text>(&part.body)) bytes += text->text.size();
      if (const auto* call = std::get_if<ToolCall>(&part.body)) bytes += call->arguments.size();
      if (const auto* result = std::get_if<ToolResult>(&part.body)) bytes += text_of(result->parts).size();
    }
  for (const auto& tool : request.tools) bytes += tool.name.size() + tool.description.size();
  return std::max<std::uint64_t>((bytes + 3) / 4, 1);
}

// Words of four bytes, blank included: a token each by the simulator's rule.
std::string filler(std::uint64_t tokens) {
  static constexpr std::array<std::string_view, 8> words{"the ", "ship ", "keel", " set", " its", " sail", "for ", "home"};
  std::string out;
  for (std::uint64_t i = 0; out.size() < tokens * 4; ++i) out += words[i % words.size()];
  out.resize(tokens * 4);
  return out;
}

struct Said {
  std::string text, tool, arguments;
};

// The one tool that must be called.
const Tool* forced_tool(const ChatRequest& request) {
  if (!request.tool_choice || request.tool_choice->mode != ToolChoice::Mode::required) return nullptr;
  const auto& names = request.tool_choice->names;
  for (const auto& tool : request.tools)
    if (names.empty() ? request.tools.size() == 1 : names.size() == 1 && names.front() == tool.name) return &tool;
  return nullptr;
}

Said what_to_say(const ChatRequest& request, const SimModel& model) {
  std::string last;
  for (const auto& message : request.messages)
    if (message.role == Role::user) last = text_of(message.parts);
  const bool answered = !request.messages.empty() && request.messages.back().role == Role::tool;
  for (const auto& a : model.answers) {
    if (!a.match.empty() && last.find(a.match) == std::string::npos) continue;
    if (!a.tool.empty() && (request.tools.empty() || answered)) continue;
    return {a.text, a.tool, a.arguments};
  }
  if (const auto* tool = forced_tool(request)) return {{}, tool->name, to_json(sample_of(tool->schema))};
  if (request.response_format && request.response_format->kind == ResponseFormat::Kind::schema)
    return {to_json(sample_of(request.response_format->schema)), {}, {}};
  if (request.response_format && request.response_format->kind == ResponseFormat::Kind::json) return {"{\"answer\":\"text\"}", {}, {}};
  return {model.answer.value_or(filler(model.output_tokens)), {}, {}};
}

std::size_t character_boundary(std::string_view text, std::size_t at) {
  while (at < text.size() && at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
  return std::min(at, text.size());
}

void tell_text(SimDraft& draft, std::uint32_t choice, std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = character_boundary(text, at + 4);
    if (end <= at) end = std::min(text.size(), at + 4);
    draft.events.emplace_back(TextDelta{choice, std::string(text.substr(at, end - at)), {}});
    at = end;
  }
  draft.events.emplace_back(PartStop{choice});
}

}  // namespace

void SimDraft::report(std::uint64_t output) {
  usage.output = output;
  reply.usage = usage;
  for (auto& event : events)
    if (auto* u = std::get_if<UsageUpdate>(&event)) u->usage = usage;
}

SimDraft draft_answer(const ChatRequest& request, const SimModel& model, const SimFault* lie, std::int64_t now, Random& random) {
  SimDraft draft;
  draft.include_usage = request.include_usage;
  draft.reply.id = "sim-" + to_hex(std::to_string(random.below(1'000'000'000)));
  draft.reply.model = model.name;
  draft.reply.created = now;
  draft.usage.input_uncached = input_tokens(request);
  draft.events.emplace_back(StreamStart{draft.reply.id, draft.reply.model, now});

  Said said = what_to_say(request, model);
  if (lie) {
    std::string& json = said.tool.empty() ? said.text : said.arguments;
    json = lie_about(std::move(json), lie->kind);
  }
  std::string text = said.text;
  if (!request.messages.empty() && request.messages.back().role == Role::assistant) {
    const std::string given = text_of(request.messages.back().parts);
    if (text.starts_with(given)) text.erase(0, given.size());
  }
  const auto most = request.max_tokens ? static_cast<std::uint64_t>(*request.max_tokens) : UINT64_MAX;
  FinishReason finish = said.tool.empty() ? FinishReason::stop : FinishReason::tool_calls;
  if (said.tool.empty() && sim_tokens(text) > most) {
    text.resize(character_boundary(text, most * 4));
    finish = FinishReason::length;
  }
  const auto choices = static_cast<std::uint32_t>(request.n.value_or(1));
  for (std::uint32_t c = 0; c < choices; ++c) {
    Choice choice{.finish = finish};
    if (!said.tool.empty()) {
      const std::string id = "call_" + to_hex(std::to_string(random.below(1'000'000'000)));
      choice.parts.push_back({.body = ToolCall{.id = id, .name = said.tool, .arguments = said.arguments}});
      draft.events.emplace_back(ToolStart{c, 0, id, said.tool, {}});
      draft.events.emplace_back(ToolArgsDelta{c, 0, said.arguments});
      draft.usage.output += sim_tokens(said.arguments);
    } else {
      choice.parts.push_back({.body = Text{.text = text}});
      tell_text(draft, c, text);
      draft.usage.output += sim_tokens(text);
    }
    draft.events.emplace_back(Finish{c, finish, {}, {}});
    draft.reply.choices.push_back(std::move(choice));
  }
  draft.reply.usage = draft.usage;
  draft.events.emplace_back(UsageUpdate{draft.usage});
  return draft;
}

namespace {

json::array unit_vector(std::string_view text, std::uint32_t dimensions) {
  SeededRandom random(fast_hash(text, 7));
  std::vector<double> v(dimensions);
  double length = 0;
  for (auto& x : v) {
    x = random.uniform() * 2 - 1;
    length += x * x;
  }
  json::array out;
  for (const double x : v) out.push_back(x / std::sqrt(length));
  return out;
}

SimScript reply_with(json::object body) {
  return {.steps = {SimHead{.headers = {{"content-type", "application/json"}}}, SimBytes{to_json(json::value(std::move(body)))}}};
}

// A transparent pixel (PNG), base64.
constexpr std::string_view kPixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==";

SimScript embed(const JsonRef& root, const SimModel& model) {
  std::vector<std::string> inputs;
  if (const auto input = root.find("input")) {
    if (input->is_string()) inputs.push_back(*input->as<std::string>());
    for (std::size_t i = 0; i < input->size(); ++i) inputs.push_back(input->item(i).is_string() ? *input->item(i).as<std::string>() : to_json(input->item(i).value()));
  }
  json::array data;
  std::uint64_t tokens = 0;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    tokens += sim_tokens(inputs[i]);
    data.push_back(json::object{{"object", "embedding"}, {"index", i}, {"embedding", unit_vector(inputs[i], model.dimensions)}});
  }
  auto script = reply_with({{"object", "list"}, {"data", std::move(data)}, {"model", model.name}, {"usage", {{"prompt_tokens", tokens}, {"total_tokens", tokens}}}});
  script.input_tokens = tokens;
  return script;
}

// Gemini's batchEmbedContents; it tells no usage, but the books are kept.
SimScript embed_batch(const JsonRef& root, const SimModel& model) {
  json::array data;
  std::uint64_t tokens = 0;
  const auto requests = root.find("requests");
  for (std::size_t i = 0; requests && i < requests->size(); ++i) {
    const auto content = requests->item(i).find("content");
    const std::string text = content ? to_json(content->value()) : std::string();
    tokens += sim_tokens(text);
    data.push_back(json::object{{"values", unit_vector(text, model.dimensions)}});
  }
  auto script = reply_with({{"embeddings", std::move(data)}});
  script.input_tokens = tokens;
  return script;
}

// As providers do, a model that charges for images alone tells no usage. A stream is told at once: its partial images, then each image.
SimScript paint(const ImageAsk& ask, const SimModel& model, bool edit, std::int64_t now) {
  const bool free_tokens = !model.price || *model.price == PriceSet{};
  const std::uint64_t text = (ask.prompt_bytes + 3) / 4, files = (ask.images + ask.masks) * kSimImageTokens;
  const std::uint64_t in = text + files, out = ask.n * kSimImageTokens;
  json::object usage{{"input_tokens", in}, {"output_tokens", out}, {"total_tokens", in + out}};
  if (files) usage["input_tokens_details"] = json::object{{"text_tokens", text}, {"image_tokens", files}};
  const bool tells = !(model.per_image && free_tokens);
  SimScript script;
  if (ask.stream) {
    const std::string kind = edit ? "image_edit." : "image_generation.";
    std::string events;
    for (std::uint32_t i = 0; i < ask.n; ++i) {
      for (std::uint32_t p = 0; p < ask.partial_images; ++p)
        net::sse_write(events, kind + "partial_image", to_json(json::object{{"type", kind + "partial_image"}, {"partial_image_index", p}, {"b64_json", kPixel}}));
      json::object done{{"type", kind + "completed"}, {"b64_json", kPixel}};
      if (tells && i + 1 == ask.n) done["usage"] = usage;
      net::sse_write(events, kind + "completed", to_json(std::move(done)));
    }
    script = {.steps = {SimHead{.headers = {{"content-type", "text/event-stream"}}, .stream = true}, SimBytes{std::move(events)}}};
  } else {
    json::array data;
    for (std::uint32_t i = 0; i < ask.n; ++i) data.push_back(json::object{{"b64_json", kPixel}});
    json::object reply{{"created", now}, {"data", std::move(data)}};
    if (tells) reply["usage"] = std::move(usage);
    script = reply_with(std::move(reply));
  }
  script.input_tokens = tells ? in : 0;
  script.output_tokens = tells ? out : 0;
  script.images = ask.n;
  return script;
}

}  // namespace

SimScript refuse(Wire wire, const Error& error, Duration latency) {
  auto document = error_object(wire, error);
  auto& inner = document["error"].as_object();
  if (wire == Wire::anthropic_messages) inner.erase("code");
  else if (wire == Wire::gemini) inner.erase("details");
  else if (inner["code"] == json::value(to_string(error.code))) inner["code"] = error.field.empty() ? json::value() : json::value("invalid_value");
  ErrorReply told = write_error(wire, error);
  SimHead head{.status = told.status};
  for (auto& [name, value] : told.headers) head.headers.emplace_back(std::move(name), std::move(value));
  return {.steps = {SimWait{latency}, std::move(head), SimBytes{to_json(document)}}};
}

SimScript draft_pass_through(const SimRequest& request, const SimConfig& config, std::int64_t now) {
  const auto told = [&](const Error& error) { return refuse(request.wire, error); };
  const bool edit = request.operation == Operation::images_edits, form = edit && is_form(request.content_type);
  const auto document = form ? Result<json::value>(json::object{}) : parse_json(request.body);
  if (!document) return told(document.error());
  const JsonRef root(*document);
  const auto ask = form                                        ? read_image_form(request.body, request.content_type)
                   : request.operation == Operation::embeddings ? Result<ImageAsk>()
                                                                : read_image_request(*document, request.body.size());
  if (!ask) return told(ask.error());
  const auto name = form || request.wire == Wire::gemini ? Result<std::string>(request.model) : root.get<std::string>("model");
  if (!name) return told(name.error());
  const auto model = config.models.find(*name);
  if (model == config.models.end()) return told(Error{ErrorCode::caller_not_found, "The model `" + *name + "` does not exist", "model"});
  if (edit && ask->images == 0) return told(Error{ErrorCode::caller_invalid_request, "the request has no image", "image"});
  SimScript script;
  if (request.operation != Operation::embeddings)
    script = paint(*ask, model->second, edit, now);
  else
    script = request.wire == Wire::gemini ? embed_batch(root, model->second) : embed(root, model->second);
  script.model = *name;
  return script;
}

}  // namespace ballast::llm
