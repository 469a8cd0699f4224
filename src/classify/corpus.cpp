#include "classify/corpus.hpp"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "base/text.hpp"
#include "classify/model_data.hpp"

namespace ballast::classify {

namespace {

// Weights of a model, at most: 4 bytes each while training, twice; one byte in its file.
constexpr std::size_t kMaxWeights = 64'000'000;
// From so many examples on, what only one of them has is left out: it is most of the features and teaches little.
constexpr std::size_t kManyExamples = 1'000;

std::unexpected<Error> wrong(std::size_t index, std::string_view part, std::string message) {
  return fail(ErrorCode::caller_invalid_request, std::move(message), fmt::format("examples[{}].{}", index, part));
}

Result<void> check(std::span<const Example> examples, const TrainOptions& options) {
  if (examples.size() > kMaxExamples)
    return fail(ErrorCode::caller_too_large, fmt::format("{} examples, at most {} can be learnt from", examples.size(), kMaxExamples), "examples");
  if (options.folds < 2 || options.folds > 10) return fail(ErrorCode::caller_invalid_request, "must be 2 to 10", "folds");
  if (!(options.false_refusals >= 0.001 && options.false_refusals <= 0.5))
    return fail(ErrorCode::caller_invalid_request, "must be 0.001 to 0.5", "false_refusals");
  if (options.out_of_scope_label.empty() || options.out_of_scope_label.size() > kMaxLabelBytes || !is_utf8(options.out_of_scope_label))
    return fail(ErrorCode::caller_invalid_request, fmt::format("must have 1 to {} bytes of UTF-8", kMaxLabelBytes), "out_of_scope_label");
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < examples.size(); ++i) {
    const auto& e = examples[i];
    if (e.label.empty() || e.label.size() > kMaxLabelBytes || !is_utf8(e.label))
      return wrong(i, "label", fmt::format("must have 1 to {} bytes of UTF-8", kMaxLabelBytes));
    if (trim(e.text).empty()) return wrong(i, "text", "is empty");
    bytes += std::min(e.text.size(), kMaxTextBytes);
  }
  if (bytes > kMaxExampleBytes)
    return fail(ErrorCode::caller_too_large, fmt::format("{} bytes of text, at most {} can be learnt from", bytes, kMaxExampleBytes), "examples");
  return {};
}

Result<void> number_labels(std::span<const Example> examples, const TrainOptions& options, Corpus& corpus) {
  std::map<std::string_view, std::size_t> counts;
  for (const auto& e : examples)
    if (e.label != options.out_of_scope_label) ++counts[e.label];
  if (counts.size() < 2)
    return fail(ErrorCode::caller_invalid_request,
                fmt::format("{}, at least two labels are needed{}", counts.empty() ? "no examples of any label" : "examples of one label",
                            counts.empty() ? "" : fmt::format(": all are \"{}\"", counts.begin()->first)),
                "examples");
  if (counts.size() > kMaxLabels)
    return fail(ErrorCode::caller_too_large, fmt::format("{} labels, at most {} can be told apart", counts.size(), kMaxLabels), "examples");
  if (examples.size() * counts.size() > kMaxCells)
    return fail(ErrorCode::caller_too_large,
                fmt::format("{} examples of {} labels are too many: their product is at most {}", examples.size(), counts.size(), kMaxCells), "examples");
  for (const auto& [label, count] : counts) {
    if (count < 2)
      return fail(ErrorCode::caller_invalid_request, fmt::format("label \"{}\" has one example, at least two are needed, ten are better", label), "examples");
    corpus.labels.emplace_back(label);
  }
  for (const auto& e : examples)
    corpus.truth.push_back(e.label == options.out_of_scope_label
                               ? kOutOfScope
                               : static_cast<std::uint32_t>(std::ranges::lower_bound(corpus.labels, e.label) - corpus.labels.begin()));
  return {};
}

// Every key that enough examples have; of too many, those that the most have.
void choose_keys(std::span<const Example> examples, Corpus& corpus) {
  Extractor extractor;
  std::vector<std::uint64_t> all;
  for (const auto& e : examples)
    for (const auto& feature : extractor.extract(e.text)) all.push_back(feature.key);
  std::ranges::sort(all);
  std::vector<std::uint32_t> counts;
  for (std::size_t i = 0, next = 0; i < all.size(); i = next) {
    while (next < all.size() && all[next] == all[i]) ++next;
    corpus.keys.push_back(all[i]);
    corpus.found.push_back(static_cast<std::uint32_t>(next - i));
  }
  const std::size_t most = kMaxWeights / stride_of(corpus.labels.size());
  corpus.least_found = examples.size() >= kManyExamples ? 2 : 1;
  while (static_cast<std::size_t>(std::ranges::count_if(corpus.found, [&](auto n) { return n >= corpus.least_found; })) > most) ++corpus.least_found;
  std::size_t kept = 0;
  for (std::size_t row = 0; row < corpus.keys.size(); ++row) {
    if (corpus.found[row] < corpus.least_found) continue;
    corpus.keys[kept] = corpus.keys[row];
    corpus.found[kept++] = corpus.found[row];
  }
  corpus.keys.resize(kept);
  corpus.found.resize(kept);
}

}  // namespace

Result<Corpus> read_corpus(std::span<const Example> examples, const TrainOptions& options) {
  Corpus corpus;
  if (auto ok = check(examples, options); !ok) return fail(std::move(ok.error()));
  if (auto ok = number_labels(examples, options, corpus); !ok) return fail(std::move(ok.error()));
  choose_keys(examples, corpus);
  KeyTable table;
  if (corpus.keys.empty() || !table.build(corpus.keys)) return fail(ErrorCode::caller_invalid_request, "their texts have no words to learn from", "examples");
  Extractor extractor;
  corpus.begin.push_back(0);
  for (const auto& e : examples) {
    auto& unknown = corpus.unknown.emplace_back();
    for (const auto& feature : extractor.extract(e.text)) {
      const auto row = table.row_of(corpus.keys, feature.key);
      if (row != KeyTable::kNone) corpus.entries.push_back({row, feature.count});
      else unknown[family_of(feature.key)] += damped(feature.count) * damped(feature.count);
    }
    corpus.begin.push_back(corpus.entries.size());
  }
  return corpus;
}

Weighted weigh_all(const Corpus& corpus, std::span<const std::uint32_t> held_out) {
  Weighted out;
  auto found = corpus.found;
  for (const auto i : held_out)
    for (const auto& e : corpus.entries_of(i)) --found[e.row];
  const std::size_t examples = corpus.size() - held_out.size();
  out.unknown_weight = unknown_rarity(examples);
  out.rarities.reserve(found.size());
  for (const auto n : found) out.rarities.push_back(n < corpus.least_found ? 0.0f : rarity(examples, n));
  out.design.truth = corpus.truth;
  out.design.row_count = corpus.keys.size();
  out.design.labels = corpus.labels.size();
  out.design.rows.reserve(corpus.entries.size());
  out.design.values.reserve(corpus.entries.size());
  Vector vector;
  for (std::size_t i = 0; i < corpus.size(); ++i) {
    weigh(corpus.entries_of(i), corpus.unknown[i], corpus.keys, out.rarities, out.unknown_weight, vector);
    out.design.rows.insert(out.design.rows.end(), vector.rows.begin(), vector.rows.end());
    out.design.values.insert(out.design.values.end(), vector.values.begin(), vector.values.end());
    out.design.begin.push_back(out.design.rows.size());
    out.known.push_back(vector.known);
  }
  return out;
}

}  // namespace ballast::classify
