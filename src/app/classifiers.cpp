#include "app/classifiers.hpp"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <set>

#include "base/text.hpp"
#include "classify/examples.hpp"

namespace ballast::app {

namespace {

constexpr std::size_t kMostFileBytes = 64u << 20;

Result<std::string> read_file(const std::string& path, std::size_t most) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return fail(ErrorCode::caller_not_found, "cannot be read", path);
  std::string out;
  for (char buffer[1 << 16]; file.read(buffer, sizeof buffer) || file.gcount() > 0;) {
    out.append(buffer, static_cast<std::size_t>(file.gcount()));
    if (out.size() > most) return fail(ErrorCode::caller_too_large, fmt::format("takes more than {} bytes", most), path);
  }
  if (file.bad()) return fail(ErrorCode::caller_not_found, "cannot be read", path);
  return out;
}

Error of_classifier(const std::string& name, const Error& why) {
  return {.code = why.code, .message = why.field.empty() ? why.message : fmt::format("{}: {}", why.field, why.message), .field = "classifiers." + name};
}

void add_text(Sha256& hash, std::string_view text) {
  hash.update(fmt::format("{}:", text.size()));
  hash.update(text);
}

Digest digest_of(const std::vector<classify::Example>& examples, const classify::TrainOptions& options) {
  Sha256 hash;
  add_text(hash, options.out_of_scope_label);
  add_text(hash, fmt::format("{} {} {}", options.false_refusals, options.folds, options.seed));
  for (const auto& e : examples) {
    add_text(hash, e.label);
    add_text(hash, e.text);
  }
  return hash.finish();
}

const Classifier* made_before(const Classifiers* before, const Digest& digest) {
  if (!before) return nullptr;
  const auto same = std::ranges::find_if(*before, [&](const auto& entry) { return entry.second.digest == digest; });
  return same == before->end() ? nullptr : &same->second;
}

Result<Classifier> read_made(const std::string& path, const Classifiers* before) {
  auto bytes = read_file(path, classify::kMaxModelBytes);
  if (!bytes) return fail(std::move(bytes.error()));
  const Digest digest = sha256(*bytes);
  if (const auto* same = made_before(before, digest)) return *same;
  auto model = classify::Model::load(*bytes);
  if (!model) return fail(model.error().code, model.error().message, path);
  return Classifier{.model = std::make_shared<const classify::Model>(std::move(*model)), .digest = digest};
}

Result<Classifier> train_here(const ClassifierConfig& config, const Classifiers* before) {
  auto read = read_example_files(config.files);
  if (!read) return fail(std::move(read.error()));
  const auto& examples = config.files.empty() ? config.examples : *read;
  std::set<std::string_view> labels;
  for (const auto& e : examples) labels.insert(e.label);
  if (examples.size() > kMostExamples || examples.size() * labels.size() > kMostCells)
    return fail(ErrorCode::caller_too_large,
                fmt::format("{} examples of {} labels: at most {}, or {} divided by the labels, are trained on when the configuration is read; make a model of them with "
                            "`ballast intents train`, and name its file here", examples.size(), labels.size(), kMostExamples, kMostCells), "examples");
  const Digest digest = digest_of(examples, config.training);
  if (const auto* same = made_before(before, digest)) return *same;
  const auto start = std::chrono::steady_clock::now();
  auto trained = classify::train(examples, config.training);
  if (!trained) return fail(std::move(trained.error()));
  return Classifier{.model = std::make_shared<const classify::Model>(std::move(trained->model)), .digest = digest, .examples = examples.size(),
                    .accuracy = trained->report.accuracy, .took = std::chrono::steady_clock::now() - start};
}

// Nothing, if the classifier of `route` knows it. `use`: what the route does with the label.
Result<void> check_known(const gateway::Route& route, const std::string& label, std::string_view use, std::string field) {
  const auto labels = route.intents->labels();
  if (std::ranges::find(labels, label) != labels.end()) return {};
  const auto near = nearest_name(label, labels);
  return fail(ErrorCode::caller_invalid_request, fmt::format("{} \"{}\", a label that \"{}\" does not know{}", use, label, route.classifier,
                                                             near.empty() ? std::string() : fmt::format(", did you mean \"{}\"?", near)), std::move(field));
}

Result<void> check_asked(const gateway::Route& route, const std::string& field) {
  if (!route.ask) return {};
  const auto labels = route.intents->labels();
  if (std::ranges::find(labels, gateway::kNoLabel) != labels.end())
    return fail(ErrorCode::caller_invalid_request, fmt::format("a model is offered \"{}\" where no label fits, and \"{}\" has a label of that name", gateway::kNoLabel, route.classifier),
                field + ".ask");
  for (const auto& [label, about] : route.ask->labels)
    if (auto ok = check_known(route, label, "describes", field + ".ask.labels"); !ok) return ok;
  return {};
}

Result<void> check_labels(const gateway::Route& route, const std::string& field) {
  const auto labels = route.intents->labels();
  if (route.strategy == gateway::Strategy::complexity) {
    const auto odd = std::ranges::find_if(labels, [](const std::string& label) { return !gateway::complexity_from(label); });
    if (odd == labels.end()) return {};
    return fail(ErrorCode::caller_invalid_request,
                fmt::format("tells label \"{}\", strategy complexity wants simple, medium and hard", *odd), field + ".classifier");
  }
  for (const auto& target : route.targets)
    for (const auto& label : target.intents)
      if (auto ok = check_known(route, label, target.name + " is for", field + ".targets"); !ok) return ok;
  return {};
}

}  // namespace

Result<classify::Model> read_intent_model(const std::string& path) {
  const auto bytes = read_file(path, classify::kMaxModelBytes);
  if (!bytes) return fail(bytes.error());
  auto model = classify::Model::load(*bytes);
  if (!model) model.error().field = path;
  return model;
}

Result<std::vector<classify::Example>> read_example_files(const std::vector<std::string>& paths) {
  std::vector<classify::Example> all;
  for (const auto& path : paths) {
    const auto format = classify::format_of(path);
    if (!format) return fail(ErrorCode::caller_invalid_request, "must end in .tsv, .csv or .jsonl", path);
    const auto content = read_file(path, kMostFileBytes);
    if (!content) return fail(content.error());
    auto some = classify::read_examples(*content, *format, path);
    if (!some) return fail(std::move(some.error()));
    all.insert(all.end(), std::make_move_iterator(some->begin()), std::make_move_iterator(some->end()));
  }
  return all;
}

Result<Classifiers> make_classifiers(const Config& config, const Classifiers* before) {
  Classifiers all;
  for (const auto& [name, what] : config.classifiers) {
    auto made = what.model.empty() ? train_here(what, before) : read_made(what.model, before);
    if (!made) return fail(of_classifier(name, made.error()));
    all.emplace(name, std::move(*made));
  }
  return all;
}

Result<void> give_classifiers(const Classifiers& classifiers, std::vector<gateway::Route>& routes) {
  for (auto& route : routes) {
    if (route.classifier.empty()) continue;
    route.intents = classifiers.at(route.classifier).model;
    if (auto ok = check_labels(route, "routes." + route.name); !ok) return ok;
    if (auto ok = check_asked(route, "routes." + route.name); !ok) return ok;
  }
  return {};
}

}  // namespace ballast::app
