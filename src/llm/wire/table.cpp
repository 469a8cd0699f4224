// The published table of what each wire does with each field of a request. docs/wire-translation.md is printed from it and
// a test holds both, and the writers, to it.
#include <array>

#include "llm/wire.hpp"

namespace ballast::llm {

namespace {

constexpr auto M = Handling::mapped, C = Handling::carried, R = Handling::refused, I = Handling::instructed;

constexpr FieldRow kRows[] = {
    {"model", {M, M, M, C}, {"model", "model", "model", "in the path"}},
    {"system", {M, M, M, M}, {"a system message", "instructions", "system", "systemInstruction"}},
    {"text", {M, M, M, M}, {"content", "input_text, output_text", "text block", "text part"}},
    {"image (data)", {M, M, M, M}, {"image_url, data URL", "input_image, data URL", "image, base64", "inlineData"}},
    {"image (URL)", {M, M, M, M}, {"image_url", "input_image", "image, url", "fileData"}},
    {"image detail", {M, M, C, C}, {"detail", "detail", "", ""}},
    {"file (data)", {M, M, M, M}, {"file", "input_file", "document, base64", "inlineData"}},
    {"file (URL)", {R, M, M, M}, {"files are data or ids", "file_url", "document, url", "fileData"}},
    {"file (OpenAI id)", {M, M, R, R}, {"file_id", "file_id", "stored elsewhere", "stored elsewhere"}},
    {"audio", {M, R, R, M}, {"input_audio", "takes none", "takes none", "inlineData"}},
    {"video", {R, R, R, M}, {"takes none", "takes none", "takes none", "inlineData"}},
    {"tool call", {M, M, M, M}, {"tool_calls", "function_call", "tool_use", "functionCall"}},
    {"tool result", {M, M, M, M}, {"tool message; media follow in a user message", "function_call_output", "tool_result", "functionResponse"}},
    {"tool result error mark", {C, C, M, M}, {"", "", "is_error", "response.error"}},
    {"thoughts of another wire", {C, C, C, C}, {"left out", "left out", "left out", "left out"}},
    {"refusal", {M, M, I, I}, {"refusal", "refusal", "as text", "as text"}},
    {"cache marks", {C, C, M, C}, {"caches by itself", "caches by itself", "cache_control", "caches by itself"}},
    {"tools", {M, M, M, M}, {"tools[].function", "tools[]", "tools[]", "functionDeclarations"}},
    {"tool strict", {M, M, M, C}, {"strict", "strict", "strict", ""}},
    {"hosted tool", {R, R, R, R}, {"own wire only", "own wire only", "own wire only", "own wire only"}},
    {"tool_choice", {M, M, M, M}, {"tool_choice", "tool_choice", "tool_choice: auto, any, none, tool", "functionCallingConfig"}},
    {"tool_choice of several", {M, M, R, M}, {"allowed_tools", "allowed_tools", "one or any", "allowedFunctionNames"}},
    {"parallel_tool_calls", {M, M, M, C}, {"parallel_tool_calls", "parallel_tool_calls", "disable_parallel_tool_use", ""}},
    {"max_tokens", {M, M, M, M}, {"max_completion_tokens", "max_output_tokens", "max_tokens; 4096 if absent", "maxOutputTokens"}},
    {"temperature", {M, M, M, M}, {"temperature", "temperature", "temperature, at most 1", "temperature"}},
    {"top_p", {M, M, M, M}, {"top_p", "top_p", "top_p", "topP"}},
    {"top_k", {C, C, M, M}, {"", "", "top_k", "topK"}},
    {"stop", {M, R, M, M}, {"stop", "has none", "stop_sequences", "stopSequences"}},
    {"n", {M, R, R, M}, {"n", "one answer a call", "one answer a call", "candidateCount"}},
    {"seed", {M, C, C, M}, {"seed", "", "", "seed"}},
    {"frequency_penalty", {M, C, C, M}, {"frequency_penalty", "", "", "frequencyPenalty"}},
    {"presence_penalty", {M, C, C, M}, {"presence_penalty", "", "", "presencePenalty"}},
    {"logprobs", {M, R, R, R}, {"logprobs, top_logprobs", "own wire only", "has none", "own wire only"}},
    {"response_format json", {M, M, I, M}, {"json_object", "text.format", "a sentence in system", "responseMimeType"}},
    {"response_format schema", {M, M, M, M}, {"json_schema", "text.format", "output_config.format", "responseJsonSchema"}},
    {"reasoning effort", {M, M, M, M}, {"reasoning_effort", "reasoning.effort", "thinking.budget_tokens", "thinkingLevel, thinkingBudget"}},
    {"reasoning budget", {M, M, M, M}, {"nearest reasoning_effort", "nearest reasoning.effort", "thinking.budget_tokens", "thinkingBudget"}},
    {"stream", {M, M, M, C}, {"stream", "stream", "stream", "in the path"}},
    {"user", {M, M, M, C}, {"user", "user", "metadata.user_id", ""}},
    {"metadata", {M, M, C, C}, {"metadata", "metadata", "", ""}},
    {"service_tier, store, prompt_cache_key", {M, M, C, C}, {"same name", "same name", "", ""}},
    {"stored state", {R, R, R, R}, {"own wire only", "own wire only: previous_response_id, conversation, prompt", "own wire only: container, mcp_servers",
                                    "own wire only: cachedContent"}},
    {"unknown fields", {C, C, C, C}, {"own wire only", "own wire only", "own wire only", "own wire only"}},
};

constexpr std::string_view kTitles[kWires] = {"OpenAI chat", "OpenAI Responses", "Anthropic messages", "Gemini"};
constexpr std::string_view kHandlings[] = {"mapped", "carried", "**refused**", "instructed"};

}  // namespace

std::span<const FieldRow> translation_table() { return kRows; }

std::string translation_table_markdown() {
  std::string out = "| field |";
  for (const auto title : kTitles) out.append(" ").append(title).append(" |");
  out += "\n|---|---|---|---|---|\n";
  for (const auto& row : kRows) {
    out.append("| ").append(row.field).append(" |");
    for (std::size_t w = 0; w < kWires; ++w) {
      out.append(" ").append(kHandlings[static_cast<std::size_t>(row.handling[w])]);
      if (!row.spelling[w].empty()) out.append(": ").append(row.spelling[w]);
      out.append(" |");
    }
    out += "\n";
  }
  return out;
}

}  // namespace ballast::llm
