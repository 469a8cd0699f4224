// Acts: subcommands that ask a server, or the database, for one value and tell it.
#pragma once
#include <CLI/CLI.hpp>
#include <memory>

#include "app/access.hpp"
#include "app/cli.hpp"

namespace ballast::app {

template <class Flags>
using ActOf = Result<json::value> (*)(Access&, const Flags&);

// `tell` prints the answer for people; with --json it is printed as it is. `flags` has a member `access`.
template <class Flags, class Tell>
CLI::App* add_act(CLI::App& command, Run& run, const std::shared_ptr<Flags>& flags, const char* name, const char* about, ActOf<Flags> act, Tell tell) {
  auto* sub = command.add_subcommand(name, about);
  add_access_flags(*sub, flags->access);
  sub->callback([&run, flags, act, tell] { run = [flags, act, tell] {
    return ask_and_tell(flags->access, [&](Access& access) { return act(access, *flags); }, tell);
  }; });
  return sub;
}

}  // namespace ballast::app
