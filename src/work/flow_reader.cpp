// The file as a whole, and what all stages have in common.
#include "work/flow_reader.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.hpp"
#include "work/canonical.hpp"

namespace ballast::work {
namespace {
using namespace std::chrono_literals;

constexpr std::string_view kinds[] = {"model", "http", "transform", "template", "approve", "wait", "map", "choose", "flow", "settle", "worker", "query", "classify"};

bool is_name(std::string_view name) {
  if (name.empty() || name.size() > kMaxStageName || !((name[0] >= 'a' && name[0] <= 'z') || (name[0] >= 'A' && name[0] <= 'Z'))) return false;
  return std::ranges::all_of(name, [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-'; });
}

// Names stay as they are: a secret must not be part of a definition that is stored and named by its digest.
EnvLookup unexpanded() {
  return [](std::string_view name) { return std::optional("${" + std::string(name) + "}"); };
}

// The defaults of ${NAME:-default}: the reading above drops them, and changing one changes the flow.
std::string defaults_of(std::string_view text) {
  std::string out;
  for (auto at = text.find("${"); at != std::string_view::npos; at = text.find("${", at + 2)) {
    const auto piece = text.substr(at, text.find('}', at) - at);
    if (piece.find(":-") != std::string_view::npos) out += piece;
  }
  return out;
}

bool calls_out(StageKind kind) {
  return kind == StageKind::model || kind == StageKind::http || kind == StageKind::flow || kind == StageKind::settle || kind == StageKind::worker || kind == StageKind::query;
}

Duration default_timeout(StageKind kind) {
  switch (kind) {
    case StageKind::model:
    case StageKind::query: return 5min;
    case StageKind::http:
    case StageKind::settle: return 30s;
    case StageKind::worker: return 1h;
    default: return {};
  }
}

// A pattern of error codes that matches none is a slip.
bool matches(std::string_view pattern, std::string_view code) {
  return pattern.ends_with('*') ? code.starts_with(pattern.substr(0, pattern.size() - 1)) : code == pattern;
}
std::vector<std::string_view> error_names() {
  std::vector<std::string_view> out;
  for (unsigned i = 0; i <= static_cast<unsigned>(ErrorCode::internal_error); ++i) out.push_back(to_string(static_cast<ErrorCode>(i)));
  return out;
}

}  // namespace

FlowReader::FlowReader(std::string_view text, std::string file, const EnvLookup& environment, const FileLookup& files)
    : file_(std::move(file)), environment_(environment), files_(files), secrets_(std::make_shared<SecretValues>()), flow_(std::shared_ptr<Flow>(new Flow())) {
  flow_->secrets_ = secrets_;
  flow_->source_.file = file_;
  flow_->source_.text = std::string(text);
}

bool FlowReader::parse(std::vector<ConfigMistake>& into) {
  ConfigMistake mistake;
  const EnvLookup noted = [this](std::string_view name) {
    auto value = environment_(name);
    if (value && (in_call_ || SecretValues::is_secret_name(name))) secrets_->add(name, *value);      // the others are settings
    return value;
  };
  auto root = parse_config(flow_->source_.text, file_, noted, &mistake);
  if (!root) {
    into.push_back(std::move(mistake));
    return false;
  }
  root_ = std::move(*root);
  if (auto raw = parse_config(flow_->source_.text, file_, unexpanded())) raw_ = raw->to_json();
  return true;
}

Digest FlowReader::definition(const json::value& raw, const std::set<std::string>& files) const {
  Sha256 sum;
  sum.update("ballast.flow.1\n");
  sum.update(canonical_json(raw));
  for (const auto& name : files) {
    sum.update("\n" + name + "\n");
    const auto found = flow_->source_.files.find(name);
    if (found != flow_->source_.files.end()) sum.update(to_hex(sha256(found->second)));
  }
  return sum.finish();
}

Result<FlowPtr> FlowReader::read(std::vector<ConfigMistake>* mistakes) {
  std::vector<ConfigMistake> found;
  if (parse(found)) {
    head();
    found = root_.mistakes();
    if (found.empty()) flow_->output_reads_ = link(flow_->stages_, flow_->output_, file_, found);
    std::ranges::sort(found, {}, [](const auto& m) { return std::tie(m.line, m.column, m.field, m.message); });
    for (auto& m : found) m.message = secrets_->hide(m.message);
  }
  if (mistakes) mistakes->insert(mistakes->end(), found.begin(), found.end());
  if (found.empty()) return FlowPtr(flow_);
  std::string message;
  for (const auto& m : found) message += (message.empty() ? "" : "\n") + to_string(m);
  return fail(ErrorCode::caller_invalid_request, std::move(message));
}

void FlowReader::head() {
  const auto name = root_.require("flow");
  flow_->name_ = name.as_string();
  if (name.exists() && !is_name(flow_->name_)) name.problem(fmt::format("must be a name of letters, digits, - and _, at most {} long", kMaxStageName));
  if (root_.has("version")) flow_->version_ = static_cast<std::uint64_t>(root_.integer("version", 1, 1, 1'000'000'000));
  if (const auto input = root_.get("input"); input.exists()) {
    flow_->input_ = shape(input.get("schema"));
    flow_->input_trusted_ = input.boolean("trusted", false);
    input.done();
  }
  flow_->output_ = expr(root_.get("output"));
  policy(root_.get("policy"));
  const auto node = root_.require("stages");
  const auto* members = raw_.if_object();
  const auto* raw = members ? members->if_contains("stages") : nullptr;
  flow_->stages_ = stages(node, raw ? *raw : json::value(nullptr), 0);
  root_.done();
  std::set<std::string> all;
  for (const auto& [file, content] : flow_->source_.files) all.insert(file);
  flow_->digest_ = definition(json::array{raw_, json::value(defaults_of(flow_->source_.text))}, all);
}

void FlowReader::policy(const ConfigNode& node) {
  auto& p = flow_->policy_;
  p.approve = approve_when(node.get("approve"));
  if (node.has("max_cost")) p.max_cost = node.money("max_cost");
  if (p.max_cost && p.max_cost->nano <= 0) node.get("max_cost").problem("must be above zero");
  p.deadline = node.duration("deadline");
  p.compensate_on_failure = node.choice("on_failure", {"keep", "compensate"}, "keep") == "compensate";
  node.done();
}

Stages FlowReader::stages(const ConfigNode& node, const json::value& raw, std::size_t depth) {
  Stages out;
  if (node.exists() && node.is_map() && node.members().empty()) node.problem("has no stages");
  for (const auto& [name, item] : node.members()) {
    if (++count_ > kMaxStages) {
      node.problem(fmt::format("has more than {} stages; move a part into a flow of its own", kMaxStages));
      break;
    }
    if (!is_name(name)) item.problem(fmt::format("must have a name of letters, digits, - and _, at most {} long", kMaxStageName));
    if (!names_.insert(name).second) item.problem("has the name of another stage of this flow; each stage has its own, also in maps");
    const auto* members = raw.if_object();
    const auto* own = members ? members->if_contains(name) : nullptr;
    out.push_back(stage(name, item, own ? *own : json::value(nullptr), depth));
  }
  return out;
}

Stage FlowReader::stage(const std::string& name, const ConfigNode& node, const json::value& raw, std::size_t depth) {
  Stage s;
  s.name = name;
  s.at = place_of(node);
  if (!node.is_map()) {
    node.problem(fmt::format("must be a map with one of {}", fmt::join(kinds, ", ")));
    return s;
  }
  const auto outside = std::exchange(used_, {});
  std::string_view kind;
  for (const auto k : kinds) {
    if (!node.has(k)) continue;
    if (kind.empty()) kind = k;
    else node.get(k).problem(fmt::format("makes a second kind of this stage, which is {} already", kind));
  }
  const auto* members = raw.if_object();
  const auto* own = members && !kind.empty() ? members->if_contains(kind) : nullptr;
  if (!kind.empty()) does(s, kind, node.get(kind), own ? *own : json::value(nullptr), depth);
  common(s, node);
  node.done();
  // A misspelt kind has been told by its own name.
  if (kind.empty() && std::ranges::none_of(node.mistakes(), [&](const auto& m) { return m.field.starts_with(s.at.field + "."); }))
    node.problem(fmt::format("does nothing; give it one of {}", fmt::join(kinds, ", ")));
  s.digest = definition(raw, used_);
  used_.insert(outside.begin(), outside.end());
  return s;
}

void FlowReader::common(Stage& s, const ConfigNode& node) {
  s.when = expr(node.get("when"));
  s.after = node.strings("after");
  s.needs = node.strings("needs");
  s.input = shape(node.get("input"));
  s.output = shape(node.get("output"));
  if (const auto c = node.get("confidence"); c.is_map()) {
    s.confidence = expr(c.require("value"));
    s.at_least = c.require("at_least").as_double();
    if (*s.at_least < 0 || *s.at_least > 1) c.get("at_least").problem("must be from 0 to 1");
    c.done();
  } else {
    s.confidence = expr(c);
  }
  const auto kind = s.kind();
  const bool timed = calls_out(kind) || kind == StageKind::wait || kind == StageKind::map;
  const auto refuse = [&](std::string_view key, bool allowed, std::string_view why) {
    if (!allowed && node.has(key)) node.get(key).problem(fmt::format("does not go with a {} stage: {}", to_string(kind), why));
    return allowed;
  };
  if (refuse("timeout", timed, kind == StageKind::approve ? "say when it expires" : "it takes no time")) {
    const auto timeout = node.get("timeout");
    if (s.timeout == Duration::zero()) s.timeout = default_timeout(kind);
    s.timeout = timeout.as_duration(s.timeout);
    if (timeout.exists() && s.timeout <= Duration::zero()) timeout.problem("must be above zero");
  }
  if (refuse("retry", calls_out(kind), "only what calls out is tried again")) s.retry = retry(node.get("retry"), s);
  const bool undoable = kind == StageKind::http || kind == StageKind::worker || kind == StageKind::settle || kind == StageKind::flow;
  if (refuse("compensate", undoable, "it changes nothing outside") && node.has("compensate")) {
    const auto undo = node.get("compensate");
    if (undo.is_scalar() && undo.as_string() == "none") s.irreversible = true;
    else if (undo.is_map()) s.compensate = only_http(undo);
    else undo.problem("must be {http: …}, or none where nothing can undo it");
  }
  if (refuse("fallback", kind != StageKind::choose, "a choice has an else")) s.fallback = fallback(node.get("fallback"));
}

Retry FlowReader::retry(const ConfigNode& node, const Stage& stage) {
  Retry r;
  const bool repeatable = idempotency_of(stage) != Idempotency::none;
  r.attempts = repeatable && stage.kind() != StageKind::flow ? 3 : 1;
  r.attempts = static_cast<std::uint32_t>(node.integer("attempts", r.attempts, 1, 100));
  r.backoff.first = node.duration("backoff", r.backoff.first);
  r.backoff.max = node.duration("max", std::max(r.backoff.max, r.backoff.first));
  r.backoff.factor = node.number("factor", r.backoff.factor);
  if (r.backoff.factor < 1 || r.backoff.factor > 100) node.get("factor").problem("must be from 1 to 100");
  if (r.backoff.max < r.backoff.first) node.get("max").problem("is less than the first backoff");
  const auto names = error_names();
  for (const auto& item : node.list_or_one("on")) {
    r.on.push_back(item.as_string());
    if (std::ranges::any_of(names, [&](auto code) { return matches(r.on.back(), code); })) continue;
    const auto near = nearest_name(r.on.back(), std::span<const std::string_view>(names));
    item.problem(near.empty() ? "is no error code, nor the beginning of one such as provider_*" : fmt::format("is no error code, did you mean \"{}\"?", near));
  }
  node.done();
  return r;
}

Fallback FlowReader::fallback(const ConfigNode& node) {
  Fallback f;
  if (!node.exists()) return f;
  f.at = place_of(node);
  f.stage = node.string("stage");
  f.output = expr(node.get("output"));
  if (node.has("stage") + node.has("output") != 1) node.problem("needs stage or output, one of them");
  node.done();
  return f;
}

bool Retry::retries(const Error& error) const {
  if (on.empty()) return error.retryable;
  return std::ranges::any_of(on, [&](const auto& pattern) { return matches(pattern, to_string(error.code)); });
}

Result<FlowPtr> read_flow(std::string_view text, std::string file, const EnvLookup& environment, const FileLookup& files,
                          std::vector<ConfigMistake>* mistakes) {
  return FlowReader(text, std::move(file), environment, files).read(mistakes);
}

Result<FlowPtr> read_flow(const FlowSource& source, const EnvLookup& environment, std::vector<ConfigMistake>* mistakes) {
  const FileLookup stored = [&](std::string_view name) -> Result<std::string> {
    const auto found = source.files.find(std::string(name));
    if (found == source.files.end()) return fail(ErrorCode::caller_not_found, "it was not stored with the flow");
    return found->second;
  };
  return read_flow(source.text, source.file, environment, stored, mistakes);
}

}  // namespace ballast::work
