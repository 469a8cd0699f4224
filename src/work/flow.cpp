#include "work/flow.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "work/flow_reads.hpp"

namespace ballast::work {
namespace {

constexpr std::string_view kind_names[] = {"model", "http", "transform", "template", "approve", "wait", "map", "choose", "flow", "settle", "worker", "query", "classify"};
static_assert(std::size(kind_names) == kStageKinds);
constexpr std::string_view risk_names[] = {"read", "write", "destructive"};
constexpr std::string_view idempotency_names[] = {"none", "natural", "key"};

// What a stage's kind says of its output, where that does not depend on the stage.
json::value parsed(std::string_view text) {
  auto value = parse_json(text);
  return value ? std::move(*value) : json::value(nullptr);
}
const json::value& text_schema() {
  static const json::value schema = parsed(R"({"type":"string"})");
  return schema;
}
const json::value& list_schema() {
  static const json::value schema = parsed(R"({"type":"array"})");
  return schema;
}
const json::value& choice_schema() {
  static const json::value schema = parsed(
      R"({"type":"object","properties":{"chosen":{"type":"array","items":{"type":"string"}}},"required":["chosen"],"additionalProperties":false})");
  return schema;
}
const json::value& approval_schema() {
  static const json::value schema = parsed(
      R"({"type":"object","properties":{"decision":{"type":"string"},"value":true,"by":{"type":["string","null"]},"at":{"type":["string","null"]},"note":{"type":["string","null"]}},"required":["decision","value"],"additionalProperties":false})");
  return schema;
}
const json::value& verdict_schema() {
  static const json::value schema = parsed(
      R"({"type":"object","properties":{"label":{"type":"string"},"confidence":{"type":"number"},"out_of_scope":{"type":"boolean"},"verdict":{"enum":["sure","unsure","out_of_scope"]},"next":{"type":"array","items":{"type":"object","properties":{"label":{"type":"string"},"confidence":{"type":"number"}},"required":["label","confidence"],"additionalProperties":false}},"digest":{"type":"string"}},"required":["label","confidence","out_of_scope","verdict","next","digest"],"additionalProperties":false})");
  return schema;
}
const json::value& response_schema() {
  static const json::value schema = parsed(
      R"({"type":"object","properties":{"status":{"type":"integer"},"headers":{"type":"object"},"body":true},"required":["status","headers","body"],"additionalProperties":false})");
  return schema;
}

class Readings {
 public:
  void add(const Expr& e, ReadRole role = ReadRole::data, View view = View::stage) {
    if (e) out.push_back({&e.jq->reads(), &e.at, view, role});
  }
  void add(const Text& t, ReadRole role = ReadRole::data, View view = View::stage) {
    if (t) out.push_back({&t.text->reads(), &t.at, view, role});
  }
  void add(const HttpCall& c, ReadRole role = ReadRole::data, View view = View::stage) {
    add(c.url, role, view);
    for (const auto& [name, value] : c.headers) add(value, role, view);
    add(c.body, role, view);
  }
  void add(const ModelStage& m) {
    add(m.system);
    add(m.prompt);
    for (const auto& message : m.messages) add(message.content);
    add(m.messages_from);
  }
  void add(const HttpStage& h) { add(h.call); }
  void add(const TransformStage& t) { add(t.program); }
  void add(const TextStage& t) { add(t.text); }
  void add(const ApproveStage& a) { add(a.show); }
  void add(const WaitStage& w) {
    add(w.until, ReadRole::control);
    add(w.key, ReadRole::control);
  }
  void add(const MapStage& m) {
    add(m.over);
    add(m.output, ReadRole::data, View::inside);
  }
  void add(const ChooseStage& c) {
    for (const auto& b : c.branches) add(b.when, ReadRole::control);
  }
  void add(const FlowStage& f) { add(f.input); }
  void add(const SettleStage& s) {
    add(s.values);
    add(s.effect, ReadRole::data, View::settled);
    add(s.key, ReadRole::data, View::settled);
  }
  void add(const WorkerStage& w) { add(w.input); }
  void add(const QueryStage& q) {
    add(q.question);
    add(q.system);
    add(q.intent);
    add(q.principal);
  }
  void add(const ClassifyStage& c) { add(c.text); }

