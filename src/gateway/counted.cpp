// Tokens where a decision depends on them. Bytes bound a prompt from both sides: it has at most a token for each, and hardly one for
// kMostBytesPerToken. Only what lies between is counted.
#include <algorithm>

#include <boost/container/small_vector.hpp>

#include "gateway/road.hpp"

namespace ballast::gateway {

namespace {

// For what, how many, by what.
void tell(const Scene& scene, std::string_view why, std::string_view of, const tokens::Basis& basis, const PromptCount& n, Trail& trail) {
  trail.decision.step(scene.now(), n.whole ? StepName("counted") : StepName("counted_beyond"), {{"for", why}, {"of", of}, {"tokens", n.tokens}, {"by", basis.by}});
}

llm::ModelInfoPtr info_of(const Scene& scene, const Target& target) {
  const auto access = scene.setup.providers.find(target.provider);
  if (access == scene.setup.providers.end()) return nullptr;
  return scene.here.prices.find(scene.setup.prices, target.provider, llm::to_string(access->second.spec.kind), target.model, scene.world.clock.wall());
}

// The weight is as exact from now on as it gets. Looks no further than `most` tokens, output included: more are as bad as one more.
void weigh(const Scene& scene, const Asked& asked, const Target& target, std::uint64_t most, Trail& trail) {
  Weight& w = asked.weight;
  const auto info = info_of(scene, target);
  const auto basis = basis_of(target, info.get());
  const std::uint64_t limit = most > w.output ? most - w.output : 0;
  const auto n = basis.encoding ? asked.prompt.count(basis, limit) : std::nullopt;
  if (n) {
    w.prompt = n->whole ? n->tokens : limit + 1;
    tell(scene, "limits", target.name, basis, *n, trail);
  }
  w.least = w.most = w.prompt;
}

// Does it hang on the prompt's tokens whether the limits let the call in? Of what they left before it, or leave.
bool undecided(const Weight& w, const std::expected<Admission, Refusal>& answer) {
  if (!w.open()) return false;
  const auto& tokens = answer ? answer->figures().tokens : answer.error().figures.tokens;
  if (!tokens) return false;
  if (answer) return !tokens->part && tokens->remaining + w.prompt < w.most;
  if (answer.error().never) return w.least + w.output <= tokens->limit;
  return tokens->remaining < w.tokens() && w.least + w.output <= tokens->remaining;
}

}  // namespace

TokenSpan prompt_span(const llm::RequestFacts& f) {
  const std::uint64_t around = kBeforeAnswer + (std::uint64_t{f.messages} + 1) * kAroundMessage, images = f.images * kImageTokens;
  return {f.text_bytes / kMostBytesPerToken + images, f.text_bytes + around + images};
}

tokens::Basis basis_of(const Target& target, const llm::ModelInfo* info) {
  if (info && info->encoding) return {info->encoding, 1, true, info->encoding->name()};
  return tokens::basis_of(target.model);
}

std::expected<Admission, Refusal> admit_counted(const Scene& scene, const Asked& asked, const Target* target, Trail& trail) {
  Limits& limits = *scene.setup.limits;
  const LimitSubject subject = target ? LimitSubject{.provider = target->provider, .model = target->name} : limit_subject(asked);
  auto answer = limits.admit(subject, asked.weight.tokens());
  if (!undecided(asked.weight, answer)) return answer;
  const Target* of = target ? target : asked.route->targets.empty() ? nullptr : &asked.route->targets.front();
  if (!of) return answer;
  const std::uint64_t before = asked.weight.tokens();
  weigh(scene, asked, *of, (answer ? answer->figures() : answer.error().figures).tokens->limit, trail);
  const std::uint64_t now = asked.weight.tokens();
  if (answer ? now <= before : now == before) return answer;
  if (answer) answer->refund();
  return limits.admit(subject, now, Turn::again);
}

Result<CredentialLease> pick_counted(const Scene& scene, const Asked& asked, const Candidate& c, TriedCredentials exclude, Trail& trail) {
  const Weight& w = asked.weight;
  CredentialPool& pool = *c.access->credentials;
  if (w.open() && pool.hangs_on_tokens(w.least + w.output, w.most + w.output)) weigh(scene, asked, *c.target, UINT64_MAX, trail);
  return pool.pick(w.tokens(), exclude);
}

void fit_by_tokens(const Scene& scene, const Asked& asked, std::span<const Candidate> all, std::span<TargetView> views, Trail& trail) {
  if (!asked.chat) return;
  const TokenSpan span = prompt_span(asked.facts);
  struct Open {
    std::size_t at;
    tokens::Basis basis;
    double room;                         // in tokens of the basis' encoding
  };
  boost::container::small_vector<Open, 4> open;
  for (std::size_t i = 0; i < views.size(); ++i) {
    const auto context = views[i].context;
    if (context == 0 || span.most <= context || span.least > context) continue;
    const auto basis = basis_of(*all[i].target, all[i].info.get());
    if (basis.encoding) open.push_back({i, basis, static_cast<double>(context) / basis.factor});
  }
  std::ranges::sort(open, std::greater{}, &Open::room);          // what was counted for the widest answers for the others
  for (const Open& o : open) {
    const auto context = views[o.at].context;
    const auto n = asked.prompt.count(o.basis, context);
    if (!n) return;
    views[o.at].fits = n->whole && n->tokens <= context;
    tell(scene, "context", all[o.at].target->name, o.basis, *n, trail);
  }
}

std::uint64_t spare_bytes(const Scene& scene, const Asked& asked, const Candidate& c, Money left, Trail& trail) {
  const auto basis = basis_of(*c.target, c.info.get());
  const bool proven = c.info->encoding != nullptr || llm::is_openai(c.access->spec);      // by word, or by who serves it
  if (!asked.chat || !basis.exact || !proven) return 0;
  llm::Extent least = asked.extent;
  least.text_bytes /= kMostBytesPerToken;
  if (!llm::max_output_within(left, least, *c.info)) return 0;
  const auto n = asked.prompt.count(basis);
  if (!n) return 0;
  tell(scene, "budget", c.target->name, basis, *n, trail);
  return std::min(asked.prompt.spared(*basis.encoding), asked.extent.text_bytes);
}

}  // namespace ballast::gateway
