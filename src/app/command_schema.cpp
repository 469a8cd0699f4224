#include <CLI/CLI.hpp>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

#include "app/cli.hpp"
#include "app/document.hpp"
#include "app/progress.hpp"
#include "app/terminal.hpp"
#include "schema/schema.hpp"

namespace ballast::app {

namespace {

namespace fs = std::filesystem;

constexpr int kValid = 0, kInvalid = 1, kUnusable = 2;
constexpr std::size_t kMostErrors = 100;

struct Flags {
  std::string schema, instance, jsonl, registered, base = "http://localhost:1234/", draft = "2020-12";
  bool format = false, json = false;
};

// Every *.json under the folder, by the base and its path there; what `$id`s it has are found as well.
Result<void> register_folder(const Flags& flags, schema::CompileOptions& options) {
  std::error_code error;
  for (fs::recursive_directory_iterator at(flags.registered, error), end; !error && at != end; at.increment(error)) {
    if (at->path().extension() != ".json") continue;
    auto document = read_document(at->path().string());
    if (!document) return fail(std::move(document.error()));
    options.documents.emplace(flags.base + fs::relative(at->path(), flags.registered).generic_string(), std::move(*document));
  }
  if (error) return fail(ErrorCode::caller_not_found, "cannot be read: " + error.message(), flags.registered);
  return {};
}

Result<schema::CompileOptions> options_of(const Flags& flags) {
  schema::CompileOptions options;
  const auto draft = schema::draft_from(flags.draft);
  if (!draft) return fail(ErrorCode::caller_invalid_request, fmt::format("\"{}\" is not a draft: use 2020-12, 2019-09, 7, 6 or 4", flags.draft), "--draft");
  options.default_draft = *draft;
  options.assert_format = flags.format;
  if (!flags.registered.empty())
    if (auto done = register_folder(flags, options); !done) return fail(std::move(done.error()));
  return options;
}

json::object to_object(const schema::Violation& v) {
  return {{"instance_path", v.instance_path}, {"schema_path", v.schema_path}, {"message", v.message}};
}

json::object to_object(const Error& error) { return {{"field", error.field}, {"message", error.message}}; }

// On one line, whatever names and expressions hold.
std::string line_of(const schema::Violation& v) {
  std::string out;
  for (const char c : fmt::format("{}: {} ({})", v.instance_path.empty() ? "(root)" : v.instance_path, v.message, v.schema_path.empty() ? "/" : v.schema_path))
    if (static_cast<unsigned char>(c) >= 0x20) out += c;
    else out += fmt::format("\\x{:02x}", c);
  return one_line(out);
}

// One answer; at most kMostErrors reasons.
struct Verdict {
  int code = kValid;
  json::object json;
  std::string text;  // of one line in bulk
};

Verdict unusable(const Error& error) {
  const auto text = error.field.empty() ? error.message : error.field + ": " + error.message;
  return {kUnusable, {{"valid", nullptr}, {"unusable", to_object(error)}}, "unusable: " + one_line(text)};
}

Verdict judge(const schema::Schema& schema, const json::value& instance, bool reasons) {
  if (!reasons) return schema.valid(instance) ? Verdict{kValid, {}, "valid"} : Verdict{kInvalid, {}, "invalid"};
  const auto violations = schema.check(instance, kMostErrors);
  json::array errors;
  for (const auto& v : violations) errors.push_back(to_object(v));
  return {violations.empty() ? kValid : kInvalid, {{"valid", violations.empty()}, {"errors", std::move(errors)}}, violations.empty() ? "valid" : "invalid"};
}

int validate_one(const Flags& flags, const schema::CompileOptions& options) {
  const auto refuse = [&](const Error& error) {
    if (flags.json) std::cout << to_json(unusable(error).json) << '\n';
    complain(error);
    return kUnusable;
  };
  const auto document = read_document(flags.schema);
  if (!document) return refuse(document.error());
  const auto schema = schema::Schema::compile(*document, options);
  if (!schema) {
    Error error = schema.error();
    if (!error.field.contains("#")) error.field = flags.schema + "#" + error.field;
    return refuse(error);
  }
  const auto instance = read_document(flags.instance);
  if (!instance) return refuse(instance.error());
  const auto verdict = judge(*schema, *instance, true);
  if (flags.json) {
    std::cout << to_json(verdict.json) << '\n';
    return verdict.code;
  }
  for (const auto& v : schema->check(*instance, kMostErrors)) std::cout << line_of(v) << '\n';
  if (verdict.code == kValid) std::cout << "valid\n";
  return verdict.code;
}

// One after the other; a schema that stands on many lines in a row is compiled once.
class Bulk {
 public:
  Bulk(const Flags& flags, const schema::CompileOptions& options) : flags_(flags), options_(options) {}

