#include "app/contract.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "app/table.hpp"

namespace ballast::app {

namespace {

constexpr std::size_t kMostBreaches = 20;   // told of one input
constexpr std::size_t kMostInputs = 10'000;
constexpr std::size_t kFoundWidth = 120;

const json::value* member(const json::value& v, std::string_view name) {
  const auto* object = v.if_object();
  return object ? object->if_contains(name) : nullptr;
}
std::string text_of(const json::value& v, std::string_view name) {
  const auto* found = member(v, name);
  return found && found->is_string() ? std::string(found->get_string()) : std::string();
}
std::string either(std::string a, std::string b) { return a.empty() ? std::move(b) : std::move(a); }

// JSON if it is a document with structure; a bare number or word is text as well.
json::value structured(std::string_view text) {
  auto parsed = parse_json(text);
  return parsed && parsed->is_structured() ? std::move(*parsed) : json::value(json::string(text));
}

Outcome refused(Outcome::Kind kind, std::string message, std::string field = {}) {
  return {kind, {}, std::move(message), std::move(field)};
}

// An error in any of the shapes that servers have: OpenAI's, problem details, plain.
Outcome from_error(int status, std::string_view body) {
  using enum Outcome::Kind;
  const auto document = parse_json(body).value_or(nullptr);
  const auto* inner = member(document, "error");
  const json::value& error = inner && inner->is_object() ? *inner : document;
  const auto message = either(either(text_of(error, "message"), text_of(error, "detail")),
                              either(text_of(error, "title"), "no message"));
  const auto told = fmt::format("{}: {}", status, message);
  if (status == 401 || status == 404 || status == 408 || status == 429) return refused(unavailable, told);
  // Providers say so without a parameter.
  const bool too_long = text_of(error, "code") == "context_length_exceeded";
  return refused(status >= 400 && status < 500 ? refusal : failure, told,
                 either(either(text_of(error, "param"), text_of(error, "field")), too_long ? "messages" : ""));
}

json::array observed_tools(const json::value& message) {
  json::array out;
  const auto* calls = member(message, "tool_calls");
  if (!calls || !calls->is_array()) return out;
  for (const auto& call : calls->get_array()) {
    const auto* function = member(call, "function");
    const json::value& said = function ? *function : call;
    out.push_back(json::object{{"name", text_of(said, "name")}, {"arguments", structured(text_of(said, "arguments"))}});
  }
  return out;
}

}  // namespace

// ---- The file

Result<Contract> read_contract(const json::value& document) {
  const JsonRef root(document);
  const auto version = root.get<std::int64_t>("contract");
  if (!version) return fail(version.error());
  if (*version != 1) return root.error("is of a version unknown here; \"contract\" must be 1");
  Contract out;
  const auto model = root.maybe<std::string>("model"), flow = root.maybe<std::string>("flow");
  if (!model || !flow) return fail(!model ? model.error() : flow.error());
  if (model->has_value() == flow->has_value()) return root.error("must name either a model or a flow");
  out.is_flow = flow->has_value();
  out.name = out.is_flow ? **flow : **model;
  const auto request = root.maybe<const json::object*>("request");
  if (!request) return fail(request.error());
  if (*request) out.request = ***request;
  const auto inputs = root.get<const json::array*>("inputs");
  if (!inputs) return fail(inputs.error());
  if ((*inputs)->empty() || (*inputs)->size() > kMostInputs)
    return root.at("inputs")->error(fmt::format("must have 1 to {} inputs", kMostInputs));
  out.inputs.assign((*inputs)->begin(), (*inputs)->end());
  const auto answer = root.at("answer");
  if (!answer) return fail(answer.error());
  out.answer = answer->value();
  return out;
}

json::value contract_document(const Contract& contract) {
  json::object out{{"contract", 1}, {contract.is_flow ? "flow" : "model", contract.name}};
  if (!contract.is_flow) out["request"] = contract.request;
  out["inputs"] = json::array(contract.inputs.begin(), contract.inputs.end());
  out["answer"] = contract.answer;
  return out;
}

namespace {

void indent(std::string& out, const json::value& v, std::size_t level) {
  const auto each = [&](char open, char close, const auto& all, auto&& one) {
    out += open;
    bool first = true;
    for (const auto& item : all) {
      out += first ? "\n" : ",\n";
      first = false;
      out.append(2 * (level + 1), ' ');
      one(item);
    }
    if (!first) out.append("\n").append(2 * level, ' ');
    out += close;
  };
  if (const auto* object = v.if_object())
    return each('{', '}', *object, [&](const auto& m) {
      append_json_string(out, m.key());
      out += ": ";
      indent(out, m.value(), level + 1);
    });
  // A list of words stays on its line.
  if (const auto* array = v.if_array();
      array && std::ranges::any_of(*array, [](const auto& item) { return item.is_structured(); }))
    return each('[', ']', *array, [&](const auto& item) { indent(out, item, level + 1); });
  append_json(out, v);
}

}  // namespace

std::string indented(const json::value& value) {
  std::string out;
  indent(out, value, 0);
  return out + "\n";
}

// ---- Recording

void Recorder::add(const json::value& observed) {
  ++samples_;
  if (const auto* output = member(observed, "output")) output_.add(*output);
  if (const auto* content = member(observed, "content")) content_.add(*content);
  if (const auto finish = text_of(observed, "finish"); !finish.empty()) finishes_.insert(finish);
  const auto* calls = member(observed, "tool_calls");
  if (!calls || calls->get_array().empty()) return;
  ++with_tools_;
  for (const auto& call : calls->get_array()) tools_[text_of(call, "name")].add(call.at("arguments"));
}

json::value Recorder::tool_calls(bool open) const {
  json::object out{{"type", "array"}};
  if (tools_.empty()) {
    out["maxItems"] = 0;
    return out;
  }
  if (with_tools_ == samples_) out["minItems"] = 1;
  json::array alternatives;
  for (const auto& [name, arguments] : tools_)
    alternatives.push_back(
        json::object{{"required", {"name", "arguments"}},
                     {"properties", {{"name", {{"const", name}}}, {"arguments", arguments.schema(open)}}}});
  out["items"] =
      alternatives.size() == 1 ? alternatives[0] : json::value(json::object{{"anyOf", std::move(alternatives)}});
  return out;
}

json::value Recorder::schema(bool is_flow, const json::value& declared, bool open) const {
  const auto pinned = [&](const schema::Structure& structure) {
    return declared.is_null() ? structure.schema(open) : schema::refined(structure.schema(open), declared);
  };
  json::object properties;
  json::array required;
  if (is_flow) {
    properties["output"] = pinned(output_);
    required = {"output"};
  } else {
    json::array finishes;
    for (const auto& finish : finishes_) finishes.push_back(json::string(finish));
    properties["finish"] = json::object{{"enum", std::move(finishes)}};
    properties["content"] = pinned(content_);
    properties["tool_calls"] = tool_calls(open);
    required = {"finish", "content", "tool_calls"};
  }
  return json::object{{"$schema", "https://json-schema.org/draft/2020-12/schema"},
                      {"type", "object"},
                      {"required", std::move(required)},
                      {"properties", std::move(properties)}};
}

// ---- What came back

Outcome read_chat(int status, std::string_view body) {
  using enum Outcome::Kind;
  if (status < 200 || status > 299) return from_error(status, body);
  const auto document = parse_json(body);
  const auto* choices = document ? member(*document, "choices") : nullptr;
  const auto* first =
      choices && choices->is_array() && !choices->get_array().empty() ? &choices->get_array().front() : nullptr;
  const auto* message = first ? member(*first, "message") : nullptr;
  if (!message) return refused(failure, "200, but the body is not a chat completion: it has no choices[0].message");
  // A model's own refusal is one in so many words.
  if (auto said = text_of(*message, "refusal"); !said.empty())
    return refused(refusal, "the model refused: " + shortened(said, kFoundWidth), "refusal");
  const auto* content = member(*message, "content");
  return {answer,
          json::object{
              {"finish", text_of(*first, "finish_reason")},
              {"content", content && content->is_string() ? structured(content->get_string()) : json::value(nullptr)},
              {"tool_calls", observed_tools(*message)}},
          {},
          {}};
}

Outcome read_job(int status, std::string_view body) {
  using enum Outcome::Kind;
  if (status < 200 || status > 299) return from_error(status, body);
  const auto job = parse_json(body).value_or(nullptr);
  const auto state = text_of(job, "state");
  if (state == "done") {
    const auto* output = member(job, "output");
    return {answer, json::object{{"output", output ? *output : json::value(nullptr)}}, {}, {}};
  }
  if (state != "dead" && state != "cancelled")
    return refused(unavailable,
                   fmt::format("the run has not ended: it is {}", either(state, "of no state that is known here")));
  const auto* error = member(job, "error");
  const auto code = error ? text_of(*error, "code") : std::string();
  const auto told =
      fmt::format("the run is {}: {} {}", state, code, error ? text_of(*error, "message") : std::string());
  // What the caller is to blame for was refused, by a stage instead of at the door.
  return refused(code.starts_with("caller_") ? refusal : failure, told,
                 error ? either(text_of(*error, "field"), text_of(*error, "stage")) : std::string());
}

std::vector<Breach> breaches(const Case& one, const Outcome& outcome, const schema::Schema& schema) {
  using enum Outcome::Kind;
  if (outcome.kind == failure) return {{"", "must be an answer or a clear refusal", outcome.message}};
  if (outcome.kind == refusal && one.must_answer) return {{"", "must be answered", outcome.message}};
  if (outcome.kind == refusal && outcome.field.empty())
    return {{"", "must name the field that it refuses", outcome.message}};
  std::vector<Breach> out;
  if (outcome.kind != answer) return out;
  for (auto& v : schema.check(outcome.observed, kMostBreaches)) {
    std::error_code ignored;
    const auto* at = outcome.observed.find_pointer(v.instance_path, ignored);
    out.push_back(
        {std::move(v.instance_path), std::move(v.message), at ? shortened(to_json(*at), kFoundWidth) : std::string()});
  }
  return out;
}

}  // namespace ballast::app
