// Providers' batch APIs: many requests sent as one, answered within a day at a lower price. Where they are asked, what is sent, how their answers
// read. OpenAI: a file of lines, then /batches. Anthropic: /messages/batches. Pure; sending is the caller's.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "llm/provider.hpp"

namespace ballast::llm {

enum class BatchApi : std::uint8_t { openai, anthropic };
// The batch API in which `spec` answers such a call in the words it was asked in; nothing: none.
std::optional<BatchApi> batch_api_of(const ProviderSpec& spec, Operation operation, Wire caller);

// One request of a batch. `id` is at most 64 characters of [A-Za-z0-9_-].
struct BatchItem {
  std::string id;
  std::string body;                      // as the operation's API has it
};
// `body` for the provider: its model by the provider's name, and no stream. Nothing: it is no object.
std::optional<std::string> batch_body(std::string_view body, std::string_view model);

// A request to the batch API.
struct BatchAsk {
  UpstreamCall call;
  std::string content_type;              // empty: no body
  std::string body;
};
// `tag` (of [a-z0-9_]) marks what is created, so that it is found again after a crash, where the API can tell.
Result<BatchAsk> ask_upload(const ProviderSpec& spec, std::string_view secret, Operation operation, const std::vector<BatchItem>& items, std::string_view tag);   // OpenAI
Result<BatchAsk> ask_create(const ProviderSpec& spec, std::string_view secret, Operation operation, std::string_view file, std::string_view tag);                // OpenAI
Result<BatchAsk> ask_create(const ProviderSpec& spec, std::string_view secret, const std::vector<BatchItem>& items);                                             // Anthropic
Result<BatchAsk> ask_status(const ProviderSpec& spec, std::string_view secret, BatchApi api, std::string_view batch);
Result<BatchAsk> ask_cancel(const ProviderSpec& spec, std::string_view secret, BatchApi api, std::string_view batch);   // what is finished stays so
Result<BatchAsk> ask_recent(const ProviderSpec& spec, std::string_view secret);                                                                                  // OpenAI
Result<BatchAsk> ask_results(const ProviderSpec& spec, std::string_view secret, BatchApi api, std::string_view batch, std::string_view file);

// The "id" of what was created.
Result<std::string> read_created(std::string_view body);
// Of the batch marked with `tag` among the recent ones; nothing: there is none.
Result<std::optional<std::string>> read_recent(std::string_view body, std::string_view tag);
struct BatchProgress {
  bool ended = false;
  std::vector<std::string> files;        // OpenAI: with its results
  std::string why;                       // it failed as a whole
};
Result<BatchProgress> read_progress(BatchApi api, std::string_view body);
// One answer, as the provider would have given it to a call of its own. Status 0: none was made.
struct BatchResult {
  std::string id;
  int status = 0;
  std::string body;
};
// A line that cannot be read is left out.
std::vector<BatchResult> read_results(BatchApi api, std::string_view jsonl);

}  // namespace ballast::llm
