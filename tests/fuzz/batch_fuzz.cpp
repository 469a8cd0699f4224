// Files of batches. The first byte says how the file is cut and whose it is: a caller's input, whose lines are the same however its
// pieces come; or what a provider's batch API answers.
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.hpp"
#include "base/text.hpp"
#include "llm/provider_batch.hpp"
#include "work/batch.hpp"
#include "require.hpp"

using namespace ballast;
using namespace ballast::work;

namespace {

using Lines = std::vector<std::pair<std::uint64_t, std::string>>;

Lines cut(std::string_view file, std::size_t step) {
  Lines out;
  LineCutter cutter;
  const auto take = [&] {
    while (const auto line = cutter.next()) {
      require(!line->too_long && !line->text.empty() && line->text.find('\n') == std::string_view::npos);
      out.emplace_back(line->number, line->text);
    }
  };
  for (std::size_t at = 0; at < file.size(); at += step) {
    cutter.push(file.substr(at, step));
    take();
  }
  cutter.end();
  take();
  return out;
}

void read_line(std::string_view text, std::uint64_t number) {
  constexpr std::string_view kEndpoint = "/v1/chat/completions";
  const auto line = read_batch_line(text, kEndpoint, number);
  if (!line) {
    require(line.error().line == number && !line.error().code.empty() && !line.error().message.empty() && is_utf8(line.error().message));
    return;
  }
  require(!line->custom_id.empty() && line->custom_id.size() <= kMaxCustomId && !line->model.empty());
  const auto body = parse_json(line->body);
  require(body && body->is_object());
  // What a provider is sent, and told as its answer.
  const auto sent = llm::batch_body(line->body, "their-model");
  require(sent && parse_json(*sent)->at("model") == "their-model");
  BatchUsage usage;
  usage.add(*body);
  for (const auto why : {Unmade::cancelled, Unmade::late, Unmade::lost}) require(parse_json(answer_of_none(why, JobId{7}, line->custom_id).text).has_value());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1 || size > 1 << 14) return 0;
  const std::string file(reinterpret_cast<const char*>(data + 1), size - 1);
  for (const auto api : {llm::BatchApi::openai, llm::BatchApi::anthropic}) {
    for (const auto& r : llm::read_results(api, file)) require(r.status == 0 || (r.status >= 100 && r.status < 600));
    (void)llm::read_progress(api, file);
  }
  (void)llm::read_created(file);
  (void)llm::read_recent(file, "tag");
  Batch batch;
  (void)unpack_batch(file, batch);
  const auto whole = cut(file, file.size() + 1);
  require(whole == cut(file, 1 + data[0] % 9));
  for (const auto& [number, text] : whole) read_line(text, number);
  return 0;
}
