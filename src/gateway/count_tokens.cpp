// Token counting: an estimate from the text's bytes, said to be one.
#include "gateway/road.hpp"

#include "base/json.hpp"

namespace ballast::gateway {

namespace {

// Bytes of prompt text per token, as a rule of thumb for the vendors' tokenizers on mixed text.
constexpr std::uint64_t kBytesPerToken = 4;

Task<void> refuse(const Call& call, ReplySink& sink, const Error& error) {
  const auto told = llm::write_error(call.wire, error);
  const auto sent = co_await sink.reply({.status = told.status}, told.body);
  (void)sent;                            // a caller that left wants nothing
}

}  // namespace

Task<void> Gateway::count_tokens(Call call, ReplySink& sink) {
  auto who = authenticate(sink.loop().index(), call.secret);
  if (!who) co_return co_await refuse(call, sink, who.error());
  llm::FactsReader reader;
  const auto facts = reader.request(call.wire, call.body);
  if (!facts) co_return co_await refuse(call, sink, facts.error());
  const std::uint64_t tokens = (facts->text_bytes + kBytesPerToken - 1) / kBytesPerToken + facts->images * 1024 + facts->messages * 3;
  json::object body;
  body[call.wire == llm::Wire::gemini ? "totalTokens" : "input_tokens"] = tokens;
  const std::string text = to_json(json::value(std::move(body)));
  ReplyHead head;
  head.headers.put("content-type", "application/json");
  head.headers.put("x-ballast-estimate", "bytes/4");
  const auto sent = co_await sink.reply(std::move(head), text);
  (void)sent;                            // a caller that left wants nothing
}

}  // namespace ballast::gateway
