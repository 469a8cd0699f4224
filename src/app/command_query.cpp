#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <sstream>

#include "app/cli.hpp"
#include "app/progress.hpp"
#include "app/config.hpp"
#include "app/table.hpp"
#include "app/terminal.hpp"
#include "query/answer.hpp"

namespace ballast::app {

namespace {

constexpr std::uint64_t kMostIntent = 1u << 20;

struct Flags {
  std::string config, name, file, intent, principal, question;
  bool explain = false, json = false, schema = false, describe = false;
};

Result<std::string> text_of_file(const std::string& path) {
  std::ifstream file;
  if (path != "-") file.open(path, std::ios::binary);
  std::istream& in = path == "-" ? std::cin : file;
  std::string out(kMostIntent + 1, '\0');
  if (!in) return fail(ErrorCode::caller_not_found, "cannot be read", path);
  in.read(out.data(), static_cast<std::streamsize>(out.size()));
  out.resize(static_cast<std::size_t>(in.gcount()));
  if (out.size() > kMostIntent) return fail(ErrorCode::caller_too_large, "is larger than 1 MB", path);
  return out;
}

Result<query::Dataset> dataset_of(const Flags& flags) {
  if (!flags.file.empty()) return query::load_dataset(flags.file, system_environment());
  const auto config = load_config(flags.config, system_environment());
  if (!config) return std::unexpected(config.error());
  auto all = query::load_datasets(config->datasets, system_environment());
  if (!all) return std::unexpected(all.error());
  const auto found = all->find(flags.name);
  if (found != all->end()) return std::move(found->second);
  std::string names;
  for (const auto& [name, dataset] : *all) names += (names.empty() ? "" : ", ") + name;
  return fail(ErrorCode::caller_not_found, names.empty() ? "no dataset is in " + config->datasets : "is not a dataset; there are " + names, flags.name);
}

Result<query::Principal> principal_of(const Flags& flags) {
  query::Principal out;
  if (flags.principal.empty()) return out;
  auto parsed = parse_json(flags.principal);
  if (!parsed || !parsed->is_object()) return fail(ErrorCode::caller_invalid_request, "must be a JSON object, such as {\"team\": \"sales\"}", "--principal");
  out.attributes = std::move(parsed->get_object());
  return out;
}

// Reads, builds and runs; `record` tells how far it came.
Result<query::Answer> ask(const Flags& flags, const query::Dataset& dataset, const query::Principal& who, query::Record& record) {
  const SystemClock clock;
  const auto text = text_of_file(flags.intent);
  if (!text) return std::unexpected(text.error());
  auto document = parse_json(*text);
  if (!document) return std::unexpected(document.error());
  record.intent = *document;
  MonoTime at = clock.mono();
  const auto lap = [&] { return clock.mono() - std::exchange(at, clock.mono()); };
  const auto intent = query::read_intent(*document, dataset);
  record.reading = lap();
  if (!intent) return std::unexpected(intent.error());
  if (!intent->unanswerable.empty()) return fail(ErrorCode::caller_invalid_request, "cannot be answered: " + intent->unanswerable);
  query::Runner runner(dataset, clock, 1);
  auto statement = query::build(*intent, dataset, who, runner.dialect(), dataset.now(clock));
  record.building = lap();
  if (!statement) return std::unexpected(statement.error());
  record.sql = statement->sql;
  record.parameters = statement->parameters_json();
  auto answer = runner.run_now(*statement);
  record.running = lap();
  if (!answer) return answer;
  record.rows = static_cast<std::int64_t>(answer->rows.size());
  record.truncated = answer->truncated;
  return answer;
}

json::array objects_of(const query::Answer& answer) {
  json::array out;
  for (const auto& row : answer.rows) {
    json::object o;
    for (std::size_t i = 0; i < answer.columns.size(); ++i) o[answer.columns[i].name] = row.as_array()[i];
    out.push_back(std::move(o));
  }
  return out;
}

void print_record(const query::Record& record) {
  const auto ms = [](Duration d) { return std::chrono::duration<double, std::milli>(d).count(); };
  if (!record.sql.empty()) std::cout << "\nSQL         " << one_line(record.sql) << "\nparameters  " << one_line(to_json(record.parameters)) << '\n';
  std::cout << fmt::format("time        reading {:.2f} ms, building {:.2f} ms, running {:.2f} ms\n", ms(record.reading), ms(record.building), ms(record.running));
}

int run_query(const Flags& flags) {
  if (flags.name.empty() == flags.file.empty() || (flags.intent.empty() && !flags.schema && !flags.describe)) {
    complain("give DATASET or --dataset FILE, and --intent FILE, --schema or --describe");
    return kUsage;
  }
  const auto dataset = dataset_of(flags);
  if (!dataset) {
    complain(dataset.error());
    return kBadConfig;
  }
  if (flags.schema || flags.describe) {
    std::cout << (flags.schema ? to_json(dataset->intent_schema()) + "\n" : dataset->describe());
    return kOk;
  }
  const auto who = principal_of(flags);
  if (!who) {
    complain(who.error());
    return kUsage;
  }
  query::Record record{.dataset = dataset->name, .question = flags.question};
  std::optional<Progress> progress(std::in_place, "asking " + dataset->name, flags.json);
  const auto answer = ask(flags, *dataset, *who, record);
  progress.reset();
  if (!answer) record.refused = answer.error().message;
  if (flags.json) {
    json::object out{{"answer", answer ? json::value(query::to_json_value(*answer)) : json::value(nullptr)}, {"record", record.to_json_value()}};
    if (!answer) out["error"] = json::object{{"code", to_string(answer.error().code)}, {"field", answer.error().field}, {"message", answer.error().message}};
    std::cout << to_json(out) << '\n';
  } else if (answer) {
    std::cout << (answer->rows.empty() ? "No rows.\n" : table(objects_of(*answer)));
    if (answer->truncated) std::cout << fmt::format("{} rows are shown; there are more.\n", answer->rows.size());
  }
  if (flags.explain && !flags.json) print_record(record);
  if (answer) return kOk;
  if (!flags.json) complain(answer.error());
  return kFailed;
}

}  // namespace

void add_query(CLI::App& app, Run& run) {
  auto* command = app.add_subcommand("query", "Run a question that is written as an intent, without a model (docs/query.md). Exit code 1: refused, or the database failed; 3: the dataset is wrong.");
  auto flags = std::make_shared<Flags>();
  command->add_option("DATASET", flags->name, "Name of a dataset of the configuration's folder.");
  command->add_option("--dataset", flags->file, "A dataset's file instead.");
  command->add_option("--intent", flags->intent, "File with the intent as JSON; - for standard input.");
  command->add_option("--principal", flags->principal, "Who asks, as a JSON object: row filters read it.");
  command->add_option("--question", flags->question, "The question in words, for the record.");
  command->add_flag("--explain", flags->explain, "Print the statement, its parameters and the times too.");
  command->add_flag("--schema", flags->schema, "Print the JSON Schema that intents about the dataset must satisfy.");
  command->add_flag("--describe", flags->describe, "Print the glossary that a model is given.");
  command->add_option("-c,--config", flags->config, "Configuration file (default: ./ballast.yaml if there, else none).")->envname("BALLAST_CONFIG");
  command->add_flag("--json", flags->json, "Print JSON: the answer and the record.");
  command->callback([&run, flags] { run = [flags] { return run_query(*flags); }; });
}

}  // namespace ballast::app
