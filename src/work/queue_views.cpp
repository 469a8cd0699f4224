#include "work/queue_views.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <tuple>
#include <utility>
#include <vector>

namespace ballast::work {

namespace {

constexpr std::size_t kMostHeard = 1'024, kMaxName = 512;
constexpr std::size_t kCells = 12;                         // of a queue as it is said: its name, five counts, an age, four rates, the time of a job
constexpr double kScale = 1'000;                           // rates are said per thousand seconds

constexpr std::array kCounts = {&QueueView::ready, &QueueView::delayed, &QueueView::blocked, &QueueView::running, &QueueView::waiting};
constexpr std::array kRates = {&QueueRates::arrivals_1m, &QueueRates::arrivals_5m, &QueueRates::ends_1m, &QueueRates::ends_5m};

std::int64_t millis(Duration d) { return std::chrono::duration_cast<std::chrono::milliseconds>(d).count(); }
json::value maybe_millis(const std::optional<Duration>& d) { return d ? json::value(millis(*d)) : json::value(nullptr); }

std::optional<std::uint64_t> count_from(const json::value& v) {
  boost::system::error_code wrong;
  const auto n = v.to_number<std::uint64_t>(wrong);
  return wrong ? std::nullopt : std::optional(n);
}
std::optional<Duration> duration_from(const json::value& v) {
  const auto ms = count_from(v);
  constexpr std::uint64_t most = 100ULL * 366 * 86'400'000;
  return ms ? std::optional<Duration>(std::chrono::milliseconds(std::min(*ms, most))) : std::nullopt;
}

json::array said(const std::string& name, const QueueView& view) {
  json::array out{json::value(name)};
  for (const auto count : kCounts) out.emplace_back(view.*count);
  out.push_back(maybe_millis(view.oldest));
  for (const auto rate : kRates) out.emplace_back(std::llround(view.rates.*rate * kScale));
  out.push_back(maybe_millis(view.rates.per_job));
  return out;
}

std::optional<std::pair<std::string, QueueView>> queue_from(const json::value& v, Duration age) {
  const auto* cells = v.if_array();
  if (!cells || cells->size() < kCells) return std::nullopt;
  const auto* name = (*cells)[0].if_string();
  if (!name || name->empty() || name->size() > kMaxName) return std::nullopt;
  QueueView view;
  std::size_t at = 1;
  for (const auto count : kCounts) {
    const auto n = count_from((*cells)[at++]);
    if (!n) return std::nullopt;
    view.*count = *n;
  }
  view.oldest = duration_from((*cells)[at++]);
  if (view.oldest) *view.oldest += age;
  for (const auto rate : kRates) view.rates.*rate = static_cast<double>(count_from((*cells)[at++]).value_or(0)) / kScale;
  view.rates.per_job = duration_from((*cells)[at]);
  return std::pair(std::string(*name), view);
}

bool idle(const QueueView& v) {
  return std::ranges::all_of(kCounts, [&](auto count) { return v.*count == 0; }) && std::ranges::all_of(kRates, [&](auto rate) { return v.rates.*rate == 0; });
}

std::uint64_t jobs_of(const QueueView& v) {
  std::uint64_t sum = 0;
  for (const auto count : kCounts) sum += v.*count;
  return sum;
}

}  // namespace

void QueueView::add(const QueueView& other) {
  for (const auto count : kCounts) this->*count += other.*count;
  if (other.oldest) oldest = std::max(oldest.value_or(Duration::zero()), *other.oldest);
  if (rates.per_job && other.rates.per_job) {              // by how many have ended on each lately
    const double mine = rates.ends_5m + 1e-9, theirs = other.rates.ends_5m + 1e-9;
    const double mean = (static_cast<double>(rates.per_job->count()) * mine + static_cast<double>(other.rates.per_job->count()) * theirs) / (mine + theirs);
    rates.per_job = Duration(std::llround(mean));
  } else if (other.rates.per_job) {
    rates.per_job = other.rates.per_job;
  }
  for (const auto rate : kRates) rates.*rate += other.rates.*rate;
}

QueueViews views_of(const Board& board, Meter* meter, MonoTime now) {
  QueueViews out;
  for (std::string& name : board.queues()) {
    const QueueFigures f = board.figures(name);
    QueueView view{.ready = f.ready, .delayed = f.delayed, .blocked = f.blocked, .running = f.leased, .waiting = f.waiting};
    if (f.oldest_ready != kNever) view.oldest = std::max(now - f.oldest_ready, Duration::zero());
    if (meter) view.rates = meter->rates(name, now);
    out.emplace(std::move(name), view);
  }
  return out;
}

json::object queues_json(const QueueViews& views) {
  std::vector<const QueueViews::value_type*> all;
  for (const auto& queue : views)
    if (!idle(queue.second)) all.push_back(&queue);
  const std::size_t most = std::min(all.size(), kMostQueuesSaid);
  std::ranges::partial_sort(all, all.begin() + static_cast<std::ptrdiff_t>(most), std::greater<>(),
                            [](const auto* q) { return std::tuple(jobs_of(q->second), q->second.rates.arrivals_1m, std::string_view(q->first)); });
  json::array largest;
  for (std::size_t i = 0; i < most; ++i) largest.push_back(said(all[i]->first, all[i]->second));
  return {{"largest", std::move(largest)}, {"left_out", all.size() - most}};
}

void QueuesElsewhere::hear(const json::value& said, Duration age) {
  const auto* o = said.if_object();
  const auto* largest = o ? o->if_contains("largest") : nullptr;
  if (!largest || !largest->is_array()) return;
  ++nodes;
  if (const auto* more = o->if_contains("left_out")) left_out += count_from(*more).value_or(0);
  std::size_t heard = 0;
  for (const json::value& v : largest->get_array()) {
    if (++heard > kMostHeard) break;
    if (auto queue = queue_from(v, age)) views[std::move(queue->first)].add(queue->second);
  }
}

QueueViews QueuesElsewhere::with(QueueViews here) const {
  for (const auto& [name, view] : views) here[name].add(view);
  return here;
}

}  // namespace ballast::work
