// What is told of a call to those who watch: its spans, and the conventions' metrics.
#include "gateway/road.hpp"

namespace ballast::gateway {

namespace {

using Attributes = std::vector<trace::Attribute>;

void number(Attributes& to, std::string_view key, std::uint64_t value) { to.emplace_back(key, static_cast<std::int64_t>(value)); }

// Cached tokens are part of the input and reasoning is part of the output, as the conventions count them.
std::uint64_t input_of(const records::TokenCounts& t) { return t.input + t.cached + t.cache_write; }
std::uint64_t output_of(const records::TokenCounts& t) { return t.output + t.reasoning; }

void add_usage(Attributes& to, const records::TokenCounts& t, GenaiNames names) {
  number(to, "gen_ai.usage.input_tokens", input_of(t));
  number(to, "gen_ai.usage.output_tokens", output_of(t));
  if (says_older(names)) {
    number(to, "gen_ai.usage.prompt_tokens", input_of(t));
    number(to, "gen_ai.usage.completion_tokens", output_of(t));
  }
  if (!says_newer(names)) return;
  if (t.cached) number(to, "gen_ai.usage.cache_read.input_tokens", t.cached);
  if (t.cache_write) number(to, "gen_ai.usage.cache_creation.input_tokens", t.cache_write);
  if (t.reasoning) number(to, "gen_ai.usage.reasoning.output_tokens", t.reasoning);
}

// `provider`: as the configuration names it; it may be gone from there.
void add_provider(Attributes& to, const Scene& scene, const std::string& provider) {
  const auto at = scene.setup.providers.find(provider);
  const llm::ProviderSpec* spec = at == scene.setup.providers.end() ? nullptr : &at->second.spec;
  const std::string_view name = spec ? genai_provider(*spec) : std::string_view(provider);
  if (says_newer(scene.world.genai_names)) to.emplace_back("gen_ai.provider.name", std::string(name));
  if (says_older(scene.world.genai_names)) to.emplace_back("gen_ai.system", std::string(genai_system(name)));
  to.emplace_back("ballast.provider", provider);
  if (!spec || spec->base.origin.host.empty()) return;
  to.emplace_back("server.address", spec->base.origin.host);
  number(to, "server.port", spec->base.origin.port);
}

void add_finish(Attributes& to, llm::FinishReason finish) {
  if (finish != llm::FinishReason::none) to.emplace_back("gen_ai.response.finish_reasons", std::vector<std::string>{std::string(to_string(finish))});
}

trace::SpanRecord span_of_call(const Scene& scene, const Trail& trail) {
  const auto& r = trail.record;
  const auto operation = genai_operation(r.operation);
  trace::SpanRecord span{.context = trail.span, .parent = trail.parent_span, .name = std::string(operation) + " " + r.requested_model,
                         .kind = trace::Kind::server, .start = r.arrived, .end = scene.world.clock.wall(),
                         .failed = r.status != records::CallStatus::ok, .error = r.error};
  auto& a = span.attributes;
  a.emplace_back("gen_ai.operation.name", std::string(operation));
  a.emplace_back("gen_ai.request.model", r.requested_model);
  if (!r.provider.empty()) {
    add_provider(a, scene, r.provider);
    a.emplace_back("gen_ai.response.model", r.model);
  }
  add_finish(a, trail.finish);
  add_usage(a, r.usage, scene.world.genai_names);
  a.emplace_back("ballast.call.id", trail.call_id);
  a.emplace_back("ballast.route", r.route);
  a.emplace_back("ballast.served_by", r.served_by);
  a.emplace_back("ballast.key", r.key_name);
  number(a, "ballast.cost.incurred_nano_usd", static_cast<std::uint64_t>(r.incurred_nano));
  if (!r.error.empty()) a.emplace_back("error.type", r.error);
  return span;
}

trace::SpanRecord span_of_attempt(const Scene& scene, const Trail& trail, std::size_t i) {
  const auto& at = trail.record.attempts[i];
  const auto operation = genai_operation(trail.record.operation);
  const bool failed = at.outcome != "ok";
  trace::SpanRecord span{.context = trail.attempt_spans[i], .parent = trail.span.span, .name = std::string(operation) + " " + at.model,
                         .kind = trace::Kind::client, .start = at.started, .end = at.started + std::chrono::microseconds(at.latency_us),
                         .failed = failed, .error = failed ? at.outcome : std::string()};
  auto& a = span.attributes;
  a.emplace_back("gen_ai.operation.name", std::string(operation));
  a.emplace_back("gen_ai.request.model", at.model);
  add_provider(a, scene, at.provider);
  add_usage(a, at.usage, scene.world.genai_names);
  const bool answered = !failed && at.provider == trail.record.provider && at.model == trail.record.model;
  if (answered) add_finish(a, trail.finish);
  if (at.first_token_us && trail.streamed && says_newer(scene.world.genai_names))
    a.emplace_back("gen_ai.response.time_to_first_chunk", static_cast<double>(at.first_token_us) / 1e6);
  if (at.http_status) number(a, "http.response.status_code", at.http_status);
  if (failed) a.emplace_back("error.type", at.outcome);
  return span;
}

}  // namespace

void emit_spans(const Scene& scene, const Trail& trail) {
  auto* sink = scene.world.spans;
  if (!sink || !trail.span.sampled) return;
  for (std::size_t i = 0; i < trail.record.attempts.size() && i < trail.attempt_spans.size(); ++i) sink->emit(span_of_attempt(scene, trail, i));
  sink->emit(span_of_call(scene, trail));
}

void measure(metrics::Histogram& histogram, std::uint64_t value, const Trail& trail, const trace::SpanContext& span) {
  if (!trail.span.sampled) return histogram.record(value);
  histogram.record(metrics::Exemplar{.value = value, .trace_high = span.trace_high, .trace_low = span.trace_low, .span = span.span,
                                     .at = trail.record.arrived + std::chrono::microseconds(trail.record.latency_us)});
}

const trace::SpanContext& span_of(const Trail& trail, std::size_t attempt) {
  return attempt < trail.attempt_spans.size() && trail.attempt_spans[attempt].valid() ? trail.attempt_spans[attempt] : trail.span;
}

void count_genai(const Scene& scene, const Trail& trail) {
  GenaiMetrics* m = scene.world.genai;
  if (!m) return;
  const auto& r = trail.record;
  const auto operation = genai_operation(r.operation);
  const auto with = [&](const std::string& provider, const std::string& model, const auto& then) {
    const auto at = scene.setup.providers.find(provider);
    const llm::ProviderSpec* spec = at == scene.setup.providers.end() ? nullptr : &at->second.spec;
    NameBuffer server;
    if (spec && !spec->base.origin.host.empty()) fmt::format_to(std::back_inserter(server), "{}:{}", spec->base.origin.host, spec->base.origin.port);
    then(spec ? genai_provider(*spec) : std::string_view(provider), std::string_view(model), std::string_view(server.data(), server.size()));
  };
  for (std::size_t i = 0; i < r.attempts.size(); ++i) {
    const auto& a = r.attempts[i];
    const auto& span = span_of(trail, i);
    with(a.provider, a.model, [&](std::string_view provider, std::string_view model, std::string_view server) {
      const std::string_view error = a.outcome == "ok" ? std::string_view() : std::string_view(a.outcome);
      measure(m->operation.with({operation, provider, model, server, error}), a.latency_us * 1000, trail, span);
      if (a.first_token_us && trail.streamed) measure(m->first_chunk.with({operation, provider, model, server, error}), a.first_token_us * 1000, trail, span);
      if (const auto n = input_of(a.usage)) measure(m->tokens.with({operation, provider, model, server, "input"}), n, trail, span);
      if (const auto n = output_of(a.usage)) measure(m->tokens.with({operation, provider, model, server, "output"}), n, trail, span);
    });
  }
  if (r.first_token_us && r.status == records::CallStatus::ok && !r.provider.empty())
    with(r.provider, r.model, [&](std::string_view provider, std::string_view model, std::string_view server) {
      measure(m->server_first_token.with({operation, provider, model, server}), r.first_token_us * 1000, trail, trail.span);
    });
}

}  // namespace ballast::gateway
