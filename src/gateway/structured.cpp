#include "gateway/structured.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/hash.hpp"
#include "base/json.hpp"
#include "base/json_scan.hpp"
#include "base/text.hpp"
#include "llm/json_repair.hpp"

namespace ballast::gateway {

namespace {

constexpr std::array<std::string_view, 4> kStandings{"valid", "repaired", "truncated", "wrong"};
constexpr std::size_t kViolations = 8;

schema::CompileOptions limits() {
  schema::CompileOptions options;
  options.max_nodes = kMaxSchemaNodes;
  options.max_depth = 256;
  options.max_steps = 2'000'000;
  options.max_pattern_steps = 200'000;
  return options;
}

Result<json::value> read(std::string_view text) { return parse_json(text, {.max_bytes = text.size() + 1, .max_depth = kMaxAnswerDepth}); }

bool fits(const Demand& demand, const json::value& value) { return !demand.schema || demand.schema->valid(value); }

Verdict repaired(std::string_view text, std::string_view how) { return {.standing = Standing::repaired, .text = std::string(text), .how = how}; }

// Of an object with one member, or a list with one item, that one's own text: written anew, a number could come out as another.
std::string_view inside_of(std::string_view text) {
  JsonScan scan(kMaxAnswerDepth);
  std::size_t begin = 0;
  while (begin < text.size() && scan.push(text[begin++]) && !(scan.depth() == 1 && scan.expects_value())) {}
  return trim(text.substr(begin, text.find_last_of("}]") - begin));
}

// The answer stands inside something that nobody asked for: in the one member of an object, as the one item of a list, or written as a text.
// What fits the schema there, while the whole does not, is the one thing that can be meant.
std::optional<Verdict> unwrapped(const Demand& demand, const json::value& value, std::string_view text) {
  const json::value* inside = nullptr;
  if (const auto* object = value.if_object(); object != nullptr && object->size() == 1) inside = &object->begin()->value();
  if (const auto* list = value.if_array(); list != nullptr && list->size() == 1) inside = &list->front();
  if (inside != nullptr && (inside->is_object() || inside->is_array()) && fits(demand, *inside)) return repaired(inside_of(text), "wrapper");
  const auto* quoted = value.if_string();
  if (quoted == nullptr) return std::nullopt;
  const auto again = read({quoted->data(), quoted->size()});
  if (again && (again->is_object() || again->is_array()) && fits(demand, *again)) return repaired(trim({quoted->data(), quoted->size()}), "text");
  return std::nullopt;
}

Verdict wrong(std::vector<schema::Violation> violations) { return {.standing = Standing::wrong, .text = {}, .how = {}, .violations = std::move(violations)}; }

Verdict not_json(std::string_view text, std::string why) {
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) why = "the answer is empty";
  return wrong({{.instance_path = {}, .schema_path = "json", .message = std::move(why)}});
}

}  // namespace

std::string_view to_string(Standing standing) { return kStandings[static_cast<std::size_t>(standing)]; }

Result<DemandPtr> compile_demand(llm::ResponseFormat format, std::string_view field) {
  auto made = std::make_shared<Demand>();
  if (format.kind == llm::ResponseFormat::Kind::schema && !format.schema.is_null()) {
    const std::string text = to_json(format.schema);
    made->id = fmt::format("{:016x}", fast_hash(text, 1));
    if (text.size() > kMaxSchemaBytes)
      return fail(ErrorCode::caller_too_large, fmt::format("the schema is longer than {} bytes", kMaxSchemaBytes), std::string(field));
    auto compiled = schema::Schema::compile(format.schema, limits());
    if (!compiled) {
      Error why = std::move(compiled.error());
      why.message = "the schema cannot be used: " + why.message + (why.field.empty() ? "" : " (at " + why.field + ")");
      why.field = field;
      return fail(std::move(why));
    }
    made->schema = std::move(*compiled);
    made->hints = llm::schema_hints(format.schema);
    made->strict = llm::can_be_strict(format.schema);
  }
  made->asking_bytes = llm::asking_bytes(format, made->hints);
  made->format = std::move(format);
  return DemandPtr(std::move(made));
}

Result<DemandPtr> DemandCache::get(llm::ResponseFormat format, std::string_view field) {
  std::string key = fmt::format("{}\n{}\n{}\n{}\n{}", static_cast<int>(format.kind), format.strict ? static_cast<int>(*format.strict) : 2, format.name,
                                format.description, to_json(format.schema));
  if (const auto found = by_key_.find(key); found != by_key_.end()) {
    used_.splice(used_.begin(), used_, found->second);
    return used_.front().demand;
  }
  auto made = compile_demand(std::move(format), field);
  if (!made || key.size() > most_bytes / 8) return made;
  bytes_ += key.size();
  used_.push_front({std::move(key), *made});
  by_key_[used_.front().key] = used_.begin();
  while (used_.size() > most || bytes_ > most_bytes) {
    bytes_ -= used_.back().key.size();
    by_key_.erase(used_.back().key);
    used_.pop_back();
  }
  return made;
}

