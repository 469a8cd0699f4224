#include <CLI/CLI.hpp>
#include <iostream>
#include <iterator>
#include <memory>

#include <unistd.h>

#include "app/cli.hpp"
#include "app/progress.hpp"
#include "base/json.hpp"
#include "tokens/estimate.hpp"

namespace ballast::app {

namespace {

constexpr std::size_t kMostBytes = 1u << 30;  // of a text, and of a line

struct Flags {
  std::string encoding, model;
  bool count = false, jsonl = false, json = false;
};

void append_ids(std::string& out, const std::vector<std::uint32_t>& ids, char between) {
  for (const auto& id : ids) {
    if (&id != ids.data()) out += between;
    fmt::format_to(std::back_inserter(out), "{}", id);
  }
}

int too_large(std::string_view what) {
  complain(fmt::format("{} has more than {} bytes", what, kMostBytes));
  return kFailed;
}

int one_text(const Flags& flags, const tokens::Basis& basis) {
  std::string text;
  for (char buffer[1 << 16]; std::cin.read(buffer, sizeof buffer), std::cin.gcount() > 0;) {
    text.append(buffer, static_cast<std::size_t>(std::cin.gcount()));
    if (text.size() > kMostBytes) return too_large("standard input");
  }
  std::string out;
  if (flags.count) {
    const auto told = tokens::estimate(basis, text);
    if (!flags.json && !told.exact) complain(fmt::format("note: an estimate ({})", told.by));
    out = flags.json ? to_json(json::object{{"tokens", told.tokens}, {"exact", told.exact}, {"by", told.by}}) : std::to_string(told.tokens);
  } else {
    std::vector<std::uint32_t> ids;
    basis.encoding->encode(text, ids);
    if (flags.json) out = fmt::format(R"({{"tokens":{},"exact":true,"by":"{}","ids":[)", ids.size(), basis.by);
    append_ids(out, ids, flags.json ? ',' : ' ');
    if (flags.json) out += "]}";
  }
  std::cout << out << '\n';
  return kOk;
}

// The text in a line: a JSON string, or the member "text" of an object.
Result<std::string> text_of(std::string_view line) {
  const auto row = parse_json(line, {.max_bytes = kMostBytes});
  if (!row) return fail(row.error());
  const auto* object = row->if_object();
  const auto* found = object ? object->if_contains("text") : &*row;
  if (!found || !found->is_string()) return fail(ErrorCode::caller_invalid_request, "must be a JSON string, or an object with a string \"text\"");
  return std::string(found->get_string());
}

int many_lines(const Flags& flags, const tokens::Basis& basis) {
  std::ios::sync_with_stdio(false);
  int worst = kOk;
  std::string out;
  std::vector<std::uint32_t> ids;
  std::size_t number = 0;
  const std::uint64_t all = bytes_behind(STDIN_FILENO);
  std::uint64_t done = 0;
  Progress progress("counting", answers_on_terminal(), Unit::bytes);
  for (std::string line; std::getline(std::cin, line);) {
    ++number;
    progress("counting", done += line.size() + 1, all);
    const auto text = text_of(line);
    out.clear();
    if (!text) {
      complain(fmt::format("line {}: {}", number, text.error().message));
      worst = kFailed;
      out = "null";
    } else if (flags.count) {
      out = std::to_string(tokens::estimate(basis, *text).tokens);
    } else {
      ids.clear();
      basis.encoding->encode(*text, ids);
      out = "[";
      append_ids(out, ids, ',');
      out += ']';
    }
    std::cout << out << '\n';
  }
  return worst;
}

int run_tokens(const Flags& flags) {
  const auto wrong = [](const std::string& why) {
    complain(why);
    return kUsage;
  };
  if (!flags.encoding.empty() && !flags.model.empty()) return wrong("give --encoding or --model, not both");
  if (flags.jsonl && flags.json) return wrong("--jsonl prints JSON already: leave --json out");
  tokens::Basis basis;
  if (!flags.model.empty()) {
    basis = tokens::basis_of(flags.model);
    if (!basis.exact && !flags.count)
      return wrong(fmt::format("--model {}: its encoding is not known here; --count gives an estimate ({}), --encoding o200k_base or cl100k_base exact ids", flags.model, basis.by));
  } else {
    const auto* encoding = tokens::Encoding::from_name(flags.encoding.empty() ? "o200k_base" : flags.encoding);
    if (!encoding) return wrong(fmt::format("--encoding: \"{}\" is not known: use o200k_base or cl100k_base", flags.encoding));
    basis = {encoding, 1, true, encoding->name()};
  }
  return flags.jsonl ? many_lines(flags, basis) : one_text(flags, basis);
}

}  // namespace

void add_tokens(CLI::App& app, Run& run) {
  auto flags = std::make_shared<Flags>();
  auto* command = app.add_subcommand("tokens",
                                     "The tokens of the text on standard input: their ids on one line, as OpenAI's tiktoken gives them, or their number. "
                                     "Special tokens in a text are plain text; what is not UTF-8 counts as U+FFFD. Exit code 1 if a line of --jsonl cannot be read.");
  command->add_option("--encoding", flags->encoding, "o200k_base (the default) or cl100k_base.");
  command->add_option("--model", flags->model, "The encoding of this model instead; with --count an estimate for models of others than OpenAI, which standard error says.");
  command->add_flag("--count", flags->count, "Print the number alone.");
  command->add_flag("--jsonl", flags->jsonl,
                    "Many texts: each line a JSON string or an object with \"text\"; prints for each a JSON array of ids, or the number. For a line that is "
                    "neither it prints null, and says on standard error which.");
  command->add_flag("--json", flags->json, "Print an object: tokens, exact, by (what the number rests on), ids.");
  command->callback([&run, flags] { run = [flags] { return run_tokens(*flags); }; });
}

}  // namespace ballast::app
