// Classifiers of the configuration: files of models that are read, examples that are trained on; given to the routes that choose by them, and by
// the setup to the stages that ask them.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "app/config.hpp"
#include "base/hash.hpp"
#include "classify/classify.hpp"

namespace ballast::app {

// What is trained while a server waits for its configuration: some ten seconds of one core at most. More is for `ballast intents train`.
inline constexpr std::size_t kMostExamples = 20'000;
inline constexpr std::size_t kMostCells = 4'000'000;      // examples × labels

// Errors name the file.
Result<classify::Model> read_intent_model(const std::string& path);
// Of all files, one after the other. Errors name the file, and the line where it is one of the content.
Result<std::vector<classify::Example>> read_example_files(const std::vector<std::string>& paths);

struct Classifier {
  std::shared_ptr<const classify::Model> model;
  Digest digest{};                             // of what it was made of: the file, or the examples and how to train on them
  std::size_t examples = 0;                    // that it was trained on here; 0: read from a file
  double accuracy = 0;                         // by cross-validation, of one that was trained here
  Duration took{};                             // to train
};
using Classifiers = std::map<std::string, Classifier, std::less<>>;

// All that the configuration names. What is made of the same as one of `before` (may be null) is that one: a reload that changes no example trains
// nothing. Blocking. Errors: what a file is refused for, too many examples; the field is "classifiers.NAME".
Result<Classifiers> make_classifiers(const Config& config, const Classifiers* before);

// Gives each route its classifier. Errors: a target meant for a label, or a label described to the model that is asked, that the
// classifier does not know; a label called as what means none of them to that model; a classifier of complexity whose labels are not simple, medium and hard. The field is the route's.
Result<void> give_classifiers(const Classifiers& classifiers, std::vector<gateway::Route>& routes);

}  // namespace ballast::app
