#include "gateway/outgoing.hpp"

#include "base/json.hpp"
#include "llm/form.hpp"

namespace ballast::gateway {

namespace {

bool wants_usage_asked_for(const Asked& asked, const Candidate& c, llm::Wire wire) {
  return wire == llm::Wire::openai_chat && asked.facts.stream && !asked.facts.include_usage && c.access->spec.quirks.include_usage;
}

Result<void> splice(Outgoing& out, const Scene& scene, const Asked& asked, const Candidate& c, llm::Wire wire) {
  const auto& facts = asked.facts;
  llm::RequestEdits edits;
  bool changed = false;
  if (scene.call.path_model.empty() && facts.model != c.target->model) {
    edits.model = c.target->model;
    changed = true;
  }
  if (c.max_tokens) {
    edits.max_tokens = *c.max_tokens;
    edits.max_tokens_name = c.access->spec.quirks.max_tokens_field;
    changed = true;
  }
  if (wants_usage_asked_for(asked, c, wire)) {
    edits.include_usage = true;
    changed = true;
  }
  if (changed) out.owned = llm::splice_request(wire, scene.call.body, facts, edits);
  out.bytes = changed ? std::string_view(out.owned) : scene.call.body;
  return {};
}

// The caller's own body does not ask for the JSON in a way that this target understands.
bool reshaped(const Asked& asked, const Candidate& c) { return asked.demand_of_route || asking_for(asked, c) != llm::Asking::native; }

// The rest of an answer is no JSON by itself: a grammar or a tool would begin anew, and some APIs refuse either beside a prefill.
llm::Asking asking_now(const Asked& asked, const Candidate& c, bool continuing) { return continuing ? llm::Asking::prompt : asking_for(asked, c); }

// OpenAI is told to hold itself to a route's schema that it can hold itself to. A caller's own `strict` is his to say, and other servers that
// speak this API read it in ways of their own.
llm::ResponseFormat strict_format(const Asked& asked, const Candidate& c) {
  llm::ResponseFormat format = asked.demand->format;
  if (llm::is_openai(c.access->spec) && asked.demand_of_route && asked.demand->strict && !format.strict) format.strict = true;
  return format;
}

Result<void> translate(Outgoing& out, const Scene& scene, const Asked& asked, const Candidate& c, llm::Wire wire,
                       std::string_view continuation, const Correction* correction) {
  auto document = parse_json(scene.call.body);
  if (!document) return fail(std::move(document.error()));
  auto request = llm::parse_request(scene.call.wire, *document);
  if (!request) return fail(std::move(request.error()));
  request->model = c.target->model;
  request->stream = asked.facts.stream;
  if (c.max_tokens) request->max_tokens = *c.max_tokens;
  if (asked.facts.stream && c.access->spec.quirks.include_usage) request->include_usage = true;
  if (!continuation.empty()) {
    llm::Message prefill{.role = llm::Role::assistant, .prefill = true};
    prefill.parts.push_back({.body = llm::Text{.text = std::string(continuation)}});
    request->messages.push_back(std::move(prefill));
    request->origin.reset();
  }
  if (asked.demand && (wire != scene.call.wire || !continuation.empty() || reshaped(asked, c)))
    llm::ask_for(*request, strict_format(asked, c), asked.demand->hints, asking_now(asked, c, !continuation.empty()), wire);
  if (correction && !correction->complaint.empty()) {
    const auto& said = correction->said;
    if (said.calls.empty()) llm::ask_again(*request, said.words, correction->complaint);
    else llm::ask_again(*request, said.calls, correction->complaint);
  }
  auto written = llm::write_request(wire, *request);
  if (!written) return fail(std::move(written.error()));
  out.owned = to_json(std::move(*written));
  out.bytes = out.owned;
  return {};
}

// Embeddings and images: the model's name is all that changes. JSON that asks for images is written anew all the same: of a
// repeated member the provider might count another one than we did.
Result<void> pass_through(Outgoing& out, const Scene& scene, const Asked& asked, const Candidate& c) {
  out.content_type = asked.document ? std::string_view("application/json") : scene.call.content_type;
  out.bytes = scene.call.body;
  const bool renamed = asked.facts.model != c.target->model;
  if (asked.document && (renamed || asked.images)) {
    json::object document = asked.document->as_object();
    document["model"] = c.target->model;
    out.owned = to_json(std::move(document));
  } else if (renamed) {
    out.owned = llm::rename_model(scene.call.body, *asked.images, c.target->model);
  } else {
    return {};
  }
  out.bytes = out.owned;
  return {};
}

}  // namespace

Result<void> make_outgoing(Outgoing& out, const Scene& scene, const Asked& asked, const Candidate& c, llm::Wire wire,
                           std::string_view continuation, const Correction* correction) {
  out.owned.clear();
  out.wire = wire;
  if (!asked.chat) return pass_through(out, scene, asked, c);
  const bool as_it_is = continuation.empty() && !correction && (!asked.demand || !reshaped(asked, c));
  if (wire == scene.call.wire && as_it_is) return splice(out, scene, asked, c, wire);
  return translate(out, scene, asked, c, wire, continuation, correction);
}

}  // namespace ballast::gateway
