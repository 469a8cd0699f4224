// Workshop: the durable road of this process: its engine, what runs its jobs and flows, who is told of their ends, and the door that HTTP
// comes in by.
#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <set>
#include <string>

#include "app/config.hpp"
#include "app/datasets.hpp"
#include "app/node.hpp"
#include "net/client.hpp"
#include "net/loop.hpp"
#include "server/work_door.hpp"
#include "work/approval_links.hpp"
#include "work/batches.hpp"
#include "work/dispatch.hpp"
#include "work/door.hpp"
#include "work/effect_journal.hpp"
#include "work/flow_book.hpp"
#include "work/job_trace.hpp"
#include "work/lost_commits.hpp"
#include "work/meter.hpp"
#include "work/model_call.hpp"
#include "work/provider_batches.hpp"
#include "work/runner.hpp"
#include "work/schedules.hpp"
#include "work/webhooks.hpp"

namespace ballast::app {

class Workshop {
 public:
  // What it stands on; all outlives it.
  struct Ground {
    net::LoopGroup& loops;
    store::Database& database;
    metrics::Registry& metrics;
    gateway::Gateway& gateway;
    Node& node;
    store::Notifier* notifier = nullptr;     // null: there is nobody to tell
    std::function<void()> went_back = {};    // the database has lost what it acknowledged, and that is told: this process has to start anew. On the engine's loop
  };
  // Takes the node over and reads what is live: blocking, before the loops run.
  static Result<std::unique_ptr<Workshop>> open(const Config& config, Ground ground);
  ~Workshop();                               // drained, or the loops have never run
  // What of a new configuration comes into force without a restart. On an error the flows before stay. Blocking.
  Result<void> reload(const Config& config, WallTime now);
  // Begins to lease. The loops run.
  void start();
  // Fires no schedule more and drives no batch: others may. From outside the loops; idempotent.
  void rest();
  // Accepts and leases nothing more, and hands over what others can start; waits until what runs has ended or was given back, and who is owed a webhook was told, if there is
  // time. From outside the loops; idempotent.
  void drain(Duration patience);
  // Keys, jobs and webhooks whose time is over, a little at a time, where this node has that duty. On every node approvals that expire or escalate, and
  // its runs that do not know of a decision yet.
  void sweep(WallTime now);
  // What a node that is gone has left: its jobs go on, of its calls' keys the outcome is unknown, its webhooks in hand are due again. Any thread; `told` on the engine's loop.
  void inherit(const cluster::Member& gone, cluster::Heirs::Told told);
  server::WorkDoor& door() { return door_; }
  const work::ApprovalLinks& links() const { return links_; }
  work::Engine& engine() { return engine_; }

 private:
  Workshop(const Config& config, Ground ground, work::ApprovalLinks links);
  work::OnDuty on_duty(const char* name) const;
  Task<void> share_work();
  Task<void> tell_lost(work::LostCommits lost);
  void look_for_lost(WallTime now);
  Task<void> take_left();
  Task<void> tell_run(work::JobId run);
  Task<void> wake_on_loop(work::JobId job);
  Task<void> inherit_on_loop(unsigned slot, std::string boot, cluster::Heirs::Told told);
  void wake(work::JobId job);
  void sweep_approvals(WallTime now);
  void sweep_batches(WallTime now);

  const WorkConfig config_;
  const Ground ground_;
  const std::shared_ptr<const net::EgressPolicy> policy_;
  net::Client guarded_;                      // for every URL that a user or a flow names: the public internet, and what webhooks.allow says
  work::Webhooks webhooks_;
  const work::EffectCloser ends_{&webhooks_};
  work::Meter meter_;
  std::optional<work::JobTracer> tracer_;    // none: nobody collects spans
  work::Dispatch dispatch_;
  work::Engine engine_;
  work::Pace pace_;
  work::ModelCaller caller_;
  work::FlowBook flows_;
  work::Door jobs_;                          // to every job of the installation
  const work::FamilyWriter ends_elsewhere_;
  DatasetShelf datasets_;
  work::Runner runner_;
  work::Schedules schedules_;
  work::Batches batches_;
  work::ProviderBatches provider_batches_;
  const work::ApprovalLinks links_;
  server::WorkDoor door_;
  TaskGroup wakes_{"wakes"};
  work::JobId swept_to_;
  std::uint64_t sweeps_ = 0;
  std::shared_ptr<std::atomic<std::uint64_t>> lost_ = std::make_shared<std::atomic<std::uint64_t>>(0);   // the metric's: it may be asked later than this lives
  std::set<std::string> left_;               // boots that have left, and of which this node knows who has their jobs
  bool started_ = false, rests_ = false;
};

}  // namespace ballast::app
