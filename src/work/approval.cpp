#include "work/approval.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "base/text.hpp"
#include "schema/schema.hpp"

namespace ballast::work {

namespace {

constexpr std::string_view kPrefix = "appr_", kJobPrefix = "job_";
constexpr std::size_t kJobDigits = 13;
constexpr std::string_view kStates[] = {"pending", "approved", "edited", "rejected", "expired", "withdrawn"};

// Is `path` this one, or below it.
bool at_or_below(std::string_view path, std::string_view allowed) {
  return path.starts_with(allowed) && (path.size() == allowed.size() || path[allowed.size()] == '.' || path[allowed.size()] == '[');
}

// The first place that differs and may not; nothing: all is as it may be.
class Changes {
 public:
  explicit Changes(const std::vector<std::string>& allowed) : allowed_(allowed) {}

  std::optional<std::string> forbidden(const json::value& a, const json::value& b, const std::string& path) const {
    if (a == b || free(path)) return std::nullopt;
    if (a.is_object() && b.is_object()) return in_objects(a.get_object(), b.get_object(), path);
    if (a.is_array() && b.is_array() && a.get_array().size() == b.get_array().size()) {
      for (std::size_t i = 0; i < a.get_array().size(); ++i)
        if (auto found = forbidden(a.get_array()[i], b.get_array()[i], fmt::format("{}[{}]", path, i))) return found;
      return std::nullopt;
    }
    return path;
  }

 private:
  std::optional<std::string> in_objects(const json::object& a, const json::object& b, const std::string& path) const {
    const auto below = [&](std::string_view name) { return path.empty() ? std::string(name) : path + "." + std::string(name); };
    for (const auto& [name, value] : a) {
      const auto* other = b.if_contains(name);
      if (!other && !free(below(name))) return below(name);
      if (!other) continue;
      if (auto found = forbidden(value, *other, below(name))) return found;
    }
    for (const auto& [name, value] : b)
      if (!a.contains(name) && !free(below(name))) return below(name);
    return std::nullopt;
  }
  bool free(const std::string& path) const {
    return std::ranges::any_of(allowed_, [&](const auto& p) { return at_or_below(path, p); });
  }
  const std::vector<std::string>& allowed_;
};

}  // namespace

std::string to_string(ApprovalId id) { return fmt::format("{}{}_{}", kPrefix, to_string(id.job).substr(kJobPrefix.size()), id.n); }

std::optional<ApprovalId> parse_approval_id(std::string_view text) {
  if (!text.starts_with(kPrefix) || text.size() < kPrefix.size() + kJobDigits + 2) return std::nullopt;
  const std::string_view job = text.substr(kPrefix.size(), kJobDigits), rest = text.substr(kPrefix.size() + kJobDigits);
  const auto id = parse_job_id(std::string(kJobPrefix).append(job));
  const auto n = rest.front() == '_' ? parse_int<std::int64_t>(rest.substr(1)) : std::nullopt;
  if (!id || !n || *n < 1) return std::nullopt;
  return ApprovalId{*id, *n};
}

std::string_view to_string(ApprovalState state) { return kStates[static_cast<std::size_t>(state)]; }

std::optional<ApprovalState> approval_state_from(std::string_view name) {
  const auto at = std::ranges::find(kStates, name);
  if (at == std::end(kStates)) return std::nullopt;
  return static_cast<ApprovalState>(at - std::begin(kStates));
}

std::string pack_rule(const EditRule& rule) {
  if (!rule.allowed) return {};
  json::object o;
  if (!rule.paths.empty()) o["paths"] = json::value_from(rule.paths);
  if (!rule.schema.is_null()) o["schema"] = rule.schema;
  return to_json(o);
}

EditRule unpack_rule(std::string_view packed) {
  const auto document = packed.empty() ? Result<json::value>(nullptr) : parse_json(packed);
  if (!document || !document->is_object()) return {};
  EditRule rule{.allowed = true, .paths = {}, .schema = {}};
  if (const auto* paths = document->get_object().if_contains("paths")) rule.paths = json::value_to<std::vector<std::string>>(*paths);
  if (const auto* schema = document->get_object().if_contains("schema")) rule.schema = *schema;
  return rule;
}

Result<void> check_edit(const EditRule& rule, const json::value& shown, const json::value& edited) {
  if (!rule.allowed) return fail(ErrorCode::caller_invalid_request, "may not be edited here; approve or reject it", "value");
  if (!rule.paths.empty())
    if (const auto where = Changes(rule.paths).forbidden(shown, edited, {}))
      return fail(ErrorCode::caller_invalid_request, fmt::format("may not be changed; what may be is {}", fmt::join(rule.paths, ", ")),
                  where->empty() ? "value" : where->front() == '[' ? "value" + *where : "value." + *where);
  if (rule.schema.is_null()) return {};
  const auto schema = schema::Schema::compile(rule.schema);
  if (!schema) return fail(schema.error());
  return schema::require(*schema, edited, "value");
}

Binding Approval::binding() const {
  return {.input = ask.input, .shown = digest, .definition = ask.definition, .policy = sha256(ask.policy), .key_id = ask.key_id, .user = ask.user};
}

std::string Decider::name() const { return user.empty() ? "key:" + key_id : "user:" + user; }

bool is_assignee(std::string_view text) {
  const auto colon = text.find(':');
  if (colon == std::string_view::npos || colon + 1 == text.size() || text.size() > kMaxName + 6) return false;
  const auto kind = text.substr(0, colon);
  return kind == "user" || kind == "group" || kind == "key";
}

bool is_assigned(const Approval& approval, const Decider& who) {
  if (approval.ask.assignees.empty()) return true;
  return std::ranges::any_of(approval.ask.assignees, [&](std::string_view a) {
    const auto name = a.substr(a.find(':') + 1);
    if (a.starts_with("user:")) return !who.user.empty() && name == who.user;
    if (a.starts_with("group:")) return !who.team.empty() && name == who.team;
    return a.starts_with("key:") && !name.empty() && (name == who.key_id || name == who.key_name);
  });
}

bool may_look(const Approval& approval, const Decider& who) { return who.admin || is_assigned(approval, who); }

Result<void> may_decide(const Approval& approval, const Decider& who) {
  if (!may_look(approval, who)) return fail(ErrorCode::caller_not_found, "there is no such approval for you", "id");
  const ApprovalAsk& ask = approval.ask;
  const bool same = (!who.key_id.empty() && who.key_id == ask.key_id) || (!who.user.empty() && who.user == ask.user);
  if (same && !approval.self_allowed())
    return fail(ErrorCode::caller_forbidden, "who submitted the run may not decide it; another of its assignees must", "authorization");
  if (ask.signature && (who.link || who.user.empty() || !is_assigned(approval, who)))
    return fail(ErrorCode::caller_forbidden, "only an assigned user, by a key of their own, may decide this one", "authorization");
  return {};
}

}  // namespace ballast::work
