#include "base/result.hpp"

#include <array>

namespace ballast {
namespace {
// In the order of the enum.
constexpr std::array<std::string_view, 28> names = {
    "caller_invalid_request", "caller_unauthenticated", "caller_forbidden", "caller_not_found", "caller_conflict",
    "caller_too_large", "caller_timeout", "caller_cancelled",
    "policy_rate_limited", "policy_budget_exceeded", "policy_unpriced_model", "policy_unbounded_cost", "policy_egress_denied",
    "provider_unreachable", "provider_timeout", "provider_rate_limited", "provider_quota", "provider_auth",
    "provider_overloaded", "provider_error", "provider_bad_response", "provider_context_length",
    "provider_content_filter", "provider_rejected", "provider_invalid_output", "provider_all_failed",
    "internal_unavailable", "internal_error"};
static_assert(names.size() == static_cast<std::size_t>(ErrorCode::internal_error) + 1);
}  // namespace

std::string_view to_string(ErrorCode code) { return names[static_cast<std::size_t>(code)]; }

std::optional<ErrorCode> error_code_from(std::string_view name) {
  for (std::size_t i = 0; i < names.size(); ++i)
    if (names[i] == name) return static_cast<ErrorCode>(i);
  return std::nullopt;
}

std::string describe(const Error& error) {
  std::string out;
  int depth = 0;
  for (const Error* e = &error; e && depth < 16; e = e->cause.get(), ++depth) {
    if (depth) out += " ← ";
    out += to_string(e->code);
    out += ": ";
    out += e->message;
    if (!e->field.empty()) {
      out += " (";
      out += e->field;
      out += ")";
    }
  }
  return out;
}

}  // namespace ballast
