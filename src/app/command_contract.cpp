#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <thread>

#include "app/access.hpp"
#include "app/cli.hpp"
#include "app/progress.hpp"
#include "app/contract.hpp"
#include "app/contract_report.hpp"
#include "app/document.hpp"
#include "base/config_node.hpp"

namespace ballast::app {

namespace {

constexpr int kHolds = 0, kBroken = 1, kCouldNotRun = 2;

struct Flags {
  AccessFlags access;
  std::string file, model, flow, inputs, request, schema, junit, timeout = "120s";
  unsigned samples = 3;
  std::uint64_t context = 32'000;
  bool open = false, only_own = false;
};

int could_not_run(const Error& error) {
  complain(error);
  return kCouldNotRun;
}

// One JSON value a line; blank lines are passed over.
Result<std::vector<json::value>> read_lines(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return fail(ErrorCode::caller_not_found, "cannot be read", path);
  std::vector<json::value> out;
  std::size_t number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    auto value = parse_json(line);
    if (!value)
      return fail(ErrorCode::caller_invalid_request, value.error().message, fmt::format("{}:{}", path, number));
    out.push_back(std::move(*value));
  }
  return out;
}

// Puts inputs to the model or the flow, one after the other.
class Asker {
 public:
  Asker(Access& access, const Contract& contract, Duration patience)
      : access_(access), contract_(contract), patience_(patience) {}

  // Asked again, a little later each time, while there are too many requests.
  Outcome ask(const json::value& input) {
    constexpr int tries = 4;
    for (int i = 0;; ++i) {
      bool too_many = false;
      Outcome outcome = contract_.is_flow ? run(input, too_many) : chat(input, too_many);
      if (!too_many || i + 1 == tries) {
        reached_ = reached_ || outcome.kind == Outcome::Kind::answer;
        return outcome;
      }
      std::this_thread::sleep_for(std::chrono::seconds(1 << i));
    }
  }

 private:
  Outcome chat(const json::value& input, bool& too_many) {
    json::object body = contract_.request;
    body["model"] = contract_.name;
    auto& messages = body["messages"];
    if (!messages.is_array()) messages = json::array{};
    if (const auto* list = input.if_array())
      for (const auto& message : *list) messages.get_array().push_back(message);
    else
      messages.get_array().push_back(
          json::object{{"role", "user"}, {"content", input.is_string() ? input : json::value(to_json(input))}});
    return read(access_.send("POST", "/v1/chat/completions", to_json(body), patience_), read_chat, too_many);
  }

  Outcome run(const json::value& input, bool& too_many) {
    const auto until = std::chrono::steady_clock::now() + patience_;
    auto answer =
        access_.send("POST", "/api/jobs?wait=30s", to_json(json::object{{"flow", contract_.name}, {"input", input}}),
                     std::chrono::seconds(45));
    while (answer && answer->first >= 200 && answer->first < 300 && std::chrono::steady_clock::now() < until) {
      const auto job = parse_json(answer->second).value_or(json::object{});
      const auto text = [&](std::string_view name) {
        const auto* found = job.is_object() ? job.get_object().if_contains(name) : nullptr;
        return found && found->is_string() ? std::string(found->get_string()) : std::string();
      };
      const auto state = text("state");
      if (state == "done" || state == "dead" || state == "cancelled" || text("id").empty()) break;
      answer = access_.send("GET", "/api/jobs/" + text("id") + "?wait=30s", {}, std::chrono::seconds(45));
    }
    return read(answer, read_job, too_many);
  }

  // Until something was answered, whatever goes wrong says that nothing can be asked; later it says something of the input.
  Outcome read(const Result<std::pair<int, std::string>>& came, Outcome (*reader)(int, std::string_view),
               bool& too_many) const {
    using enum Outcome::Kind;
    Outcome out;
    if (came) {
      out = reader(came->first, came->second);
      too_many = came->first == 429;
      if (!reached_ && (came->first == 403 || came->first >= 500)) out.kind = unavailable;
    } else {
      out = {reached_ ? failure : unavailable, {}, "no answer came: " + came.error().message, {}};
    }
    return out;
  }

