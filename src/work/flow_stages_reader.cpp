// What each kind of stage says.
#include <fmt/format.h>

#include <algorithm>

#include "base/text.hpp"
#include "work/flow_reader.hpp"

namespace ballast::work {
namespace {

// A list of roles is the shape every provider knows; anything else is a slip.
constexpr std::initializer_list<std::string_view> roles = {"system", "user", "assistant"};

bool is_assignee(std::string_view name) {
  for (const std::string_view kind : {"user:", "group:", "key:"})
    if (name.starts_with(kind) && name.size() > kind.size() && name.size() <= kMaxName) return true;
  return false;
}

std::string assignee(const ConfigNode& node) {
  auto name = node.as_string();
  if (!is_assignee(name)) node.problem("must be user:NAME, group:NAME or key:NAME");
  return name;
}

}  // namespace

bool FlowReader::does(Stage& stage, std::string_view kind, const ConfigNode& node, const json::value& raw, std::size_t depth) {
  if (kind == "model") stage.does = model(node);
  else if (kind == "http") stage.does = HttpStage{http(node)};
  else if (kind == "transform") stage.does = TransformStage{expr(node)};
  else if (kind == "template") stage.does = TextStage{text(node)};
  else if (kind == "approve") stage.does = approve(node);
  else if (kind == "wait") stage.does = wait(node, stage);
  else if (kind == "map") stage.does = map(node, raw, depth);
  else if (kind == "choose") stage.does = choose(node);
  else if (kind == "flow") stage.does = flow(node);
  else if (kind == "settle") stage.does = settle(node);
  else if (kind == "worker") stage.does = worker(node);
  else if (kind == "query") stage.does = query(node);
  else if (kind == "classify") stage.does = classify(node);
  else return false;
  return true;
}

ModelStage FlowReader::model(const ConfigNode& node) {
  ModelStage m;
  m.route = node.require("route").as_string();
  m.system = text(node.get("system"));
  m.prompt = text(node.get("prompt"));
  const auto messages = node.get("messages");
  if (messages.is_scalar()) m.messages_from = expr(messages);
  else
    for (const auto& item : messages.items()) {
      m.messages.push_back({item.choice("role", roles, "user"), text(item.require("content"))});
      item.done();
    }
  const int asked = (node.has("prompt") ? 1 : 0) + (messages.exists() ? 1 : 0);
  if (asked == 0) node.problem("needs a prompt, or messages");
  if (asked == 2) node.problem("has a prompt and messages; give one of them");
  m.schema = shape(node.get("schema"));
  if (node.has("max_tokens")) m.max_tokens = static_cast<std::uint32_t>(node.integer("max_tokens", 1, 1, 10'000'000));
  if (node.has("temperature")) m.temperature = node.number("temperature");
  if (m.temperature && (*m.temperature < 0 || *m.temperature > 2)) node.get("temperature").problem("must be from 0 to 2");
  if (node.has("top_p")) m.top_p = node.number("top_p");
  if (m.top_p && (*m.top_p < 0 || *m.top_p > 1)) node.get("top_p").problem("must be from 0 to 1");
  if (node.has("seed")) m.seed = node.integer("seed");
  m.stop = node.strings("stop");
  node.done();
  return m;
}

QueryStage FlowReader::query(const ConfigNode& node) {
  QueryStage q;
  q.dataset = node.require("dataset").as_string();
  q.intent = expr(node.get("intent"));
  q.question = text(node.get("question"));
  q.route = node.string("route");
  q.system = text(node.get("system"));
  q.reasks = static_cast<std::uint32_t>(node.integer("reasks", 1, 0, 5));
  q.principal = expr(node.get("principal"));
  if (node.has("intent") == node.has("question")) node.problem("needs a question, with the route of the model that makes an intent of it, or an intent");
  for (const auto* key : {"route", "system", "reasks"}) {
    if (node.has("intent") && node.has(key)) node.get(key).problem("goes with question: an intent needs no model");
  }
  if (node.has("question") && q.route.empty()) node.problem("needs a route: the model that makes an intent of the question");
  // Who asks is not for a stage to say: what a model or the web came to must never choose whose rows are read.
  if (q.principal) {
    const auto& reads = q.principal.jq->reads();
    const bool other = reads.whole || std::ranges::any_of(reads.paths, [](const auto& path) { return path.empty() || path[0] != "input"; });
    if (other) node.get("principal").problem("may read .input alone: who asks is not for a stage to say");
  }
  node.done();
  return q;
}

ClassifyStage FlowReader::classify(const ConfigNode& node) {
  ClassifyStage c;
  c.classifier = node.require("classifier").as_string();
  c.text = text(node.require("text"));
  c.unsure_below = node.number("unsure_below", c.unsure_below);
  if (!(c.unsure_below >= 0 && c.unsure_below <= 1)) node.get("unsure_below").problem("must be from 0 to 1");
  node.done();
  return c;
}

ApproveWhen FlowReader::approve_when(const ConfigNode& node) {
  using Rule = ApproveWhen::Rule;
  ApproveWhen w;
  if (!node.exists()) return w;
  if (node.is_scalar()) {
    const auto word = node.as_string();
    if (word == "always") w.rule = Rule::always;
    else if (word == "never") w.rule = Rule::never;
    else if (word == "by-risk") w.rule = Rule::risk;
    else node.problem("must be always, never, by-risk, {risk: …}, {confidence: {below: …}} or {sample: …}");
    return w;
  }
  if (node.has("risk")) {
    w.rule = Rule::risk;
    w.risk = node.choice("risk", {"write", "destructive"}, "destructive") == "write" ? Risk::write : Risk::destructive;
  } else if (node.has("confidence")) {
    const auto confidence = node.get("confidence");
    w.rule = Rule::confidence;
    const auto below = confidence.require("below");
    w.below = below.as_double();
    if (w.below < 0 || w.below > 1) below.problem("must be from 0 to 1");
    w.of = confidence.string("of");
    confidence.done();
  } else if (node.has("sample")) {
    w.rule = Rule::sample;
    w.share = node.number("sample");
    if (w.share < 0 || w.share > 1) node.get("sample").problem("must be from 0 to 1, a share of the runs");
  } else {
    node.problem("must have risk, confidence or sample");
  }
  node.done();
  return w;
}

ApproveStage FlowReader::approve(const ConfigNode& node) {
  using Otherwise = ApproveStage::Otherwise;
  ApproveStage a;
  a.show = expr(node.require("show"));
  a.when = node.has("when") ? approve_when(node.get("when")) : flow_->policy_.approve;
  a.expires = node.duration("expires");
  if (const auto escalate = node.get("escalate"); escalate.exists()) {
    a.escalate = {escalate.require("after").as_duration(), assignee(escalate.require("to"))};
    escalate.done();
    if (a.expires > Duration::zero() && a.escalate->after >= a.expires) escalate.problem("comes after the approval has expired");
  }
  for (const auto& item : node.list_or_one("assignees")) a.assignees.push_back(assignee(item));
  if (const auto edit = node.get("edit"); edit.is_list()) {
    a.editable = true;
    a.edit_paths = node.strings("edit");
  } else if (edit.is_scalar()) {
    a.editable = edit.as_bool();
  } else if (edit.exists()) {
    a.editable = true;
    a.edit_schema = shape(edit);
  }
  a.signature = node.boolean("signature", false);
  if (a.signature && a.assignees.empty()) node.get("signature").problem("needs assignees: whose signature it is");
  if (a.signature && a.editable) node.get("edit").problem("cannot go with a signature: what is signed is what was shown");
  const auto otherwise = [&](std::string_view key) { return node.choice(key, {"fail", "skip"}, "fail") == "skip" ? Otherwise::skip : Otherwise::fail; };
  a.on_reject = otherwise("on_reject");
  a.on_expire = otherwise("on_expire");
  node.done();
  return a;
}

WaitStage FlowReader::wait(const ConfigNode& node, Stage& stage) {
  WaitStage w;
  w.for_ = node.duration("for");
  w.until = expr(node.get("until"));
  w.event = node.string("event");
  w.key = expr(node.get("key"));
  if (node.has("timeout")) stage.timeout = node.duration("timeout");
  if (node.has("for") + node.has("until") + node.has("event") != 1) node.problem("needs one of for, until and event");
  if (node.has("for") && w.for_ <= Duration::zero()) node.get("for").problem("must be above zero");
  if (!node.has("event") && node.has("key")) node.get("key").problem("goes with event");
  if (!node.has("event") && node.has("timeout")) node.get("timeout").problem("goes with event; a time comes by itself");
  node.done();
  return w;
}

MapStage FlowReader::map(const ConfigNode& node, const json::value& raw, std::size_t depth) {
  MapStage m;
  m.over = expr(node.require("over"));
  const auto as = node.get("as");
  m.as = as.as_string(m.as);
  for (const std::string_view taken : {"input", "stages", "run", "index", "output", "error", "values"})
    if (m.as == taken) as.problem(fmt::format("cannot be \"{}\": an expression sees something else by that name", taken));
  if (m.as.empty() || m.as.size() > kMaxStageName) as.problem("must be a short name");
  if (node.has("limit")) m.limit = static_cast<std::uint32_t>(node.integer("limit", 1, 1, 1'000));
  m.max = static_cast<std::uint32_t>(node.integer("max", kDefaultMapItems, 1, kMaxMapItems));
  const auto inner = node.require("stages");
  const auto* members = raw.if_object();
  const auto* inner_raw = members ? members->if_contains("stages") : nullptr;
  const auto outside = std::exchange(used_, {});               // the map's definition holds what its stages name, too
  if (depth >= kMaxMapDepth) inner.problem(fmt::format("is a map in a map more than {} deep", kMaxMapDepth));
  else m.stages = stages(inner, inner_raw ? *inner_raw : json::value(nullptr), depth + 1);
  used_.insert(outside.begin(), outside.end());
  m.output = expr(node.get("output"));
  m.collect = node.choice("on_error", {"fail", "collect"}, "fail") == "collect";
  node.done();
  return m;
}

ChooseStage FlowReader::choose(const ConfigNode& node) {
  ChooseStage c;
  for (const auto& item : node.items()) {
    ChooseStage::Branch b;
    b.at = place_of(item);
    if (item.has("else")) {
      b.then = item.strings("else");
      if (item.has("when") || item.has("then")) item.problem("has else beside when or then");
    } else {
      b.when = expr(item.require("when"));
      static_cast<void>(item.require("then"));
      b.then = item.strings("then");
    }
    item.done();
    c.branches.push_back(std::move(b));
  }
  if (c.branches.empty()) node.problem("needs branches: [{when: '…', then: STAGE}, {else: STAGE}]");
  return c;
}

FlowStage FlowReader::flow(const ConfigNode& node) {
  FlowStage f;
  if (node.is_scalar()) {
    f.name = node.as_string();
    return f;
  }
  f.name = node.require("name").as_string();
  f.version = node.string("version");
  f.input = expr(node.get("input"));
  node.done();
  return f;
}

SettleStage FlowReader::settle(const ConfigNode& node) {
  SettleStage s;
  s.values = expr(node.require("values"));
  s.effect = only_http(node.require("effect"));
  s.effect.risk = Risk::destructive;
  s.key = expr(node.get("key"));
  // Who names a key says that the other side honours it.
  const auto said = node.get("effect").get("http").get("idempotency");
  if (s.key && !said.exists()) s.effect.idempotency = Idempotency::key;
  if (s.key && s.effect.idempotency != Idempotency::key) node.get("key").problem("is sent with `idempotency: key` alone");
  node.done();
  return s;
}

}  // namespace ballast::work
