#include <CLI/CLI.hpp>
#include <iostream>

#include "app/access.hpp"
#include "app/cli.hpp"

namespace ballast::app {

namespace {

struct Flags {
  AccessFlags access;
  bool ready = false;
};

// Access has asked /healthz before it is there: an answer to that is all that being alive takes.
int health(const Flags& flags) {
  int code = kFailed;
  auto access = Access::open(flags.access, code, Access::Without::nothing);
  if (!access) {
    complain(access.error());
    return code;
  }
  const std::string path = flags.ready ? "/readyz" : "/healthz";
  const auto answer = (*access)->send("GET", path, {}, std::chrono::seconds(5));
  if (!answer) {
    complain(answer.error());
    return kFailed;
  }
  const auto& [status, text] = *answer;
  const bool good = status == 200;
  json::value told = json::object{{"good", good}, {"asked", path}};
  if (auto checks = parse_json(text); checks && checks->is_object()) told.as_object()["answer"] = std::move(*checks);
  if (flags.access.json) std::cout << to_json(told) << '\n';
  else std::cout << (good ? "good: " : "not good: ") << text << (text.ends_with('\n') ? "" : "\n");
  return good ? kOk : kFailed;
}

}  // namespace

void add_health(CLI::App& app, Run& run) {
  auto* command = app.add_subcommand("health", "Whether the running server is alive, or with --ready shall get traffic. Exit code 0: yes; 1: no, or nobody answers.");
  auto flags = std::make_shared<Flags>();
  add_access_flags(*command, flags->access);
  command->add_flag("--ready", flags->ready, "Ask /readyz, which says no while it drains or cannot write its journal, and not /healthz.");
  command->callback([&run, flags] { run = [flags] { return health(*flags); }; });
}

}  // namespace ballast::app
