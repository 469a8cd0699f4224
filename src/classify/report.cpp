#include "classify/report.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <string_view>
#include <tuple>

namespace ballast::classify {

namespace {

constexpr std::size_t kBins = 15, kMostConfusions = 20;
constexpr double kRefused = 0.05;

double share(std::size_t part, std::size_t whole) { return whole ? static_cast<double>(part) / static_cast<double>(whole) : 0; }

double calibration_error(std::span<const Judged> judged, std::size_t in_scope) {
  struct Bin {
    double confidence = 0, right = 0;
  };
  std::array<Bin, kBins> bins{};
  for (const auto& j : judged) {
    if (j.truth == kOutOfScope) continue;
    auto& bin = bins[std::min(kBins - 1, static_cast<std::size_t>(j.confidence * static_cast<double>(kBins)))];
    bin.confidence += j.confidence;
    bin.right += j.truth == j.answer;
  }
  double error = 0;
  for (const auto& bin : bins) error += std::abs(bin.confidence - bin.right);
  return in_scope ? error / static_cast<double>(in_scope) : 0;
}

// Where the limit lets through all but 5 % of the in-scope examples.
std::optional<double> recall_at(std::span<const Judged> judged) {
  std::vector<double> inside, outside;
  for (const auto& j : judged) (j.truth == kOutOfScope ? outside : inside).push_back(j.typicality);
  if (inside.empty() || outside.empty()) return std::nullopt;
  std::ranges::sort(inside);
  const double limit = inside[static_cast<std::size_t>(kRefused * static_cast<double>(inside.size()))];
  return share(static_cast<std::size_t>(std::ranges::count_if(outside, [&](double t) { return t < limit; })), outside.size());
}

}  // namespace

Report make_report(std::span<const Judged> judged, std::span<const std::string> labels) {
  Report report;
  std::vector<LabelFigures> figures(labels.size());
  for (std::size_t i = 0; i < labels.size(); ++i) figures[i].label = labels[i];
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::size_t> confused;
  std::size_t right = 0, kept = 0, refused = 0, found = 0;
  for (const auto& j : judged) {
    if (j.truth == kOutOfScope) {
      ++report.out_of_scope;
      found += j.out_of_scope;
      continue;
    }
    ++report.in_scope;
    ++figures[j.truth].examples;
    ++figures[j.answer].answered;
    refused += j.out_of_scope;
    if (j.truth != j.answer) {
      ++confused[{j.truth, j.answer}];
      continue;
    }
    ++right;
    ++figures[j.truth].right;
    kept += !j.out_of_scope;
  }
  report.accuracy = share(right, report.in_scope);
  report.accuracy_after_refusals = share(kept, report.in_scope);
  report.false_refusals = share(refused, report.in_scope);
  report.calibration_error = calibration_error(judged, report.in_scope);
  if (report.out_of_scope) report.recall = share(found, report.out_of_scope);
  report.recall_at_5 = recall_at(judged);
  for (auto& f : figures)
    if (f.examples) report.labels.push_back(std::move(f));
  std::ranges::sort(report.labels, {}, [](const LabelFigures& f) { return std::pair(f.recall(), std::string_view(f.label)); });
  for (const auto& [pair, count] : confused) report.confusions.push_back({labels[pair.first], labels[pair.second], count});
  std::ranges::sort(report.confusions, {},
                    [](const Confusion& c) { return std::tuple(-static_cast<std::int64_t>(c.count), std::string_view(c.truth), std::string_view(c.answer)); });
  if (report.confusions.size() > kMostConfusions) report.confusions.resize(kMostConfusions);
  return report;
}

}  // namespace ballast::classify
