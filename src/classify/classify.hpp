// Intents: which of a user's own labels a text belongs to, how sure that is, and whether it belongs to any of them.
//
//   auto trained = train(examples);                               // some seconds for 15,000 examples of 150 labels, on one core
//   if (!trained) return fail(trained.error());                   // caller_invalid_request: what is too little, or wrong
//   const Verdict v = trained->model.classify("where is my card?");
//   if (v.out_of_scope || v.confidence < 0.6) ask_a_model(); else go(v.label);
//
// A linear model over words, pairs of neighbours, pairs with one word between, and the 2 to 5 characters that follow each other
// within a word (Unicode code points, folded to lower case), weighted by how rare they are. One L2-regularised squared-hinge machine for
// each label, solved in the dual (Hsieh et al., "A Dual Coordinate Descent Method for Large-scale Linear SVM", ICML 2008), all labels in one pass.
// What it says of itself comes from cross-validation: the temperature that makes probabilities of margins (Guo et al., "On Calibration
// of Modern Neural Networks", ICML 2017), and how far inside its scope the examples lie.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "classify/report.hpp"

namespace ballast::classify {

// Limits. What is above one of the first five is refused (caller_too_large); of a longer text the beginning is read.
inline constexpr std::size_t kMaxExamples = 100'000;
inline constexpr std::size_t kMaxLabels = 1'000;
inline constexpr std::size_t kMaxCells = 20'000'000;              // examples × labels; training takes 12 bytes for each
inline constexpr std::size_t kMaxExampleBytes = 8u << 20;         // of all examples' texts together
inline constexpr std::size_t kMaxModelBytes = 256u << 20;         // of a model as it is stored
inline constexpr std::size_t kMaxLabelBytes = 128;                // of a label's name
inline constexpr std::size_t kMaxTextBytes = 4'096;               // of a text that is classified or learnt from

struct Example {
  std::string text, label;
};

struct TrainOptions {
  std::string out_of_scope_label = "oos";    // examples of this label belong to none; there may be none of them
  double false_refusals = 0.05;              // share of in-scope texts that may be called out of scope: 0.001 to 0.5
  unsigned folds = 5;                        // of the cross-validation: 2 to 10
  std::uint64_t seed = 1;                    // same examples, options and seed: the same model, byte for byte
  std::function<void(std::string_view)> progress;   // told in words what is being done; may be empty
};

struct Ranked {
  std::string_view label;
  double confidence = 0;
};

// What is said of a text. Views are into the model.
struct Verdict {
  std::string_view label;                    // the likeliest, whether in scope or not
  double confidence = 0;                     // that it is this label, if it is in scope: a calibrated probability
  double typicality = 0;                     // share of in-scope examples, held out, that looked no more in scope than this text
  bool out_of_scope = false;                 // typicality is below the share of false refusals that the model was trained for
  std::array<Ranked, 3> runners_up{};        // the next likeliest, fewer where there are fewer labels
  unsigned runners = 0;
};

// Whether the label may be gone by.
inline bool is_sure(const Verdict& verdict, double unsure_below) { return !verdict.out_of_scope && verdict.confidence >= unsure_below; }

struct ModelData;                            // private: model_data.hpp

// A trained model: an immutable value that shares its state, so that copying is cheap and every method is thread-safe.
class Model {
 public:
  // Never fails: bytes that are not UTF-8 end a word, a text without anything known is out of scope. About 10 µs for a sentence; allocates
  // only where a thread meets its longest text so far.
  Verdict classify(std::string_view text) const;

  // Sorted by their bytes; without the out-of-scope label.
  std::span<const std::string> labels() const;
  const std::string& out_of_scope_label() const;
  double false_refusals() const;
  // SHA-256 of what decides its answers, in hex: two models of the same digest answer alike.
  const std::string& digest() const;
  std::size_t memory_bytes() const;          // about

  // As a file holds it: versioned, with a checksum, little-endian.
  std::string to_bytes() const;
  // Errors: caller_invalid_request for what is no model, is damaged, or is of another version; caller_too_large. What is read may be
  // anything: nothing is allocated beyond a small multiple of `bytes`.
  static Result<Model> load(std::string_view bytes);

  explicit Model(std::shared_ptr<const ModelData> data) : data_(std::move(data)) {}

 private:
  std::shared_ptr<const ModelData> data_;
};

struct Trained {
  Model model;
  Report report;                             // of the cross-validation: each example judged by a model that has not seen it
};

// Needs two labels at least, and two examples of each; ten and more are better. Takes time in proportion to examples × labels.
// Errors: caller_invalid_request with `field` "examples[12].label" and the like; caller_too_large above a limit.
Result<Trained> train(std::span<const Example> examples, const TrainOptions& options = {});

// How well `model` does on examples it has not seen. Labels it does not know count as out of scope.
Report test(const Model& model, std::span<const Example> examples);

}  // namespace ballast::classify
