// Token counting: an estimate, said to be one and by what.
#include "gateway/road.hpp"

#include "base/json.hpp"

namespace ballast::gateway {

namespace {

// Bytes of prompt text per token, as a rule of thumb for the vendors' tokenizers on mixed text.
constexpr std::uint64_t kBytesPerToken = 4;

// A route's name says nothing of tokens; the model that it would ask first does.
tokens::Basis basis_of_asked(const Setup& setup, std::string_view asked, WallTime now) {
  const auto route = setup.routes->resolve(asked);
  if (!route || (*route)->targets.empty()) return tokens::basis_of(asked);
  const Target& target = (*route)->targets.front();
  const auto access = setup.providers.find(target.provider);
  if (access == setup.providers.end()) return tokens::basis_of(target.model);
  const auto info = setup.prices->find(target.provider, llm::to_string(access->second.spec.kind), target.model, now);
  return basis_of(target, info ? &*info : nullptr);
}

Task<void> refuse(const Call& call, ReplySink& sink, const Error& error) {
  const auto told = llm::write_error(call.wire, error);
  const auto sent = co_await sink.reply({.status = told.status}, told.body);
  (void)sent;                            // a caller that left wants nothing
}

}  // namespace

Task<void> Gateway::count_tokens(Call call, ReplySink& sink) {
  const auto held = setup();
  const auto who = who_calls(world_, *held, sink.loop().index(), call);
  if (!who) co_return co_await refuse(call, sink, who.error());
  llm::FactsReader reader;
  const auto facts = reader.request(call.wire, call.body);
  if (!facts) co_return co_await refuse(call, sink, facts.error());
  const std::string_view asked = call.path_model.empty() ? std::string_view(facts->model) : call.path_model;
  const auto basis = basis_of_asked(*held, asked, world_.clock.wall());
  const auto counted = basis.encoding ? Prompt(call.wire, call.body).count(basis) : std::nullopt;
  const auto by_bytes = (facts->text_bytes + kBytesPerToken - 1) / kBytesPerToken + facts->images * kImageTokens + facts->messages * kAroundMessage;
  const std::uint64_t tokens = counted ? counted->tokens : by_bytes;
  json::object body;
  body[call.wire == llm::Wire::gemini ? "totalTokens" : "input_tokens"] = tokens;
  const std::string text = to_json(json::value(std::move(body)));
  ReplyHead head;
  head.headers.put("content-type", "application/json");
  head.headers.put("x-ballast-estimate", counted ? basis.by : "bytes/4");
  const auto sent = co_await sink.reply(std::move(head), text);
  (void)sent;                            // a caller that left wants nothing
}

}  // namespace ballast::gateway