  Access& access_;
  const Contract& contract_;
  Duration patience_;
  bool reached_ = false;
};

// The server and what every subcommand needs of it, or the exit code.
Result<std::unique_ptr<Access>> reach(const Flags& flags, Duration& patience) {
  auto wait = parse_duration(flags.timeout, "--timeout");
  if (!wait) return fail(std::move(wait.error()));
  patience = *wait;
  int ignored = 0;
  auto access = Access::open(flags.access, ignored);
  if (!access) return access;
  if (auto there = need_server(**access); !there) return fail(std::move(there.error()));
  return access;
}

// ---- record

// The body that goes with each input, and the schema that answers are asked for in.
Result<json::value> read_request(const Flags& flags, Contract& contract) {
  json::value declared;
  if (!flags.schema.empty()) {
    auto document = read_document(flags.schema);
    if (!document) return document;
    if (auto compiled = schema::Schema::compile(*document); !compiled)
      return fail(ErrorCode::caller_invalid_request, compiled.error().message,
                  flags.schema + "#" + compiled.error().field);
    declared = std::move(*document);
  }
  if (!flags.request.empty()) {
    auto document = read_document(flags.request);
    if (!document) return document;
    if (!document->is_object())
      return fail(ErrorCode::caller_invalid_request, "must be an object: a chat completion's body", flags.request);
    contract.request = std::move(document->get_object());
    contract.request.erase("stream");
  }
  std::error_code none;
  const json::value request(contract.request);
  const auto* asked = request.find_pointer("/response_format/json_schema/schema", none);
  if (asked && declared.is_null()) declared = *asked;
  else if (!asked && !declared.is_null() && !contract.is_flow)
    contract.request["response_format"] =
        json::object{{"type", "json_schema"}, {"json_schema", {{"name", "answer"}, {"schema", declared}}}};
  return declared;
}

int record(const Flags& flags) {
  if (flags.model.empty() == flags.flow.empty())
    return could_not_run({.code = ErrorCode::caller_invalid_request, .message = "name either --model or --flow"});
  Contract contract{.is_flow = !flags.flow.empty(), .name = flags.model + flags.flow};
  auto inputs = read_lines(flags.inputs);
  if (!inputs) return could_not_run(inputs.error());
  if (inputs->empty())
    return could_not_run({.code = ErrorCode::caller_invalid_request, .message = "has no input", .field = flags.inputs});
  contract.inputs = std::move(*inputs);
  const auto declared = read_request(flags, contract);
  if (!declared) return could_not_run(declared.error());
  Duration patience{};
  const auto access = reach(flags, patience);
  if (!access) return could_not_run(access.error());
  Asker asker(**access, contract, patience);
  Recorder recorder;
  std::optional<Progress> progress(std::in_place, "asking", flags.access.json);
  for (std::size_t i = 0; i < contract.inputs.size(); ++i)
    for (unsigned n = 0; n < flags.samples; ++n) {
      (*progress)("asking", i * flags.samples + n, contract.inputs.size() * flags.samples);
      const auto outcome = asker.ask(contract.inputs[i]);
      if (outcome.kind != Outcome::Kind::answer)
        return could_not_run({.code = ErrorCode::caller_invalid_request,
                              .message = "was not answered: " + outcome.message,
                              .field = fmt::format("input {}", i + 1)});
      recorder.add(outcome.observed);
    }
  progress.reset();
  contract.answer = recorder.schema(contract.is_flow, *declared, flags.open);
  std::ofstream file(flags.file, std::ios::binary | std::ios::trunc);
  if (!(file << indented(contract_document(contract)) && file.flush()))
    return could_not_run(
        {.code = ErrorCode::caller_invalid_request, .message = "cannot be written", .field = flags.file});
  const auto samples = contract.inputs.size() * flags.samples;
  if (flags.access.json)
    std::cout << to_json(json::object{{"file", flags.file}, {"inputs", contract.inputs.size()}, {"samples", samples}})
              << '\n';
  else
    std::cout << fmt::format("recorded: {} answers to {} inputs, in {}\n", samples, contract.inputs.size(), flags.file);
  return kHolds;
}

// ---- verify

Result<std::vector<Case>> cases_of(const Flags& flags, const Contract& contract) {
  std::vector<Case> out;
  for (const auto& input : contract.inputs)
    out.push_back({fmt::format("recorded input {}", out.size() + 1), input, true});
  if (!flags.inputs.empty()) {
    auto more = read_lines(flags.inputs);
    if (!more) return fail(std::move(more.error()));
    std::size_t number = 0;
    for (auto& input : *more)
      out.push_back({fmt::format("input {} of {}", ++number, flags.inputs), std::move(input), false});
  }
  if (!flags.only_own)
    for (auto& one : hostile_cases(contract.inputs.front(), contract.is_flow, flags.context))
      out.push_back(std::move(one));
  return out;
}

int finish(const Flags& flags, const ContractReport& report) {
  std::cout << (flags.access.json ? to_json(report.json()) + "\n" : report.text());
  if (!flags.junit.empty()) {
    std::ofstream file(flags.junit, std::ios::binary | std::ios::trunc);
    if (!(file << report.junit() && file.flush()))
      return could_not_run(
          {.code = ErrorCode::caller_invalid_request, .message = "cannot be written", .field = flags.junit});
  }
  return report.broken() ? kBroken : report.unavailable.empty() ? kHolds : kCouldNotRun;
}

int verify(const Flags& flags) {
  const auto document = read_document(flags.file);
  if (!document) return could_not_run(document.error());
  auto contract = read_contract(*document);
  if (!contract)
    return could_not_run({.code = contract.error().code,
                          .message = contract.error().message,
                          .field = flags.file + ": " + contract.error().field});
  const auto schema = schema::Schema::compile(contract->answer);
  if (!schema)
    return could_not_run({.code = schema.error().code,
                          .message = schema.error().message,
                          .field = flags.file + "#/answer" + schema.error().field});
  if (!(contract->is_flow ? flags.model : flags.flow).empty())
    return could_not_run({.code = ErrorCode::caller_invalid_request,
                          .message = fmt::format("is a contract of a {}", contract->is_flow ? "flow" : "model"),
                          .field = flags.file});
  if (const auto& other = contract->is_flow ? flags.flow : flags.model; !other.empty()) contract->name = other;
  const auto cases = cases_of(flags, *contract);
  if (!cases) return could_not_run(cases.error());
  Duration patience{};
  const auto access = reach(flags, patience);
  ContractReport report{
      .name = contract->name, .results = {}, .unavailable = access ? std::string() : describe(access.error())};
  if (access) {
    Asker asker(**access, *contract, patience);
    Progress progress("asking", flags.access.json);
    for (const auto& one : *cases) {
      progress("asking", report.results.size(), cases->size());
      const auto outcome = asker.ask(one.input);
      if (outcome.kind == Outcome::Kind::unavailable) {
        report.unavailable = fmt::format("{}: {}", one.name, outcome.message);
        break;
      }
      report.results.push_back({one.name, outcome.kind == Outcome::Kind::refusal, breaches(one, outcome, *schema)});
    }
  }
  if (!report.unavailable.empty()) complain("could not run: " + report.unavailable);
  return finish(flags, report);
}

}  // namespace

