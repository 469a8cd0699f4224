#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include "classify/corpus.hpp"
#include "classify/model_data.hpp"

namespace ballast::classify {

namespace {

constexpr unsigned kPasses = 12;
// A fold begins where the whole ended, less what its held-out examples added: near its own best, which this many passes reach.
constexpr unsigned kFoldPasses = 5;
constexpr std::size_t kMostQuantiles = 513, kMostForTemperature = 4'000;

// What cross-validation finds out: every example's margins, from a model that has not seen it.
struct HeldOut {
  std::vector<float> margins;                 // examples × stride
  std::vector<float> supports;                // by example
};

// The fold of each example; every label is spread over all folds as evenly as it can be.
std::vector<unsigned> assign_folds(const Corpus& corpus, unsigned folds, Random& random) {
  std::vector<std::uint32_t> order(corpus.size()), drawn(corpus.size());
  std::iota(order.begin(), order.end(), 0);
  std::iota(drawn.begin(), drawn.end(), 0);
  for (std::size_t i = drawn.size(); i > 1; --i) std::swap(drawn[i - 1], drawn[random.below(i)]);
  std::ranges::sort(order, {}, [&](std::uint32_t i) { return std::pair(corpus.truth[i], drawn[i]); });
  std::vector<unsigned> fold(corpus.size());
  for (std::size_t at = 0; at < order.size(); ++at) fold[order[at]] = static_cast<unsigned>(at % folds);
  return fold;
}

void judge_fold(const Corpus& corpus, std::vector<float> alphas, std::vector<std::uint32_t> members, std::span<const std::uint32_t> held_out, Random& random,
                HeldOut& out) {
  const std::size_t stride = stride_of(corpus.labels.size());
  const Weighted weighted = weigh_all(corpus, held_out);
  Solver solver(weighted.design, std::move(alphas), std::move(members));
  solver.run(kFoldPasses, random);
  for (const auto i : held_out) {
    const auto margins = std::span(out.margins).subspan(i * stride, stride);
    solver.margins(i, margins);
    out.supports[i] = support_of(*std::ranges::max_element(margins.first(corpus.labels.size())), weighted.known[i]);
  }
}

HeldOut cross_validate(const Corpus& corpus, const std::vector<float>& alphas, const TrainOptions& options, Random& random) {
  HeldOut out{std::vector<float>(alphas.size()), std::vector<float>(corpus.size())};
  const auto folds = assign_folds(corpus, options.folds, random);
  for (unsigned fold = 0; fold < options.folds; ++fold) {
    if (options.progress) options.progress(fmt::format("cross-validation, part {} of {}", fold + 1, options.folds));
    std::vector<std::uint32_t> members, held_out;
    for (std::uint32_t i = 0; i < corpus.size(); ++i) (folds[i] == fold ? held_out : members).push_back(i);
    judge_fold(corpus, alphas, std::move(members), held_out, random, out);
  }
  return out;
}

// Mean loss of the probabilities at `temperature`. A little of each truth is given to the other labels, so that a handful of
// examples, all of them right, does not make the model certain of everything.
double loss_at(const Corpus& corpus, const HeldOut& held, std::span<const std::uint32_t> sample, double temperature) {
  const std::size_t labels = corpus.labels.size(), stride = stride_of(labels);
  const double doubt = 1.0 / (static_cast<double>(sample.size()) + 2.0);
  double loss = 0;
  for (const auto i : sample) {
    const auto margins = std::span(held.margins).subspan(i * stride, labels);
    const float top = *std::ranges::max_element(margins);
    double sum = 0, all = 0;
    for (const float m : margins) {
      const double logit = static_cast<double>(m - top) / temperature;
      sum += std::exp(logit);
      all += logit;
    }
    const double own = static_cast<double>(margins[corpus.truth[i]] - top) / temperature;
    loss += std::log(sum) - (1 - doubt) * own - doubt * (all - own) / static_cast<double>(labels - 1);
  }
  return loss;
}

// Golden-section search over its logarithm: the loss has one minimum.
float fit_temperature(const Corpus& corpus, const HeldOut& held) {
  std::vector<std::uint32_t> sample;
  for (std::uint32_t i = 0; i < corpus.size(); ++i)
    if (corpus.truth[i] != kOutOfScope) sample.push_back(i);
  const std::size_t step = sample.size() / kMostForTemperature + 1;
  for (std::size_t i = 0; i * step < sample.size(); ++i) sample[i] = sample[i * step];
  sample.resize((sample.size() + step - 1) / step);
  constexpr double kGolden = 0.6180339887498949;
  double low = std::log(0.01), high = std::log(10.0);
  const auto loss = [&](double t) { return loss_at(corpus, held, sample, std::exp(t)); };
  double a = high - kGolden * (high - low), b = low + kGolden * (high - low), at_a = loss(a), at_b = loss(b);
  while (high - low > 0.01) {
    if (at_a < at_b) {
      high = b, b = a, at_b = at_a;
      at_a = loss(a = high - kGolden * (high - low));
    } else {
      low = a, a = b, at_a = at_b;
      at_b = loss(b = low + kGolden * (high - low));
    }
  }
  return static_cast<float>(std::exp((low + high) / 2));
}

// Of in-scope examples: at equal steps from the least to the most.
std::vector<float> quantiles(const Corpus& corpus, const HeldOut& held) {
  std::vector<float> all, out;
  for (std::size_t i = 0; i < corpus.size(); ++i)
    if (corpus.truth[i] != kOutOfScope) all.push_back(held.supports[i]);
  std::ranges::sort(all);
  const std::size_t count = std::min(all.size(), kMostQuantiles);
  for (std::size_t i = 0; i < count; ++i) out.push_back(all[i * (all.size() - 1) / (count - 1)]);
  return out;
}

Report judge(const Corpus& corpus, const HeldOut& held, const ModelData& data) {
  const std::size_t labels = corpus.labels.size(), stride = stride_of(labels);
  std::vector<Judged> judged;
  for (std::uint32_t i = 0; i < corpus.size(); ++i) {
    const auto margins = std::span(held.margins).subspan(i * stride, labels);
    const auto best = std::ranges::max_element(margins);
    float sum = 0;
    for (const float m : margins) sum += std::exp((m - *best) / data.temperature);
    const double typicality = typicality_of(data.supports, held.supports[i]);
    judged.push_back(
        {corpus.truth[i], static_cast<std::uint32_t>(best - margins.begin()), 1.0 / static_cast<double>(sum), typicality, typicality < data.false_refusals});
  }
  return make_report(judged, corpus.labels);
}

// Weights as bytes, each row with a scale of its own.
void keep_weights(const Solver& solver, ModelData& data) {
  const std::size_t stride = data.stride();
  data.bias = solver.bias();
  data.weights.resize(solver.weights().size());
  data.scales.resize(data.keys.size());
  for (std::size_t row = 0; row < data.keys.size(); ++row) {
    const auto exact = std::span(solver.weights()).subspan(row * stride, stride);
    float most = 0;
    for (const float w : exact) most = std::max(most, std::abs(w));
    const float scale = data.scales[row] = most / 127.0f;
    for (std::size_t c = 0; c < stride; ++c) data.weights[row * stride + c] = scale > 0 ? static_cast<std::int8_t>(std::lround(exact[c] / scale)) : 0;
  }
}

}  // namespace

Result<Trained> train(std::span<const Example> examples, const TrainOptions& options) {
  auto corpus = read_corpus(examples, options);
  if (!corpus) return fail(std::move(corpus.error()));
  if (options.progress)
    options.progress(fmt::format("learning {} labels from {} examples, {} features", corpus->labels.size(), corpus->size(), corpus->keys.size()));
  SeededRandom random(options.seed);
  auto data = std::make_shared<ModelData>();
  data->labels = corpus->labels;
  data->keys = corpus->keys;
  data->out_of_scope_label = options.out_of_scope_label;
  data->false_refusals = options.false_refusals;
  std::vector<float> alphas;
  {
    Weighted weighted = weigh_all(*corpus, {});
    std::vector<std::uint32_t> members(corpus->size());
    std::iota(members.begin(), members.end(), 0);
    Solver solver(weighted.design, std::vector<float>(corpus->size() * data->stride()), std::move(members));
    solver.run(kPasses, random);
    keep_weights(solver, *data);
    alphas = solver.take_alphas();
    data->rarities = std::move(weighted.rarities);
    data->unknown_weight = weighted.unknown_weight;
  }
  const HeldOut held = cross_validate(*corpus, alphas, options, random);
  data->temperature = fit_temperature(*corpus, held);
  data->supports = quantiles(*corpus, held);
  if (!data->table.build(data->keys)) return fail(ErrorCode::internal_error, "the features of these texts collide", "examples");
  data->digest = hex_digest(write_payload(*data));
  Report report = judge(*corpus, held, *data);
  return Trained{Model(std::move(data)), std::move(report)};
}

}  // namespace ballast::classify
