// What goes out, and the pieces everything is made of: HTTP calls, expressions, templates, schemas.
#include <fmt/format.h>

#include <algorithm>

#include "base/text.hpp"
#include "net/chars.hpp"
#include "work/flow_reader.hpp"

namespace ballast::work {
namespace {

bool safe_method(std::string_view method) { return method == "GET" || method == "HEAD" || method == "OPTIONS"; }

// "200" or "2xx".
std::optional<std::pair<std::uint16_t, std::uint16_t>> status_range(std::string_view text) {
  if (text.size() == 3 && text.ends_with("xx") && text[0] >= '1' && text[0] <= '5') {
    const auto first = static_cast<std::uint16_t>((text[0] - '0') * 100);
    return std::pair(first, static_cast<std::uint16_t>(first + 99));
  }
  const auto status = parse_int<std::uint16_t>(text);
  if (!status || *status < 100 || *status > 599) return std::nullopt;
  return std::pair(*status, *status);
}

void no_variables(const ConfigNode& node, const std::vector<std::string>& asked) {
  if (!asked.empty()) node.problem(fmt::format("uses ${}, and there are no variables: .input and .stages.NAME.output are what there is", asked.front()));
}

Risk risk_from(std::string_view name) { return name == "read" ? Risk::read : name == "write" ? Risk::write : Risk::destructive; }
Idempotency idempotency_from(std::string_view name) {
  return name == "key" ? Idempotency::key : name == "natural" ? Idempotency::natural : Idempotency::none;
}

}  // namespace

Expr FlowReader::expr(const ConfigNode& node) {
  if (!node.exists()) return {};
  const auto program = node.as_string();
  if (!node.is_scalar()) return {};
  auto jq = Jq::compile(program, node.path());
  if (!jq) {
    node.problem(jq.error().message);
    return {};
  }
  no_variables(node, jq->variables());
  return {std::move(*jq), place_of(node)};
}

const std::string* FlowReader::attached(const ConfigNode& node) {
  const auto name = node.as_string();
  if (name.empty()) {
    node.problem("must name a file");
    return nullptr;
  }
  used_.insert(name);
  if (const auto known = flow_->source_.files.find(name); known != flow_->source_.files.end()) return &known->second;
  auto content = files_ ? files_(name) : fail(ErrorCode::caller_not_found, "no files can be read here");
  if (!content) {
    node.problem(fmt::format("names the file {}: {}", name, content.error().message));
    return nullptr;
  }
  return &(flow_->source_.files[name] = std::move(*content));
}

Text FlowReader::text(const ConfigNode& node) {
  if (!node.exists()) return {};
  std::string source;
  if (node.is_map()) {
    const auto* content = attached(node.require("file"));
    node.done();
    if (!content) return {};
    source = *content;
  } else {
    source = node.as_string();
  }
  auto compiled = Template::compile(source, node.path());
  if (!compiled) {
    node.problem(compiled.error().message);
    return {};
  }
  no_variables(node, compiled->variables());
  return {std::move(*compiled), place_of(node)};
}

Shape FlowReader::shape(const ConfigNode& node) {
  if (!node.exists()) return {};
  json::value document;
  if (node.is_scalar() && node.as_string() != "true" && node.as_string() != "false") {
    const auto* content = attached(node);
    if (!content) return {};
    auto parsed = parse_json(*content);
    if (!parsed) {
      node.problem(fmt::format("names a file that is not JSON: {}", parsed.error().message));
      return {};
    }
    document = std::move(*parsed);
  } else {
    document = node.to_json();
  }
  auto compiled = schema::Schema::compile(document);
  if (!compiled) {
    node.problem(fmt::format("is not a JSON Schema: {}{}{}", compiled.error().field, compiled.error().field.empty() ? "" : ": ", compiled.error().message));
    return {};
  }
  return {std::move(*compiled), std::move(document), place_of(node)};
}

void FlowReader::expect(const ConfigNode& node, HttpCall& call) {
  if (!node.has("expect")) return;
  call.expect.clear();
  for (const auto& item : node.list_or_one("expect")) {
    if (const auto range = status_range(item.as_string())) call.expect.push_back(*range);
    else item.problem("must be a status such as 200, or a class such as 2xx");
  }
}

HttpCall FlowReader::http(const ConfigNode& node) {
  HttpCall call;
  call.secrets = secrets_;
  in_call_ = true;
  call.method = node.string("method", node.has("body") ? "POST" : "GET");
  if (call.method.empty() || !std::ranges::all_of(call.method, [](char c) { return c >= 'A' && c <= 'Z'; }))
    node.get("method").problem("must be a method such as GET or POST, in capitals");
  call.url = text(node.require("url"));
  for (const auto& [name, value] : node.map("headers")) {
    if (name.empty() || !net::all(name, net::token_char)) value.problem("is not a header's name");
    call.headers.emplace_back(name, text(value));
  }
  call.body = expr(node.get("body"));
  call.schema = shape(node.get("schema"));
  expect(node, call);
  const bool safe = safe_method(call.method);
  call.risk = risk_from(node.choice("risk", {"read", "write", "destructive"}, safe ? "read" : "destructive"));
  const bool natural = safe || call.method == "PUT" || call.method == "DELETE";
  call.idempotency = idempotency_from(node.choice("idempotency", {"none", "natural", "key"}, natural ? "natural" : "none"));
  call.trusted = node.boolean("trusted", false);
  call.trace = node.boolean("trace", false);
  node.done();
  in_call_ = false;
  return call;
}

HttpCall FlowReader::only_http(const ConfigNode& node) {
  auto call = http(node.require("http"));
  node.done();
  return call;
}

WorkerStage FlowReader::worker(const ConfigNode& node) {
  WorkerStage w;
  const auto task = node.require("task");
  w.task = task.as_string();
  w.queue = node.string("queue", w.queue);
  for (const auto* name : {&w.task, &w.queue})
    if (name->size() > kMaxName) node.problem(fmt::format("has a name longer than {} bytes", kMaxName));
  w.input = expr(node.get("input"));
  w.schema = shape(node.get("schema"));
  const auto lease = node.get("lease");
  w.lease = lease.as_duration(w.lease);
  if (w.lease < std::chrono::seconds(1) || w.lease > std::chrono::hours(24)) lease.problem("must be from 1s to 24h");
  w.risk = risk_from(node.choice("risk", {"read", "write", "destructive"}, "write"));
  w.idempotency = idempotency_from(node.choice("idempotency", {"none", "natural", "key"}, "key"));
  w.trusted = node.boolean("trusted", true);
  node.done();
  return w;
}

}  // namespace ballast::work
