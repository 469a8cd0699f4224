#include "app/runtime.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <thread>

#include "app/backup.hpp"
#include "app/cli.hpp"
#include "app/config_shown.hpp"
#include "app/migrate_store.hpp"
#include "app/readiness_facts.hpp"
#include "app/restart.hpp"
#include "base/log.hpp"
#include "cluster/quota_rows.hpp"
#include "gateway/shared_books.hpp"
#include "records/budgets.hpp"
#include "records/feedback.hpp"
#include "records/idempotency.hpp"
#include "records/ledger.hpp"
#include "records/migrations.hpp"
#include "server/key_changes.hpp"
#include "server/key_rows.hpp"
#include "server/work_door.hpp"
#include "server/state_metrics.hpp"
#include "server/work_metrics.hpp"
#include "store/moves.hpp"
#include "store/schema_steps.hpp"

namespace ballast::app {

namespace fs = std::filesystem;

std::uint64_t raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  if (limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    getrlimit(RLIMIT_NOFILE, &limit);
  }
  return limit.rlim_cur;
}

namespace {

unsigned loops_of(const Config& config) {
  return config.threads ? config.threads : std::max(1u, std::thread::hardware_concurrency());
}

Result<void> make_folder(const fs::path& folder) {
  if (folder.empty()) return {};
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return fail(ErrorCode::internal_unavailable, fmt::format("cannot make the folder {}: {}", folder.string(), error.message()));
  return {};
}

// Those that `before` did not have already.
void tell_trained(const Classifiers& now, const Classifiers* before) {
  for (const auto& [name, c] : now) {
    const bool known = before && std::ranges::any_of(*before, [&](const auto& old) { return old.second.digest == c.digest; });
    if (c.examples == 0 || known) continue;
    log::info("classifier_trained", {{"name", name}, {"examples", c.examples}, {"labels", c.model->labels().size()}, {"accuracy", c.accuracy},
                                     {"ms", std::chrono::ceil<std::chrono::milliseconds>(c.took)}, {"digest", c.model->digest()}});
  }
}

// The schema of a newer program, which this one runs beside.
Result<void> tell_newer_schema(store::Database& database) {
  auto newer = store::newer_steps(database, all_migrations());
  if (!newer) return fail(std::move(newer.error()));
  for (const store::SchemaStep& step : *newer)
    log::warn("schema_newer", {{"schema", step.module}, {"version", step.version}, {"what", "a newer Ballast has migrated the database; this one runs beside it"}});
  return {};
}

std::chrono::milliseconds ms(Duration d) { return std::chrono::ceil<std::chrono::milliseconds>(d); }

}  // namespace

Result<std::unique_ptr<Runtime>> Runtime::start(Config config) {
  auto runtime = std::unique_ptr<Runtime>(new Runtime);
  runtime->config_ = std::move(config);
  runtime->started_ = runtime->config_;
  using Step = Result<void> (Runtime::*)();
  for (const Step step : {&Runtime::open_records, &Runtime::restore_budgets, &Runtime::load_keyring, &Runtime::first_start, &Runtime::open_doors})
    if (auto done = (runtime.get()->*step)(); !done) return fail(std::move(done.error()));
  return runtime;
}

