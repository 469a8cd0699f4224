#include "work/giving.hpp"

#include <algorithm>

namespace ballast::work {

namespace {

constexpr std::uint32_t kMostWanted = 1'000'000;          // nobody believes more

bool wants(const Hunger::Pull& pull, const Lane& lane) { return pull.queue == lane.queue && (pull.task.empty() || pull.task == lane.task); }

// This giver's part of what is wanted, rounded up: one job is given by several rather than by none.
std::uint32_t part(std::uint32_t wanted, std::size_t givers) { return static_cast<std::uint32_t>((wanted + givers - 1) / givers); }

std::uint32_t count_from(const json::object& from, std::string_view name) {
  const auto* v = from.if_contains(name);
  boost::system::error_code wrong;
  const auto count = v ? v->to_number<std::uint32_t>(wrong) : 0;
  return wrong ? 0 : std::min(count, kMostWanted);
}

std::string name_from(const json::object& from, std::string_view name) {
  const auto* v = from.if_contains(name);
  return v && v->is_string() && v->as_string().size() <= kMaxName ? std::string(v->as_string()) : std::string();
}

Hunger hunger_from(const json::value& said) {
  Hunger hunger;
  const auto* object = said.if_object();
  if (!object) return hunger;
  hunger.local = count_from(*object, "local");
  const auto* pulls = object->if_contains("pulls");
  if (!pulls || !pulls->is_array()) return hunger;
  for (const json::value& v : pulls->as_array()) {
    if (hunger.pulls.size() == kMostPulls) break;
    const auto* p = v.if_object();
    if (!p) continue;
    Hunger::Pull pull{.queue = name_from(*p, "queue"), .task = name_from(*p, "task"), .most = count_from(*p, "most")};
    if (!pull.queue.empty() && pull.most > 0) hunger.pulls.push_back(std::move(pull));
  }
  return hunger;
}

}  // namespace

json::object neighbour_json(std::uint32_t epoch, const Hunger& hunger) {
  json::array pulls;
  for (const Hunger::Pull& p : std::span(hunger.pulls).first(std::min(hunger.pulls.size(), kMostPulls)))
    pulls.push_back(json::object{{"queue", p.queue}, {"task", p.task}, {"most", p.most}});
  return json::object{{"epoch", epoch}, {"hunger", {{"local", hunger.local}, {"pulls", std::move(pulls)}}}};
}

json::object left_json(std::uint32_t epoch) { return json::object{{"epoch", epoch}, {"left", true}}; }

bool has_left(const json::value& said) {
  const auto* o = said.if_object();
  const auto* left = o ? o->if_contains("left") : nullptr;
  return left && left->is_bool() && left->as_bool();
}

std::optional<Neighbour> neighbour_from(const json::value& said, std::uint64_t beat) {
  const auto* o = said.if_object();
  const auto* epoch = o ? o->if_contains("epoch") : nullptr;
  boost::system::error_code wrong;
  const auto number = epoch ? epoch->to_number<std::uint32_t>(wrong) : 0;
  if (wrong || number == 0) return std::nullopt;
  const auto* hunger = o->if_contains("hunger");
  return Neighbour{.epoch = number, .beat = beat, .hunger = hunger ? hunger_from(*hunger) : Hunger{}};
}

// Lanes take turns, and neighbours within a lane, so that one queue does not feed on all hands and one hand not on all jobs. A gift for each neighbour, perhaps
// of nothing. `next`: of each lane's jobs, the first that is not given.
std::vector<Gift> Giving::feed(std::span<const Board::Spare> spare, std::span<const Neighbour> neighbours, std::vector<std::size_t>& next) {
  std::map<std::uint32_t, std::uint64_t> fed;
  for (const Neighbour& n : neighbours)
    if (const auto at = fed_.find(n.epoch); at != fed_.end()) fed.insert(*at);
  fed_ = std::move(fed);                                 // of those that live
  const std::size_t givers = 1 + static_cast<std::size_t>(std::ranges::count_if(neighbours, [](const Neighbour& n) { return n.hunger == Hunger{}; }));
  std::vector<Gift> gifts;
  std::vector<Hunger> left;
  for (const Neighbour& n : neighbours) {
    gifts.push_back({.to = n.epoch, .jobs = {}});
    left.push_back(fed_.contains(n.epoch) && fed_[n.epoch] == n.beat ? Hunger{} : n.hunger);
    left.back().local = part(left.back().local, givers);
    for (Hunger::Pull& p : left.back().pulls) p.most = part(p.most, givers);
  }
  for (bool any = true; any;) {
    any = false;
    for (std::size_t lane = 0; lane < spare.size(); ++lane) {
      for (std::size_t n = 0; n < neighbours.size() && next[lane] < spare[lane].jobs.size(); ++n) {
        std::uint32_t* room = &left[n].local;
        if (!spare[lane].lane.task.empty()) {
          const auto pull = std::ranges::find_if(left[n].pulls, [&](const Hunger::Pull& p) { return p.most > 0 && wants(p, spare[lane].lane); });
          if (pull == left[n].pulls.end()) continue;
          room = &pull->most;
        }
        if (*room == 0) continue;
        --*room;
        gifts[n].jobs.push_back(spare[lane].jobs[next[lane]++]);
        any = true;
      }
    }
  }
  for (std::size_t n = 0; n < neighbours.size(); ++n)
    if (!gifts[n].jobs.empty()) fed_[gifts[n].to] = neighbours[n].beat;
  return gifts;
}

std::vector<Gift> Giving::decide(std::span<const Board::Spare> spare, std::span<const Neighbour> neighbours) {
  std::vector<std::size_t> next(spare.size());
  auto gifts = feed(spare, neighbours, next);
  std::erase_if(gifts, [](const Gift& g) { return g.jobs.empty(); });
  return gifts;
}

std::vector<Gift> Giving::leave(std::span<const Board::Spare> spare, std::span<const Neighbour> neighbours) {
  if (neighbours.empty()) return {};
  std::vector<std::size_t> next(spare.size());
  auto gifts = feed(spare, neighbours, next);
  std::size_t turn = 0;
  for (std::size_t lane = 0; lane < spare.size(); ++lane)
    for (; next[lane] < spare[lane].jobs.size(); ++turn) gifts[turn % gifts.size()].jobs.push_back(spare[lane].jobs[next[lane]++]);
  std::erase_if(gifts, [](const Gift& g) { return g.jobs.empty(); });
  return gifts;
}

}  // namespace ballast::work
