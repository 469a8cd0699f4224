#include <CLI/CLI.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iostream>

#include <fmt/format.h>

#include "app/classifiers.hpp"
#include "app/cli.hpp"
#include "app/progress.hpp"
#include "app/terminal.hpp"
#include "base/json.hpp"
#include "classify/classify.hpp"

namespace ballast::app {

namespace {

constexpr std::size_t kToldLabels = 10;

struct Flags {
  std::vector<std::string> examples, texts;
  std::string model, out_of_scope = "oos";
  std::uint64_t seed = 1;
  double false_refusals = 0.05;
  unsigned folds = 5;
  bool json = false;
};

double seconds_since(std::chrono::steady_clock::time_point start) { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); }

// Beside its place first, so that who reads it never sees half of one.
Result<void> write_model(const std::string& path, std::string_view bytes) {
  const auto beside = path + ".part";
  std::ofstream file(beside, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  std::error_code error;
  if (file) std::filesystem::rename(beside, path, error);
  if (!file || error) return fail(ErrorCode::internal_unavailable, "cannot be written", path);
  return {};
}

json::value share(const std::optional<double>& value) { return value ? json::value(*value) : json::value(nullptr); }

json::object to_object(const classify::Report& report) {
  json::array labels, confusions;
  for (const auto& f : report.labels) labels.push_back({{"label", f.label}, {"examples", f.examples}, {"recall", f.recall()}, {"precision", f.precision()}});
  for (const auto& c : report.confusions) confusions.push_back({{"label", c.truth}, {"taken_for", c.answer}, {"count", c.count}});
  return {{"in_scope", report.in_scope},
          {"out_of_scope", report.out_of_scope},
          {"accuracy", report.accuracy},
          {"accuracy_after_refusals", report.accuracy_after_refusals},
          {"calibration_error", report.calibration_error},
          {"false_refusals", report.false_refusals},
          {"out_of_scope_recall", share(report.recall)},
          {"out_of_scope_recall_at_5", share(report.recall_at_5)},
          {"labels", std::move(labels)},
          {"confusions", std::move(confusions)}};
}

void print_report(const classify::Report& report) {
  fmt::print("{:.2f} % of {} in-scope examples have the right label; {:.2f} % have it and are not refused.\n", report.accuracy * 100, report.in_scope,
             report.accuracy_after_refusals * 100);
  fmt::print("Expected calibration error {:.2f} %. {:.2f} % of the in-scope examples are called out of scope", report.calibration_error * 100,
             report.false_refusals * 100);
  if (report.recall)
    fmt::print(", and {:.1f} % of {} that are (at 5 % of false refusals here: {:.1f} %)", *report.recall * 100, report.out_of_scope, *report.recall_at_5 * 100);
  fmt::print(".\n");
  if (report.confusions.empty()) return;
  fmt::print("\n{:>9} {:>9} {:>9}  label, worst first\n", "examples", "recall", "precision");
  for (std::size_t i = 0; i < std::min(kToldLabels, report.labels.size()); ++i) {
    const auto& f = report.labels[i];
    fmt::print("{:>9} {:>8.1f}% {:>8.1f}%  {}\n", f.examples, f.recall() * 100, f.precision() * 100, one_line(f.label));
  }
  fmt::print("\n{:>9}  taken for another\n", "examples");
  for (std::size_t i = 0; i < std::min(kToldLabels, report.confusions.size()); ++i)
    fmt::print("{:>9}  {} → {}\n", report.confusions[i].count, one_line(report.confusions[i].truth), one_line(report.confusions[i].answer));
}

int refuse(const Error& error) {
  complain(error);
  return kFailed;
}

int train(const Flags& flags) {
  const auto examples = read_example_files(flags.examples);
  if (!examples) return refuse(examples.error());
  const auto start = std::chrono::steady_clock::now();
  std::optional<Progress> progress(std::in_place, "training", flags.json);
  unsigned parts = 0;                    // begun: learning, then each part of the cross-validation
  const auto trained = classify::train(*examples, {.out_of_scope_label = flags.out_of_scope,
                                                   .false_refusals = flags.false_refusals,
                                                   .folds = flags.folds,
                                                   .seed = flags.seed,
                                                   .progress = [&](std::string_view what) {
                                                     (*progress)("training", parts++, flags.folds + 1);
                                                     if (!progress->shown() && !flags.json) fmt::print(stderr, "{}\n", what);
                                                   }});
  progress.reset();
  if (!trained) return refuse(trained.error());
  const double took = seconds_since(start);
  const auto bytes = trained->model.to_bytes();
  if (auto done = write_model(flags.model, bytes); !done) return refuse(done.error());
  if (flags.json) {
    auto told = to_object(trained->report);
    told["seconds"] = took;
    told["model"] =
        json::object{{"file", flags.model}, {"bytes", bytes.size()}, {"digest", trained->model.digest()}, {"labels", trained->model.labels().size()}};
    std::cout << to_json(told) << '\n';
    return kOk;
  }
  fmt::print("{}: {} labels, {:.1f} MB, trained in {:.1f} s. By cross-validation, each example judged by a model that has not seen it:\n\n", flags.model,
             trained->model.labels().size(), static_cast<double>(bytes.size()) / 1e6, took);
  print_report(trained->report);
  return kOk;
}

// Microseconds a text, one after the other, the examples over again until there is something to measure.
double time_of(const classify::Model& model, const std::vector<classify::Example>& examples, Progress& progress) {
  constexpr std::size_t kEnough = 2'000;
  std::size_t done = 0;
  const auto start = std::chrono::steady_clock::now();
  do {
    for (const auto& e : examples) done += !model.classify(e.text).label.empty();
    progress("measuring", done, std::max(kEnough, examples.size()));
  } while (done < kEnough);
  return seconds_since(start) * 1e6 / static_cast<double>(done);
}

int test(const Flags& flags) {
  const auto model = read_intent_model(flags.model);
  if (!model) return refuse(model.error());
  const auto examples = read_example_files(flags.examples);
  if (!examples) return refuse(examples.error());
  if (examples->empty()) return refuse({.code = ErrorCode::caller_invalid_request, .message = "no examples", .field = flags.examples.front()});
  std::optional<Progress> progress(std::in_place, "testing", flags.json);
  const auto report = classify::test(*model, *examples);
  const double us = time_of(*model, *examples, *progress);
  progress.reset();
  if (flags.json) {
    auto told = to_object(report);
    told["microseconds"] = us;
    std::cout << to_json(told) << '\n';
    return kOk;
  }
  print_report(report);
  fmt::print("\n{:.1f} µs a text.\n", us);
  return kOk;
}

void tell(const classify::Verdict& v, bool as_json) {
  if (!as_json) {
    fmt::print("{}\t{:.3f}\t{}\n", v.out_of_scope ? "-" : one_line(v.label), v.confidence,
               v.out_of_scope ? fmt::format("out of scope; nearest {}", one_line(v.label)) : "in scope");
    return;
  }
  json::array next;
  for (unsigned i = 0; i < v.runners; ++i) next.push_back({{"label", v.runners_up[i].label}, {"confidence", v.runners_up[i].confidence}});
  std::cout
      << to_json(json::object{
             {"label", v.label}, {"confidence", v.confidence}, {"out_of_scope", v.out_of_scope}, {"typicality", v.typicality}, {"runners_up", std::move(next)}})
      << '\n';
}

void classify_lines(const classify::Model& model, bool as_json) {
  const std::uint64_t all = bytes_behind(STDIN_FILENO);
  std::uint64_t done = 0;
  Progress progress("classifying", answers_on_terminal(), Unit::bytes);
  for (std::string line; std::getline(std::cin, line);) {
    progress("classifying", done += line.size() + 1, all);
    tell(model.classify(line), as_json);
  }
}

int classify_texts(const Flags& flags) {
  const auto model = read_intent_model(flags.model);
  if (!model) return refuse(model.error());
  for (const auto& text : flags.texts) tell(model->classify(text), flags.json);
  if (flags.texts.empty())
    classify_lines(*model, flags.json);
  return kOk;
}

void add_classify(CLI::App& command, const std::shared_ptr<Flags>& flags, Run& run) {
  auto* classify = command.add_subcommand(
      "classify", "Tell the label of each TEXT, or of each line of standard input: label (- if out of scope), confidence, remark, between tabs.");
  classify->add_option("TEXT", flags->texts, "What to classify; without any, lines of standard input.");
  classify->add_option("--model", flags->model, "The model.")->required();
  classify->add_flag("--json", flags->json, "Print JSON, a line for each text.");
  classify->callback([&run, flags] { run = [flags] { return classify_texts(*flags); }; });
}

}  // namespace

void add_intents(CLI::App& app, Run& run) {
  auto* command = app.add_subcommand("intents", "Classifiers of texts by your own labels: train, test, ask.");
  command->require_subcommand(1);
  auto flags = std::make_shared<Flags>();
  const char* files = "Labelled texts: .tsv (label, tab, text), .csv (columns text and label) or .jsonl ({\"text\": …, \"label\": …}). May be given again.";
  auto* learn = command->add_subcommand("train", "Train a model on labelled examples, in seconds, and tell by cross-validation how well it does.");
  learn->add_option("--examples", flags->examples, files)->required();
  learn->add_option("--out", flags->model, "File for the model.")->required();
  learn->add_option("--oos", flags->out_of_scope, "Label of examples that belong to none of the others, where there are any.")->capture_default_str();
  learn->add_option("--false-refusals", flags->false_refusals, "Share of in-scope texts that may be called out of scope.")
      ->capture_default_str()
      ->check(CLI::Range(0.001, 0.5));
  learn->add_option("--folds", flags->folds, "Parts of the cross-validation.")->capture_default_str()->check(CLI::Range(2, 10));
  learn->add_option("--seed", flags->seed, "The same examples and seed give the same model.")->capture_default_str();
  learn->add_flag("--json", flags->json, "Print the report as JSON.");
  learn->callback([&run, flags] { run = [flags] { return train(*flags); }; });

  auto* measure = command->add_subcommand(
      "test", "Tell how well a model does on labelled examples it has not seen, and how fast. Labels it does not know count as out of scope.");
  measure->add_option("--model", flags->model, "The model.")->required();
  measure->add_option("--examples", flags->examples, files)->required();
  measure->add_flag("--json", flags->json, "Print the report as JSON.");
  measure->callback([&run, flags] { run = [flags] { return test(*flags); }; });
  add_classify(*command, flags, run);
}

}  // namespace ballast::app
