#include <algorithm>
#include <bit>
#include <cmath>

#include "classify/classify.hpp"
#include "classify/model_data.hpp"

namespace ballast::classify {

namespace {

// What one thread works with; it grows to its longest text.
struct Scratch {
  Extractor extractor;
  std::vector<Entry> entries;
  Vector vector;
  std::vector<float> margins;
};

Scratch& scratch() {
  thread_local Scratch mine;
  return mine;
}

// The best label and the next ones, by margin, into the verdict; the margin of the best.
float rank(const ModelData& data, std::span<const float> margins, Verdict& verdict) {
  constexpr std::size_t kMost = std::tuple_size_v<decltype(verdict.runners_up)> + 1;
  std::array<std::uint32_t, kMost> best{};
  std::size_t known = 0;
  for (std::uint32_t c = 0; c < margins.size(); ++c) {
    if (known == kMost && margins[c] <= margins[best[kMost - 1]]) continue;
    std::size_t at = known < kMost ? known++ : kMost - 1;
    for (; at > 0 && margins[best[at - 1]] < margins[c]; --at) best[at] = best[at - 1];
    best[at] = c;
  }
  const float top = margins[best[0]];
  float sum = 0;
  for (const float m : margins) sum += std::exp((m - top) / data.temperature);
  verdict.label = data.labels[best[0]];
  verdict.confidence = 1.0 / static_cast<double>(sum);
  for (std::size_t i = 1; i < known; ++i)
    verdict.runners_up[verdict.runners++] = {data.labels[best[i]], static_cast<double>(std::exp((margins[best[i]] - top) / data.temperature) / sum)};
  return top;
}

}  // namespace

double typicality_of(std::span<const float> quantiles, float support) {
  const auto above = std::ranges::upper_bound(quantiles, support);
  if (above == quantiles.begin()) return 0;
  if (above == quantiles.end()) return 1;
  const float low = *(above - 1), high = *above;                      // low <= support < high
  const double at = static_cast<double>(above - quantiles.begin() - 1) + static_cast<double>((support - low) / (high - low));
  return at / static_cast<double>(quantiles.size() - 1);
}

bool KeyTable::build(std::span<const std::uint64_t> keys) {
  constexpr unsigned kMostSteps = 512;
  places_.assign(std::bit_ceil(std::max<std::size_t>(keys.size() * 2, 16)), kNone);
  shift_ = 64 - static_cast<unsigned>(std::countr_zero(places_.size()));
  for (std::uint32_t row = 0; row < keys.size(); ++row) {
    std::size_t at = keys[row] >> shift_;
    for (unsigned steps = 0; places_[at] != kNone; at = (at + 1) & (places_.size() - 1))
      if (++steps > kMostSteps) return false;
    places_[at] = row;
  }
  return true;
}

Verdict Model::classify(std::string_view text) const {
  const ModelData& data = *data_;
  Scratch& here = scratch();
  here.entries.clear();
  FamilySums unknown{};
  for (const auto& feature : here.extractor.extract(text)) {
    const std::uint32_t row = data.table.row_of(data.keys, feature.key);
    if (row != KeyTable::kNone) here.entries.push_back({row, feature.count});
    else unknown[family_of(feature.key)] += damped(feature.count) * damped(feature.count);
  }
  weigh(here.entries, unknown, data.keys, data.rarities, data.unknown_weight, here.vector);
  const bool anything = !here.vector.rows.empty();
  for (std::size_t i = 0; i < here.vector.rows.size(); ++i) here.vector.values[i] *= data.scales[here.vector.rows[i]];
  here.margins.assign(data.bias.begin(), data.bias.end());
  add_rows(here.vector.rows, here.vector.values, data.weights.data(), data.stride(), here.margins.data());

  Verdict verdict;
  const float best = rank(data, std::span(here.margins).first(data.labels.size()), verdict);
  verdict.typicality = anything ? typicality_of(data.supports, support_of(best, here.vector.known)) : 0;
  verdict.out_of_scope = !anything || verdict.typicality < data.false_refusals;
  return verdict;
}

std::span<const std::string> Model::labels() const { return data_->labels; }
const std::string& Model::out_of_scope_label() const { return data_->out_of_scope_label; }
double Model::false_refusals() const { return data_->false_refusals; }
const std::string& Model::digest() const { return data_->digest; }
std::size_t Model::memory_bytes() const { return data_->weights.size() + data_->keys.size() * 16 + data_->table.size() * sizeof(std::uint32_t); }

Report test(const Model& model, std::span<const Example> examples) {
  const auto labels = model.labels();
  std::vector<Judged> judged;
  judged.reserve(examples.size());
  const auto index_of = [&](std::string_view label) {
    const auto at = std::ranges::lower_bound(labels, label);
    return at != labels.end() && *at == label ? static_cast<std::uint32_t>(at - labels.begin()) : kOutOfScope;
  };
  for (const auto& e : examples) {
    const Verdict v = model.classify(e.text);
    judged.push_back({index_of(e.label), index_of(v.label), v.confidence, v.typicality, v.out_of_scope});
  }
  return make_report(judged, labels);
}

}  // namespace ballast::classify