  Verdict judge_line(std::string_view line) {
    const auto row = parse_json(line);
    if (!row) return unusable(row.error());
    const auto* object = row->if_object();
    const auto* schema = object ? object->if_contains("schema") : nullptr;
    const auto* instance = object ? object->if_contains("instance") : nullptr;
    if (!schema || !instance)
      return unusable({.code = ErrorCode::caller_invalid_request, .message = "a line must be an object with \"schema\" and \"instance\""});
    auto text = to_json(*schema);
    if (!compiled_ || text != text_) {
      compiled_.emplace(schema::Schema::compile(*schema, options_));
      text_ = std::move(text);
    }
    if (!*compiled_) return unusable(compiled_->error());
    return judge(**compiled_, *instance, flags_.json);
  }

 private:
  const Flags& flags_;
  const schema::CompileOptions& options_;
  std::string text_;
  std::optional<Result<schema::Schema>> compiled_;
};

int validate_lines(const Flags& flags, const schema::CompileOptions& options) {
  std::ifstream file;
  if (flags.jsonl != "-") file.open(flags.jsonl, std::ios::binary);
  std::istream& in = flags.jsonl == "-" ? std::cin : file;
  if (!in) {
    complain(flags.jsonl + ": cannot be read");
    return kUnusable;
  }
  Bulk bulk(flags, options);
  int worst = kValid;
  std::error_code unknown;
  const std::uint64_t size = flags.jsonl == "-" ? bytes_behind(STDIN_FILENO) : fs::file_size(flags.jsonl, unknown), all = unknown ? 0 : size;
  std::uint64_t done = 0;
  Progress progress("judging", answers_on_terminal(), Unit::bytes);
  for (std::string line; std::getline(in, line);) {
    progress("judging", done += line.size() + 1, all);
    const auto verdict = bulk.judge_line(line);
    std::cout << (flags.json ? to_json(verdict.json) : verdict.text) << '\n';
    worst = std::max(worst, verdict.code);
  }
  return worst;
}

int validate(const Flags& flags) {
  if (flags.jsonl.empty() == (flags.schema.empty() || flags.instance.empty())) {
    complain("give SCHEMA and INSTANCE, or --jsonl FILE");
    return kUnusable;
  }
  const auto options = options_of(flags);
  if (!options) {
    complain(options.error());
    return kUnusable;
  }
  return flags.jsonl.empty() ? validate_one(flags, *options) : validate_lines(flags, *options);
}

}  // namespace

void add_schema(CLI::App& app, Run& run) {
  auto* command = app.add_subcommand("schema", "JSON Schema, as flows use it for inputs and outputs.");
  command->require_subcommand(1);
  auto flags = std::make_shared<Flags>();
  auto* check = command->add_subcommand("validate",
                                        "Judge a JSON document by a JSON Schema (2020-12, 2019-09, 7, 6, 4). Exit code 0 valid, 1 invalid (one error a line: place, "
                                        "message, place in the schema), 2 if the schema or a file is unusable. In bulk: the worst of all lines.");
  check->add_option("SCHEMA", flags->schema, "File with the schema.");
  check->add_option("INSTANCE", flags->instance, "File with the document.");
  check->add_option("--jsonl", flags->jsonl, "Many instead: a file (- for standard input) of lines {\"schema\": …, \"instance\": …}; prints valid, invalid or unusable: WHY for each.");
  check->add_option("--register", flags->registered, "Folder of documents that references may lead to: each *.json by its $id, and by the base and its path in the folder.");
  check->add_option("--register-base", flags->base, "The base of these paths.")->capture_default_str();
  check->add_option("--draft", flags->draft, "Draft of schemas without $schema.")->capture_default_str();
  check->add_flag("--format", flags->format, "Refuse what does not have its \"format\".");
  check->add_flag("--json", flags->json, "Print JSON.");
  check->callback([&run, flags] { run = [flags] { return validate(*flags); }; });
}

}  // namespace ballast::app