Result<void> Runtime::open_records() {
  if (auto made = make_folder(config_.data_dir); !made) return made;
  if (auto whole = refuse_half_restored(config_.data_dir); !whole) return whole;
  if (config_.database.starts_with("sqlite:"))
    if (auto made = make_folder(fs::path(config_.database.substr(7)).parent_path()); !made) return made;
  auto database = store::open_database(config_.database);
  if (!database) return fail(std::move(database.error()));
  database_ = std::move(*database);
  if (auto mine = cluster::Membership::belongs(*database_, config_.data_dir); !mine) return mine;
  if (auto migrated = database_->migrate(all_migrations()); !migrated) return migrated;
  if (auto told = tell_newer_schema(*database_); !told) return told;
  auto node = Node::join(config_, {*database_, metrics_, clock_});
  if (!node) return fail(std::move(node.error()));
  node_ = std::move(*node);
  if (!node_->membership().alone()) {
    auto quotas = cluster::Quotas::open(config_.database, database_->dialect(), clock_, {.holder = node_->membership().boot(), .spent_before = gateway::spent_before});
    if (!quotas) return fail(std::move(quotas.error()));
    quotas_ = std::move(*quotas);
    freshness_.emplace(clock_, config_.cluster.stale_after);
  }
  auto journal = records::CallJournal::open({.directory = config_.data_dir + "/journal",
                                             .loops = loops_of(config_),
                                             .sync_every = ms(config_.ledger.sync_every),
                                             .segment_bytes = config_.ledger.segment,
                                             .max_bytes = config_.ledger.max,
                                             .keep_imported = node_->membership().alone() ? Duration::zero() : work::kRemembered,
                                             .epoch = parse_id(node_->membership().boot(), "boot").value_or(Id{}),
                                             .charged = quotas_ ? gateway::note_charges : nullptr});
  if (!journal) return fail(std::move(journal.error()));
  journal_ = std::move(*journal);
  journal_->on_went_back([this] { node_->note_went_back(); });
  // Once more: `migrate-store` may have ended between the first look and the journal's lock, which it holds meanwhile.
  auto ours = database_->write_now([](store::Tx& tx) -> Result<void> {
    if (auto mine = store::refuse_moved(tx); !mine) return mine;
    return tell_move(tx);
  });
  if (!ours) return ours;
  auto anchors = records::Anchorer::open({.directory = config_.data_dir + "/audit", .node = node_->label(), .clock = &clock_});
  if (!anchors) return fail(std::move(anchors.error()));
  anchors_ = std::move(*anchors);
  auto imported = journal_->import_all(*database_);
  if (!imported) return fail(std::move(imported.error()));
  if (*imported > 0) log::info("journal_imported", {{"calls", *imported}});
  return settle_money(false);
}

// With the journal imported: what earlier processes of this folder held of budgets, and did not spend, is free again; at the end this one's too. The
// journal's lock says that no other process of it lives.
Result<void> Runtime::settle_money(bool own) {
  if (!quotas_) return {};
  const std::string& boot = node_->membership().boot();
  const auto settled = database_->write_now([&](store::Tx& tx) -> Result<std::int64_t> {
    if (own) return cluster::close_holder(tx, boot);
    if (auto added = cluster::add_holder(tx, boot, journal_->id()); !added) return fail(added.error());
    const auto earlier = cluster::holders_of(tx, journal_->id(), boot);
    if (!earlier) return fail(earlier.error());
    std::int64_t slices = 0;
    for (const std::string& holder : *earlier) {
      const auto closed = cluster::close_holder(tx, holder);
      if (!closed) return fail(closed.error());
      slices += *closed;
    }
    return slices;
  });
  if (!settled) return fail(settled.error());
  if (!own && *settled > 0) log::info("budgets_of_earlier_processes_settled", {{"windows", *settled}});
  return {};
}

// After the import the database is exact: what every current window has spent, unknown outcomes at their holds.
Result<void> Runtime::restore_budgets() {
  loops_ = std::make_unique<net::LoopGroup>(loops_of(config_), clock_);
  client_ = std::make_unique<net::Client>(*loops_, net::ClientOptions{.tls = {.ca_file = config_.ca_file}});
  auto wired = wire(config_, *client_, clock_, nullptr, quotas_.get());
  if (!wired) return fail(std::move(wired.error()));
  wired_ = std::move(*wired);
  tell_trained(wired_->classifiers, nullptr);
  if (config_.budgets.empty()) return {};
  const auto spent = database_->read_now([&](store::Tx& tx) { return records::load_spend(tx, wired_->setup.budgets->oldest_start()); });
  if (!spent) return fail(spent.error());
  for (const auto& charge : *spent) wired_->setup.budgets->restore(charge.window, Money{charge.nano});
  return {};
}

Result<void> Runtime::load_keyring() {
  keys_ = std::make_unique<gateway::KeyRing>(gateway::KeyRing::Options{.loops = loops_of(config_), .freshness = freshness_ ? &*freshness_ : nullptr});
  auto stored = server::load_keys(*database_);
  if (!stored) return fail(std::move(stored.error()));
  if (auto put = keys_->put_all(std::move(*stored)); !put) return put;
  sessions_ = std::make_unique<server::Sessions>(*keys_, server::Sessions::Options{});
  follow_sessions();
  return keys_->configure(configured_keys(config_));
}