Verdict judge(const Demand& demand, std::string_view text, llm::FinishReason finish) {
  auto value = read(text);
  std::optional<llm::RepairedJson> better;
  if (!value) better = llm::repair_json(text);
  if (better) {
    if (auto again = read(better->text)) value = std::move(again);
  }
  const bool cut = finish == llm::FinishReason::length;
  if (!value) {
    if (cut || llm::cut_off_json(text)) return {.standing = Standing::truncated};
    return not_json(text, "the answer is not JSON: " + value.error().message);
  }
  if (cut && !value->is_object() && !value->is_array()) return {.standing = Standing::truncated};   // a number may have had more digits
  if (fits(demand, *value)) return better ? Verdict{.standing = Standing::repaired, .text = std::move(better->text), .how = better->what} : Verdict{};
  if (auto inside = unwrapped(demand, *value, better ? std::string_view(better->text) : text)) return std::move(*inside);
  return wrong(demand.schema->check(*value, kViolations));
}

const CallDemand::Tool* CallDemand::find(std::string_view name) const {
  const auto at = std::ranges::find(tools, name, &Tool::name);
  return at == tools.end() ? nullptr : &*at;
}

Verdict judge_call(const CallDemand& demand, std::string_view tool, std::string_view arguments, llm::FinishReason finish) {
  const auto* called = demand.find(tool);
  Verdict verdict;
  if (called == nullptr) {
    verdict = wrong({{{}, "call", "it is none of the tools that may be called"}});
  } else if (called->arguments) {
    const bool none = trim(arguments).empty() && finish != llm::FinishReason::length;
    verdict = judge(*called->arguments, none ? "{}" : arguments, finish);
    if (none && verdict.standing == Standing::valid) verdict = repaired("{}", "blanks");
  }
  verdict.tool = tool;
  return verdict;
}

Verdict judge_silence(llm::FinishReason finish) {
  if (finish == llm::FinishReason::length) return {.standing = Standing::truncated};
  return wrong({{{}, "call", "no tool was called, and one must be"}});
}

std::string in_words(const Verdict& verdict) {
  if (verdict.standing == Standing::truncated) return "it ends before it is whole";
  std::string out;
  for (const auto& v : verdict.violations) {
    if (!out.empty()) out += "; ";
    if (v.schema_path != "json" && v.schema_path != "call") out += fmt::format("{} ", v.instance_path.empty() ? "/" : v.instance_path);
    out += v.message;
  }
  return out;
}

namespace {

std::string complaint_of_call(const Verdict& verdict) {
  if (verdict.standing == Standing::truncated) return "Your call breaks off before its arguments are whole. Call the tool again with all of them; be as brief as its schema allows.";
  if (verdict.tool.empty()) return "Your answer cannot be used: no tool was called. Answer with a call of a tool and nothing else.";
  std::string out = fmt::format("The call of {} cannot be used:\n", verdict.tool);
  for (const auto& v : verdict.violations)
    out += v.instance_path.empty() ? fmt::format("- {}\n", v.message) : fmt::format("- at \"{}\": {}\n", v.instance_path, v.message);
  return out + "Nothing was done. Call it again with the whole corrected arguments.";
}

}  // namespace

std::string complaint(const Verdict& verdict) {
  if (!verdict.tool.empty() || broken_rule(verdict) == "call") return complaint_of_call(verdict);
  if (verdict.standing == Standing::truncated)
    return "Your answer breaks off before its JSON is whole. Answer again with the whole JSON value and nothing else; be as brief as it allows.";
  std::string out = "Your answer cannot be used: it is not the JSON that was asked for.\n";
  for (const auto& v : verdict.violations)
    out += v.schema_path == "json" ? fmt::format("- {}\n", v.message) : fmt::format("- at \"{}\": {}\n", v.instance_path, v.message);
  return out + "Answer again with the whole corrected JSON value and nothing else: no prose, no code fence.";
}

std::string_view broken_rule(const Verdict& verdict) {
  if (verdict.violations.empty()) return {};
  const std::string_view path = verdict.violations.front().schema_path;
  return path.substr(path.rfind('/') + 1);
}

}  // namespace ballast::gateway
