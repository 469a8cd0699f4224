#include "app/node.hpp"

#include <unistd.h>

#include <array>
#include <fstream>

#include "app/cli.hpp"
#include "base/json.hpp"
#include "gateway/road_metrics.hpp"
#include "work/engine.hpp"
#include "work/queue_views.hpp"

namespace ballast::app {

namespace {

using cluster::MemberState;

// Where others find it: of an address that is all of the machine's, the machine's name.
std::string address_of(const ListenAddress& listen) {
  if (listen.host != "0.0.0.0" && listen.host != "::") return to_string(listen);
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0 || name[0] == '\0') return to_string(listen);
  return fmt::format("{}:{}", name.data(), listen.port);
}

// Resident bytes; 0 where nobody says.
std::uint64_t memory_of_this() {
  std::ifstream in("/proc/self/statm");
  std::uint64_t whole = 0, resident = 0;
  in >> whole >> resident;
  return in ? resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)) : 0;
}

double seconds(Duration d) { return std::chrono::duration<double>(d).count(); }

}  // namespace

Node::Node(Ground ground)
    : ground_(ground), nodes_(ground.metrics.gauges("ballast_nodes", "Nodes of this installation, as this one sees them; those gone for more than a day are not counted", {"state"})),
      in_flight_(gateway::RoadMetrics(ground.metrics).in_flight) {}

Result<std::unique_ptr<Node>> Node::join(const Config& config, Ground ground) {
  auto node = std::unique_ptr<Node>(new Node(ground));
  auto joined = cluster::Membership::join(ground.database, config.database, ground.clock,
                                          {.folder = config.data_dir, .address = address_of(config.listen), .version = kVersion, .load = [self = node.get()] { return self->load_json(); }});
  if (!joined) return fail(std::move(joined.error()));
  node->membership_ = std::move(*joined);
  node->listen();
  node->membership_->begin();
  return node;
}

Node::~Node() {
  rest();
  if (membership_) membership_->leave();
}

void Node::listen() {
  duties_ = std::make_unique<cluster::Duties>(
      *membership_, std::vector<std::string>{duty::alerts, duty::anchors, duty::batches, duty::provider_batches, duty::rollups, duty::schedules, duty::sweeps},
      cluster::Duties::Listener{.gained = [this](const std::string& name) { if (life_) life_->gained(name); }, .lost = {}});
  heirs_ = std::make_unique<cluster::Heirs>([this](const cluster::Member& gone, cluster::Heirs::Told told) { life_->adopt(gone, std::move(told)); }, os_seed());
  membership_->listen({.died = [this](const cluster::Member& gone) {
                         const std::lock_guard lock(mutex_);
                         if (!resting_) heirs_->died(gone, ground_.clock.mono());
                       },
                       .lost = [this] { lose(); },
                       .beside = [this](store::Tx& tx) { return duties_->read(tx); },
                       .looked = [this](const cluster::Picture& picture) { looked(picture); }});
  ground_.metrics.gauge_from("ballast_node_beat_age_seconds", "Since this node last saw its own beat in the database; 0 where it is the only one", [this] {
    return membership_->alone() ? 0.0 : seconds(ground_.clock.mono() - membership_->picture()->read);
  });
  ground_.metrics.gauge_from("ballast_node_duties", "Duties of the installation that this node has", [this] {
    return static_cast<double>(std::ranges::count_if(duties_->names(), [this](const std::string& name) { return duties_->holds(name); }));
  });
}

// Under the lock: who rests is not called any more.
void Node::looked(const cluster::Picture& picture) {
  count(picture);
  const std::lock_guard lock(mutex_);
  if (resting_) return;
  duties_->act(picture);
  heirs_->look(picture, membership_->boot(), ground_.clock.mono());
}

void Node::count(const cluster::Picture& picture) {
  std::array<std::uint64_t, 4> states{};
  for (const auto& seen : picture.members)
    if (seen.member.state != MemberState::gone || picture.at - seen.member.beat < cluster::kShownGone) ++states[static_cast<std::size_t>(seen.member.state)];
  for (std::size_t s = 0; s < states.size(); ++s) nodes_.with({to_string(static_cast<MemberState>(s))}).set(static_cast<double>(states[s]));
}

void Node::serve(Life life) {
  {
    const std::lock_guard lock(mutex_);
    life_.emplace(std::move(life));
    resting_ = false;
  }
  membership_->serve();
  if (membership_->alone()) count(*membership_->picture());
}

void Node::announce() {
  membership_->drain();
  if (membership_->alone()) count(*membership_->picture());
}

void Node::rest() {
  const std::lock_guard lock(mutex_);
  resting_ = true;
}

void Node::hand_back() {
  {
    const std::lock_guard lock(mutex_);
    if (!std::exchange(life_, std::nullopt)) return;
  }
  duties_->hand_back();
}

void Node::lose() {
  lost_ = true;
  const std::lock_guard lock(mutex_);
  resting_ = true;
  duties_->forget();
  if (tell_lost_) tell_lost_();
}

void Node::note_went_back() {
  if (!went_back_.exchange(true)) lose();
}

void Node::leave_jobs(std::uint32_t epoch) {
  if (membership_->alone()) return;
  {
    const std::lock_guard hold(jobs_->mutex);
    jobs_->left = true;
    jobs_->work = to_json(work::left_json(epoch));
  }
  membership_->drain();
}

void Node::on_lost(std::function<void()> tell) {
  const std::lock_guard lock(mutex_);
  if (lost_) tell();
  tell_lost_ = std::move(tell);
}

// What it says of itself with each beat. The engine's own figures are those of the beat before: nobody waits for its loop.
std::string Node::load_json() {
  {
    const std::lock_guard lock(mutex_);
    if (life_ && !jobs_->asked.exchange(true))
      life_->work_loop.post([jobs = jobs_, &engine = life_->engine] {
        const work::QueueViews queues = work::views_of(engine.board(), engine.meter(), engine.home().clock().mono());
        std::uint64_t leased = 0, ready = 0;
        for (const auto& [name, view] : queues) {
          leased += view.running;
          ready += view.ready;
        }
        jobs->leased = leased;
        jobs->ready = ready;
        jobs->live = engine.board().size();
        json::object said = work::neighbour_json(engine.epoch(), engine.hunger());
        said["queues"] = work::queues_json(queues);
        {
          const std::lock_guard hold(jobs->mutex);
          if (!jobs->left) jobs->work = to_json(said);
        }
        jobs->asked = false;
      });
  }
  const auto database = ground_.database.stats();
  std::string work;
  {
    const std::lock_guard hold(jobs_->mutex);
    work = jobs_->work;
  }
  return to_json(json::object{{"work", *parse_json(work)},
                              {"calls", static_cast<std::uint64_t>(std::max(0.0, in_flight_.value()))},
                              {"jobs", {{"leased", jobs_->leased.load()}, {"ready", jobs_->ready.load()}, {"live", jobs_->live.load()}}},
                              {"memory_bytes", memory_of_this()},
                              {"database", {{"queued", database.queued}, {"reconnects", database.reconnects}}}});
}

}  // namespace ballast::app