// Keys that are missing are made, so that a first start can be used at once.
Result<void> Runtime::first_start() {
  bool admin = false, caller = false;
  for (const auto& key : keys_->list()) {
    admin = admin || key->scopes.has(gateway::Scope::admin);
    caller = caller || !key->scopes.has(gateway::Scope::admin);
  }
  const auto mint = [&](std::string name, gateway::Scope scope, std::string& secret, std::optional<WallTime> expires = {}) -> Result<void> {
    gateway::KeyInfo info{.name = std::move(name), .expires = expires};
    info.scopes.bits = static_cast<std::uint8_t>(scope);
    auto minted = server::create_key(*database_, std::move(info), {.actor = "first start", .now = clock_.wall()});
    if (!minted) return fail(std::move(minted.error()));
    secret = minted->secret;
    return keys_->put(minted->stored);
  };
  if (!admin)
    if (auto made = mint("admin", gateway::Scope::admin, first_keys_.admin); !made) return made;
  if (!caller) return mint("app", gateway::Scope::call, first_keys_.app);
  // Trying it out, without a file and on this machine alone: a key for today, so that the printed call works as pasted.
  if (config_.file.empty() && config_.listen.host == "127.0.0.1")
    return mint("today", gateway::Scope::call, first_keys_.app, clock_.wall() + std::chrono::hours(24));
  return {};
}

// Outcomes of an earlier process of this journal are unknown from now on: its rows carry the journal's id. Where it does not come back, others say so by its boot.
Result<void> Runtime::open_idempotency() {
  const std::string owner = fmt::format("{}:{}", journal_->id(), node_->membership().boot());
  const auto disowned = database_->write_now([&](store::Tx& tx) { return records::disown_idempotent(tx, journal_->id() + ":", owner); });
  if (!disowned) return fail(disowned.error());
  if (*disowned > 0) log::warn("idempotency_outcomes_unknown", {{"keys", *disowned}});
  idempotency_store_ = gateway::database_idempotency_store(*database_);
  idempotency_ = std::make_unique<gateway::Idempotency>(*idempotency_store_, owner, clock_, config_.idempotency);
  return {};
}

