#include <CLI/CLI.hpp>
#include <iostream>

#include "app/approvers.hpp"
#include "app/cli.hpp"
#include "app/command_readiness.hpp"
#include "app/progress.hpp"
#include "app/readiness_facts.hpp"
#include "app/schema.hpp"
#include "app/table.hpp"
#include "app/terminal.hpp"
#include "app/wiring.hpp"
#include "query/dataset.hpp"
#include "server/pages.hpp"
#include "work/flow_book.hpp"

namespace ballast::app {

namespace {

struct Flags {
  std::string config, database;
  bool json = false, schema = false, stored_keys = false, production = false;
  ProductionFlags ready;                 // for --production
};

json::array providers_of(const Config& config, const Wired& wired) {
  const auto spending = spending_providers(config);
  json::array rows;
  for (const auto& p : config.providers) {
    const auto& spec = wired.setup.providers.at(p.name).spec;
    json::object row{{"provider", p.name}, {"kind", p.kind}};
    row["url"] = p.kind == "simulator" ? std::string("(in process)") : net::to_string(spec.base);
    row["keys"] = p.keys.size();
    row["from"] = p.from_environment.empty() ? (config.file.empty() ? "default" : "file") : "environment: " + p.from_environment;
    row["spends"] = std::ranges::find(spending, p.name) != spending.end() ? "yes" : "no";
    rows.push_back(std::move(row));
  }
  return rows;
}

json::array routes_of(const Config& config, const Wired& wired) {
  const auto spending = spending_providers(config);
  json::array rows;
  for (const auto& route : config.routes) {
    json::array targets, unpriced;
    bool spends = false;
    const auto look_at = [&](const gateway::Target& t) {
      const auto p = std::ranges::find(config.providers, t.provider, &ProviderConfig::name);
      spends = spends || std::ranges::find(spending, t.provider) != spending.end();
      const auto info = wired.setup.prices->find(t.provider, p == config.providers.end() ? "" : p->kind, t.model);
      if (!info || !info->priced) unpriced.push_back(json::value(t.name));
    };
    for (const auto& t : route.targets) {
      targets.push_back(json::value(t.name));
      look_at(t);
    }
    if (route.ask) look_at(route.ask->target);
    rows.push_back(json::object{{"route", route.name}, {"strategy", gateway::to_string(route.strategy)}, {"targets", std::move(targets)},
                                {"asks", route.ask ? route.ask->target.name : std::string()},
                                {"attempts", route.retries.attempts}, {"stream", gateway::to_string(route.rescue.mode)},
                                {"spends", spends ? "yes" : "no"}, {"unpriced", std::move(unpriced)}});
  }
  return rows;
}

std::string text_of(const std::optional<Rate>& rate) {
  return rate ? fmt::format("{} in {}", rate->count, format_duration(rate->per)) : std::string();
}

json::array limits_of(const Config& config) {
  json::array rows;
  for (const auto& l : config.limits)
    rows.push_back(json::object{{"limit for each", gateway::to_string(l.scope)}, {"match", l.match}, {"requests", text_of(l.requests)},
                                {"tokens", text_of(l.tokens)}, {"concurrency", l.concurrency ? json::value(*l.concurrency) : json::value("")}});
  return rows;
}

json::array budgets_of(const Config& config) {
  json::array rows;
  for (const auto& b : config.budgets) {
    const bool request = b.scope == gateway::BudgetScope::request;
    rows.push_back(json::object{{"budget", b.name.empty() ? gateway::default_budget_name(b) : b.name}, {"for each", gateway::to_string(b.scope)},
                                {"match", b.match}, {"amount_usd", to_usd(b.amount)}, {"per", request ? "request" : gateway::to_string(b.period)}});
  }
  return rows;
}

json::array keys_of(const Config& config) {
  json::array rows;
  for (const auto& k : config.keys) {
    json::array scopes, models;
    for (const auto& s : k.scopes) scopes.push_back(json::value(s));
    for (const auto& m : k.models) models.push_back(json::value(m));
    rows.push_back(json::object{{"key", k.name}, {"scopes", std::move(scopes)}, {"models", std::move(models)}, {"team", k.team},
                                {"expires", k.expires ? to_rfc3339(*k.expires) : std::string()}});
  }
  return rows;
}

json::array datasets_of(const query::Datasets& datasets) {
  json::array out;
  for (const auto& [name, dataset] : datasets)
    out.push_back(json::object{{"dataset", name}, {"tables", dataset.tables.size()}, {"database", dataset.database.starts_with("sqlite:") ? dataset.database : "postgres"}});
  return out;
}

json::array classifiers_of(const Classifiers& classifiers) {
  json::array rows;
  for (const auto& [name, c] : classifiers) {
    const bool trained = c.examples > 0;
    rows.push_back(json::object{{"classifier", name}, {"labels", c.model->labels().size()}, {"trained on", trained ? json::value(c.examples) : json::value("")},
                                {"accuracy", trained ? json::value(fmt::format("{:.3f}", c.accuracy)) : json::value("")},
                                {"trained in", trained ? fmt::format("{:.1f} s", std::chrono::duration<double>(c.took).count()) : std::string()}});
  }
  return rows;
}

json::array pages_of(const Config& config) {
  json::array out;
  for (const auto& [name, folder] : config.pages) out.push_back(json::object{{"page", fmt::format("/pages/{}/", name)}, {"folder", folder}});
  return out;
}

json::array flows_of(const work::FlowSet& flows) {
  json::array rows;
  for (const auto& [name, flow] : flows) {
    json::array stages;
    for (const auto& s : flow->stages()) stages.push_back(json::value(s.name));
    rows.push_back(json::object{{"flow", name}, {"version", flow->version_name()}, {"stages", std::move(stages)}});
  }
  return rows;
}

// "2.5", without the zeros of nine decimals.
std::string short_usd(Price p) {
  std::string text = to_usd({p.nano_per_million});
  while (text.ends_with('0')) text.pop_back();
  if (text.ends_with('.')) text.pop_back();
  return text;
}

std::vector<std::string> warnings_of(const Config& config, const Wired& wired) {
  std::vector<std::string> out;
  const auto spending = spending_providers(config);
  if (!spending.empty() && config.budgets.empty()) out.push_back("no budget limits what the providers with a key may cost");
  if (!spending.empty() && config.alerts.receivers.empty()) out.push_back("alerts go to the log and the page alone: name a receiver under alerts.receivers");
  if (!config.require_key) out.push_back("calls without a key are let in (require_key: false)");
  if (!config.budgets.empty())
    for (const auto& row : routes_of(config, wired))
      for (const auto& name : row.at("unpriced").as_array())
        out.push_back(fmt::format("{} has no price, so it is refused where a budget applies; give one under models:", plain(name)));
  const WallTime now = SystemClock().wall();
  for (const auto& route : config.routes)
    for (const auto& t : route.targets) {
      const auto p = std::ranges::find(config.providers, t.provider, &ProviderConfig::name);
      const auto info = wired.setup.prices->find(t.provider, p == config.providers.end() ? "" : p->kind, t.model);
      if (info && !info->disputed.empty())
        out.push_back(fmt::format("{} (route {}): price books disagree; the dearer is taken, input {} and output {} dollars a million, the other says {}; "
                                  "give a price under models: if you know",
                                  t.name, route.name, short_usd(info->price.input), short_usd(info->price.output), info->disputed));
      if (info && info->retires && *info->retires < now + std::chrono::hours(24 * 90))
        out.push_back(fmt::format("{} (route {}) is retired by its provider on {}", t.name, route.name, to_rfc3339(*info->retires).substr(0, 10)));
    }
  return out;
}

// What is said there and changes nothing.
std::vector<std::string> notes_of(const Config& config) {
  std::vector<std::string> out;
  const auto look = [&](const std::string& where, const gateway::CacheOptions& cache) {
    if (!cache.across_nodes) return;
    if (cache.ttl <= Duration::zero()) out.push_back(fmt::format("{}.cache.across_nodes changes nothing: without a ttl nothing is kept", where));
    else if (config.database.starts_with("sqlite:")) out.push_back(fmt::format("{}.cache.across_nodes changes nothing: with SQLite there is one node", where));
  };
  for (const auto& route : config.routes) look("routes." + route.name, route.cache);
  look("direct", config.direct.cache);
  return out;
}

void section(const char* title, const json::array& rows) {
  if (rows.empty()) return;
  std::cout << '\n' << title << '\n' << table(rows);
}

// Every mistake on a line of its own, as editors jump to it; as JSON on standard output beside it.
int refuse(const Flags& flags, const Mistakes& mistakes) {
  json::array list;
  for (const auto& m : mistakes) {
    std::cerr << one_line(to_string(m)) << '\n';
    const auto position = [](int n) { return n > 0 ? json::value(n) : json::value(nullptr); };
    list.push_back(json::object{{"file", m.file}, {"line", position(m.line)}, {"column", position(m.column)}, {"field", m.field}, {"message", m.message}});
  }
  if (flags.json) std::cout << to_json(json::object{{"ok", false}, {"mistakes", std::move(list)}}) << '\n';
  return kBadConfig;
}

// With those of the database where that was asked for; that they could not be read is a warning.
Approvers approvers_of(const Flags& flags, const Config& config, json::array& warnings) {
  const WallTime now = SystemClock().wall();
  auto found = configured_approvers(config, now);
  if (!flags.stored_keys) return found;
  const std::string& url = flags.database.empty() ? config.database : flags.database;
  if (auto read = add_stored_approvers(found, url, now); !read) warnings.push_back(json::value("the keys in the database cannot be read: " + read.error().message));
  return found;
}

// The configuration and what would run of it: providers are made, nothing is asked.
struct Loaded {
  SystemClock clock;
  llm::Simulator nowhere{llm::default_sim_config(), clock};
  llm::SimTransport network{nowhere};
  Config config;
  WiredPtr wired;
};

// Null: it is wrong, which is told, and `code` says how.
std::unique_ptr<Loaded> load(const Flags& flags, int& code) {
  auto out = std::make_unique<Loaded>();
  Mistakes mistakes;
  auto config = load_config(flags.config, system_environment(), &mistakes);
  if (!config) {
    code = refuse(flags, mistakes);
    return nullptr;
  }
  out->config = std::move(*config);
  // All that takes long is training its classifiers, part by part.
  std::optional<Progress> progress(std::in_place, "training classifiers", flags.json);
  unsigned done = 0, all = 0;
  for (auto& [name, classifier] : out->config.classifiers) {
    if (!classifier.model.empty()) continue;
    all += classifier.training.folds + 1;
    classifier.training.progress = [&](std::string_view) { (*progress)("training classifiers", done++, all); };
  }
  auto wired = wire(out->config, out->network, out->clock, nullptr);
  progress.reset();
  for (auto& [name, classifier] : out->config.classifiers) classifier.training.progress = nullptr;
  if (!wired) {
    code = refuse(flags, {ConfigMistake{.file = out->config.file, .field = wired.error().field, .message = wired.error().message}});
    return nullptr;
  }
  out->wired = std::move(*wired);
  return out;
}

// What readiness judges of it; what is wrong with it is told.
std::variant<server::ConfiguredFacts, int> configured(const Flags& flags) {
  int code = kBadConfig;
  const auto loaded = load(flags, code);
  if (!loaded) return code;
  work::FlowFindings found;
  const auto flows = work::load_flows(loaded->config.flows, system_environment(), found);
  if (!flows) return refuse(flags, found.errors);
  std::vector<work::FlowPtr> all;
  for (const auto& [name, flow] : *flows) all.push_back(flow);
  return configured_facts(loaded->config, *loaded->wired, all);
}

int check(const Flags& flags) {
  if (flags.schema) {
    std::cout << schema_text();
    return kOk;
  }
  if (flags.production || !flags.ready.record.empty()) {
    ProductionFlags ready = flags.ready;
    ready.access.config = flags.config;
    ready.access.json = flags.json;
    return check_production(ready, [&] { return configured(flags); });
  }
  int code = kBadConfig;
  const auto loaded = load(flags, code);
  if (!loaded) return code;
  const Config& config = loaded->config;
  json::array warnings, notes;
  Mistakes wrong;
  const auto datasets = query::load_datasets(config.datasets, system_environment(), &wrong);
  if (!datasets) return refuse(flags, wrong.empty() ? Mistakes{ConfigMistake{.file = datasets.error().field, .message = datasets.error().message}} : wrong);
  if (auto pages = server::read_pages(config.pages); !pages) return refuse(flags, {ConfigMistake{.file = config.file, .field = pages.error().field, .message = pages.error().message}});
  work::FlowFindings found;
  auto world = world_of(approvers_of(flags, config, warnings));
  world.dataset_exists = [&](std::string_view name) { return datasets->contains(name); };
  world.classifier_exists = [&](std::string_view name) { return config.classifiers.contains(std::string(name)); };
  const auto flows = work::load_flows(config.flows, system_environment(), found, world);
  if (!flows) return refuse(flags, found.errors);
  for (const auto& w : found.warnings) warnings.push_back(json::value(to_string(w)));
  for (const auto& n : found.notes) notes.push_back(json::value(to_string(n) + (flags.stored_keys ? "" : "; --database reads them")));
  for (const auto& [name, dataset] : *datasets)
    for (const auto& w : dataset.warnings()) warnings.push_back(json::value(w));
  for (const auto& w : warnings_of(config, *loaded->wired)) warnings.push_back(json::value(w));
  for (const auto& n : notes_of(config)) notes.push_back(json::value(n));
  json::object out{{"ok", true}, {"file", config.file}, {"listen", to_string(config.listen)},
                   {"database", config.database.starts_with("sqlite:") ? config.database : "postgres"},
                   {"ledger", config.ledger.strict ? "strict" : "background"}};
  out["providers"] = providers_of(config, *loaded->wired);
  out["routes"] = routes_of(config, *loaded->wired);
  out["limits"] = limits_of(config);
  out["budgets"] = budgets_of(config);
  out["keys"] = keys_of(config);
  out["flows"] = flows_of(*flows);
  out["classifiers"] = classifiers_of(loaded->wired->classifiers);
  out["datasets"] = datasets_of(*datasets);
  out["pages"] = pages_of(config);
  out["warnings"] = warnings;
  out["notes"] = notes;
  if (flags.json) {
    std::cout << to_json(out) << '\n';
    return kOk;
  }
  std::cout << (config.file.empty() ? "no file: the simulator, and providers found in the environment" : config.file + ": good") << "\n"
            << "listens on " << plain(out["listen"]) << ", database " << plain(out["database"]) << ", ledger " << plain(out["ledger"]) << '\n';
  for (const char* name : {"providers", "routes", "limits", "budgets", "keys", "classifiers", "flows", "datasets", "pages"}) section(name, out[name].as_array());
  for (const auto& w : warnings) std::cout << "\nwarning: " << one_line(plain(w));
  for (const auto& n : notes) std::cout << "\nnote: " << one_line(plain(n));
  if (!warnings.empty() || !notes.empty()) std::cout << '\n';
  return kOk;
}

}  // namespace

void add_check(CLI::App& app, Run& run) {
  auto* command = app.add_subcommand("check", "Validate the configuration and print what would run.");
  auto flags = std::make_shared<Flags>();
  command->add_option("-c,--config", flags->config, "Configuration file (default: ./ballast.yaml if there, else none).")->envname("BALLAST_CONFIG");
  command->add_flag("--json", flags->json, "Print JSON.");
  command->add_flag("--schema", flags->schema, "Print the JSON Schema of the file, for editors.");
  auto* stored = command->add_option("--database", flags->database, "Read the keys in this database, too, to say who may approve (default: the configuration's). Changes nothing in it.")->expected(0, 1);
  command->add_flag("--production", flags->production, "Go through the production checklist instead: with the running server's help, else from the configuration alone. Exit code 1 if a line failed.");
  command->add_option("--server", flags->ready.access.server, "With --production: base URL of the server (default: the configuration's `listen`).")->envname("BALLAST_SERVER");
  command->add_option("--key", flags->ready.access.key, "With --production: a key of scope read (default: the configuration's `admin_key`).")->envname("BALLAST_ADMIN_KEY");
  command->add_option("--record", flags->ready.record, "Tell what no figure shows, on a day: load_test=2026-11-20. It is told in the audit trail.");
  command->add_option("--note", flags->ready.note, "With --record: what was done.");
  command->callback([&run, flags, stored] {
    flags->stored_keys = stored->count() > 0;
    run = [flags] { return check(*flags); };
  });
}

}  // namespace ballast::app
