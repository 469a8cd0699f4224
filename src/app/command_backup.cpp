#include <CLI/CLI.hpp>
#include <iostream>

#include "app/backup.hpp"
#include "app/cli.hpp"
#include "app/progress.hpp"

namespace ballast::app {

namespace {

struct Flags {
  std::string config, to, from;
  bool force = false, json = false;
};

std::uint64_t bytes_of(const BackupManifest& m) {
  std::uint64_t all = 0;
  for (const auto& f : m.files) all += f.bytes;
  return all;
}

json::object told(const BackupManifest& m) {
  json::object tables;
  for (const auto& t : m.tables) tables[t.name] = t.rows;
  return {{"made", m.made}, {"database", m.database}, {"files", m.files.size()}, {"bytes", bytes_of(m)}, {"manifest_sha256", m.sha256}, {"tables", std::move(tables)}};
}

int fail_with(const Error& error) {
  complain(error);
  return error.field.starts_with("--") && error.code == ErrorCode::caller_invalid_request ? kUsage : kFailed;
}

// `act` with the configuration; prints what it tells.
int with_config(const Flags& flags, const std::function<Result<json::object>(const Config&, const Told&)>& act, const std::function<std::string(const json::object&)>& line) {
  const auto config = load_config(flags.config, system_environment());
  if (!config) {
    complain(config.error());
    return kBadConfig;
  }
  Progress progress("backup", flags.json, Unit::bytes);
  const auto done = act(*config, std::ref(progress));
  if (!done) return fail_with(done.error());
  std::cout << (flags.json ? to_json(*done) : line(*done)) << '\n';
  return kOk;
}

std::string text_of(const json::object& o, std::string_view name) {
  const auto& v = o.at(name);
  return v.is_string() ? std::string(v.get_string()) : to_json(v);
}

int backup(const Flags& flags) {
  const auto act = [&](const Config& config, const Told& progress) -> Result<json::object> {
    auto made = make_backup(config, flags.to, progress);
    if (!made) return fail(std::move(made.error()));
    json::object o = told(*made);
    o["to"] = flags.to;
    return o;
  };
  return with_config(flags, act, [](const json::object& o) { return fmt::format("{}: {} files, {} bytes; manifest {}", text_of(o, "to"), text_of(o, "files"), text_of(o, "bytes"), text_of(o, "manifest_sha256")); });
}

int restore(const Flags& flags) {
  const auto act = [&](const Config& config, const Told& progress) -> Result<json::object> {
    auto done = restore_backup(config, flags.from, flags.force, progress);
    if (!done) return fail(std::move(done.error()));
    json::object o = told(done->manifest);
    o["kept"] = done->kept;
    return o;
  };
  return with_config(flags, act, [](const json::object& o) {
    const std::string kept = text_of(o, "kept");
    return fmt::format("restored what was at {}{}", text_of(o, "made"), kept.empty() ? std::string() : fmt::format("; what was there before is in {}: delete it when you need it no more", kept));
  });
}

CLI::App* add(CLI::App& app, Run& run, const char* name, const char* about, const std::shared_ptr<Flags>& flags, int (*act)(const Flags&)) {
  auto* command = app.add_subcommand(name, about);
  command->add_option("-c,--config", flags->config, "Configuration file (default: ./ballast.yaml if there, else none).")->envname("BALLAST_CONFIG");
  command->add_flag("--json", flags->json, "Print JSON.");
  command->callback([&run, flags, act] { run = [flags, act] { return act(*flags); }; });
  return command;
}

}  // namespace

void add_backup(CLI::App& app, Run& run) {
  auto flags = std::make_shared<Flags>();
  auto* make = add(app, run, "backup", "Copy the database, the journal, the trail's anchors and keys, as of one moment, beside a running server.", flags, backup);
  make->add_option("--to", flags->to, "A folder that does not exist, or is empty.")->required();
  flags = std::make_shared<Flags>();
  auto* back = add(app, run, "restore", "Put a backup in place of what the configuration names. No server may use it.", flags, restore);
  back->add_option("--from", flags->from, "The backup's folder.")->required();
  back->add_flag("--force", flags->force, "Replace what is there; of files, it is kept beside.");
}

}  // namespace ballast::app
