// What lines a user's export has: each kind once, as /openapi.json and docs/privacy.md tell them.
#pragma once
#include <cstdint>
#include <string_view>

namespace ballast::server {

enum class ExportKind : std::uint8_t { key, call, messages, feedback, job, stage, effect, approval, webhook, event };
inline constexpr std::string_view kExportKinds[] = {"key", "call", "messages", "feedback", "job", "stage", "effect", "approval", "webhook", "event"};   // by ExportKind

}  // namespace ballast::server