  std::vector<Reading> out;
};

}  // namespace

std::string_view to_string(StageKind kind) { return kind_names[static_cast<std::size_t>(kind)]; }
std::string_view to_string(Risk risk) { return risk_names[static_cast<std::size_t>(risk)]; }
std::string_view to_string(Idempotency idempotency) { return idempotency_names[static_cast<std::size_t>(idempotency)]; }

std::vector<Reading> readings(const Stage& stage) {
  Readings r;
  r.add(stage.when, ReadRole::control);
  std::visit([&](const auto& does) { r.add(does); }, stage.does);
  r.add(stage.fallback.output, ReadRole::data, View::failed);
  r.add(stage.confidence, ReadRole::control, View::own);
  if (stage.compensate) r.add(*stage.compensate, ReadRole::undo, View::own);
  return std::move(r.out);
}

const Stage* find_stage(const Stages& stages, std::string_view name) {
  const auto found = std::ranges::find(stages, name, &Stage::name);
  return found == stages.end() ? nullptr : &*found;
}

const Stage* last_stage(const Stages& stages) {
  const Stage* last = nullptr;
  for (const Stage& s : stages) {
    if (s.only_fallback || std::ranges::any_of(stages, [&](const Stage& o) { return std::ranges::binary_search(o.waits_for, s.name); })) continue;
    if (last) return nullptr;
    last = &s;
  }
  return last;
}

Risk risk_of(const Stage& stage) {
  if (const auto* h = stage.as<HttpStage>()) return h->call.risk;
  if (const auto* w = stage.as<WorkerStage>()) return w->risk;
  if (stage.as<SettleStage>()) return Risk::destructive;
  if (stage.as<FlowStage>()) return Risk::write;
  Risk worst = Risk::read;
  if (const auto* m = stage.as<MapStage>())
    for (const Stage& s : m->stages) worst = std::max(worst, risk_of(s));
  return worst;
}

bool is_effect(const Stage& stage) {
  const auto kind = stage.kind();
  return (kind == StageKind::http || kind == StageKind::worker || kind == StageKind::settle) && risk_of(stage) != Risk::read;
}

Idempotency idempotency_of(const Stage& stage) {
  if (const auto* h = stage.as<HttpStage>()) return h->call.idempotency;
  if (const auto* w = stage.as<WorkerStage>()) return w->idempotency;
  if (const auto* s = stage.as<SettleStage>()) return s->effect.idempotency;
  return Idempotency::natural;
}

const json::value* output_schema(const Stage& stage) {
  if (stage.output) return &stage.output.text;
  switch (stage.kind()) {
    case StageKind::model: {
      const auto& schema = stage.as<ModelStage>()->schema;
      return schema ? &schema.text : &text_schema();
    }
    case StageKind::worker: {
      const auto& schema = stage.as<WorkerStage>()->schema;
      return schema ? &schema.text : nullptr;
    }
    case StageKind::http:
    case StageKind::settle: return &response_schema();
    case StageKind::text: return &text_schema();
    case StageKind::map: return &list_schema();
    case StageKind::choose: return &choice_schema();
    case StageKind::approve: return &approval_schema();
    case StageKind::classify: return &verdict_schema();
    default: return nullptr;
  }
}

// "each[3].fetch" → "each", then "fetch": the numbers name items, not stages.
const Stage* Flow::at_path(std::string_view path) const {
  const Stages* scope = &stages_;
  const Stage* stage = nullptr;
  for (auto rest = path; !rest.empty();) {
    if (!scope) return nullptr;
    const auto step = take_until(rest, '.');
    stage = find_stage(*scope, step.substr(0, step.find('[')));
    if (!stage) return nullptr;
    const auto* map = stage->as<MapStage>();
    if (step.ends_with(']') && !map) return nullptr;
    scope = map && step.ends_with(']') ? &map->stages : nullptr;
  }
  return stage;
}

std::string Flow::version_name() const { return version_ ? std::to_string(version_) : to_hex(digest_).substr(0, 12); }

std::string pack_source(const FlowSource& source) {
  json::object files;
  for (const auto& [name, content] : source.files) files[name] = content;
  return to_json(json::object{{"file", source.file}, {"text", source.text}, {"files", std::move(files)}});
}

Result<FlowSource> unpack_source(std::string_view packed) {
  auto document = parse_json(packed);
  if (!document) return fail(std::move(document.error()));
  const JsonRef ref(*document);
  FlowSource source;
  auto file = ref.get<std::string>("file");
  auto text = ref.get<std::string>("text");
  auto files = ref.get<const json::object*>("files");
  if (!file) return fail(std::move(file.error()));
  if (!text) return fail(std::move(text.error()));
  if (!files) return fail(std::move(files.error()));
  source.file = std::move(*file);
  source.text = std::move(*text);
  for (const auto& m : **files) {
    auto content = JsonRef(m.value()).as<std::string>();
    if (!content) return fail(std::move(content.error()));
    source.files.emplace(m.key(), std::move(*content));
  }
  return source;
}

}  // namespace ballast::work
