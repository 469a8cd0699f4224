#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>

#include "app/cli.hpp"
#include "app/config.hpp"
#include "app/progress.hpp"
#include "app/table.hpp"
#include "records/audit.hpp"
#include "records/audit_anchors.hpp"
#include "records/audit_verify.hpp"
#include "records/migrations.hpp"

namespace ballast::app {

namespace {

constexpr int kFindings = 1, kUnchecked = 2;        // of `verify`: what a watchdog branches on

struct Flags {
  std::string config, chain, expect;
  std::vector<std::string> anchors;
  std::int64_t after = 0;
  std::size_t limit = 1000;
  bool json = false;
};

struct Opened {
  std::unique_ptr<store::Database> database;
  std::string folder;                               // of the anchors
};

// The database itself, also beside a running server: what is asked is whether it can be believed. It is never made here.
Result<Opened> open(const Flags& flags, int& code) {
  auto config = load_config(flags.config, system_environment());
  if (!config) {
    code = kBadConfig;
    return fail(std::move(config.error()));
  }
  if (config->database.starts_with("sqlite:") && !std::filesystem::exists(config->database.substr(7)))
    return fail(ErrorCode::caller_not_found, fmt::format("there is no database at {}", config->database.substr(7)));
  auto database = store::open_database(config->database);
  if (!database) return fail(std::move(database.error()));
  if (auto migrated = (*database)->migrate(records::migrations()); !migrated) return fail(std::move(migrated.error()));
  return Opened{std::move(*database), config->data_dir + "/audit"};
}

json::object newest_json(const records::NewestAnchor& n) {
  return {{"node", n.node}, {"anchor", n.number}, {"at", to_rfc3339(n.at)}, {"hash", to_hex(n.hash)}, {"file", n.file}};
}

json::array findings_json(const records::AuditReport& report) {
  json::array out;
  for (const auto& f : report.findings) {
    json::object row{{"chain", f.chain}};
    if (f.seq != 0) row["seq"] = f.seq;
    row["fault"] = to_string(f.fault);
    row["what"] = f.what;
    out.push_back(std::move(row));
  }
  return out;
}

json::object report_json(const records::AuditReport& r) {
  json::array anchors;
  for (const auto& n : r.newest) anchors.push_back(newest_json(n));
  return {{"clean", r.clean()}, {"found", r.found}, {"findings", findings_json(r)}, {"chains", r.chains}, {"entries", r.entries},
          {"anchors", r.anchors}, {"anchored_heads", r.anchored_heads}, {"retired", r.retired}, {"newest_anchors", std::move(anchors)}};
}

void print(const records::AuditReport& r) {
  if (!r.clean()) std::cout << table(findings_json(r));
  if (r.found > r.findings.size()) std::cout << fmt::format("and {} more\n", r.found - r.findings.size());
  std::cout << fmt::format("{}: {} entries in {} chains; {} anchors of {} heads, {} of them of retired chains\n",
                           r.clean() ? "clean" : fmt::format("{} findings", r.found), r.entries, r.chains, r.anchors, r.anchored_heads, r.retired);
  for (const auto& n : r.newest) std::cout << fmt::format("newest anchor of node {}: {} ({}, {})\n", n.node, to_hex(n.hash), n.number, to_rfc3339(n.at));
}

int verify(const Flags& flags) {
  const auto unchecked = [](const Error& error) {
    complain(error);
    return kUnchecked;
  };
  records::AuditVerification asked{.chain = flags.chain};
  if (!flags.expect.empty()) {
    const auto bytes = from_hex(flags.expect);
    if (!bytes || bytes->size() != sizeof(Digest))
      return unchecked(fail(ErrorCode::caller_invalid_request, "must be an anchor's hash: 64 hexadecimal digits", "--expect").error());
    asked.expect.emplace();
    std::copy(bytes->begin(), bytes->end(), asked.expect->begin());
  }
  int code = kUnchecked;
  const auto opened = open(flags, code);
  if (!opened) {
    complain(opened.error());
    return code;
  }
  std::vector<std::string> files = records::anchors_files(opened->folder);
  files.insert(files.end(), flags.anchors.begin(), flags.anchors.end());
  std::optional<Progress> progress(std::in_place, "reading the trail", flags.json);
  asked.progress = [&](std::uint64_t done, std::uint64_t all) { (*progress)("reading the trail", done, all); };
  const auto report = records::verify_audit(*opened->database, files, asked);
  progress.reset();
  if (!report) return unchecked(report.error());
  if (!flags.chain.empty() && report->clean() && report->chains + report->anchored_heads == 0)
    return unchecked(fail(ErrorCode::caller_not_found, "there is no audit chain " + flags.chain, "--chain").error());
  if (flags.json) std::cout << to_json(report_json(*report)) << '\n';
  else print(*report);
  return report->clean() ? kOk : kFindings;
}

json::array rows_json(const std::vector<records::AuditRow>& rows) {
  json::array out;
  for (const auto& r : rows) {
    json::object row{{"seq", r.seq}, {"at", to_rfc3339(r.entry.at)}, {"actor", r.entry.actor}, {"action", r.entry.action}, {"subject", r.entry.subject}};
    if (r.entry.arguments != Digest{}) row["arguments"] = to_hex(r.entry.arguments);
    row["outcome"] = r.entry.outcome;
    row["hash"] = to_hex(r.hash);
    out.push_back(std::move(row));
  }
  return out;
}

void print_rows(json::array rows) {
  for (auto& row : rows)        // whole hashes are for --json
    for (const char* hash : {"arguments", "hash"})
      if (auto* text = row.as_object().if_contains(hash)) *text = std::string_view(text->as_string()).substr(0, 12);
  std::cout << table(rows);
}

int show(const Flags& flags) {
  int code = kFailed;
  const auto opened = open(flags, code);
  if (!opened) {
    complain(opened.error());
    return code;
  }
  const auto rows = opened->database->read_now([&](store::Tx& tx) { return records::list_audit(tx, flags.chain, flags.after, flags.limit); });
  if (!rows || (rows->empty() && flags.after == 0)) {
    complain(rows ? fail(ErrorCode::caller_not_found, "there is no audit chain " + flags.chain).error() : rows.error());
    return kFailed;
  }
  const bool more = rows->size() == flags.limit;
  if (flags.json) {
    json::object out{{"chain", flags.chain}, {"entries", rows_json(*rows)}};
    if (more) out["next_after"] = rows->back().seq;
    std::cout << to_json(out) << '\n';
    return kOk;
  }
  print_rows(rows_json(*rows));
  if (more) std::cerr << "there may be more: --after " << rows->back().seq << '\n';
  return kOk;
}

int head(const Flags& flags) {
  int code = kFailed;
  const auto opened = open(flags, code);
  if (!opened) {
    complain(opened.error());
    return code;
  }
  const auto waiting = opened->database->read_now([](store::Tx& tx) { return records::unanchored_chains(tx); });
  if (!waiting) {
    complain(waiting.error());
    return kFailed;
  }
  json::array anchors;
  for (const std::string& file : records::anchors_files(opened->folder)) {
    const auto newest = records::newest_anchor(file);
    if (!newest) {
      complain(newest.error());
      return kFailed;
    }
    if (newest->number > 0) anchors.push_back(newest_json(*newest));
  }
  if (flags.json) {
    std::cout << to_json(json::object{{"anchors", std::move(anchors)}, {"chains_not_anchored", *waiting}}) << '\n';
    return kOk;
  }
  std::cout << (anchors.empty() ? "nothing is anchored yet\n" : table(anchors));
  if (*waiting > 0) std::cout << fmt::format("{} chains have grown since\n", *waiting);
  return kOk;
}

}  // namespace

void add_audit(CLI::App& app, Run& run) {
  auto* command = app.add_subcommand("audit", "The audit trail: who did what to runs, queues and keys, and whether the trail can be believed.");
  command->require_subcommand(1);
  auto flags = std::make_shared<Flags>();
  const auto add = [&](const char* name, const char* about, int (*act)(const Flags&)) {
    auto* sub = command->add_subcommand(name, about);
    sub->add_option("-c,--config", flags->config, "Configuration file (default: ./ballast.yaml if there, else none).")->envname("BALLAST_CONFIG");
    sub->add_flag("--json", flags->json, "Print JSON.");
    sub->callback([&run, flags, act] { run = [flags, act] { return act(*flags); }; });
    return sub;
  };
  auto* check = add("verify",
                    "Read every entry and every anchor, and name what was deleted, edited, moved, put in or cut off. May run beside a server. "
                    "Exit code 0: clean; 1: findings; 2: it could not be checked.",
                    verify);
  check->add_option("--chain", flags->chain, "Only this chain: a job's id, or admin:NODE.");
  check->add_option("--expect", flags->expect, "The hash of an anchor that you kept elsewhere: the files must still have it.");
  check->add_option("--anchors", flags->anchors, "More files of anchors, of other nodes (default: those in DATA_DIR/audit).");
  auto* list = add("show", "Print a chain's entries.", show);
  list->add_option("CHAIN", flags->chain, "A job's id, or admin:NODE.")->required();
  list->add_option("--after", flags->after, "Entries behind this one.")->check(CLI::Range(std::int64_t{0}, INT64_MAX));
  list->add_option("--limit", flags->limit, "Entries at most.")->check(CLI::Range(1, 10'000))->capture_default_str();
  add("head", "Print the newest anchor of each file, to be kept elsewhere and given to `verify --expect`.", head);
}

}  // namespace ballast::app