void add_contract(CLI::App& app, Run& run) {
  auto* command = app.add_subcommand("contract",
                                     "The structure that a model or a flow answers with: pinned in a file, and held "
                                     "against what it answers later, or another.");
  command->require_subcommand(1);
  auto flags = std::make_shared<Flags>();
  const auto add = [&](const char* name, const char* about, int (*act)(const Flags&)) {
    auto* sub = command->add_subcommand(name, about);
    add_access_flags(*sub, flags->access);
    sub->add_option("FILE", flags->file, "The contract.")->required();
    sub->add_option("--model", flags->model, "The model or route that is asked.");
    sub->add_option("--flow", flags->flow, "The flow that is run.");
    sub->add_option("--timeout", flags->timeout, "How long an answer is awaited.")->capture_default_str();
    sub->callback([&run, flags, act] { run = [flags, act] { return act(*flags); }; });
    return sub;
  };
  auto* recorded =
      add("record", "Ask, and write down what the answers have in common. Exit code 0 written, 2 not.", record);
  recorded
      ->add_option(
          "--inputs", flags->inputs,
          "File of inputs, one JSON value a line: for a model a text or a list of messages, for a flow its input.")
      ->required();
  recorded->add_option(
      "--request", flags->request,
      "File with the rest of a chat completion's body: messages before the input, tools, max_tokens, response_format.");
  recorded->add_option("--schema", flags->schema,
                       "JSON Schema that is declared for the answer: a model is asked for it; its enums and optional "
                       "members are pinned.");
  recorded->add_option("--samples", flags->samples, "Answers to each input.")
      ->capture_default_str()
      ->check(CLI::Range(1U, 1000U));
  recorded->add_flag("--open", flags->open, "Members that no answer had are allowed later.");
  auto* verified = add("verify",
                       "Ask again, with harmful, empty and very long inputs besides. Each must be an answer of the "
                       "structure, or a refusal (4xx) that names its field. "
                       "Exit code 0 holds, 1 broken, 2 could not run.",
                       verify);
  verified->add_option("--inputs", flags->inputs, "File of further inputs, one JSON value a line.");
  verified->add_option("--context", flags->context, "Tokens that the model reads: what is very long.")
      ->capture_default_str()
      ->check(CLI::Range(1U, 10'000'000U));
  verified->add_flag("--only-own", flags->only_own, "Only the recorded inputs and those of --inputs.");
  verified->add_option("--junit", flags->junit, "Write a report as JUnit's XML as well.");
}

}  // namespace ballast::app
