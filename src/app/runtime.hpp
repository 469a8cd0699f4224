// Runtime: everything a serving process is made of, built once in order and taken down in the opposite one.
//
//   database → a node of the installation → journal (imported) → budgets restored → keys → loops → gateway → listener
//
// The thread that started it drives it: `tick` about once a second, `reload`, `drain`. Everything else runs on the loops.
#pragma once
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/alarms.hpp"
#include "app/config.hpp"
#include "app/knowledge.hpp"
#include "app/node.hpp"
#include "app/wiring.hpp"
#include "app/workshop.hpp"
#include "base/metrics.hpp"
#include "gateway/cache_shared.hpp"
#include "gateway/gateway.hpp"
#include "gateway/recorder.hpp"
#include "net/client.hpp"
#include "net/server.hpp"
#include "records/audit_anchors.hpp"
#include "records/journal.hpp"
#include "records/rollups_thread.hpp"
#include "server/dashboard.hpp"
#include "server/live.hpp"
#include "server/steps.hpp"
#include "server/otlp.hpp"
#include "server/otlp_metrics.hpp"
#include "server/pages.hpp"
#include "server/readiness.hpp"
#include "server/refused_keys.hpp"
#include "server/server.hpp"
#include "server/sessions.hpp"
#include "server/shown_config.hpp"
#include "store/database.hpp"
#include "store/notifier.hpp"

namespace ballast::app {

class Runtime {
 public:
  // Blocking. Errors: the configuration's (caller_invalid_request) or the machine's (disk, database, port).
  static Result<std::unique_ptr<Runtime>> start(Config config);
  ~Runtime();                                  // drains without patience
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  const Config& config() const { return config_; }
  std::uint16_t port() const { return listener_->port(); }
  net::LoopGroup& loops() { return *loops_; }
  // Keys that this start made because there were none: their secrets, shown once. Empty otherwise.
  struct FirstKeys { std::string admin, app; };
  const FirstKeys& first_keys() const { return first_keys_; }

  // Swaps routes, providers, limits, budgets, prices, keys and the log level; each setting that needs a restart is named in the log.
  // On an error everything stays as it was.
  Result<void> reload(Config config);
  // Housekeeping: budgets of a retired setup, expired idempotency keys, old calls, keys made by other nodes.
  void tick();
  // From now on /readyz says no, other nodes count on this one no more, and everything else goes on.
  void announce_drain();
  // Other nodes took this one for dead, or the database has lost what it acknowledged (`went_back`): it refuses to be given work, and has to be started anew.
  // `tell`: when it happens, on a thread of its own.
  bool lost() const { return node_->lost(); }
  bool went_back() const { return node_->went_back(); }
  void on_lost(std::function<void()> tell) { node_->on_lost(std::move(tell)); }
  // Stops accepting, lets calls in flight end within `patience`, imports the journal. True if nothing was cut.
  bool drain(Duration patience);

 private:
  Runtime() = default;
  Result<void> open_records();
  Result<void> settle_money(bool own);
  Result<void> restore_budgets();
  Result<void> load_keyring();
  Result<void> first_start();
  Result<void> open_idempotency();
  Result<void> open_caches();
  Result<void> open_telemetry();
  void tell_collector(Duration patience);
  Result<void> open_doors();
  Result<void> listen();
  void serve();
  bool sync_keys();
  void note_key_use();
  bool follow_sessions();
  void note_session_use();
  void sweep();                            // once a minute
  void drop_old_calls();
  void note_configured();                  // for readiness
  void learn_from_others();                // what changed on other nodes
  void remind_quotas();                    // after the database was away

  struct Retired {                             // a setup that calls under way may still use
    std::weak_ptr<const Wired> wired;
    std::shared_ptr<gateway::BudgetBook> budgets;
    Carried carried;
  };

  Config config_;
  Config started_;                             // what of it a reload cannot change is still in force
  SystemClock clock_;
  metrics::Registry metrics_;
  FirstKeys first_keys_;
  std::unique_ptr<store::Database> database_;
  std::unique_ptr<Node> node_;
  std::unique_ptr<cluster::Quotas> quotas_;        // null: this is the only node there can be
  std::atomic<bool> anchors_last_{false};          // as it ends: the duty is handed back, what it has seen is still anchored
  std::unique_ptr<records::Anchorer> anchors_;     // of the audit trail
  std::unique_ptr<records::RollupThread> rollups_;
  std::unique_ptr<records::CallJournal> journal_;
  std::unique_ptr<net::LoopGroup> loops_;
  std::unique_ptr<net::Client> client_;
  std::optional<gateway::Freshness> freshness_;    // nothing: as above
  std::unique_ptr<gateway::KeyRing> keys_;
  std::unique_ptr<gateway::Breakers> breakers_;
  std::unique_ptr<gateway::ResponseCache> cache_;
  std::unique_ptr<store::Database> cache_reads_;   // null: this is the only node there can be
  std::unique_ptr<gateway::SharedCache> shared_cache_;
  std::unique_ptr<gateway::IdempotencyStore> idempotency_store_;
  std::unique_ptr<gateway::Idempotency> idempotency_;
  std::unique_ptr<gateway::Recorder> recorder_;
  std::unique_ptr<server::OtlpExporter> spans_;   // null: no traces
  std::unique_ptr<gateway::GenaiMetrics> genai_;  // null: no metrics are sent
  std::unique_ptr<server::OtlpMetrics> figures_;  // as above
  WiredPtr wired_;
  std::unique_ptr<gateway::Gateway> gateway_;
  std::unique_ptr<store::Notifier> notifier_;     // null: this is the only node there can be
  std::unique_ptr<Workshop> workshop_;
  std::unique_ptr<Alarms> alarms_;
  server::Pages pages_;
  std::unique_ptr<server::Sessions> sessions_;
  server::RefusedKeys refused_{metrics_, {}};
  server::Dashboard dashboard_{server::built_ui()};
  server::ShownConfig shown_config_;
  std::unique_ptr<server::Live> live_;
  std::unique_ptr<Knowledge> knowledge_;           // null: as above
  server::Steps steps_{server::Steps::Options{}};
  server::ConfiguredNow configured_;
  std::unique_ptr<server::Api> api_;
  std::unique_ptr<net::Server> listener_;
  std::vector<Retired> retired_;
  std::uint64_t ticks_ = 0;
  std::uint64_t reconnects_ = 0;           // seen
  bool retention_due_ = false;             // calls older than the ledger's retention may be left
};

// Raises the limit of open files to what the system allows; returns the new one.
std::uint64_t raise_descriptor_limit();

}  // namespace ballast::app