// The cache of all nodes is asked by calls that wait for milliseconds: over a connection of its own, opened where routes use it.
Result<void> Runtime::open_caches() {
  cache_ = std::make_unique<gateway::ResponseCache>(clock_, gateway::ResponseCache::Options{.max_bytes = config_.cache_bytes});
  const bool alone = node_->membership().alone();
  if (!alone) {
    auto reads = store::open_database(config_.database, {.readers = 1, .connect_timeout = std::chrono::milliseconds(2'000), .read_only = true});
    if (!reads) return fail(std::move(reads.error()));
    cache_reads_ = std::move(*reads);
  }
  shared_cache_ = std::make_unique<gateway::SharedCache>(*database_, alone ? *database_ : *cache_reads_, clock_, metrics_,
                                                         gateway::SharedCache::Options{.table_bytes = config_.cache_shared_bytes});
  const auto uses = [](const gateway::Route& route) { return route.cache.across_nodes; };
  if (!alone) shared_cache_->start(uses(config_.direct) || std::ranges::any_of(config_.routes, uses));
  return {};
}

Result<void> Runtime::open_telemetry() {
  const TelemetryConfig& t = config_.telemetry;
  if (t.otlp.empty()) return {};
  server::OtlpResource resource{.attributes = t.resource, .version = std::string(kVersion)};
  const auto told = [&](std::string_view name) { return std::ranges::any_of(t.resource, [&](const auto& a) { return a.first == name; }); };
  if (!told("service.version")) resource.attributes.emplace_back("service.version", kVersion);
  if (!told("service.instance.id")) resource.attributes.emplace_back("service.instance.id", to_string(new_id(clock_.wall()), "node"));
  const auto sending = [&](std::string_view signal) -> Result<server::OtlpSending> {
    auto url = server::otlp_url(t.otlp, signal);
    if (!url) return fail(std::move(url.error()));
    return server::OtlpSending{.url = std::move(*url), .headers = t.headers, .gzip = t.gzip, .seed = os_seed()};
  };
  auto traces = sending("traces");
  if (!traces) return fail(std::move(traces.error()));
  spans_ = std::make_unique<server::OtlpExporter>(loops_->at(0), *client_, metrics_, server::OtlpOptions{.sending = std::move(*traces), .resource = resource});
  if (t.metrics_every == Duration::zero()) return {};
  auto figures = sending("metrics");
  if (!figures) return fail(std::move(figures.error()));
  genai_ = std::make_unique<gateway::GenaiMetrics>();
  server::OtlpMetricsOptions options{
      .sending = std::move(*figures),
      .resource = std::move(resource),
      .shape = {.temporality = t.delta ? server::Temporality::delta : server::Temporality::cumulative,
                .histograms = t.explicit_buckets ? server::HistogramForm::explicit_bounds : server::HistogramForm::exponential,
                .genai_names = t.genai,
                .started = clock_.wall()},
      .every = t.metrics_every,
      .refresh = [this](Scheduler& here) { return server::refresh_work_metrics(here, workshop_->door()); }};
  figures_ = std::make_unique<server::OtlpMetrics>(loops_->at(0), *client_, metrics_, genai_.get(), std::move(options));
  return {};
}

Result<void> Runtime::open_doors() {
  if (auto opened = open_idempotency(); !opened) return opened;
  if (auto opened = open_telemetry(); !opened) return opened;
  breakers_ = std::make_unique<gateway::Breakers>(clock_, gateway::Breakers::Options{.breaker = config_.breakers, .seed = os_seed()});
  if (auto opened = open_caches(); !opened) return opened;
  recorder_ = std::make_unique<gateway::Recorder>(*database_, clock_, metrics_, gateway::Recorder::Options{.retention = config_.retention.messages});
  const gateway::World world{.clock = clock_, .keys = *keys_, .breakers = *breakers_, .cache = *cache_, .idempotency = *idempotency_,
                             .journal = *journal_, .metrics = metrics_, .spans = spans_.get(),
                             .trace_sample = config_.telemetry.sample, .genai_names = config_.telemetry.genai, .genai = genai_.get(),
                             .loops = loops_->size(), .recorder = recorder_.get(), .freshness = freshness_ ? &*freshness_ : nullptr,
                             .shared_cache = node_->membership().alone() ? nullptr : shared_cache_.get()};
  gateway_ = std::make_unique<gateway::Gateway>(world, setup_of(wired_));
  server::export_state(metrics_, *gateway_, *database_);
  server::export_quotas(metrics_, quotas_.get());
  if (!node_->membership().alone()) notifier_ = store::open_notifier(config_.database);
  auto shop = Workshop::open(config_, {*loops_, *database_, metrics_, *gateway_, *node_, notifier_.get(), [this] { node_->note_went_back(); }});
  if (!shop) return fail(std::move(shop.error()));
  workshop_ = std::move(*shop);
  alarms_ = std::make_unique<Alarms>(config_, Alarms::Ground{*database_, metrics_, *gateway_, *workshop_, loops_->at(0), clock_, *node_});
  auto pages = server::read_pages(config_.pages);
  if (!pages) return fail(std::move(pages.error()));
  pages_.use(std::move(*pages));
  server::Parts parts{*gateway_, *database_, metrics_, clock_, kVersion, &workshop_->door(), &workshop_->links(), &pages_};
  shown_config_.use(shown_config(config_));
  live_ = std::make_unique<server::Live>(*gateway_, *database_, &workshop_->door(), clock_, server::Live::Options{});
  alarms_->watcher().on_change([live = live_.get()](const watch::Alert& alert) { live->tell("alert", watch::alert_json(alert)); });
  journal_->on_imported([live = live_.get()](std::string_view call) { live->call(call); });
  parts.sessions = sessions_.get();
  parts.refused = &refused_;
  parts.dashboard = &dashboard_;
  parts.config = &shown_config_;
  parts.live = live_.get();
  parts.steps = &steps_;
  parts.tls = !config_.tls_cert.empty();
  parts.watcher = &alarms_->watcher();
  parts.configured = &configured_;
  parts.members = &node_->membership();
  parts.duties = &node_->duties();
  api_ = std::make_unique<server::Api>(std::move(parts));
  note_configured();
  learn_from_others();
  loops_->start();
  workshop_->start();
  if (figures_) figures_->start();
  live_->start();
  journal_->start_importer(*database_);
  anchors_->start(*database_, [this] { return anchors_last_ || node_->holds(duty::anchors); });
  rollups_ = std::make_unique<records::RollupThread>(*database_, clock_, config_.retention.rollups);
  rollups_->start([this] { return node_->holds(duty::rollups); });
  alarms_->start();
  if (knowledge_) knowledge_->start();
  if (auto listening = listen(); !listening) return listening;
  serve();
  return {};
}

Result<void> Runtime::listen() {
  const HttpConfig& http = config_.http;
  net::ServerOptions options{.address = config_.listen.host, .port = config_.listen.port, .share_port = config_.share_port};
  options.limits.head_bytes = http.header;
  options.limits.body_bytes = http.body;
  options.limits.upload_path = server::kFilesPath;
  options.limits.upload_bytes = config_.batches.file_bytes + (64u << 10);   // with the form around it
  options.header_timeout = http.header_timeout;
  options.body_timeout = http.body_timeout;
  options.idle_timeout = http.idle_timeout;
  options.write_timeout = http.write_timeout;
  options.connections = http.connections;
  options.tls = {.cert_file = config_.tls_cert, .key_file = config_.tls_key};
  try {
    listener_ = std::make_unique<net::Server>(*loops_, options, *api_);
  } catch (const std::runtime_error& e) {
    return fail(ErrorCode::internal_unavailable, fmt::format("cannot listen on {}: {}", to_string(config_.listen), e.what()));
  }
  return {};
}

// From here on others count on this node, and it may have to do what one of them does.
void Runtime::serve() {
  node_->serve({.engine = workshop_->engine(),
                .work_loop = loops_->at(0),
                .gained = [this](const std::string& name) {
                  if (name == duty::alerts) alarms_->hurry();
                },
                .adopt = [this](const cluster::Member& gone, cluster::Heirs::Told told) { workshop_->inherit(gone, std::move(told)); }});
}

void Runtime::announce_drain() {
  api_->draining(true);
  node_->announce();
}

Result<void> Runtime::reload(Config config) {
  auto made = wire(config, *client_, clock_, wired_.get(), quotas_.get());
  if (!made) return fail(std::move(made.error()));
  auto pages = server::read_pages(config.pages);
  if (!pages) return fail(std::move(pages.error()));
  if (auto shop = workshop_->reload(config, clock_.wall()); !shop) return shop;
  std::string waiting;
  for (const auto& name : needs_restart(started_, config)) waiting += (waiting.empty() ? "" : ", ") + name;
  if (!waiting.empty()) log::warn("reload_needs_restart", {{"settings", waiting}, {"what", "these changed and take effect at the next start"}});
  if (auto configured = keys_->configure(configured_keys(config)); !configured) return configured;

  Retired old{.wired = wired_, .budgets = wired_->setup.budgets, .carried = {}};
  const bool same_book = (*made)->setup.budgets == old.budgets;
  const bool carries = !same_book && !quotas_;   // else they share their windows
  if (carries) carry_budgets(*old.budgets, *(*made)->setup.budgets, old.carried);
  tell_trained((*made)->classifiers, &wired_->classifiers);
  gateway_->reload(setup_of(*made));
  wired_ = std::move(*made);
  if (!same_book) wired_->setup.budgets->take_effect();
  if (carries) {
    carry_budgets(*old.budgets, *wired_->setup.budgets, old.carried);
    retired_.push_back(std::move(old));
  }
  pages_.use(std::move(*pages));
  alarms_->reload(config);
  shown_config_.use(shown_config(config));
  log::set_level(config.log.level);
  recorder_->retention(config.retention.messages);
  shared_cache_->resize(config.cache_shared_bytes);
  rollups_->keep(config.retention.rollups);
  config_ = std::move(config);
  note_configured();
  return {};
}

void Runtime::learn_from_others() {
  if (!freshness_) return Knowledge::count(metrics_, nullptr);
  knowledge_ = std::make_unique<Knowledge>(*database_, *breakers_, *freshness_, clock_, metrics_, Knowledge::Options{.slot = node_->membership().slot()});
  knowledge_->on(cluster::Topic::keys, [this] { return sync_keys(); });
  knowledge_->on(cluster::Topic::sessions, [this] { return follow_sessions(); });
  knowledge_->on(cluster::Topic::erasures, [this] {
    shared_cache_->forget_queued();
    cache_->clear();
    return true;
  });
}

void Runtime::note_configured() { configured_.put(configured_facts(config_, *wired_, workshop_->door().flows().all())); }

bool Runtime::sync_keys() {
  const auto rows = database_->read_now([](store::Tx& tx) { return records::list_keys(tx, true); });
  if (!rows) return false;
  std::vector<gateway::StoredKey> active;
  for (const auto& row : *rows) {
    if (row.revoked) {
      if (keys_->find(row.id)) (void)keys_->revoke(row.id);
    } else if (auto key = server::stored_of(row); key && !keys_->holds(*key)) {
      active.push_back(std::move(*key));
    }
  }
  if (!active.empty())
    if (auto put = keys_->put_all(std::move(active)); !put) log::warn("keys_not_loaded", {{"why", put.error().message}});
  return true;
}

void Runtime::note_key_use() {
  std::vector<records::KeyUse> uses;
  for (auto& use : keys_->take_uses()) uses.push_back({std::move(use.id), use.at});
  if (uses.empty()) return;
  const auto noted = database_->write_now(
      [&](store::Tx& tx) -> Result<bool> {
        if (auto touched = records::touch_keys(tx, uses); !touched) return fail(touched.error());
        return true;
      },
      {.priority = store::Priority::low});
  if (!noted) log::warn("key_use_not_noted", {{"why", noted.error().message}});
}

// Signed in, or out, on other nodes.
bool Runtime::follow_sessions() {
  sessions_->look();
  const auto rows = database_->read_now([&](store::Tx& tx) { return records::list_sessions(tx, clock_.wall(), sessions_->options().most); });
  if (rows) sessions_->follow(*rows);
  return rows.has_value();
}

// Once a minute: what is in memory alone is lost by a crash, and shortens an idle session by as much.
void Runtime::note_session_use() {
  const auto uses = sessions_->take_uses();
  const WallTime now = clock_.wall(), idle_since = now - sessions_->options().idle;
  const auto noted = database_->write_now(
      [&](store::Tx& tx) -> Result<std::uint64_t> {
        if (auto touched = records::touch_sessions(tx, uses); !touched) return fail(touched.error());
        return records::sweep_sessions(tx, now, idle_since);
      },
      {.priority = store::Priority::low});
  if (!noted) log::warn("session_use_not_noted", {{"why", noted.error().message}});
}

void Runtime::tick() {
  ++ticks_;
  if (knowledge_) knowledge_->tell_age();
  if (quotas_) remind_quotas();
  for (auto& old : retired_) carry_budgets(*old.budgets, *wired_->setup.budgets, old.carried);
  std::erase_if(retired_, [](const Retired& old) { return old.wired.expired(); });
  if (ticks_ % 5 == 0)
    if (const auto told = server::tell_bursts(refused_, *database_, clock_.wall()); !told) log::warn("refused_keys_not_told", {{"why", told.error().message}});
  idempotency_store_->keep_up();
  if (ticks_ % 60 == 0) sweep();
  if (ticks_ % 5 == 0) workshop_->sweep(clock_.wall());
  drop_old_calls();
}

void Runtime::remind_quotas() {
  const std::uint64_t seen = database_->stats().reconnects;
  if (std::exchange(reconnects_, seen) != seen) quotas_->remind();
}

void Runtime::sweep() {
  note_key_use();
  note_session_use();
  retention_due_ = false;
  if (!node_->membership().alone()) shared_cache_->sweep(node_->holds(duty::sweeps));
  if (!node_->holds(duty::sweeps)) return;
  const WallTime now = clock_.wall();
  const auto swept = database_->write_now(
      [&](store::Tx& tx) { return records::sweep_idempotent(tx, now, 10'000); }, {.priority = store::Priority::low});
  if (!swept) log::warn("idempotency_not_swept", {{"why", swept.error().message}});
  if (quotas_)
    if (const auto quotas = database_->write_now([](store::Tx& tx) { return cluster::sweep_quotas(tx); }, {.priority = store::Priority::low}); !quotas)
      log::warn("quotas_not_swept", {{"why", quotas.error().message}});
  retention_due_ = config_.ledger.retention > Duration::zero();
  if (!retention_due_) return;
  const auto forgotten = database_->write_now([&](store::Tx& tx) { return records::delete_feedback(tx, now - config_.ledger.retention, 10'000); }, {.priority = store::Priority::low});
  if (!forgotten) log::warn("old_feedback_not_deleted", {{"why", forgotten.error().message}});
}

// In short transactions, a tenth of a second of them a tick: faster than calls come, and never long in the way of anything.
void Runtime::drop_old_calls() {
  const WallTime before = clock_.wall() - config_.ledger.retention;
  const MonoTime until = clock_.mono() + std::chrono::milliseconds(100);
  while (retention_due_ && clock_.mono() < until) {
    const auto deleted = database_->write_now(
        [&](store::Tx& tx) { return records::delete_calls(tx, before, 16'384); }, {.priority = store::Priority::low});
    if (!deleted) log::warn("old_calls_not_deleted", {{"why", deleted.error().message}});
    retention_due_ = deleted && *deleted > 0;
  }
}

// What waits for it, each within `patience`.
void Runtime::tell_collector(Duration patience) {
  if (spans_) spans_->shut_down(patience);
  if (figures_) figures_->shut_down(patience);
}

bool Runtime::drain(Duration patience) {
  if (!listener_) return true;
  announce_drain();
  node_->rest();
  listener_->stop_accepting();
  alarms_->stop();
  live_->stop();
  if (knowledge_) knowledge_->stop();
  steps_.stop();
  rollups_->stop();
  workshop_->rest();
  anchors_last_ = node_->holds(duty::anchors);
  node_->hand_back();                      // before what takes its time: others go on with them
  workshop_->drain(patience);
  const bool clean = listener_->drain(patience);
  listener_.reset();
  idempotency_store_->keep_up();
  note_key_use();
  note_session_use();
  tell_collector(std::min<Duration>(patience, std::chrono::seconds(2)));
  return clean;
}

Runtime::~Runtime() {
  drain(Duration::zero());
  knowledge_.reset();
  if (node_) {                             // a start that failed
    node_->rest();
    node_->hand_back();
  }
  if (live_) live_->stop();
  if (alarms_) alarms_->stop();
  rollups_.reset();
  tell_collector(Duration::zero());
  if (workshop_) workshop_->drain(Duration::zero());
  if (loops_) loops_->stop();
  api_.reset();
  alarms_.reset();
  workshop_.reset();
  gateway_.reset();
  recorder_.reset();                       // writes what waits
  shared_cache_.reset();
  cache_reads_.reset();
  figures_.reset();
  genai_.reset();
  spans_.reset();
  retired_.clear();
  wired_.reset();
  idempotency_.reset();
  client_.reset();
  if (journal_) {
    journal_->stop_importer();
    if (quotas_) quotas_->leave();         // nobody takes any more
    if (database_) {
      auto imported = journal_->import_all(*database_);
      if (!imported) log::error("journal_not_imported", {{"why", imported.error().message}});
      else if (const auto left = journal_->stats(); left.in_flight + left.kept_outcomes > 0) log::info("budgets_settled_later", {{"calls", left.in_flight + left.kept_outcomes}});
      else if (auto settled = settle_money(true); !settled) log::warn("budgets_not_settled", {{"why", settled.error().message}});
    }
  }
  journal_.reset();
  if (anchors_) anchors_->stop();
  anchors_.reset();
  quotas_.reset();
  node_.reset();                           // says that it is gone
  database_.reset();
}

}  // namespace ballast::app
