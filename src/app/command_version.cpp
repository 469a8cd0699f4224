#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "app/cli.hpp"
#include "base/json.hpp"

namespace ballast::app {

void add_version(CLI::App& app, Run& run) {
  auto* command = app.add_subcommand("version", "Print the version.");
  auto as_json = std::make_shared<bool>(false);
  command->add_flag("--json", *as_json, "As JSON.");
  command->callback([&run, as_json] {
    run = [as_json] {
      if (*as_json) std::cout << to_json(json::object{{"version", kVersion}, {"compiler", __VERSION__}}) << '\n';
      else std::cout << "ballast " << kVersion << '\n';
      return kOk;
    };
  });
}

}  // namespace ballast::app
