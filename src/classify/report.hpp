// How well a classifier does, from what it said of examples whose label is known.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace ballast::classify {

inline constexpr std::uint32_t kOutOfScope = UINT32_MAX;

// One example and what was said of it. Labels are indexes; `truth` may be kOutOfScope.
struct Judged {
  std::uint32_t truth = 0, answer = 0;
  double confidence = 0, typicality = 0;
  bool out_of_scope = false;
};

struct LabelFigures {
  std::string label;
  std::size_t examples = 0, right = 0, answered = 0;   // of this label; of these told as it; told as it in all
  double recall() const { return examples ? static_cast<double>(right) / static_cast<double>(examples) : 0; }
  double precision() const { return answered ? static_cast<double>(right) / static_cast<double>(answered) : 0; }
};

struct Confusion {
  std::string truth, answer;
  std::size_t count = 0;
};

// Shares are from 0 to 1. `accuracy`, the calibration error and the labels' figures look at the label alone, as if nothing was refused.
struct Report {
  std::size_t in_scope = 0, out_of_scope = 0;          // examples
  double accuracy = 0;                                 // in-scope examples whose label is right
  double accuracy_after_refusals = 0;                  // of them, right and not refused
  double false_refusals = 0;                           // in-scope examples called out of scope
  double calibration_error = 0;                        // expected, 15 bins of equal width (Naeini et al., AAAI 2015)
  std::optional<double> recall;                        // out-of-scope examples called so; nothing without such examples
  std::optional<double> recall_at_5;                   // the same, were the limit such that 5 % of these in-scope examples are refused
  std::vector<LabelFigures> labels;                    // those with examples, worst recall first
  std::vector<Confusion> confusions;                   // most frequent first, at most 20
};

// Pure. `labels` gives the names.
Report make_report(std::span<const Judged> judged, std::span<const std::string> labels);

}  // namespace ballast::classify
